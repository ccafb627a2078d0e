"""Writing, indexing, retention and erasing in whatever order: rows, numbers and the search index agree afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog.filters import LogFilter
from asynclog.frames import Frames
from asynclog.model import EVERYTHING, Gap, Level, Sealed, Stage, Step, Task, TraceItem
from asynclog.queries import EntryQuery
from asynclog.records import (
    BatchRecord,
    DeleteRecord,
    EntryRecord,
    GapRecord,
    Record,
    StageRecord,
    StepRecord,
    TaskRecord,
    TraceRecord,
    encode,
)
from asynclog.store import apply, blocks, removal
from asynclog.store.batch import Batch
from asynclog.store.blocks import SEGMENT_BITS
from asynclog.store.counts import histogram, stage_counts, stats
from asynclog.store.entries import page
from asynclog.store.history import expired
from asynclog.store.history import task as stored_task
from asynclog.store.losses import Losses
from tests.unit.store.rows import database, entry

OWNED = ("task_logs", "entry_counts", "stages", "steps", "trace_items", "gaps", "batches", "log_units", "log_blocks")
"""Tables whose rows belong to a task."""
FAR = 1 << 21
"""A last number that makes a task large: it is read by the index, where there is one."""


class World:
    """A database, and what should be in it: entries of each task that was not deleted, by seq."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.connection = database()
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.losses = Losses()
        self.record_id = 0
        self.names = 0
        self.given: dict[str, dict[int, EntryRecord]] = {}
        self.next_seq: dict[str, int] = {}
        self.ended: list[str] = []
        self.gone: list[str] = []

    def write(self, *records: tuple[int, int, Record]) -> None:
        """Commit records, each with its seq and how many it takes; their numbers lie apart."""
        frames = Frames()
        for seq, span, record in records:
            self.record_id += self.chance.choice([1, 40, 300, 2500])
            frames.append((self.record_id, seq, span, encode(record)))
            self.record_id += span - 1
        apply.commit(self.connection, "ours", frames, lambda: Batch(frames), frames.last_id, 0, self.losses)

    def begin(self) -> None:
        """A task, with something in each table."""
        self.names += 1
        name = f"task{self.names}"
        self.given[name], self.next_seq[name] = {}, 1
        self.write(
            (0, 1, TaskRecord(name, Task(id=name, name=name, plugin="p", created_at=self.names, status="running"))),
            (0, 1, StageRecord(name, Stage(id=f"{name}-s", task_id=name, number=1, name="load", started_at=1))),
            (0, 1, StepRecord(name, step(name))),
            (0, 1, TraceRecord(name, TraceItem(name, 1, "item"))),
            (0, 1, BatchRecord(name, [], "batch", "{}")),
        )

    def log(self) -> None:
        """Entries of all tasks that run, mixed, one now and then dropped."""
        running = [name for name in self.given if name not in self.ended]
        records: list[tuple[int, int, Record]] = []
        for name in self.chance.choices(running, k=self.chance.randrange(1, 25)) if running else []:
            seq = self.next_seq[name]
            self.next_seq[name] += 1
            if self.chance.random() < 0.1:
                gap = Gap(task_id=name, from_seq=seq, to_seq=seq, reason="memory")
                records.append((0, 1, GapRecord(name, gap)))
                continue
            level = self.chance.choice([10, 20, 20, 30, 40])
            stage, unit = self.chance.choice([None, "load"]), self.chance.choice([None, "u1", "u2"])
            message = f"something about {name} word{seq}"
            self.given[name][seq] = entry(name, message, level=level, stage=stage, unit=unit, timestamp=1000 + seq)
            records.append((seq, 1, self.given[name][seq]))
        if records:
            self.write(*records)

    def end(self) -> None:
        """A task ends."""
        for name in [name for name in self.given if name not in self.ended][:1]:
            sealed = Sealed(count=len(self.given[name]), last_seq=self.next_seq[name] - 1)
            ended = Task(
                id=name, name=name, plugin="p", created_at=1, status="success", finished_at=self.names, sealed=sealed
            )
            self.ended.append(name)
            self.write((0, 1, TaskRecord(name, ended)))

    def retain(self) -> None:
        """What the retention names is deleted: ended tasks beyond the newest few, and no other."""
        keep = self.chance.choice([1, 2, 3])
        beyond = sorted(self.given, key=lambda name: int(name[4:]), reverse=True)[keep:]
        found = expired(self.connection, None, keep, None, EVERYTHING)
        assert set(found) == {name for name in beyond if name in self.ended}
        for name in found:
            self.write((0, 1, DeleteRecord(name, 1)))
            del self.given[name]
            self.gone.append(name)

    def erase(self) -> None:
        """A part of what was deleted."""
        for doomed in removal.deleted(self.connection)[:1]:
            removal.erase(self.connection, doomed.task_id, self.chance.choice([1, 5, 250]))

    def index(self) -> None:
        """The next segment; while it is read and put, others go on."""
        _, segment = blocks.unindexed(self.connection, self.chance.choice([0, 0, self.record_id // 2]))
        if segment is None:
            return
        built = blocks.build(self.connection, segment)
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        self.connection.execute("DETACH scratch")
        part = None if built is None else 0
        while built is not None and part is not None:
            if self.chance.random() < 0.5:
                self.chance.choice([self.erase, self.retain, self.log])()
            part = blocks.put(self.connection, built, part)

    def tidy(self) -> None:
        """Segments with nothing in them go."""
        for segment in blocks.indexed(self.connection, empty=True):
            blocks.remove(self.connection, segment)

    def settle(self) -> None:
        """Everything that was begun is done."""
        for doomed in removal.deleted(self.connection):
            while not removal.erase(self.connection, doomed.task_id, 50):
                pass
        self.tidy()
        while blocks.unindexed(self.connection, 0)[1] is not None:
            self.index()
            for doomed in removal.deleted(self.connection):
                while not removal.erase(self.connection, doomed.task_id, 50):
                    pass
            self.tidy()

    def compare(self) -> None:
        """Each task that is there is told as it is, whatever is indexed, and one that was deleted is not there."""
        for name in self.gone:
            query = EntryQuery(task_id=name)
            assert stored_task(self.connection, name, EVERYTHING) is None
            assert page(self.connection, query).lines == [] == histogram(self.connection, query, 5)
            assert stats(self.connection, query).total == 0
            assert stage_counts(self.connection, name, EVERYTHING) == []
        everything = EntryQuery(filter=LogFilter.parse([("search", "something about")]), limit=5000)
        assert len(page(self.connection, everything).lines) == sum(map(len, self.given.values()))
        for name in self.given:
            self._compare_task(name)

    def _compare_task(self, name: str) -> None:
        there = self.given[name]
        task = stored_task(self.connection, name, EVERYTHING)
        assert task is not None
        by_level = Counter(Level(one.level).name for one in there.values())
        assert task.counts == {level.name: by_level[level.name] for level in Level}
        assert (task.last_seq, task.dropped) == (self.next_seq[name] - 1, self.next_seq[name] - 1 - len(there))
        for large in (task.last_seq, FAR):
            self.connection.execute("UPDATE tasks SET last_seq = ? WHERE id = ?", (large, name))
            query = EntryQuery(task_id=name, limit=5000)
            assert page(self.connection, query).cursors == list(there)
            assert stats(self.connection, query).by_level == task.counts
            spans = histogram(self.connection, query, 7)
            assert sum(sum(span.counts.values()) for span in spans) == len(there)
            units = Counter(one.unit for one in there.values() if one.stage and one.unit)
            assert (
                sum((Counter(one.units) for one in stage_counts(self.connection, name, EVERYTHING)), Counter()) == units
            )
            for seq in self.chance.sample(list(there), min(3, len(there))):
                found = page(
                    self.connection, EntryQuery(task_id=name, filter=LogFilter.parse([("search", f"word{seq}")]))
                )
                assert seq in found.cursors
        self.connection.execute("UPDATE tasks SET last_seq = ? WHERE id = ?", (task.last_seq, name))

    def compare_index(self) -> None:
        """Nothing is left of what was erased, and what is indexed is what a new index would have."""
        assert removal.deleted(self.connection) == []
        for name in self.gone:
            for table in OWNED:
                rows = self.connection.execute(f"SELECT count(*) FROM {table} WHERE task_id = ?", (name,)).fetchone()
                assert rows == (0,), (table, name)
        before = self._indexed()
        for [segment] in self.connection.execute("SELECT id FROM log_segments").fetchall():
            self.connection.execute("DELETE FROM log_segments WHERE id = ?", (segment,))
        self.chance = random.Random(0)
        self.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing goes on meanwhile
        while blocks.unindexed(self.connection, 0)[1] is not None:
            self.index()
        assert before == self._indexed()

    def _indexed(self) -> list[list[tuple[object, ...]]]:
        tables = ("log_segments", "log_terms", "log_places", "log_units", "log_blocks")
        return [self.connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]


def step(name: str) -> Step:
    return Step(id=f"{name}-p", task_id=name, step_index=0, node_id="n", node_type="t", node_name="n", started_at=1)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_rows_numbers_and_index_agree(seed: int) -> None:
    """Whatever order tasks are written, indexed, expired and erased in: what is there is found and counted, what was
    deleted is not, and in the end nothing of it is left, in the index neither.
    """
    chance = random.Random(seed)
    world = World(chance)
    ways: list[Callable[[], None]] = [world.log] * 4 + [world.begin, world.end, world.retain, world.tidy]
    ways += [world.erase, world.index] * 3
    try:
        for _ in range(60):
            chance.choice(ways)()
        world.compare()
        world.settle()
        world.compare()
        world.compare_index()
    finally:
        world.connection.close()


def test_what_is_erased_while_a_segment_is_indexed() -> None:
    """Texts that were erased between reading a segment and putting what was read are not put."""
    world = World(random.Random(0))
    world.chance.choice = lambda options: options[0]  # type: ignore[assignment, method-assign]  # numbers without holes
    connection = world.connection
    for name, word in (("a", "apple"), ("b", "berry")):
        world.write((0, 1, TaskRecord(name, Task(id=name, name=name, plugin="p", created_at=1))))
        world.write(*((seq, 1, entry(name, f"a {word}")) for seq in range(1, 20)))
    world.record_id = 1 << SEGMENT_BITS
    world.write((20, 1, entry("b", "behind")))
    built = blocks.build(connection, 0)
    connection.execute("DETACH scratch")
    assert built is not None
    world.write((0, 1, DeleteRecord("a", 1)))
    assert removal.erase(connection, "a", 250)
    part: int | None = 0
    while part is not None:
        part = blocks.put(connection, built, part)
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing goes on meanwhile
    world.index()
    terms = {term for [term] in connection.execute("SELECT term FROM log_terms")}
    assert "mber" in terms
    assert "mapp" not in terms
    connection.close()


@pytest.mark.parametrize("keep_task", [False, True])
def test_each_step_of_an_erasure_is_short(*, keep_task: bool) -> None:
    """However much there is of whatever belongs to a task: no transaction removes more than it was asked to."""
    world, limit = World(random.Random(0)), 10
    connection = world.connection
    world.begin()
    [name] = world.given
    for number in range(2, 60):
        stage = Stage(id=f"s{number}", task_id=name, number=number, name="load", started_at=1)
        world.write(
            (0, 1, StageRecord(name, stage)),
            (0, 1, BatchRecord(name, [], f"batch {number}", "{}")),
            (0, 1, GapRecord(name, Gap(task_id=name, from_seq=2 * number, to_seq=2 * number, reason="memory"))),
            (2 * number + 1, 1, entry(name, "m", source=f"source {number}")),
        )
    world.write((0, 1, DeleteRecord(name, 1)))
    gone = False
    while not gone:
        before = connection.total_changes
        gone = removal.erase(connection, name, limit, keep_task=keep_task)
        assert connection.total_changes - before <= limit + (gone and not keep_task)
    for table in OWNED:
        assert connection.execute(f"SELECT count(*) FROM {table} WHERE task_id = ?", (name,)).fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (int(keep_task),)
    connection.close()
