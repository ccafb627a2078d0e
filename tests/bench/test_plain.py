"""What asynclog is measured against is what it claims to be: a weaker one would make asynclog look better."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asynclog.identity import new_id
from asynclog.intake import BATCH_RECORDS
from bench import plain, shortest


def test_the_plain_loop_inserts_the_rows_of_ours(tmp_path: Path) -> None:
    """As many rows as asked for, of so many tasks, whose ids are as long as ours; as many in a transaction."""
    assert plain.insert(tmp_path / "plain.db", plain.COMMIT, 3) > 0
    with closing(sqlite3.connect(tmp_path / "plain.db")) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT task_id), min(length(task_id)) FROM task_logs")
        assert rows.fetchone() == (BATCH_RECORDS, 3, len(new_id()))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_shortest_way_ends_when_a_thread_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that cannot go on ends the measurement with a failure: the others do not wait for it for ever."""

    def fail(_: object) -> None:
        raise MemoryError

    assert shortest.rate(tmp_path, 2, BATCH_RECORDS // 2, 100) > 0
    (tmp_path / "broken").mkdir()
    monkeypatch.setattr(shortest, "Batch", fail)
    with pytest.raises(AssertionError):
        shortest.rate(tmp_path / "broken", 2, BATCH_RECORDS // 2, 100)
