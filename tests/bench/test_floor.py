"""The least that an entry can cost does what it claims: otherwise it would make the limit look lower than it is."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path
from zlib import crc32

import pytest

from bench import floor as floors
from bench.floor import Floor


def test_every_entry_is_mapped_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was logged lies in the segment with its checksum, and in the database, every row of it, once committed."""
    monkeypatch.setattr(floors, "COMMIT_MICROSECONDS", 1 << 60)
    floor = Floor(tmp_path)
    floor.log(0)  # commits itself: nothing was committed before
    for number in range(1, 1235):
        floor.log(number)
    segment = (tmp_path / "floor.seg").read_bytes()
    place = found = 0
    while place < floor.written:
        size, crc = struct.unpack_from("<II", segment, place)
        data = segment[place + 8 : place + 8 + size]
        assert crc32(data) == crc
        assert data.endswith(b'{"chunk":%d}' % (found + 1))
        place, found = place + 8 + size, found + 1
    assert found == 1234
    floor.commit()
    floor.close()
    connection = sqlite3.connect(tmp_path / "floor.db")
    rows = connection.execute("SELECT id, seq, message, metadata_json FROM task_logs ORDER BY id").fetchall()
    connection.close()
    assert rows == [(n + 1, n + 1, f"handled chunk {n} of the work", f'{{"chunk":{n}}}') for n in range(1235)]
