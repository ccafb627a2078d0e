"""Writes run files under one root: each task's activity log, its stages' logs and its trace, made from what is stored.

It keeps a cursor for every task that is not finished there, in one small file of the data directory, so it can be slow,
fail, be killed and go on: each line is written exactly once. It never touches the way from the logger to the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from asynclog.clock import wait_for
from asynclog.disk import Disk
from asynclog.engine import Engine
from asynclog.errors import StoreError
from asynclog.model import EVERYTHING, Stage, Task
from asynclog.protocols import StoredEntries
from asynclog.queries import Doomed, RunEntries, RunState
from asynclog.rendering import run_mark
from asynclog.tasks import cursors, rundir
from asynclog.tasks.blocking import in_thread
from asynclog.tasks.cursors import Cursors
from asynclog.tasks.offers import Offers
from asynclog.tasks.patience import Patience
from asynclog.tasks.rundir import LOG, Piece, RunPlace
from asynclog.tasks.runpage import Cursor, Page, stage_log
from asynclog.tasks.runtext import page_text

TICK_SECONDS: Final = 1.0
"""How often is looked for what has been stored."""
BACKOFF_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""How long a task waits after the first, second, … failure in a row to write its files."""
TRACES: Final = 2000
"""Trace items written at once."""
BACKFILLED: Final = 200_000
"""Seqs looked through in one question for what carries a label."""
PAGES: Final = 100
"""Tasks whose pages are written in one go: each go waits for a thread."""
DISCOVERED: Final = 1000
"""Tasks looked at in one query."""
SAVE_SECONDS: Final = 10.0
"""How old the cursors on disk may be: what a killed process wrote since then is written again at its place."""
MAX_TASKS: Final = 10_000
"""Tasks with a cursor; further ones are taken up when some of these are finished."""

_log = logging.getLogger("asynclog.runfiles")


class _Failure(msgspec.Struct):
    count: int
    until: float


