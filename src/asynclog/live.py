"""The tasks that run or are watched now, as a reader sees them: state, newest entries, what changed.

State owned here, on the event loop: one `Live` for each such task, fed with the records in journal order by the
engine, and with the end of a task by the task manager once the end is power-safe.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from asynclog import records
from asynclog.feed import Feed
from asynclog.frames import Frames
from asynclog.model import AUDIT_PLUGIN, Gap, Stage, Step, Task
from asynclog.records import (
    BatchRecord,
    EntryRecord,
    Frame,
    GapRecord,
    StageRecord,
    StepRecord,
    TaskRecord,
)
from asynclog.tail import Tail, TailBudget
from asynclog.wire import line_record

CHANGES: Final = 2000
"""Stages and steps of a task whose newest change is kept for those who watch it."""
GATHER_SECONDS: Final = 0.01
"""How much later readers are woken, at most, so that more entries come to them at once."""
SHOWN: Final = 10_000
"""Entries of a batch that the tail takes, about: whoever is behind them reads the store, as behind any tail."""
READER_SECONDS: Final = 50e-6
"""How much later for each reader: waking one, and a frame to it, take about as long."""

Change = Stage | Step


class TaskChanged:
    """The task's state or progress is new; ``frame`` is the place for what a door makes of it.

    Shared between subscriptions: do not change ``task``.
    """

    __slots__ = ("frame", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.frame: object = None


class Live:
    """One task: ``task`` is its state now, ``feed`` its emitting state (None once it has ended)."""

    def __init__(
        self, task: Task, feed: Feed | None, budget: TailBudget, collect: Callable[[], object] = lambda: None
    ) -> None:
        self._collect = collect
        self._task = task
        self.feed = feed
        self.tail = Tail(budget)
        self.gaps: list[Gap] = []
        self.watchers = 0
        self.removed = False
        self.version = 0
        """Rises with every change of the task, a stage or a step."""
        self._changes: OrderedDict[str, tuple[int, Change]] = OrderedDict()
        self._news: tuple[tuple[int, int, int], TaskChanged] | None = None
        self._waiting: dict[asyncio.Future[bool], None] = {}
        self._bell: asyncio.TimerHandle | None = None

    @property
    def task(self) -> Task:
        """The task with the counts of this moment."""
        feed = self.feed
        if feed is None:
            return self._task
        return msgspec.structs.replace(self._task, last_seq=feed.last_seq, counts=feed.by_level(), dropped=feed.dropped)

    @property
    def news(self) -> TaskChanged:
        """The task with the counts of this moment, one object for all who ask in it."""
        feed = self.feed
        moment = (self.version, 0, 0) if feed is None else (self.version, feed.next_seq, feed.dropped)
        if self._news is None or self._news[0] != moment:
            self._news = moment, TaskChanged(self.task)
        return self._news[1]

    @property
    def head(self) -> int:
        """The newest seq a reader can be given."""
        return self._task.last_seq if self.feed is None else self.feed.head

    @property
    def runs(self) -> bool:
        """Whether somebody's code runs, here or elsewhere: the audit goes on without."""
        return self.feed is not None and self._task.plugin != AUDIT_PLUGIN

    @property
    def ended(self) -> bool:
        """Whether the task has ended and a power cut cannot undo that."""
        return self._task.ended

    def set_task(self, task: Task) -> None:
        """The task is like this from now on."""
        self._task = task
        self.version += 1
        self.wake()

    def end(self, task: Task) -> None:
        """The task has ended, for good."""
        if self.feed is not None:
            task = msgspec.structs.replace(
                task, last_seq=self.feed.last_seq, counts=self.feed.by_level(), dropped=self.feed.dropped
            )
        self.feed = None
        self.set_task(task)

    def remove(self) -> None:
        """The task is being deleted."""
        self.removed = True
        self.wake()

    def add(self, change: Change) -> None:
        """A stage or step is like this from now on."""
        self.version += 1
        self._changes[change.id] = (self.version, change)
        self._changes.move_to_end(change.id)
        while len(self._changes) > CHANGES:
            self._changes.popitem(last=False)

    def changes(self, since: int) -> list[Change]:
        """Stages and steps that changed after this version, oldest first."""
        found: list[Change] = []
        for version, change in reversed(self._changes.values()):
            if version <= since:
                break
            found.append(change)
        return found[::-1]

    def learn(self, gaps: list[Gap]) -> None:
        """Know these gaps too."""
        if not gaps:
            return
        known = {gap.from_seq: gap for gap in (*gaps, *self.gaps)}
        self.gaps = [known[first] for first in sorted(known)]

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            _answer(waiter, changed=True)

    def grew(self) -> None:
        """The tail has new entries: wake everyone, the later the more there are of them."""
        seconds = min(GATHER_SECONDS, len(self._waiting) * READER_SECONDS)
        if seconds < READER_SECONDS * 10:
            self.wake()
        elif self._bell is None:
            self._bell = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._collect()  # what was logged meanwhile comes along
        self.wake()

    async def changed(self, seconds: float | None = None) -> bool:
        """Return at the next change, or after so many seconds; whether there was one."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[waiter] = None
        timer = None if seconds is None else loop.call_later(seconds, _answer, waiter, False)
        try:
            return await waiter
        finally:
            self._waiting.pop(waiter, None)
            if timer is not None:
                timer.cancel()


def _answer(waiter: asyncio.Future[bool], changed: bool) -> None:  # noqa: FBT001 - call_later passes no keywords
    if not waiter.done():
        waiter.set_result(changed)


class Hub:
    """All of them, by task id.

    Args:
        budget: the bytes all tails share.
        collect: brings what was logged up to now to `take`.
    """

    def __init__(self, budget: TailBudget | None = None, collect: Callable[[], object] = lambda: None) -> None:
        self._collect = collect
        self._lives: dict[str, Live] = {}
        self._ended: OrderedDict[str, tuple[int, Task]] = OrderedDict()
        """Tasks whose end the store does not know yet, with the record id of that end."""
        self.ends: Counter[str] = Counter()
        """How many tasks have ended since the start, by status."""
        self._budget = budget or TailBudget()
        self._listeners: list[Callable[[Task], None]] = []
        self._removal_listeners: list[Callable[[str], None]] = []
        self._readers = 0

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._lives.values()))

    @property
    def watched(self) -> bool:
        """Whether somebody reads live."""
        return self._readers > 0

    def get(self, task_id: str) -> Live | None:
        """The task, if it runs or is watched."""
        return self._lives.get(task_id)

    def add(self, task: Task, feed: Feed) -> Live:
        """A task begins, or goes on after a restart."""
        live = self._lives[task.id] = Live(task, feed, self._budget, self._collect)
        self._tell(task)
        return live

    def end(self, task: Task, through: int) -> None:
        """A task has ended and that is power-safe; the record that says so has an id of at most ``through``."""
        live = self._lives.get(task.id)
        if live is not None:
            live.end(task)
            task = live.task
            self._drop(live)
        self.ends[task.status] += 1
        self._ended[task.id] = through, task
        self._tell(task)

    def ended(self, task_id: str) -> Task | None:
        """A task that has ended, as long as the store may still say otherwise."""
        found = self._ended.get(task_id)
        return None if found is None else found[1]

    def stored(self, through: int) -> None:
        """Records up to here are in the store."""
        while self._ended and next(iter(self._ended.values()))[0] <= through:
            self._ended.popitem(last=False)

    def remove(self, task_id: str) -> None:
        """A task is being deleted."""
        self._ended.pop(task_id, None)
        live = self._lives.pop(task_id, None)
        if live is not None:
            live.remove()
        for tell in self._removal_listeners:
            tell(task_id)

    @contextmanager
    def watching(self, task: Task) -> Iterator[Live]:
        """The task for a live reader: its newest entries are kept while somebody watches."""
        self._readers += 1
        if self._readers == 1:
            self._collect()  # entries come soon from now on; those of before are not for the tail
        live = self._lives.get(task.id)
        if live is None:
            live = self._lives[task.id] = Live(task, None, self._budget, self._collect)
        live.watchers += 1
        if live.feed is not None:
            live.feed.watched = True
        try:
            yield live
        finally:
            live.watchers -= 1
            self._readers -= 1
            if not live.watchers:
                live.tail.clear()
                if live.feed is not None:
                    live.feed.watched = False
                self._drop(live)

    def _drop(self, live: Live) -> None:
        if live.feed is None and not live.watchers and self._lives.get(live.task.id) is live:
            del self._lives[live.task.id]

    @contextmanager
    def listening(self, changed: Callable[[Task], None], removed: Callable[[str], None]) -> Iterator[None]:
        """Call these whenever any task appears, changes or goes; they must not block."""
        self._listeners.append(changed)
        self._removal_listeners.append(removed)
        try:
            yield
        finally:
            self._listeners.remove(changed)
            self._removal_listeners.remove(removed)

    def _tell(self, task: Task) -> None:
        for tell in self._listeners:
            tell(task)

    def take(self, frames: Frames, feeds: list[Feed | None]) -> None:
        """Show records, in journal order, to those who watch. The end of a task comes by `end` instead."""
        wanted = {feed for feed in set(feeds) if feed is None or feed.watched}
        if not wanted:  # the usual case costs next to nothing
            return
        grown: set[str] = set()
        changed: set[str] = set()
        shown = [pair for pair in zip(frames, feeds, strict=True) if pair[1] in wanted]
        try:
            for frame, feed in shown:
                if feed is None:
                    self._take_state(frame[3], changed)
                elif (live := self._lives.get(feed.task_id)) is not None:
                    grown.add(feed.task_id)
                    _extend(live.tail, frame)
        except BaseException:
            self.wake()  # they find in the store what they missed here
            raise
        for task_id in grown - changed:
            if (live := self._lives.get(task_id)) is not None:
                live.grew()
        for task_id in changed:
            if (live := self._lives.get(task_id)) is not None:
                live.wake()

    def wake(self) -> None:
        """Let every reader look again, in the store: there are records that did not come this way."""
        for live in self._lives.values():
            live.tail.clear()
            live.wake()

    def _take_state(self, payload: bytes, changed: set[str]) -> None:
        record = records.decode(payload)
        live = self._lives.get(record.task_id)
        if live is None:
            return
        changed.add(record.task_id)
        match record:
            case TaskRecord(task=task) if not task.ended and not live.ended:
                live.set_task(task)
                self._tell(live.task)
            case StageRecord(stage=stage):
                live.add(stage)
            case StepRecord(step=step):
                live.add(msgspec.structs.replace(step, input_json=None, output_json=None))
            case GapRecord(gap=gap):
                live.gaps.append(gap)


def _extend(tail: Tail, frame: Frame) -> None:
    record_id, seq, span, payload = frame
    record = records.decode(payload)
    if isinstance(record, EntryRecord):
        tail.append(seq, record_id, record)
    elif isinstance(record, BatchRecord):
        newest = record.newest(SHOWN)
        passed = span - sum(lines.count for lines in newest)
        entries = (line for lines in newest for line in lines.each())
        for offset, line in enumerate(entries, passed):
            tail.append(seq + offset, record_id + offset, line_record(record.task_id, line))
