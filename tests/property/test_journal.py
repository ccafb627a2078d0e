"""The journal's files, whatever happens to them: a valid prefix is read, nothing raises, nothing is numbered twice."""

import random
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog import segments
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.records import EntryRecord, Frame, encode
from asynclog.segments import HEAD_BYTES, MARK_BYTES, Segment, encode_frame, encode_head

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where syncing costs nothing; hundreds of journals are opened here."""
JOURNAL_ID = bytes(range(16))
FIRST_ID = 7

payloads = st.lists(st.binary(min_size=1, max_size=300), max_size=30)
"""No record is empty."""
versions = st.sampled_from([1, 2])


def numbered(found: list[bytes]) -> list[Frame]:
    """Frames with ids and seqs that rise, some of them spans."""
    frames: list[Frame] = []
    record_id = FIRST_ID
    for index, payload in enumerate(found):
        span = 1 + index % 3
        frames.append((record_id, index, span, payload))
        record_id += span
    return frames


def old_frame(frame: Frame) -> bytes:
    """A frame as version 1 wrote it: the checksum covers the payload first."""
    numbers = struct.pack("<QQI", *frame[:3])
    return struct.pack("<II", len(frame[3]), crc32(numbers, crc32(frame[3]))) + numbers + frame[3]


def written(path: Path, frames: list[Frame], version: int = 2) -> bytes:
    """A segment file; its bytes."""
    encode = encode_frame if version == 2 else old_frame
    data = encode_head(JOURNAL_ID, FIRST_ID, version) + b"".join(encode(frame) for frame in frames)
    path.write_bytes(data)
    return data


def entry(number: int, size: int = 30) -> bytes:
    return encode(EntryRecord("task", number, 20, "plugin", None, None, None, f"{number} " + "x" * size, None))


@given(payloads, versions)
def test_what_is_written_is_read(found: list[bytes], version: int) -> None:
    """A segment gives back the frames it was made of, and from any id on those above it."""
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        written(path, frames, version)
        segment = Segment(path)
        assert list(segment.frames()) == frames
        assert not segment.damaged
        for after in {frame[0] for frame in frames}:
            assert list(Segment(path).frames(after)) == [frame for frame in frames if frame[0] > after]


@given(payloads, versions, st.data())
def test_a_torn_tail_keeps_the_valid_prefix(found: list[bytes], version: int, data: st.DataObject) -> None:
    """Cut anywhere, a segment gives exactly the frames that are whole, and says whether something was torn."""
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        whole = written(path, frames, version)
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        ends, kept = [HEAD_BYTES], []
        for frame in frames:
            ends.append(ends[-1] + len(encode_frame(frame)))
            if ends[-1] <= cut:
                kept.append(frame)
        segment = Segment(path)
        assert list(segment.frames()) == kept
        assert segment.damaged == (cut not in (0, *ends))


@given(payloads, versions, st.data())
def test_a_flipped_bit_ends_the_prefix(found: list[bytes], version: int, data: st.DataObject) -> None:
    """With one bit flipped anywhere, the frames before it are read and none that is not the original follows."""
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        bad = bytearray(written(path, frames, version))
        bit = data.draw(st.integers(0, len(bad) * 8 - 1))
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        before = [frame for index, frame in enumerate(frames) if _end(frames, index) <= bit // 8]
        segment = Segment(path)
        assert list(segment.frames()) == before
        assert segment.damaged


def _end(frames: list[Frame], index: int) -> int:
    return HEAD_BYTES + sum(len(encode_frame(frame)) for frame in frames[: index + 1])


@given(st.binary(max_size=2000), st.booleans())
def test_garbage_is_no_segment(garbage: bytes, headed: bool) -> None:
    """Any bytes, also behind a valid head, are read to an end without an error or a frame that nobody wrote."""
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        path.write_bytes((encode_head(JOURNAL_ID, FIRST_ID) if headed else b"") + garbage)
        segment = Segment(path)
        assert list(segment.frames()) == []
        begun = headed and not any(garbage[:MARK_BYTES]) and any(garbage[MARK_BYTES : MARK_BYTES + 128])
        assert segment.damaged == (any(garbage) and not begun)


@given(payloads, st.integers(0, 5000), st.data())
def test_a_segment_with_room_left(found: list[bytes], room: int, data: st.DataObject) -> None:
    """A segment that was being written when its process was killed ends in order where its records end.

    Whatever part of one more body was put down, as long as its mark was not.
    """
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        whole = written(path, frames)
        payload = data.draw(st.binary(min_size=1, max_size=2000)).replace(b"\0", b"x")
        body = bytearray(encode_frame((1 << 40, 5, 1, payload)))
        body[:MARK_BYTES] = bytes(MARK_BYTES)
        first, last = sorted((data.draw(st.integers(0, len(body))), data.draw(st.integers(0, len(body)))))
        first = min(first, 64)  # put down from the front, or all but the very first block
        body[:first] = bytes(first)
        body[last:] = bytes(len(body) - last)
        path.write_bytes(whole + body + bytes(room))
        segment = Segment(path)
        assert list(segment.frames()) == frames
        assert segment.offset == len(whole)
        assert not segment.damaged


@given(payloads, st.integers(1, 9000), st.binary(min_size=1, max_size=50).filter(any))
def test_a_hole_is_damage(found: list[bytes], hole: int, behind: bytes) -> None:
    """Records behind a hole of zeros, as a disk that loses a page makes it, are no end in order: they are set aside."""
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        whole = written(path, frames)
        path.write_bytes(whole + bytes(MARK_BYTES + 128 + hole) + behind + bytes(100))
        segment = Segment(path)
        assert list(segment.frames()) == frames
        assert segment.damaged
        aside = segments.set_aside(segment)
        assert aside is not None
        assert aside.read_bytes() == bytes(MARK_BYTES + 128 + hole) + behind.rstrip(b"\0")
        assert path.read_bytes() == whole


@given(payloads, versions, st.data())
def test_reading_on_from_a_place(found: list[bytes], version: int, data: st.DataObject) -> None:
    """Reading on from where it ended gives what reading from the start does; a wrong place does no harm."""
    frames = numbered(found)
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = segments.path_of(Path(folder), FIRST_ID)
        whole = written(path, frames, version)
        after = data.draw(st.sampled_from([0, *(frame[0] + frame[2] - 1 for frame in frames)]))
        right = HEAD_BYTES + sum(len(encode_frame(frame)) for frame in frames if frame[0] <= after)
        place = right if data.draw(st.booleans()) else data.draw(st.integers(0, len(whole) + 10))
        segment = Segment(path)
        assert list(segment.frames(after, place)) == [frame for frame in frames if frame[0] > after]
        assert segment.offset == len(whole)
        assert not segment.damaged


DAMAGES = ("flip", "cut", "behead", "empty", "delete", "garbage", "double")


def damage(path: Path, kind: str, dice: random.Random) -> None:
    """Do something to a file that disks, people and crashes do."""
    content = bytearray(path.read_bytes())
    if kind == "flip":
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del content[dice.randrange(len(content)) :]
    elif kind == "behead":
        del content[: dice.randrange(len(content)) + 1]
    elif kind == "empty":
        content.clear()
    elif kind == "garbage":
        content[:] = dice.randbytes(len(content))
    elif kind == "double":
        content += content[HEAD_BYTES:]
    if kind == "delete":
        path.unlink()
    else:
        path.write_bytes(content)


@settings(max_examples=60)
@given(
    st.integers(0, 60),
    st.lists(st.tuples(st.sampled_from(DAMAGES), st.integers(0, 1 << 30)), max_size=3),
    st.integers(0, 40),
    st.sampled_from(
        [None, "²³.journal", "00000000000000000000.journal", "9" * 20 + ".journal", "x.rescue", "notes.txt"]
    ),
)
def test_a_journal_opens_whatever_lies_there(
    count: int, damages: list[tuple[str, int]], floor: int, stranger: str | None
) -> None:
    """However its segments were damaged, a journal opens, keeps what is valid, numbers on above it, and goes on.

    What stays readable are the very records that were written, each once, in order; every one of a segment that
    nobody touched is there; and a new record is never given the number of one that can still be read.
    """
    with TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        journal = Journal(folder, segment_bytes=300)
        feed = Feed("task")
        for number in range(count):
            assert journal.append(feed, entry(number), 20) == number + 1
        journal.close()
        before = {frame[0]: frame for frame in journal.read(0, 1 << 40)}
        assert len(before) == count
        touched: set[Path] = set()
        intact = {path: [frame[0] for frame in Segment(path).frames()] for _, path in segments.listed(folder)}
        for kind, seed in damages:
            dice = random.Random(seed)
            files = [path for _, path in segments.listed(folder) if path.stat().st_size]
            if files:
                victim = dice.choice(files)
                touched.add(victim)
                damage(victim, kind, dice)
        if stranger is not None:
            (folder / stranger).write_bytes(b"not ours")
        again = Journal(folder, segment_bytes=300, floor=floor)
        try:
            found = list(again.read(0, 1 << 40))
            assert all(before.get(frame[0]) == frame for frame in found)
            ids = [frame[0] for frame in found]
            assert ids == sorted(set(ids))
            for path, whole in intact.items():
                if path not in touched:
                    assert set(whole) <= set(ids), f"{path.name} was not touched"
            assert again.last_id >= max([floor, *ids])
            if not touched and stranger is None:
                assert again.damaged_files == 0
            new = again.append(Feed("other"), entry(99))
            assert new == 1
            assert again.last_id == max([floor, *ids, again.last_id - 1]) + 1
            assert [frame[3] for frame in again.read(again.last_id - 1, 1 << 40)] == [entry(99)]
        finally:
            again.close()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 39), st.data())
def test_reading_from_any_place_to_any_place(count: int, after: int, data: st.DataObject) -> None:
    """Whatever range of ids is asked for, over however many segments, exactly that range is read."""
    with TemporaryDirectory(dir=MEMORY) as folder:
        journal = Journal(Path(folder), segment_bytes=data.draw(st.integers(100, 900)))
        feed = Feed("task")
        for number in range(count):
            journal.append(feed, entry(number), 20)
        through = data.draw(st.integers(0, count + 2))
        assert [frame[0] for frame in journal.read(after, through)] == list(range(after + 1, min(through, count) + 1))
        journal.mark_stored(after)
        journal.remove_stored()
        assert [frame[0] for frame in journal.read(after, 1 << 40)] == list(range(after + 1, count + 1))
        journal.close()
