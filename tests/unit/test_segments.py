"""How segments lie on disk: names, heads, asides. How they are read whatever happened is in tests/property."""

from pathlib import Path

import pytest

from asynclog.disk import free_name
from asynclog.records import Frame
from asynclog.segments import (
    FRAME_BYTES,
    HEAD_BYTES,
    Segment,
    decode_head,
    encode_frame,
    encode_head,
    listed,
    path_of,
    set_aside,
)

JOURNAL_ID = bytes(range(16))


def test_the_head_of_a_segment() -> None:
    """A head gives back whose it is and where it begins; one byte changed or missing, and it is none of ours."""
    head = encode_head(JOURNAL_ID, 77)
    assert len(head) == HEAD_BYTES
    assert decode_head(head + b"frames") == (JOURNAL_ID, 77, 2)
    assert decode_head(encode_head(JOURNAL_ID, 77, version=1)) == (JOURNAL_ID, 77, 1)
    assert decode_head(encode_head(JOURNAL_ID, 77, version=3)) is None
    for index in range(HEAD_BYTES):
        assert decode_head(head[:index] + bytes([head[index] ^ 1]) + head[index + 1 :]) is None
        assert decode_head(head[:index]) is None


def test_a_frame_on_disk() -> None:
    """A frame takes its payload and a fixed number of bytes."""
    assert len(encode_frame((1, 2, 3, b"four"))) == FRAME_BYTES + 4


def test_only_segments_are_listed(tmp_path: Path) -> None:
    """Files with other names, folders and links are no segments; those that are come in the order of their ids."""
    for first in (300, 2, 10**19):
        path_of(tmp_path, first).write_bytes(b"")
    path_of(tmp_path, 5).mkdir()
    path_of(tmp_path, 6).symlink_to(path_of(tmp_path, 2))
    for name in ("1.journal", "²".zfill(20) + ".journal", "00000000000000000001.journal.damaged", "x.journal"):
        (tmp_path / name).write_bytes(b"")
    assert [first for first, _ in listed(tmp_path)] == [2, 300, 10**19]


def test_a_damaged_remainder_is_kept_beside(tmp_path: Path) -> None:
    """Setting aside cuts a segment to its valid part and keeps the rest under a name that is free; once."""
    path = path_of(tmp_path, 1)
    whole = encode_head(JOURNAL_ID, 1) + encode_frame((1, 1, 1, b"kept"))
    for number in (1, 2):
        path.write_bytes(whole + b"torn%d" % number)
        segment = Segment(path)
        assert len(list(segment.frames())) == 1
        aside = set_aside(segment)
        assert aside is not None
        assert aside.read_bytes() == b"torn%d" % number
        assert path.read_bytes() == whole
        assert set_aside(segment) is None
    assert len(list(tmp_path.iterdir())) == 3


def test_a_segment_without_a_head_goes_as_a_whole(tmp_path: Path) -> None:
    """What has no valid head is moved away whole."""
    path = path_of(tmp_path, 1)
    path.write_bytes(b"nobody's")
    segment = Segment(path)
    assert list(segment.frames()) == []
    aside = set_aside(segment)
    assert aside is not None
    assert aside.read_bytes() == b"nobody's"
    assert not path.exists()


def test_names_that_are_free(tmp_path: Path) -> None:
    """A name that is taken gets a number."""
    assert free_name(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "a-2").write_bytes(b"")
    assert free_name(tmp_path / "a") == tmp_path / "a-3"


FRAMES: list[Frame] = [(7, 1, 1, b"one"), (8, 2, 10, b"ten"), (18, 0, 1, b"none"), (19, 12, 1, b"more" * 99)]
WHOLE = encode_head(JOURNAL_ID, 7) + b"".join(map(encode_frame, FRAMES))


def test_reading_goes_on_at_a_place(tmp_path: Path) -> None:
    """A place spares reading what lies before it; wherever it points, what comes out is the same."""
    path = path_of(tmp_path, 7)
    path.write_bytes(WHOLE + bytes(1000))
    for after in (0, 7, 17, 18, 19, 99):
        expected = [frame for frame in FRAMES if frame[0] > after]
        for place in range(len(WHOLE) + 50):
            segment = Segment(path)
            assert list(segment.frames(after, place)) == expected
            assert (segment.offset, segment.damaged) == (len(WHOLE), False)
    path.write_bytes(WHOLE.replace(b"one", b"two"))
    assert list(Segment(path).frames(18)) == []
    assert list(Segment(path).frames(18, len(WHOLE) - len(encode_frame(FRAMES[-1])))) == FRAMES[-1:]


@pytest.mark.parametrize("again", [7, 8, 16])
def test_numbers_that_do_not_rise_end_a_segment(tmp_path: Path, again: int) -> None:
    """A record whose number belongs to one before it, or to an entry of one, is damage, and so is what follows."""
    path = path_of(tmp_path, 7)
    path.write_bytes(encode_head(JOURNAL_ID, 7) + b"".join(map(encode_frame, [*FRAMES[:2], (again, 5, 1, b"again")])))
    segment = Segment(path)
    assert list(segment.frames()) == FRAMES[:2]
    assert segment.damaged


@pytest.mark.parametrize(
    ("zeros", "behind", "damaged"),
    [(8, b"", False), (3 << 20, b"", False), (58, b"begun", False), (208, b"far", True), (3 << 20, b"far", True)],
)
def test_zeros_end_a_segment_in_order(tmp_path: Path, zeros: int, behind: bytes, *, damaged: bool) -> None:
    """Room that was not used, or only begun to be, is no damage; what stands far behind is, and is kept without the
    zeros at its end.
    """
    path = path_of(tmp_path, 7)
    path.write_bytes(WHOLE + bytes(zeros) + behind + bytes(2 << 20))
    segment = Segment(path)
    assert list(segment.frames()) == FRAMES
    assert (segment.offset, segment.damaged) == (len(WHOLE), damaged)
    aside = set_aside(segment)
    assert (None if aside is None else aside.read_bytes()) == (bytes(zeros) + behind if damaged else None)


@pytest.mark.parametrize("gone", [1, 8, 30])
def test_a_head_begun_with_zeros_is_damage(tmp_path: Path, gone: int) -> None:
    """A segment that lost the beginning of its head may hold records: it is not taken for one never written to."""
    path = path_of(tmp_path, 7)
    path.write_bytes(bytes(gone) + WHOLE[gone:])
    segment = Segment(path)
    segment.read_head()
    assert segment.damaged
    path.write_bytes(bytes(HEAD_BYTES + gone))
    empty = Segment(path)
    empty.read_head()
    assert not empty.damaged


@pytest.mark.parametrize("end", [9, 32, HEAD_BYTES])
def test_a_head_whose_writing_was_killed_is_none(tmp_path: Path, end: int) -> None:
    """The magic is put down last: a head without it, and with nothing behind, was never finished and holds nothing."""
    path = path_of(tmp_path, 7)
    path.write_bytes(bytes(8) + encode_head(JOURNAL_ID, 7)[8:end] + bytes(HEAD_BYTES - end + 5000))
    segment = Segment(path)
    segment.read_head()
    assert (segment.journal_id, segment.damaged) == (None, False)
