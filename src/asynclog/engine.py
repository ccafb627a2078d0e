"""The engine: opens the parts in order, wires them, and closes them in reverse. The one composition root.

A record goes journal -> inbox -> (queue -> writer -> store) and (hub -> subscriptions); `Engine.collect` is the only
place where it leaves the inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from asynclog import records
from asynclog.clock import SystemClock
from asynclog.disk import Disk
from asynclog.errors import StoreError
from asynclog.feed import Feed
from asynclog.indexer import Indexer
from asynclog.journal import BUDGET_BYTES, QUOTA_BYTES, SEGMENT_BYTES, Journal
from asynclog.live import Hub
from asynclog.lockfile import DirectoryLock
from asynclog.logger import TaskLogger
from asynclog.model import Value
from asynclog.protocols import Backend, Clock
from asynclog.records import Record, TaskRecord
from asynclog.settings import Scalar, Settings
from asynclog.store.adapter import SqliteStore
from asynclog.store.shielding import ended, to_its_end
from asynclog.store.sqlite import Database
from asynclog.tail import TAIL_BYTES, TailBudget
from asynclog.writer import Writer, supervise

MOVE_SECONDS: Final = 0.02
"""How long records gather in the inbox before the loop takes them, but for a whole batch that nobody watches."""
FAR_BEHIND: Final = 4000
"""Records that are not stored yet, and take longer to be than most reads."""
SETTLE_SECONDS: Final = 1.0
"""How long a read waits for the store to hold everything logged before it."""
CLOSE_SECONDS: Final = 4.0
"""How long closing waits for the last records to be stored; what is not, is in the journal."""

KEEP_SECONDS: Final = 1.0
"""After how long settings that could not be stored are tried again."""

_log = logging.getLogger("asynclog")


class Limits(Value, frozen=True, kw_only=True):
    """Bounds of what the engine holds, all in bytes."""

    journal_quota: int = QUOTA_BYTES
    segment: int = SEGMENT_BYTES
    memory: int = BUDGET_BYTES
    tails: int = TAIL_BYTES


class Engine:
    """The parts of one data directory. Made by `open_engine`."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        clock: Clock,
        lock: DirectoryLock,
        database: Database,
        limits: Limits,
        disk: Disk | None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.clock = clock
        self.lock = lock
        self.hub = Hub(TailBudget(limits.tails), self.collect)
        self.store: Backend = SqliteStore(database)
        self._database = database
        self._limits = limits
        self._disk = disk
        self.reports: list[Callable[[], str | None]] = []
        """Asked for troubles of what others do beside the engine; no guarantee rests on that."""
        self._mover: asyncio.TimerHandle | None = None
        self._changing = asyncio.Lock()
        """Of the settings: what is stored last is what counts."""
        self._keeping: asyncio.Task[None] | None = None
        """Stores the settings in a database that was begun anew."""
        self._spilled = 0
        self._begun = 0
        self._orphaned = 0
        """The newest record of a journal that lay here without a database."""
        self.journal: Journal
        self.writer: Writer
        self.indexer: Indexer

    async def start(self, stack: AsyncExitStack) -> None:
        """Open the journal over the store and start the writer; both are closed by the stack."""
        loop = asyncio.get_running_loop()
        limits = self._limits
        self._loop = loop
        self._begun = self._database.begun
        opening = asyncio.ensure_future(
            asyncio.to_thread(
                lambda: Journal(
                    self.folder / "journal",
                    floor=self._floor,
                    wake=self._woken,
                    quota=limits.journal_quota,
                    budget=limits.memory,
                    segment_bytes=limits.segment,
                    disk=self._disk,
                )
            )
        )
        stack.push_async_callback(lambda: to_its_end(_close(opening)))
        self.journal = await asyncio.shield(opening)
        if self._begun and self._database.set_aside is None:
            self._orphaned = self.journal.last_id
        self.journal.mark_stored(await self.store.watermark(self.journal.journal_id))
        self.writer = Writer(
            self.journal, self.store, self.clock, self.collect, lambda: float(self.settings["flush_interval"])
        )
        work = asyncio.create_task(supervise(self.writer.run, "writer"), name="asynclog-writer")
        stack.push_async_callback(self._stop, work)
        self.indexer = Indexer(
            self.store,
            self.clock,
            lambda: bool(self.settings["search_index"]),
            lambda: self.journal.stored_id,
            lambda: self.writer.behind,
        )
        work = asyncio.create_task(supervise(self.indexer.run, "indexer"), name="asynclog-indexer")
        stack.push_async_callback(ended, work)
        self.reports.append(lambda: self.indexer.error and f"the search index cannot be built: {self.indexer.error}")

    async def prepare(self) -> None:
        """Read what an earlier process left: the newest record number and the stored settings."""
        self._floor = await self.store.last_id()
        stored = await self.store.settings()
        self.settings.load({name: msgspec.json.decode(value) for name, value in stored.items()})

    async def _stop(self, work: asyncio.Task[None]) -> None:
        try:
            if not await self.writer.barrier(CLOSE_SECONDS):
                rest = "the rest is in the journal and is stored at the next start"
                if (trouble := self.journal.trouble) is not None:
                    rest = f"what the journal holds is stored at the next start, the rest may be lost: {trouble}"
                _log.warning("not everything is stored; %s", rest)
        finally:  # whoever has no patience: the directory may be another's as soon as this is over
            if self._mover is not None:
                self._mover.cancel()
            await ended(*([self._keeping] if self._keeping else []), work)

    def record(self, record: Record) -> int:
        """Append a record that is no entry; its id."""
        return self.journal.append(None, records.encode(record))

    def logger(self, feed: Feed, source: str = "plugin") -> TaskLogger:
        """A logger for a task."""
        return TaskLogger(self.journal, feed, self.settings.dials, self.clock.now_ns, source)

    def _woken(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the record is in the journal
            self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        if self._mover is None:
            at_once = self.writer.is_lacking and not self.hub.watched
            self._mover = self._loop.call_later(0 if at_once else MOVE_SECONDS, self.collect)

    def collect(self) -> int:
        """Move the inbox, in order, to those who watch and to the writer's queue; the newest id that is theirs.

        Entries that nobody watches stay in the inbox until the writer is due, or a batch of them is there: a loop that
        is woken for them fifty times a second costs more than they do.
        """
        if self._mover is not None:
            self._mover.cancel()
            self._mover = None
        if self._begun != self._database.begun:
            self._begin_anew()
        frames, feeds, last = self.journal.take(0 if self.hub.watched else self.writer.patience)
        if frames:
            self.writer.put(frames)
            try:
                self.hub.take(frames, feeds)
            except Exception:  # noqa: BLE001  # live readers come second: the records are in the queue already
                _log.exception("live readers may have missed records; they read them from the store")
        if self._spilled != self.journal.spilled:
            self._spilled = self.journal.spilled
            self.hub.wake()
        self.hub.stored(self.journal.stored_id)
        return last

    def _begin_anew(self) -> None:
        """The database was lost and begun anew: tell it of the tasks that run."""
        self._begun = self._database.begun
        for live in self.hub:
            if live.feed is not None and not live.feed.sealed:
                self.record(TaskRecord(live.task.id, live.task))
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_settings(), name="asynclog-settings")

    async def _keep_settings(self) -> None:
        """Store those that count now, however often it takes: the next start would have the defaults."""
        begun = -1
        while begun != self._begun:
            begun = self._begun
            try:
                async with self._changing:
                    await self._store_settings(self.settings.stored())
            except StoreError as error:
                _log.warning("the settings cannot be stored now: %s", error)
                begun = -1
                await self.clock.sleep(KEEP_SECONDS)

    async def settle(self, seconds: float = SETTLE_SECONDS) -> bool:
        """Wait until everything logged before the call can be read; False when the store cannot do it in time."""
        return await self.writer.barrier(seconds)

    async def settle_tasks(self, seconds: float = SETTLE_SECONDS) -> bool:
        """Wait as `settle` does; while entries come faster than they are stored, only for what is no entry."""
        return await self.writer.barrier(seconds, self.journal.stated_id if self.far_behind else None)

    @property
    def far_behind(self) -> bool:
        """Whether entries come faster than they are stored, so that waiting for the store takes long."""
        return self.journal.last_id - self.journal.stored_id > FAR_BEHIND

    async def change_settings(self, values: Mapping[str, object]) -> None:
        """Change settings for good, from the next log call on.

        Raises:
            InvalidError, ConflictError: see `Settings.check`.
            StoreError: they cannot be kept now; nothing has changed.
        """
        checked = self.settings.check(values)
        async with self._changing:
            await self._store_settings(checked)
            self.settings.apply(checked)
        self.writer.flush()  # it may be in the middle of an interval that is longer than the new one

    async def _store_settings(self, values: Mapping[str, Scalar]) -> None:
        await self.store.save_settings({name: msgspec.json.encode(value).decode() for name, value in values.items()})

    def troubles(self) -> list[str]:
        """What does not work as it should, as sentences; empty when all is well."""
        found = [self.journal.trouble, self.writer.error]
        if self._database.set_aside is not None:
            found.append(f"a damaged database was set aside as {self._database.set_aside}; a new one was begun")
        if self._orphaned:
            found.append(
                f"there was no database beside the journal, which has come to record {self._orphaned:,}; "
                "a new one was begun, and what only the former one held is missing"
            )
        if self._database.exchanged:
            found.append("the database was removed or replaced while it was used; what was only in it is missing")
        if self.journal.damaged_files:
            found.append(f"{self.journal.damaged_files} damaged parts of the journal were set aside")
        if self.writer.missing:
            found.append(f"{self.writer.missing:,} records are missing in the journal and are lost")
        if self.journal.lost:
            found.append(f"{self.journal.lost:,} changes of tasks, stages or steps were lost for want of memory")
        if self.journal.dropped:
            found.append(f"{self.journal.dropped:,} entries were dropped; each task names its gaps")
        found += [report() for report in self.reports]
        return [trouble for trouble in found if trouble]

    @property
    def databases(self) -> int:
        """How many times a database was begun because there was none: what only the former one held is lost."""
        return self._database.begun

    @property
    def degraded(self) -> bool:
        """Whether a guarantee does not hold now (as against something that happened before)."""
        return self.journal.trouble is not None or self.writer.error is not None


async def _close(opening: asyncio.Future[Journal]) -> None:
    """Close a journal, also one that nobody waited for while it was opened."""
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await asyncio.to_thread(opening.result().close)


@asynccontextmanager
async def open_engine(
    folder: str | Path,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
    disk: Disk | None = None,
) -> AsyncIterator[Engine]:
    """Own a data directory from entry to exit.

    Raises:
        LockedError: another process owns it.
        StoreError: the database cannot be opened.
        JournalError: the journal cannot be opened.
    """
    path = Path(folder)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(DirectoryLock(path))
        database = await stack.enter_async_context(Database(path / "asynclog.db"))
        engine = Engine(path, settings or Settings(), clock or SystemClock(), lock, database, limits or Limits(), disk)
        await engine.prepare()
        await engine.start(stack)
        yield engine