class Follower:
    """Writes the run files under one root. State owned here: the cursors, and which tasks have to wait.

    Args:
        engine: whose tasks.
        root: the directory; made if missing, its parent not.
        memory: where the cursors are kept.
        disk: writes.
    """

    def __init__(self, engine: Engine, root: Path, memory: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.failures = 0
        """Failed attempts to write, since the start."""
        self._engine = engine
        self._memory = memory
        self._disk = disk or Disk()
        self._state = Cursors(str(root))
        self._saved = b""
        self._saved_at = -math.inf
        self._tasks: dict[str, Task] = {}
        self._failed: dict[str, _Failure] = {}
        self._error: str | None = None
        self._memory_error: str | None = None
        self._seen = -1
        self._loaded = False
        self._discovered = False
        """Whether the cursors were brought up to date: tasks that a killed process began to write may lack one."""
        self._round = asyncio.Lock()
        self._lock = asyncio.Lock()
        self._disk_lock = threading.Lock()
        """Held by the thread that writes: one that a cancelled call left behind ends before the next one begins."""
        self._due = asyncio.Event()
        self._urgent = False
        """Whether what was logged before has to be stored first."""
        self._offers = Offers()
        self._patience = Patience(lambda: engine.writer.behind, engine.clock.monotonic)

    def trouble(self) -> str | None:
        """Why run files are behind, as a sentence; None when all is well."""
        if self._failed:
            return f"the run files of {len(self._failed):,} tasks cannot be written in {self.root}: {self._error}"
        return self._memory_error

    @property
    def behind(self) -> int:
        """Tasks that are not finished here; those that run among them."""
        return len(self._state.tasks)

    def wake(self) -> None:
        """Look now for what has been logged."""
        self._urgent = True
        self._due.set()

    def _offered(self, entries: StoredEntries) -> None:
        self._offers.put(entries)
        self._due.set()

    async def tail(self, task: Task, lines: int) -> bytes | None:
        """The last lines of a task's activity log, None when the file is not there or not up to date."""
        cursor = self._state.tasks.get(task.id)
        unknown = cursor is None and not task.ended
        behind = cursor is not None and cursor.seq < task.last_seq
        if not self._discovered or task.run_id is None or unknown or behind:
            return None
        try:
            return await in_thread(rundir.tail, self._place(task), LOG, lines)
        except OSError:
            return None

    async def remove(self, doomed: Doomed) -> bool:
        """Remove a deleted task's directory; False when that cannot be done now."""
        async with self._lock:
            self._forget(doomed.task_id)
            if doomed.run_id is None:
                return True
            mark = run_mark(doomed.run_id, doomed.task_id)
            place = RunPlace(self.root, doomed.account, doomed.site, doomed.run_id, mark.encode())
            try:
                await in_thread(self._remove, place)
            except OSError as error:
                self.failures += 1
                _log.warning("the run directory of the deleted task %s cannot be removed: %s", doomed.task_id, error)
                return False
            return True

    async def run(self) -> None:
        """Follow for ever. May be cancelled or fail anywhere and be called again."""
        await self.load()

        def changed(task: Task) -> None:
            if task.ended:
                self.wake()

        listeners = self._engine.writer.listeners
        listeners.append(self._offered)
        try:
            with self._engine.hub.listening(changed, lambda _task_id: None):
                while True:
                    try:
                        await self._go_round()
                    except StoreError as error:
                        _log.debug("run files wait: %s", error)
                    await self._wait()
        finally:
            listeners.remove(self._offered)

    async def settle(self) -> None:
        """Write what was logged before the call, as `catch_up` does what is stored."""
        await self._engine.settle()
        await self.catch_up()
        await self._save()

    async def catch_up(self) -> None:
        """Write what is stored and not written yet, but for tasks that have to wait after a failure.

        Raises:
            StoreError: the store cannot be read now.
        """
        while await self._go_round():
            pass

    async def _go_round(self) -> bool:
        """Look at every task; True when some were left because more was stored meanwhile, which comes first."""
        async with self._round:
            now, stored = self._engine.clock.monotonic(), self._engine.journal.stored_id
            if stored == self._seen and not any(failure.until <= now for failure in self._failed.values()):
                return False
            if not self._patience.may_go_on():
                self._patience.end_round()
                return False
            offers = self._offers.number
            waiting, more = await self._states()
            for task_id in self._state.tasks.keys() - {state.task_id for state in waiting}:
                self._forget(task_id)
            early = False
            while not early and (waiting := [state for state in waiting if self._is_due(state.task_id)]):
                groups = [waiting[start : start + PAGES] for start in range(0, len(waiting), PAGES)]
                waiting = [state for group in groups for state in await self._visit(group)]
                early = bool(waiting) and self._offers.number != offers
            self._offers.drop(offers)
            left = self._patience.end_round()
            self._seen = -1 if more or left or early else stored
            if self._engine.clock.monotonic() - self._saved_at >= SAVE_SECONDS:
                await self._save()
            return early

    async def _wait(self) -> None:
        await wait_for(self._due, self._engine.clock.sleep, TICK_SECONDS)
        self._due.clear()
        if self._urgent:
            self._urgent = False
            await self._engine.settle()

    async def _states(self) -> tuple[list[RunState], bool]:
        """How much is stored of each task, new ones too; True when there are more than can be followed at once."""
        state = self._state
        while True:
            room = len(state.tasks) < MAX_TASKS
            found = await self._engine.store.runs_after(state.rank, DISCOVERED if room else 0, list(state.tasks))
            if found.newest < state.rank:  # another database than before
                state.rank = 0
                continue
            for task_id in found.task_ids:
                state.tasks.setdefault(task_id, Cursor())
            done, state.rank = found.rank == state.rank, found.rank
            if done:
                self._discovered = self._discovered or room
                return found.states, not room

    def _is_due(self, task_id: str) -> bool:
        failure = self._failed.get(task_id)
        return failure is None or failure.until <= self._engine.clock.monotonic()

    async def _visit(self, states: Sequence[RunState]) -> list[RunState]:
        """Write a page of each task; those of which there may be more."""
        async with self._lock:
            offers = self._offers.number
            pages = await self._pages(states)
            news = [page for page in pages if page.has_news]
            if news:
                # At first what was just stored: all of it in one thread, without a look at the store.
                await in_thread(self._write, news)
            lacking = [page for page in pages if not page.is_whole]
            more = [page.state for page in pages if page.is_whole and self._conclude(page)]
            for place, page in enumerate(lacking):
                if place and self._offers.number != offers:  # what is not taken in time has to be read, too
                    more.append(page.state)
                    continue
                if await self._complete(page):
                    await in_thread(self._write, [page])
                if self._conclude(page):
                    more.append(page.state)
            return more

    async def _pages(self, states: Sequence[RunState]) -> list[Page]:
        state = self._state
        new = [one.task_id for one in states if one.task_id in state.tasks and one.task_id not in self._tasks]
        if new:
            found = {task.id: task for task in await self._engine.store.known(new)}
            self._tasks |= {task_id: task for task_id, task in found.items() if task.run_id is not None}
            for task_id in set(new) - self._tasks.keys():
                self._forget(task_id)
        return [
            Page(self._tasks[one.task_id], state.tasks[one.task_id], one)
            for one in states
            if one.task_id in state.tasks
        ]

    def _write(self, pages: Sequence[Page]) -> None:
        """Take what was just stored, and write the pages that are whole. Blocks."""
        with self._disk_lock:
            if len(self._offers):
                self._offers.render({task_id: cursor.seq for task_id, cursor in self._state.tasks.items()})
            for page in pages:
                if page.lacks_entries:
                    page.take(self._offers.texts(page.task.id, page.cursor.seq, page.state.last_seq))
                if page.is_whole:
                    try:
                        pieces = page.pieces()
                        if pieces:
                            rundir.write(self._place(page.task), pieces, self._disk, fresh=page.is_fresh)
                        page.written(pieces)
                    except OSError as error:
                        page.error = error
                    page.let_go()

    async def _complete(self, page: Page) -> bool:
        """Read what the page lacks; False when that cannot be done, or is put off."""
        if page.lacks_entries and not self._patience.may_go_on():
            page.put_off = True
            return False
        store, task_id, cursor, state = self._engine.store, page.task.id, page.cursor, page.state
        if state.last_trace > cursor.trace:
            page.traces = await store.traces(task_id, cursor.trace, TRACES)
            page.moved.trace = page.traces[-1][0] if page.traces else state.last_trace
        if page.lacks_entries:
            found = await store.run_entries(task_id, cursor.seq, state.last_seq)
            page.columns, page.moved.seq = found.columns, found.last
        try:
            if page.begins_stage or (state.ended and cursor.strays):
                await self._take_stages(page, await store.stages(task_id, EVERYTHING))
        except OSError as error:
            page.error = error
            return False
        page.is_whole = True
        return True

    def _conclude(self, page: Page) -> bool:
        """Move the task's cursor to where the page ends, if it is written; whether there may be more."""
        task_id, error = page.task.id, page.error
        if isinstance(error, rundir.ShortenedError):
            _log.warning("the run files of the task %s are written anew: %s", task_id, error)
            self._state.tasks[task_id] = Cursor()
            return True
        if error is not None:
            self._fail(task_id, error)
        if error is not None or page.put_off:
            return False
        self._state.tasks[task_id] = page.moved
        self._failed.pop(task_id, None)
        if page.is_last and page.state.ended:
            self._forget(task_id)
        return not page.is_last

    async def _take_stages(self, page: Page, stages: Iterable[Stage]) -> None:
        """Know the stages; the log of one whose label was passed before is made anew up to here."""
        for stage in sorted(stages, key=lambda stage: (stage.started_at, stage.number)):
            if stage.name in page.moved.stages:
                continue
            page.moved.stages[stage.name] = stage.number
            page.begin(stage.number)
            if stage.name in page.moved.strays:
                page.moved.strays.remove(stage.name)
                await self._backfill(page, stage.number)

    async def _backfill(self, page: Page, number: int) -> None:
        labels = [label for label, known in page.moved.stages.items() if known == number]
        name, size, after = stage_log(number), 0, 0
        while after < page.cursor.seq:
            through = min(after + BACKFILLED, page.cursor.seq)
            found = await self._engine.store.run_entries(page.task.id, after, through, labels)
            size += await in_thread(self._write_entries, page, name, size, found)
            after = found.last
        page.moved.sizes[name] = size

    def _write_entries(self, page: Page, name: str, offset: int, entries: RunEntries) -> int:
        """Let one file go on with these entries; how many bytes they are. Blocks."""
        data = b"".join(page_text(entries.columns).log)
        with self._disk_lock:
            rundir.write(self._place(page.task), {name: Piece(offset, data)}, self._disk, fresh=page.is_fresh)
        return len(data)

    def _remove(self, place: RunPlace) -> None:
        with self._disk_lock:
            rundir.remove(place)

    def _place(self, task: Task) -> RunPlace:
        mark = run_mark(task.run_id, task.id)
        return RunPlace(self.root, task.account, task.site, task.run_id or "", mark.encode())

    def _fail(self, task_id: str, error: OSError) -> None:
        count = self._failed[task_id].count if task_id in self._failed else 0
        self.failures += 1
        sentence = error.strerror or str(error)
        if self._error != sentence or not self._failed:
            _log.warning("run files of the task %s cannot be written in %s: %s", task_id, self.root, sentence)
        self._error = sentence
        pause = BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS) - 1)]
        self._failed[task_id] = _Failure(count + 1, self._engine.clock.monotonic() + pause)

    def _forget(self, task_id: str) -> None:
        self._state.tasks.pop(task_id, None)
        self._tasks.pop(task_id, None)
        self._failed.pop(task_id, None)

    async def load(self) -> None:
        """Read the cursors, if that has not been done."""
        if not self._loaded:
            self._state, self._loaded = await in_thread(cursors.load, self._memory, self.root), True

    async def _save(self) -> None:
        data = msgspec.json.encode(self._state)
        self._saved_at = self._engine.clock.monotonic()
        if data == self._saved:
            return
        try:
            await in_thread(cursors.save, self._memory, data)
        except OSError as error:
            self.failures += 1
            self._memory_error = f"{self._memory} cannot be written: {error.strerror}"
            return
        self._saved, self._memory_error = data, None
