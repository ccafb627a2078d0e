"""Fixtures: the command line alone on its data directory, or beside a service that owns it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """No service runs."""
    return Cli(tmp_path)


@pytest.fixture(params=["alone", "beside a service"])
def either(request: pytest.FixtureRequest, cli: Cli) -> Iterator[Cli]:
    """Both ways to work on a data directory, which have to look the same."""
    if request.param == "alone":
        yield cli
    else:
        with cli.service():
            yield cli
