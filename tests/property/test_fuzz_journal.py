"""Reading a journal that was tampered with: it ends, raises nothing, and gives back only what was written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from asynclog import segments
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.records import EntryRecord, Frame, encode
from asynclog.segments import HEAD_BYTES, Segment, encode_frame, encode_head
from tests.property.fuzzing import TEXTS, fuzz

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
JOURNAL_ID = bytes(range(16))

Mutation = Callable[[bytearray], None]
PLACES = st.floats(0, 1, exclude_max=True)


def _at(data: bytearray, place: float) -> int:
    return int(place * len(data))


def _set(place: float, value: bytes) -> Mutation:
    def mutate(data: bytearray) -> None:
        start = _at(data, place)
        data[start : start + len(value)] = value

    return mutate


def _insert(place: float, value: bytes) -> Mutation:
    def mutate(data: bytearray) -> None:
        data[_at(data, place) : _at(data, place)] = value

    return mutate


def _move(start: float, end: float, to: float, keep: bool) -> Mutation:
    def mutate(data: bytearray) -> None:
        first, last = sorted((_at(data, start), _at(data, end)))
        piece = bytes(data[first:last])
        if not keep:
            del data[first:last]
        data[_at(data, to) : _at(data, to)] = piece

    return mutate


def _cut(place: float) -> Mutation:
    def mutate(data: bytearray) -> None:
        del data[_at(data, place) :]

    return mutate


NUMBERS = st.sampled_from([0, 1, 7, 24, 28, 255, 1 << 16, (1 << 28) - 1, 1 << 28, (1 << 31) - 1, (1 << 32) - 1])
VALUES = st.one_of(
    st.binary(min_size=1, max_size=40), NUMBERS.map(lambda number: number.to_bytes(4, "little")), st.just(bytes(64))
)
MUTATIONS = st.lists(
    st.one_of(
        st.builds(_set, PLACES, VALUES),
        st.builds(_insert, PLACES, VALUES),
        st.builds(_move, PLACES, PLACES, PLACES, st.booleans()),
        st.builds(_cut, PLACES),
    ),
    min_size=1,
    max_size=5,
)


def _frames(messages: list[str]) -> list[Frame]:
    found: list[Frame] = []
    for number, message in enumerate(messages, 1):
        text = message.encode("utf-8", "backslashreplace").decode()
        found.append((number, number, 1, encode(EntryRecord("t", number, 20, "p", None, None, None, text, None))))
    return found


@given(st.lists(TEXTS, max_size=12), MUTATIONS, st.integers(0, 12), st.integers(0, 4000))
@fuzz(250)
def test_a_segment_gives_only_what_was_written(
    messages: list[str], mutations: list[Mutation], after: int, place: int
) -> None:
    """Bytes set, inserted, moved, repeated and cut at will: the reader ends, raises nothing, goes only forwards, and
    each record it gives is one of those written, whatever place it is told to begin at.
    """
    written = _frames(messages)
    data = bytearray(encode_head(JOURNAL_ID, 1) + b"".join(map(encode_frame, written)))
    for mutate in mutations:
        mutate(data)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), 1)
        path.write_bytes(data)
        for found in (list(islice(Segment(path).frames(), 100)), list(islice(Segment(path).frames(after, place), 100))):
            assert all(frame in written for frame in found)
            ids = [frame[0] for frame in found]
            assert ids == sorted(set(ids))


@given(st.lists(TEXTS, min_size=1, max_size=12), MUTATIONS, st.integers(200, 900))
@fuzz(60)
def test_a_journal_goes_on_after_it_was_tampered_with(
    messages: list[str], mutations: list[Mutation], segment_bytes: int
) -> None:
    """A journal whose newest segment was tampered with opens, gives back only what was written, and takes more."""
    with TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        journal = Journal(folder, segment_bytes=segment_bytes)
        feed = Feed("t")
        for frame in _frames(messages):
            journal.append(feed, frame[3], 20)
        journal.close()
        before = {frame[0]: frame for frame in journal.read(0, 1 << 40)}
        path = segments.listed(folder)[-1][1]
        data = bytearray(path.read_bytes())
        for mutate in mutations:
            mutate(data)
        path.write_bytes(data)
        again = Journal(folder, segment_bytes=segment_bytes)
        try:
            found = list(islice(again.read(0, 1 << 40), 100))
            assert all(before.get(frame[0]) == frame for frame in found)
            assert again.append(Feed("u"), _frames(["more"])[0][3], 20) == 1
        finally:
            again.close()


@given(st.binary(max_size=3 * HEAD_BYTES))
@fuzz(100)
def test_any_bytes_are_a_segment_or_not(data: bytes) -> None:
    """A file of any bytes is read to its end without an error, and gives no record."""
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), 1)
        path.write_bytes(data)
        assert list(islice(Segment(path).frames(), 100)) == []
