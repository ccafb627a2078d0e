"""The SQLite database of one data directory: one connection that writes, a few that only read.

One connection does every write and every checkpoint: SQLite up to 3.51.2 can corrupt a WAL database when two do.
Whole functions run on a connection's own thread, so a transaction cannot be torn by a cancellation between two
awaits, and a query of many statements costs one hop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from asynclog.disk import free_name
from asynclog.errors import StoreError
from asynclog.handover import Handover
from asynclog.store.connection import Connection, connect_reader, connect_writer, make_private
from asynclog.store.schema import prepare
from asynclog.store.shielding import to_its_end

T = TypeVar("T")

READERS: Final = 4
"""Read connections at most."""
READ_SECONDS: Final = 10.0
"""After this long a query is interrupted."""
BUILD_SECONDS: Final = 60.0
"""After this long reading for a build is interrupted."""
AGAIN_SECONDS: Final = 0.1
OPEN_ATTEMPTS: Final = 15
"""How often a database that another process has locked is tried at the start, each time for BUSY_MS."""

_MAGIC: Final = b"SQLite format 3\0"
_DAMAGED: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PASSING: Final = (*_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_INTERRUPT)
"""What says nothing against the connection."""

_log = logging.getLogger("asynclog.store")


class QueryTimeoutError(StoreError):
    """A query took longer than its deadline."""


class _Deadline:
    """Calls something at a time, and then again and again until it is cancelled.

    An interruption between two statements is none: the next one has to be interrupted, too.
    """

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._timer = self._loop.call_later(seconds, self._due)

    def _due(self) -> None:
        self._call()
        self._timer = self._loop.call_later(AGAIN_SECONDS, self._due)

    def ring(self) -> None:
        """It is time."""
        self.cancel()
        self._due()

    def cancel(self) -> None:
        """It is not needed any more."""
        self._timer.cancel()


class Database:
    """Opens, reopens and closes the connections.

    Args:
        path: the database file; made if missing. One that is no database is set aside under another name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: Path | None = None
        """Where a damaged database was put when this one was begun."""
        self.exchanged = 0
        """How often the file was removed, or another put in its place, while it was in use."""
        self._writer: Connection | None = None
        self._inode = 0
        self._probes: list[int] = []
        """To look at the first bytes. Closing one would give up SQLite's locks on the file: they stay to the end."""
        self.begun = 0
        """How many times a database was begun because there was none."""
        self._idle: list[Connection] = []
        self._readers = asyncio.Semaphore(READERS)
        self._writing = asyncio.Lock()
        self._handover = Handover()
        self._beside = ThreadPoolExecutor(1, "asynclog-beside")
        self._generation = 0

    async def __aenter__(self) -> Self:
        try:
            async with self._writing:
                await self._begin()
        except BaseException:
            await to_its_end(self._end())
            raise
        return self

    async def _begin(self) -> None:
        for attempt in range(OPEN_ATTEMPTS):
            try:
                self._writer = await self._open()
                break
            except (sqlite3.Error, OSError) as error:
                if not _is_one_of(_LOCKED, error) or attempt == OPEN_ATTEMPTS - 1:
                    raise StoreError(f"the database {self.path} cannot be opened: {error}") from error
                _log.warning("the database %s is locked by another process; waiting for it", self.path)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._end())

    async def _end(self) -> None:
        async with self._writing:
            await self._close()
            while self._probes:
                os.close(self._probes.pop())
        self._beside.shutdown()

    def beside(self, function: Callable[[], T]) -> Callable[[], T]:
        """Begin to compute something while the writing connection is busy; what is returned waits for it."""
        return self._beside.submit(function).result

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that makes its own transaction on the writing connection, behind those asked for before.

        A database that was removed or replaced meanwhile is opened anew first, and one that vanished while the
        function ran makes the call fail: what it wrote went nowhere. A cancelled call waits until it is over.

        Raises:
            StoreError: the database cannot be written now.
        """
        writer: Connection | None = None
        try:
            async with self._writing:
                writer = self._writer
                if writer is None or not self._is_there():
                    writer = await to_its_end(self._reopen())
                work = writer.submit(function)
            with self._handover:
                result = await to_its_end(work)
        except sqlite3.Error as error:
            if not _is_one_of(_PASSING, error):
                await self._distrust(writer)
            raise StoreError(f"the database {self.path} cannot be written: {error}") from error
        except (OSError, ValueError) as error:
            await self._distrust(writer)
            raise StoreError(f"the database {self.path} cannot be opened: {error}") from error
        if self._writer is not writer or not self._is_there():
            raise StoreError(f"the database {self.path} was removed or replaced while it was written")
        return result

    async def _distrust(self, writer: Connection | None) -> None:
        """Look at the file anew the next time: it may be damaged, cut short or gone."""
        async with self._writing:
            if self._writer is writer:  # nobody else has done so yet
                await to_its_end(self._close())

    async def _reopen(self) -> Connection:
        if self._writer is not None and self._is_its_file() and not self._is_database():
            # Before the connection closes: that would mix what it remembers into the new content.
            self._put_aside("its first bytes are no longer those of a database")
        await self._close()
        self._writer = await self._open()
        return self._writer

    def _is_there(self) -> bool:
        try:
            return self._is_its_file() and self._is_database()
        except OSError:
            return False

    def _is_its_file(self) -> bool:
        return self.path.exists() and self.path.stat().st_ino == self._inode

    def _is_database(self) -> bool:
        return os.pread(self._probes[-1], len(_MAGIC), 0) == _MAGIC

    async def _open(self) -> Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            connection, inode = await self._connect_writer()
        except sqlite3.DatabaseError as error:
            if not _is_one_of(_DAMAGED, error):
                raise
            self._put_aside(str(error))
            connection, inode = await self._connect_writer()
        former, self._inode = self._inode, inode
        if former not in (0, self._inode):  # the probes keep the former file, so that its number is not given again
            self.exchanged += 1
            _log.error("the database %s was removed or replaced; what was only in it is not there any more", self.path)
        self._generation += 1
        return connection

    async def _connect_writer(self) -> tuple[Connection, int]:
        """A connection, and the number of the file that it has open: it may be removed or replaced at any time."""
        inode = self._probe()
        connection = await Connection(partial(connect_writer, self.path)).opened()
        try:
            self.begun += await connection.run(prepare)
            if self.path.stat().st_ino != inode:
                raise OSError("it was replaced while it was opened")
        except BaseException:
            await connection.close()
            raise
        return connection, inode

    def _probe(self) -> int:
        """The number of the file that is there now, made if there is none; from now on a probe keeps it open."""
        make_private(self.path)
        if not self._probes or self.path.stat().st_ino != os.fstat(self._probes[-1]).st_ino:
            self._probes.append(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
        return os.fstat(self._probes[-1]).st_ino

    def _put_aside(self, reason: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self.set_aside = free_name(self.path.with_name(f"{self.path.name}.damaged-{stamp}"))
        self.path.replace(self.set_aside)
        self._inode = 0
        for ending in ("-wal", "-shm"):
            side = self.path.with_name(self.path.name + ending)
            if side.exists():
                side.replace(self.set_aside.with_name(self.set_aside.name + ending))
        _log.error("the database is damaged (%s) and was set aside as %s; a new one is begun", reason, self.set_aside)

    async def _close(self) -> None:
        idle, self._idle = self._idle, []
        self._generation += 1
        writer, self._writer = self._writer, None
        for connection in (*idle, *([writer] if writer else [])):
            try:
                await connection.close()
            except (sqlite3.Error, ValueError) as error:
                _log.warning("a connection did not close cleanly: %s", error)

    async def read(self, function: Callable[[sqlite3.Connection], T], deadline: float = READ_SECONDS) -> T:
        """Run a function on a read-only connection.

        Args:
            function: gets the connection; its statements see one snapshot only if it begins a transaction itself.
            deadline: seconds after which it is interrupted.

        Raises:
            QueryTimeoutError: it took longer than ``deadline``.
            StoreError: the database cannot be read now.
        """
        async with self._readers:
            generation = self._generation
            connection = await self._reader()
            sound = False
            try:
                result = await self._ask(connection, function, deadline)
                sound = True
                return result
            except QueryTimeoutError:
                sound = True
                raise
            finally:
                # An interruption may have hit the end of a transaction: what is read in it grows old.
                if sound and generation == self._generation and not connection.in_transaction:
                    self._idle.append(connection)
                else:
                    await to_its_end(connection.close())

    async def build(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that attaches databases in memory, on a read-only connection that only it gets.

        Raises:
            QueryTimeoutError: it took longer than a minute.
            StoreError: the database cannot be read now.
        """
        connection = await self._connect_reader(query_only=False)
        try:
            return await self._ask(connection, function, BUILD_SECONDS)
        finally:
            await connection.close()

    async def _ask(self, connection: Connection, function: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        timer = _Deadline(deadline, connection.stop_query)
        work = asyncio.ensure_future(connection.run(function))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            timer.ring()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await to_its_end(work)  # whoever goes away may be cancelled again and again until they are gone
            raise
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                raise QueryTimeoutError(
                    f"the query took longer than {deadline:g} s and was ended; ask for less, or filter more"
                ) from error
            raise StoreError(f"the database {self.path} cannot be read: {error}") from error
        finally:
            timer.cancel()

    async def _reader(self) -> Connection:
        return self._idle.pop() if self._idle else await self._connect_reader(query_only=True)

    async def _connect_reader(self, *, query_only: bool) -> Connection:
        try:
            return await Connection(partial(connect_reader, self.path, query_only=query_only)).opened()
        except sqlite3.Error as error:
            raise StoreError(f"the database {self.path} cannot be read: {error}") from error


def _is_one_of(codes: tuple[int, ...], error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes
