"""The seam of the command line: what a command asks of asynclog, whoever answers.

`remote.RemoteService` asks the running service over HTTP; `local.LocalService` opens the data directory and asks the
same routes in its own process. So a command, a filter and an error mean the same with and without a service.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, Protocol

import msgspec

from asynclog.errors import AsynclogError, UnavailableError

Query = Sequence[tuple[str, str]]
Object = dict[str, Any]
LATER: Final = frozenset({408, 429})
"""Statuses, besides those of the service's (or its proxy's) own failures, after which the same may be asked again."""


class RefusedError(AsynclogError):
    """The service answered with an error; ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LostError(UnavailableError):
    """The service cannot be reached, has no room, or went away in the middle; asking again may help."""


class Service(Protocol):
    """Who answers."""

    @property
    def remote(self) -> bool:
        """Whether it is another process; if not, tasks run in this one and end with it."""

    async def call(self, method: str, path: str, query: Query = (), body: object = None) -> Any:
        """Ask a route; the decoded answer, None when it is empty. ``body`` is sent as JSON, bytes as they are.

        Raises:
            RefusedError, LostError.
        """

    def stream(self, path: str, query: Query = ()) -> AsyncGenerator[bytes, None]:
        """The body of a GET in pieces, of any size. Raises as `call`."""

    def follow(self, task_id: str, query: Query = (), after: int = 0) -> AsyncGenerator[Object, None]:
        """The frames of a task's WebSocket from a cursor on, up to its ``end``, over any number of connections.

        Raises:
            RefusedError: there is no such task (any more), or the filter is bad.
        """


def refusal(status: int, body: bytes) -> AsynclogError:
    """The error that an answer of this status is."""
    try:
        problem = msgspec.json.decode(body)
    except msgspec.DecodeError:
        problem = None
    found = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    message = found if isinstance(found, str) else body[:200].decode(errors="replace").strip()
    message = message or f"the service answered with status {status}"
    return LostError(message) if status in LATER or status >= 500 else RefusedError(status, message)
