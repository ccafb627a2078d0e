"""The seam of the command line: what a command asks of asynclog, whoever answers.

`remote.RemoteService` asks the running service over HTTP; `local.LocalService` opens the data directory and asks the
same routes in its own process. So a command, a filter and an error mean the same with and without a service.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import msgspec

from asynclog.config import Configuration
from asynclog.errors import AsynclogError, LockedError, UnavailableError
from asynclog.lockfile import read_owner

OWNER_SECONDS: Final = 5.0
"""How long to wait for another command on the same data directory, or for a service that is starting."""
POLL_SECONDS: Final = 0.05

Query = Sequence[tuple[str, str]]
Object = dict[str, Any]


class RefusedError(AsynclogError):
    """The service answered with an error; ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LostError(UnavailableError):
    """The service cannot be reached, or went away in the middle; asking again may help."""


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


@asynccontextmanager
async def connect(
    configuration: Configuration, url: str | None = None, *, create: bool = False
) -> AsyncIterator[Service]:
    """Whoever answers for a data directory: the service that owns it, else the directory itself, opened.

    Args:
        configuration: where the directory is, and what counts when it is opened here.
        url: a service to ask instead, wherever its data is.
        create: whether the directory may be made.

    Raises:
        UnavailableError: there is no directory, or a process that serves nobody keeps it.
    """
    from asynclog.cli.remote import RemoteService  # noqa: PLC0415  # half of the commands need one of the two

    folder = configuration.folder
    if url is not None:
        yield RemoteService(lambda: url)
        return
    if not create and not (folder / "asynclog.db").exists():
        raise UnavailableError(
            f"there is no data directory {str(folder)!r}; name one with --data, or begin with `asynclog run`"
        )
    deadline = time.monotonic() + OWNER_SECONDS
    while True:
        found = _serving(configuration)
        if found is not None:
            yield RemoteService(lambda: _serving(configuration))
            return
        from asynclog.cli.local import open_service  # noqa: PLC0415  # as above

        opening = open_service(configuration)
        try:
            service = await opening.__aenter__()
        except LockedError:
            if time.monotonic() >= deadline:
                raise UnavailableError(_taken(configuration)) from None
            await asyncio.sleep(POLL_SECONDS)
            continue
        break
    try:
        yield service
    finally:
        await opening.__aexit__(None, None, None)


def _serving(configuration: Configuration) -> str | None:
    """The address of the service that owns the data directory now."""
    owner = read_owner(configuration.folder)
    return None if owner is None else owner.url


def _taken(configuration: Configuration) -> str:
    owner = read_owner(configuration.folder)
    who = f"process {owner.pid}" if owner and owner.pid and owner.pid != os.getpid() else "another process"
    return (
        f"{who} works on the data directory {str(configuration.folder)!r} and answers nobody; "
        "wait for its end, or let `asynclog serve` own the directory and run commands beside it"
    )


def refusal(status: int, body: bytes) -> AsynclogError:
    """The error that an answer of this status is."""
    try:
        problem = msgspec.json.decode(body)
    except msgspec.DecodeError:
        problem = None
    found = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    message = found if isinstance(found, str) else body[:200].decode(errors="replace").strip()
    message = message or f"the service answered with status {status}"
    return LostError(message) if status == 503 else RefusedError(status, message)
