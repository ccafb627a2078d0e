"""The least that an entry can cost does what it claims: otherwise it would make the limit look lower than it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from asynclog import segments
from asynclog.records import ENTRY
from bench.floor import Floor

MESSAGE = "handled chunk %d of the work"


def test_every_entry_is_mapped_stored_counted_and_written_down(tmp_path: Path) -> None:
    """What was logged lies in the segment as a frame of a journal; committed, each entry has its row and its line."""
    floor = Floor(tmp_path, MESSAGE, "chunk")
    for number in range(1235):
        floor.info(MESSAGE, number, chunk=number)
    segment = (tmp_path / "floor.seg").read_bytes()
    place, found, task = 0, [], ""
    while place < floor.written:
        frame = segments.frame_at(segment, place)
        assert isinstance(frame, tuple)
        tag, labels, _, message, args, fields = msgspec.msgpack.decode(frame[3])
        assert tag == ENTRY
        task, *rest = msgspec.msgpack.decode(labels)
        assert rest == [20, "plugin", None, None, None]
        found.append((frame[0], frame[1], message % tuple(args), msgspec.json.encode(fields).decode()))
        place += segments.MARK_BYTES + len(segments.pack_numbers(*frame[:3])) + len(frame[3])
    expected = [(n + 1, n + 1, f"handled chunk {n} of the work", f'{{"chunk":{n}}}') for n in range(1235)]
    assert found == expected
    floor.commit()
    floor.close()
    connection = sqlite3.connect(tmp_path / "floor.db")
    rows = connection.execute("SELECT id, seq, message, metadata_json FROM task_logs ORDER BY id").fetchall()
    owners = connection.execute("SELECT DISTINCT task_id FROM task_logs").fetchall()
    connection.close()
    assert rows == expected
    assert owners == [(task,)]
    lines = (tmp_path / "floor.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [f"INFO plugin {row[2]} {row[3]}" for row in expected]
    assert floor.counts == {(task, "INFO", "plugin"): 1235}


def test_it_syncs_and_commits_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a second after a turn began the disk is asked, and the whole of it committed after two."""
    now = 1_000_000_000
    monkeypatch.setattr("bench.floor.time.time_ns", lambda: now * 1000)
    synced: list[int] = []
    monkeypatch.setattr("bench.floor.os.fdatasync", lambda _: synced.append(now))
    floor = Floor(tmp_path, MESSAGE, "chunk")
    for number in range(25):
        now += 100_000
        floor.info(MESSAGE, number, chunk=number)
    begun = 1_000_000_000
    assert synced == [begun + after for after in range(300_000, 2_500_000, 300_000) if after != 2_100_000]
    assert floor.counts.total() == 21
    floor.close()


@pytest.mark.parametrize(
    ("message", "fields"),
    [("another %d", {"chunk": 1}), (MESSAGE, {"password": 1}), (MESSAGE, {"chunk": "password=hunter2"})],
)
def test_what_might_hold_a_secret_is_refused(tmp_path: Path, message: str, fields: dict[str, object]) -> None:
    """It does look where a log call has to look: another template, key or kind of value is not taken unseen."""
    floor = Floor(tmp_path, MESSAGE, "chunk")
    with pytest.raises(ValueError, match="nothing else"):
        floor.info(message, 1, **fields)
    floor.close()
