"""One connection to the SQLite database: how it is opened, and the thread on which whole functions run."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import aiosqlite

from asynclog.store.shielding import to_its_end

T = TypeVar("T")

BUSY_MS: Final = 1000
"""How long SQLite itself waits for a lock; the writer's retry does the rest."""

_PRAGMAS: Final = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # counts only before the first table
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # segments are removed after a commit: it must survive a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = FAST",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",  # pages: whoever commits then waits for it, so not often
    "PRAGMA cache_size = -8000",
)


class Connection(aiosqlite.Connection):
    """A connection that runs whole functions on its thread and can be interrupted from the loop."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._thread.daemon = True  # what it holds is in the journal: it must not keep a process from ending

    async def opened(self) -> Self:
        """Itself, once it is connected; raises what connecting raises. A cancelled call waits until it is over.

        Whoever did not wait would leave a thread that tells its result to a loop that may be closed by then.
        """
        self._thread.start()
        connecting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((connecting, self._establish))
        try:
            await to_its_end(connecting)
        except BaseException:
            stopping = self.stop()
            if stopping is not None:
                await to_its_end(stopping)
            raise
        return self

    def _establish(self) -> None:
        self._connection = self._connector()

    async def close(self) -> None:
        """Close it behind what was submitted before, and end its thread. A cancelled call waits until it is over."""
        await to_its_end(super().close())

    def submit(self, function: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have a function run behind those that were submitted before. Raises ValueError when it is closed."""
        work: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((work, partial(function, self._conn)))
        self._tx.put_nowait((None, _nothing))  # else the thread keeps the function and its result until the next one
        return work

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What a function gives. A cancelled call does not wait for it."""
        return await self.submit(function)

    def stop_query(self) -> None:
        """Interrupt the statement that runs, from any thread."""
        if self._connection is not None:
            self._connection.interrupt()


def _nothing() -> None:
    """Takes the place of what was run before."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes and checkpoints, to a file that was made private."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def make_private(path: Path) -> None:
    """Let the database be there, its owner's alone from its first byte on; SQLite gives its other files the same mode.

    A file that is there is not opened: closing it would give up the locks of connections that still read it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def connect_reader(path: Path, *, query_only: bool) -> sqlite3.Connection:
    """One that cannot write to the file, and with ``query_only`` to nothing else either."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -8000")
    connection.text_factory = _text
    return connection


def _text(encoded: bytes) -> str:
    """A text; with marks in place of what is none, but lies damaged in the database: the rest of the answer counts."""
    return encoded.decode(errors="replace")
