"""The files of the journal: how a frame lies on disk, and how it is read back whatever happened to the file.

A segment is ``<first id, 20 digits>.journal``. It begins with a head: magic, version, journal id, first record id,
and their CRC. Frames follow, each a mark ``length u32, crc32 u32`` and a body ``id u64, seq u64, span u32`` (all
little-endian) with the payload; the CRC covers the body. In version 1 it covered the payload first, then the numbers.

A segment that is being written has its room already, as zeros. The magic of its head is put down last, and an append
puts the body down before the mark. So a mark of zeros ends a segment in order: behind it are zeros, or the body of an
append that never returned. Any other bytes that are no valid frame end it as damage.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final
from zlib import crc32

from asynclog.disk import free_name
from asynclog.records import Frame

MAGIC: Final = b"ASYNCLOG"
VERSION: Final = 2
_READABLE: Final = (1, 2)
SUFFIX: Final = ".journal"

_HEAD: Final = struct.Struct("<8sI16sQI")
_MARK: Final = struct.Struct("<II")
_NUMBERS: Final = struct.Struct("<QQI")
_FRAME_HEAD: Final = struct.Struct("<IIQQI")
"""Mark and numbers."""
_READ_BYTES: Final = 1 << 20
_BEGUN_BYTES: Final = 128
"""A body is copied in blocks of at most 64 bytes, not always the first one first: one begun shows within so many."""
_NAME: Final = re.compile(r"[0-9]{20}\.journal")

MAX_PAYLOAD: Final = 1 << 28
"""Bytes; a longer length is taken for damage."""

pack_mark: Final = _MARK.pack
pack_numbers: Final = _NUMBERS.pack


def encode_head(journal_id: bytes, first_id: int, version: int = VERSION) -> bytes:
    """The head of a segment."""
    fields = _HEAD.pack(MAGIC, version, journal_id, first_id, 0)[:-4]
    return fields + struct.pack("<I", crc32(fields))


def decode_head(head: bytes) -> tuple[bytes, int, int] | None:
    """Journal id, first record id and version of a head; None when it is none of ours."""
    if len(head) < _HEAD.size:
        return None
    magic, version, journal_id, first_id, crc = _HEAD.unpack_from(head)
    if magic != MAGIC or version not in _READABLE or crc != crc32(head[: _HEAD.size - 4]):
        return None
    return journal_id, first_id, version


def encode_frame(frame: Frame) -> bytes:
    """A frame as it lies on disk (the journal's hot path does the same in place)."""
    record_id, seq, span, payload = frame
    body = pack_numbers(record_id, seq, span) + payload
    return pack_mark(len(payload), crc32(body)) + body


HEAD_BYTES: Final = _HEAD.size
MARK_BYTES: Final = _MARK.size
FRAME_BYTES: Final = _FRAME_HEAD.size
"""What a frame takes on disk beside its payload."""


def path_of(folder: Path, first_id: int) -> Path:
    """Where the segment that begins with this record lies."""
    return folder / f"{first_id:020d}{SUFFIX}"


def listed(folder: Path) -> list[tuple[int, Path]]:
    """The segments of a folder by their first id."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name) and not path.is_symlink()]
    return sorted((int(path.stem), path) for path in found if path.is_file())


class Segment:
    """One segment being read, front to back, in bounded memory.

    After the iteration ``offset`` is the end of its valid part and ``damaged`` says whether bytes follow that are no
    frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.damaged = False
        self.journal_id: bytes | None = None
        """Whose it is; None until its head was read, or when that is none of ours."""
        self.first_id = 0
        self.version = VERSION

    @property
    def is_at_its_place(self) -> bool:
        """Whether the name is that of the first record."""
        return self.path.name == path_of(self.path.parent, self.first_id).name

    def read_head(self) -> None:
        """Learn whose it is, or that it is damaged from its first byte on; neither when nothing was written to it."""
        with self.path.open("rb") as file:
            self._take_head(file)

    def _take_head(self, file: BinaryIO) -> bool:
        head = file.read(HEAD_BYTES)
        found = decode_head(head)
        if found is None:
            # The magic is put down last, so who was killed before has written nothing behind.
            self.damaged = any(head[: len(MAGIC)]) or not _are_zeros(file.read(_READ_BYTES), file)
            return False
        self.journal_id, self.first_id, self.version = found
        self.offset = HEAD_BYTES
        return True

    def frames(self, after: int = 0, place: int = 0) -> Iterator[Frame]:
        """Its valid frames with an id above ``after``, in order.

        An id that does not rise ends the segment like any other damage: no input can make the reader loop or go back.

        Args:
            after: the id above which they are given.
            place: where the next one seems to lie, to find it without reading those before; it may be wrong.
        """
        with self.path.open("rb") as file:
            if not self._take_head(file):
                return
            expected = self.first_id
            if place > HEAD_BYTES and self._lies_at(file, after + 1, place):
                self.offset, expected = place, after + 1
            file.seek(self.offset)
            buffer, start = b"", 0
            while True:
                frame = frame_at(buffer, start, self.version)
                if isinstance(frame, int):  # so many bytes are missing from the buffer
                    more = file.read(max(_READ_BYTES, frame))
                    if more:
                        buffer, start = buffer[start:] + more, 0
                        continue
                    frame = None
                if frame is None or frame[0] < expected:
                    self.damaged = not _is_unwritten(buffer[start:], file)
                    return
                size = FRAME_BYTES + len(frame[3])
                start += size
                self.offset += size
                expected = frame[0] + frame[2]
                if frame[0] > after:
                    yield frame

    def _lies_at(self, file: BinaryIO, record_id: int, place: int) -> bool:
        """Whether the frame with this id lies at this place."""
        file.seek(place)
        buffer = file.read(FRAME_BYTES)
        lacking = frame_at(buffer, 0, self.version)
        frame = frame_at(buffer + file.read(lacking), 0, self.version) if isinstance(lacking, int) else lacking
        return isinstance(frame, tuple) and frame[0] == record_id


def frame_at(buffer: bytes, start: int, version: int = VERSION) -> Frame | int | None:
    """The frame at a place, or how many bytes it lacks, or None when there is no valid one."""
    at = start + FRAME_BYTES
    if at > len(buffer):
        return at - len(buffer)
    length, crc, record_id, seq, span = _FRAME_HEAD.unpack_from(buffer, start)
    if length > MAX_PAYLOAD:
        return None
    end: int = at + length
    if end > len(buffer):
        return end - len(buffer)
    payload, body = buffer[at:end], buffer[start + MARK_BYTES : end]
    found = crc32(body) if version > 1 else crc32(body[: _NUMBERS.size], crc32(payload))
    return (record_id, seq, span, payload) if found == crc and span else None


def _is_unwritten(rest: bytes, file: BinaryIO) -> bool:
    """Whether a segment ends here in order: with a mark of zeros, behind it zeros or a body that was only begun."""
    if any(rest[:MARK_BYTES]):
        return False
    if any(rest[MARK_BYTES : MARK_BYTES + _BEGUN_BYTES]):
        return True
    return _are_zeros(rest, file)


def _are_zeros(rest: bytes, file: BinaryIO) -> bool:
    """Whether nothing else follows to the end of the file."""
    while rest:
        if rest != bytes(len(rest)):
            return False
        rest = file.read(_READ_BYTES)
    return True


def set_aside(segment: Segment) -> Path | None:
    """Cut what follows the valid part of a damaged segment off and keep it beside; None when nothing follows.

    Zeros at its end are not kept. A segment without a valid head goes as a whole. Raises OSError, and the segment is as
    it was.
    """
    if not segment.damaged or segment.path.stat().st_size <= segment.offset:
        return None
    aside = free_name(segment.path.with_name(f"{segment.path.name}.{segment.offset}.damaged"))
    if segment.offset == 0:
        segment.path.replace(aside)
        return aside
    kept = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(kept, "wb") as rest, segment.path.open("r+b") as file:
        file.seek(segment.offset)
        end = 0
        while chunk := file.read(_READ_BYTES):
            rest.write(chunk)
            if chunk != bytes(len(chunk)):
                end = rest.tell() - len(chunk) + len(chunk.rstrip(b"\0"))
        rest.truncate(end)
        os.fsync(rest.fileno())
        file.truncate(segment.offset)
    return aside
