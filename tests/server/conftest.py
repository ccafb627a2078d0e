"""The running service as fixtures: one for a whole module, and one of its own for a test that breaks something."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.server.running import Running, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A service that all tests of a module share, on the module's loop."""
    async with running(tmp_path_factory.mktemp("data")) as service:
        yield service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    """A service of the test's own."""
    async with running(tmp_path / "data") as running_service:
        yield running_service
