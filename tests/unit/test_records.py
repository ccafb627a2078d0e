"""What travels through the journal: payloads and back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.records import ENTRY, BatchRecord, EntryRecord, Labels, Line, Lines, ListedBatchRecord, decode, encode

labels = st.none() | st.text()
numbers = st.integers(-(2**63), 2**63 - 1)


entries = st.builds(
    EntryRecord, timestamp=numbers, level=numbers, stage=labels, unit=labels, step_id=labels, metadata_json=labels
)


@given(entries)
def test_an_entry_as_a_log_call_writes_it(record: EntryRecord) -> None:
    """A tuple of the mark, the encoded labels and what else an entry has is decoded to that entry."""
    shared = Labels(record.task_id, record.level, record.source, record.stage, record.unit, record.step_id)
    payload = encode((ENTRY, encode(shared), record.timestamp, record.message, record.metadata_json))
    assert decode(payload) == record


@given(entries)
def test_an_entry_as_it_was_once_written(record: EntryRecord) -> None:
    """An entry that a former version wrote, with all its labels, is read as it was meant."""
    payload = msgspec.msgpack.encode(["e", *msgspec.structs.astuple(record)])
    assert decode(payload) == record
    assert decode(encode(record)) == record


def test_labels_that_are_none() -> None:
    """An entry whose labels cannot be read is none, like any other damaged payload."""
    for shared in (b"", b"\xc1", encode(["t"]), encode("t")):
        with pytest.raises(msgspec.DecodeError):
            decode(encode((ENTRY, shared, 1, "m", None)))


def test_a_batch_by_column() -> None:
    """What all entries of a part have stands there once; the entries are the same as from full columns."""
    short = Lines(2, 5, 20, "plugin", None, ["s", None], ["a", "b"], None)
    full = Lines(2, [5, 5], [20, 20], ["plugin"] * 2, [None] * 2, ["s", None], ["a", "b"], [None] * 2)
    expected = [Line(5, 20, "plugin", None, "s", "a", None), Line(5, 20, "plugin", None, None, "b", None)]
    for lines in (short, full):
        record = decode(encode(BatchRecord("t", [msgspec.Raw(encode(lines))] * 2, "one", "{}")))
        assert isinstance(record, BatchRecord)
        assert [line for part in record.lines() for line in part.each()] == expected * 2


@given(st.lists(st.builds(Line, timestamp=numbers, level=numbers, stage=labels, unit=labels, metadata_json=labels)))
def test_a_batch_as_it_was_once_written(listed: list[Line]) -> None:
    """A batch that a former version wrote, line by line, is read as it was meant."""
    payload = msgspec.msgpack.encode(["b", "t", list(map(msgspec.structs.astuple, listed)), "one", "{}"])
    record = decode(payload)
    assert isinstance(record, ListedBatchRecord)
    assert (record.task_id, record.batch_id, record.answer_json) == ("t", "one", "{}")
    assert [line for part in record.lines() for line in part.each()] == listed


def test_the_newest_of_a_batch() -> None:
    """The last parts are given that have as many entries as asked for, or all there are."""
    parts = [msgspec.Raw(encode(Lines(count, 5, 20, "plugin", None, None, "m", None))) for count in (1, 2, 3)]
    record = BatchRecord("t", parts, None, "{}")
    for limit, counts in ((0, []), (1, [3]), (3, [3]), (4, [2, 3]), (6, [1, 2, 3]), (9, [1, 2, 3])):
        assert [lines.count for lines in record.newest(limit)] == counts
