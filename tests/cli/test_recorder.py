"""What `asynclog run` tells a service that is not always there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from asynclog.cli import recorder
from asynclog.cli.recorder import Recorder
from asynclog.cli.service import LostError, Object, Query, RefusedError, refusal


class Service:
    """Takes the end of a task once; answers the first time, or not."""

    remote = True

    def __init__(self, *, lost: int, arrives: bool) -> None:
        self._lost = lost
        self._arrives = arrives
        self.status = "running"

    async def call(self, method: str, path: str, query: Query = (), body: Any = None) -> Any:  # noqa: ARG002 - its shape
        """The routes of a task."""
        if method == "GET":
            return {"id": "t", "status": self.status}
        lost, self._lost = self._lost > 0, self._lost - 1
        if self._arrives or not lost:
            if self.status != "running":
                raise RefusedError(409, "it has ended")
            self.status = body["status"]
        if lost:
            raise LostError("nobody answers")
        return {"id": "t", "status": self.status}

    def stream(self, path: str, query: Query = ()) -> AsyncGenerator[bytes, None]:
        """Not asked for."""
        raise NotImplementedError

    def follow(self, task_id: str, query: Query = (), after: int = 0) -> AsyncGenerator[Object, None]:
        """Not asked for."""
        raise NotImplementedError


@pytest.mark.parametrize("arrives", [True, False])
async def test_the_end_is_told_until_it_is_heard(*, arrives: bool) -> None:
    """An end is told again when nobody answered, whether it had arrived or only its answer was lost."""
    service = Service(lost=1, arrives=arrives)
    with Recorder(service, "t") as sending:
        assert (await sending.finish({"status": "success"}))["status"] == "success"
    assert service.status == "success"


async def test_another_end_counts() -> None:
    """A task that was ended otherwise meanwhile is no success."""
    service = Service(lost=0, arrives=True)
    service.status = "cancelled"
    with Recorder(service, "t") as sending, pytest.raises(RefusedError, match="it has ended"):
        await sending.finish({"status": "success"})


async def test_a_service_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is not told for ever."""
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0.2)
    with (
        Recorder(Service(lost=1000, arrives=False), "t") as sending,
        pytest.raises(LostError, match="has not answered"),
    ):
        await sending.finish({"status": "success"})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_no_refusal(status: int) -> None:
    """What a proxy answers while the service is started again, or the service when it is overloaded or fails, ends no
    task: it is asked again.
    """
    assert isinstance(refusal(status, b"<html>Bad Gateway</html>"), LostError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_a_refusal_stays_one(status: int) -> None:
    """What will not be otherwise the next time is not asked again."""
    assert isinstance(refusal(status, b"{}"), RefusedError)
