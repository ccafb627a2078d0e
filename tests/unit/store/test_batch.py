"""Entries in a batch of journal records: as log calls write them, as a former version did, and damaged."""

import random
from collections import Counter

import msgspec
import pytest

from asynclog.frames import Frames
from asynclog.model import Gap
from asynclog.records import ENTRY, BatchRecord, EntryRecord, Labels, Lines, encode
from asynclog.store.batch import Batch

TASKS = ["0198a7c2-3333-7333-8333-123456789abc", "t2"]


def records(count: int) -> list[EntryRecord]:
    dice = random.Random(count)
    return [
        EntryRecord(
            dice.choice(TASKS),
            1_770_000_000_000_000 + number,
            dice.choice([10, 20, 30, 40]),
            dice.choice(["plugin", "api"]),
            dice.choice([None, "extract"]),
            dice.choice([None, f"u{number % 3}"]),
            None,
            f"message {number} é",
            dice.choice([None, '{"n":1}']),
        )
        for number in range(count)
    ]


def logged(record: EntryRecord) -> bytes:
    """As a log call writes it."""
    shared = Labels(record.task_id, record.level, record.source, record.stage, record.unit, record.step_id)
    return encode((ENTRY, encode(shared), record.timestamp, record.message, record.metadata_json))


def frames(payloads: list[bytes]) -> Frames:
    return Frames.of((number, number * 2, 1, payload) for number, payload in enumerate(payloads, 1))


@pytest.mark.parametrize("count", [1, 7, 5_000])
def test_entries_of_every_time(count: int) -> None:
    """What log calls write, what a former version wrote, and both in turns give the same rows and counts."""
    found = records(count)
    new, old = Batch(frames([*map(logged, found)])), Batch(frames([*map(encode, found)]))
    mixed = Batch(frames([logged(record) if n % 5 else encode(record) for n, record in enumerate(found)]))
    rows = new.entries.rows()
    assert rows == old.entries.rows() == mixed.entries.rows()
    assert rows[-1][:4] == (count, found[-1].task_id, count * 2, found[-1].timestamp)
    assert new.entries.counts == old.entries.counts == mixed.entries.counts
    assert new.entries.counts == Counter((row[1], row[5], row[4], row[6]) for row in rows)


@pytest.mark.parametrize(
    ("broken", "task_id"),
    [
        (logged(records(1)[0])[:-1], "unknown"),
        (encode((ENTRY, encode(("t9", 20, "plugin", None, None, None)), "no time", "m", None)), "t9"),
        (encode((ENTRY, b"\xc1", 5, "m", None)), "unknown"),
        (encode((ENTRY, None, 5, "m", None)), "unknown"),
        (encode(("e", "t9", "no time")), "t9"),
    ],
)
def test_an_entry_that_cannot_be_read(broken: bytes, task_id: str) -> None:
    """It is kept as one that says so, under its task as far as that can be read; those beside it are as they were."""
    found = records(20)
    payloads = [*map(logged, found)]
    payloads.insert(10, broken)
    rows = Batch(frames(payloads)).entries.rows()
    assert [row[9] for row in rows[:10] + rows[11:]] == [record.message for record in found]
    assert (rows[10][1], rows[10][2], rows[10][4]) == (task_id, 22, "ERROR")
    assert rows[10][9].startswith("[unstorable: its record cannot be read")


def test_lines_of_a_batch() -> None:
    """Each line of a batch takes the next number of the directory and of its task; its answer tells the last one."""
    parts = [
        msgspec.Raw(encode(Lines(2, 5, 20, "s", None, None, ["a", "b"], None))),
        msgspec.Raw(encode(Lines(3, [6, 7, 8], [20, 40, 20], ["s", "x", "s"], "load", None, ["c", "d", "e"], None))),
    ]
    batch = Batch(Frames.of([(7, 3, 5, encode(BatchRecord("t9", parts, "b1", '{"accepted":5}')))]))
    assert [(row[0], row[1], row[2], row[3], row[4], row[5], row[9]) for row in batch.entries.rows()] == [
        (7, "t9", 3, 5, "INFO", "s", "a"),
        (8, "t9", 4, 5, "INFO", "s", "b"),
        (9, "t9", 5, 6, "INFO", "s", "c"),
        (10, "t9", 6, 7, "ERROR", "x", "d"),
        (11, "t9", 7, 8, "INFO", "s", "e"),
    ]
    assert batch.entries.counts == Counter((row[1], row[5], row[4], row[6]) for row in batch.entries.rows())
    assert batch.answers == [("t9", "b1", '{"accepted":5,"last_seq":7}')]
    assert batch.owners() == {"t9"}


@pytest.mark.parametrize(("batch_id", "answers"), [("b1", [("t9", "b1", '{"rejected":1}')]), (None, [])])
def test_a_batch_without_lines(batch_id: str | None, answers: list[object]) -> None:
    """Of a batch of which no line was taken its answer is kept, as it was given; without an id nothing is."""
    batch = Batch(Frames.of([(7, 0, 1, encode(BatchRecord("t9", [], batch_id, '{"rejected":1}')))]))
    assert batch.entries.rows() == []
    assert batch.answers == answers


@pytest.mark.parametrize(
    ("count", "messages", "answer"),
    [(3, ["a"], "{}"), (2, ["a", "b"], "{}"), (3, ["a", "b", None], "{}"), (3, ["a", "b", "c"], "[]")],
)
def test_a_batch_that_cannot_be_read(count: int, messages: list[str], answer: str) -> None:
    """One with more or fewer values than it says is an entry that says so and a gap: what is around it is stored."""
    part = encode(Lines(count, 1, 20, "s", None, None, messages, None))
    payload = encode(BatchRecord("t9", [msgspec.Raw(part)], "b1", answer))
    batch = Batch(Frames.of([(1, 1, 3, payload), (4, 4, 1, logged(records(1)[0]))]))
    assert [row[2] for row in batch.entries.rows()] == [1, 4]
    assert batch.entries.rows()[0][9].startswith("[unstorable: its record cannot be read")
    assert batch.gaps == [Gap(task_id="t9", from_seq=2, to_seq=3, reason="the record of these entries cannot be read")]
    assert not batch.answers
