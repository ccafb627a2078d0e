"""Removal: tasks that were deleted or have outlived the retention go in small steps, off the hot path."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from asynclog.clock import wait_for
from asynclog.engine import Engine
from asynclog.errors import StoreError
from asynclog.model import EVERYTHING, AccessScope, Value, timestamp_text
from asynclog.queries import Doomed
from asynclog.records import DeleteRecord
from asynclog.tasks.lookout import DAY, DOUBT, Seen, look

CHUNK: Final = 250
"""Entries removed in one transaction: half a millisecond, which nobody notices who waits for a commit."""
PAUSE_SECONDS: Final = 0.01
"""Between two of them: others have the database for nineteen twentieths of the time."""
RETENTION_SECONDS: Final = 3600.0
"""How often the retention is applied by itself."""
STORE_SECONDS: Final = 5.0
"""How long a removal waits for the store."""
RETRY_SECONDS: Final = 5.0
FILES_SECONDS: Final = 60.0
"""How often the removal of files that could not be removed is tried again."""
SEEN: Final = "retention_seen"
"""The name under which it is kept, beside the settings, what is known of the clock."""

_log = logging.getLogger("asynclog.sweeper")


class RetentionReport(Value, frozen=True, kw_only=True):
    """What was, or with ``dry_run`` would be, removed."""

    dry_run: bool
    tasks: int
    entries: int
    by_plugin: dict[str, int]
    task_ids: list[str]


Told = Callable[[RetentionReport], None]
"""Is told of a retention once it is sure to happen."""

RemoveFiles = Callable[[Doomed], Awaitable[bool]]
"""Removes what a task has outside the store; False when that cannot be done now."""


class Sweeper:
    """Removes tasks. State owned here: which removals are still to be carried out, and what is known of the clock.

    Args:
        engine: where the rows are.
        remove_files: called before a task's own row goes, so that it is known after a restart what is left of it.
        told: of what the retention removes by itself.
    """

    def __init__(self, engine: Engine, remove_files: RemoveFiles | None = None, told: Told | None = None) -> None:
        self._engine = engine
        self._told = told
        self._remove_files = remove_files
        self._asked: set[str] = set()
        self._untold: set[str] = set()
        """Of those, the ones that the hub does not know to be gone."""
        self._kept = 0
        """Deleted tasks whose files could not be removed yet."""
        self._seen: Seen | None = None
        """None before the first look at the clock."""
        self._said: str | None = None
        """What the log was told of it last."""
        self._due = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    async def remove(self, task_ids: list[str], told: Callable[[], None] | None = None) -> None:
        """Make ended tasks invisible for everybody, for good; their rows follow.

        Args:
            task_ids: of which.
            told: called once the removal is sure to happen, whatever is raised then; not when it was before.

        Raises:
            StoreError: the store cannot be written now; nothing has changed, or it is carried out as soon as it can.
        """
        engine = self._engine
        if not await engine.settle(STORE_SECONDS):
            raise StoreError("the database cannot be written now, so nothing can be deleted; try again later")
        now = engine.clock.now()
        new = [task_id for task_id in task_ids if task_id not in self._asked]  # somebody else may have been faster
        for task_id in new:
            engine.record(DeleteRecord(task_id, now))
        if told is not None and new:
            told()
        self._asked.update(new)
        self._untold.update(new)
        self._drained.clear()
        self._due.set()
        if not await engine.settle(STORE_SECONDS):
            raise StoreError("the database cannot be written now; the deletion is carried out as soon as it can")
        self._tell_gone(task_ids)

    def _tell_gone(self, task_ids: Iterable[str]) -> None:
        """Let everybody know who follows one of these tasks, or a list, if that has not been done."""
        for task_id in self._untold.intersection(task_ids):
            self._engine.hub.remove(task_id)
        self._untold.difference_update(task_ids)

    async def retain(
        self,
        *,
        dry_run: bool = False,
        plugin: str | None = None,
        access: AccessScope = EVERYTHING,
        told: Told | None = None,
        by_age: bool = True,
    ) -> RetentionReport:
        """Apply the retention settings now: by the number of ended tasks of each plugin, and unless told not to by age.

        Only what ``access`` sees is looked at, removed and told. Whoever asks believes the clock.

        Raises:
            StoreError: the store cannot be read or written now.
        """
        engine = self._engine
        days, keep = float(engine.settings["retention_days"]), int(engine.settings["retention_max_tasks"])
        before = engine.clock.now() - int(days * DAY) if days and by_age else None
        task_ids: list[str] = []
        if before is not None or keep:
            task_ids = await engine.store.expired(before, keep or None, plugin, access)
        entries, by_plugin = await engine.store.weigh(task_ids, access)
        report = RetentionReport(
            dry_run=dry_run, tasks=len(task_ids), entries=entries, by_plugin=by_plugin, task_ids=task_ids
        )
        if dry_run:
            return report
        tell = None if told is None else functools.partial(told, report)
        if not task_ids and tell is not None:
            tell()
        for start in range(0, len(task_ids), 500):
            await self.remove(task_ids[start : start + 500], tell if start == 0 else None)
        return report

    def trouble(self) -> str | None:
        """Why nothing is removed for its age, as a sentence; None when that is not so."""
        seen = self._seen
        if seen is None or seen.doubted_at is None:
            return None
        days, until = (seen.doubted_at - seen.at) / DAY, timestamp_text(seen.doubted_at + DOUBT)
        return (
            f"the clock went ahead by {days:,.0f} days since it was last seen: until {until} nothing is removed for its"
            " age by itself; set the clock right, or run `asynclog cleanup` if it is right"
        )

    async def load(self) -> None:
        """Know what a former process knew of the clock. Raises StoreError."""
        with contextlib.suppress(KeyError, msgspec.DecodeError):  # nobody has looked yet
            self._seen = msgspec.json.decode((await self._engine.store.settings())[SEEN], type=Seen)
        self._look()

    def _look(self) -> None:
        """Look at the clock."""
        days, now = float(self._engine.settings["retention_days"]), self._engine.clock.now()
        self._seen = look(self._seen, now, int(days * DAY)) if days else Seen(now)

    def _say(self, trouble: str | None) -> None:
        """Let the service's log know, once."""
        if trouble not in (None, self._said):
            _log.warning("%s", trouble)
        self._said = trouble

    def _retained(self, report: RetentionReport) -> None:
        if report.tasks and self._told is not None:
            self._told(report)

    async def drained(self) -> None:
        """Return when nothing that was deleted before is left in the store."""
        await self._drained.wait()

    async def run(self) -> None:
        """Carry out removals, and the retention every hour, for ever. May be cancelled and called again."""
        clock = self._engine.clock
        due_at = clock.monotonic()
        while True:
            try:
                await self._erase()
                now = clock.monotonic()
                if now >= due_at:
                    self._look()
                    self._say(self.trouble())
                    report = await self.retain(told=self._retained, by_age=self.trouble() is None)
                    await self._engine.store.save_settings({SEEN: msgspec.json.encode(self._seen).decode()})
                    due_at = now + RETENTION_SECONDS
                    if report.tasks:
                        _log.info("retention removed %d tasks with %d entries", report.tasks, report.entries)
                        continue
            except StoreError as error:
                _log.warning("removal waits: %s", error)
                await clock.sleep(RETRY_SECONDS)
                continue
            left = due_at - now
            await wait_for(self._due, clock.sleep, min(left, FILES_SECONDS) if self._kept else left)

    async def _erase(self) -> None:
        """Remove what the store knows as deleted: what was asked for here, and what a former process left."""
        self._due.clear()
        asked = set(self._asked)
        if asked and not await self._engine.settle(STORE_SECONDS):
            raise StoreError("the database cannot be written now")
        self._tell_gone(asked)
        self._kept = 0
        for doomed in await self._engine.store.deleted():
            self._kept += not await self._erase_one(doomed)
        self._asked -= asked
        if not self._asked and not self._kept:
            self._drained.set()

    async def _erase_one(self, doomed: Doomed) -> bool:
        keep = self._remove_files is not None and not await self._remove_files(doomed)
        while not await self._engine.store.erase(doomed.task_id, CHUNK, keep_task=keep):
            await self._engine.clock.sleep(PAUSE_SECONDS)
        return not keep
