"""Finding out who answers for a data directory: the service that owns it, or this process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from asynclog.cli.service import Service
from asynclog.config import Configuration
from asynclog.errors import LockedError, UnavailableError
from asynclog.lockfile import read_owner

OWNER_SECONDS: Final = 5.0
"""How long to wait for each other command on the same data directory, or for a service that is starting."""
POLL_SECONDS: Final = 0.05


@asynccontextmanager
async def connect(
    configuration: Configuration,
    url: str | None = None,
    *,
    create: bool = False,
    plugins: Mapping[str, object] | None = None,
    key: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[Service]:
    """Whoever answers for a data directory: the service that owns it, else the directory itself, opened.

    Args:
        configuration: where the directory is, and what counts when it is opened here.
        url: a service to ask instead, wherever its data is.
        create: whether the directory may be made.
        plugins: what runs under these names when the directory is opened here.
        key: what a service is told about who asks; asked only when there is one.

    Raises:
        InvalidError: the key is none.
        UnavailableError: there is no directory, or a process that serves nobody keeps it.
    """
    from asynclog.cli.remote import RemoteService  # noqa: PLC0415  # half of the commands need one of the two

    folder = configuration.folder
    if url is not None:
        yield RemoteService(lambda: url, key())
        return
    if not create and not (folder / "asynclog.db").exists():
        raise UnavailableError(
            f"there is no data directory {str(folder)!r}; name one with --data, or begin with `asynclog run`"
        )
    from asynclog.cli.local import open_service  # noqa: PLC0415  # as above

    waits_for, deadline = 0, time.monotonic() + OWNER_SECONDS
    service: Service | None = None
    async with AsyncExitStack() as stack:
        while service is None:
            if _serving(configuration) is not None:
                service = RemoteService(lambda: _serving(configuration), key())
                continue
            try:
                service = await stack.enter_async_context(open_service(configuration, plugins))
            except LockedError:
                owner = read_owner(configuration.folder)
                if owner is not None and owner.pid not in {0, waits_for}:  # the next one's turn
                    waits_for, deadline = owner.pid, time.monotonic() + OWNER_SECONDS
                if time.monotonic() >= deadline:
                    raise UnavailableError(_taken(configuration)) from None
                await asyncio.sleep(POLL_SECONDS)
        yield service


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
