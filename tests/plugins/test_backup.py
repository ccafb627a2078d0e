"""A backup is complete and verified, or there is none; the sources may be in use meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import InvalidError
from asynclog.plugins import archive, dbcopy
from asynclog.plugins.arrival import ArrivalError, arriving


def make_database(path: Path, rows: int, mode: str = "wal") -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute('CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, text TEXT)')
        connection.execute("CREATE TABLE empty (x)")
        connection.execute("BEGIN")
        connection.executemany('INSERT INTO "odd ""name" (text) VALUES (?)', ((f"row {n} " * 20,) for n in range(rows)))
        connection.execute("COMMIT")
    return path


@pytest.fixture
def folder(work: Path) -> Path:
    """Files of several kinds and sizes, in folders."""
    root = work / "site"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty.txt").touch()
    (root / "text.txt").write_text("hello\n" * 1000)
    (root / "deep" / "big.bin").write_bytes(os.urandom(3_000_000))
    (root / "deep" / "er" / "ünï 😀.txt").write_text("x")
    (root / "cache.tmp").write_text("left out")
    return root


def sums_hold(path: Path) -> bool:
    """Whether the file beside it holds its SHA-256, as sha256sum wants it."""
    expected, name = path.with_name(path.name + ".sha256").read_text().split()
    return name == path.name and hashlib.sha256(path.read_bytes()).hexdigest() == expected


async def test_database(runner: Any, work: Path) -> None:
    """A database is copied whole, checked, counted, and its checksum lies beside it."""
    source = make_database(work / "shop.db", 20_000)
    task, entries = await runner.run("backup", database=str(source), target=str(work / "out"), pages_per_step=100)
    assert task.status == "success", task.error_message
    result = task.result["database"]
    copy = Path(result["path"])
    assert copy.name.startswith("shop-")
    assert sums_hold(copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute('SELECT count(*), max(text) FROM "odd ""name"').fetchone() == (
            20_000,
            "row 9999 " * 20,
        )
    assert result["rows"] == {'odd "name': 20_000, "empty": 0}
    assert {entry.source for entry in entries} == {"system", "plugin", "sqlite", "verify"}
    assert {entry.stage for entry in entries if entry.source != "system"} == {"database"}
    assert any(entry.metadata and "progress" in entry.metadata for entry in entries if entry.source == "sqlite")
    assert any("as many rows as in the source" in entry.message for entry in entries)
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name, copy.name + ".sha256"]


async def test_folder(runner: Any, folder: Path) -> None:
    """Every file of a folder is in the zip as it was, the excluded left out, links passed over and named."""
    (folder / "link").symlink_to("text.txt")
    (folder / "deep" / "folder-link").symlink_to(folder)
    task, entries = await runner.run(
        "backup", folder=str(folder), target=str(folder / "out"), exclude=["*.tmp"], name="n"
    )
    assert task.status == "success", task.error_message
    path = folder / "out" / "n.zip"
    assert sums_hold(path)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["deep/big.bin", "deep/er/ünï 😀.txt", "empty.txt", "text.txt"]
        for name in archive.namelist():
            assert archive.read(name) == (folder / name).read_bytes()
    assert task.result["folder"]["files"] == 4
    assert task.result["folder"]["passed_over"] == 2
    warnings = [entry.message for entry in entries if entry.level.name == "WARNING"]
    assert sorted(line.split(" is passed over")[0] for line in warnings) == ["deep/folder-link", "link"]
    assert {entry.source for entry in entries} == {"system", "plugin", "zip", "verify"}
    (view,) = await runner.tasks.reader.stages(task.id)
    assert (view.name, view.stage.status, view.stage.processed) == ("folder", "success", 4)


async def test_names_that_are_no_text(runner: Any, work: Path) -> None:
    """Databases and folders whose names are no UTF-8 are backed up too, in use or not, and their checksums hold."""
    folder = work / os.fsdecode(b"\xff folder")
    folder.mkdir()
    database = make_database(folder / os.fsdecode(b"\xfe.db"), 100)
    with closing(sqlite3.connect(database)) as other:  # which keeps its -wal there
        other.execute("SELECT 1 FROM empty").fetchall()
        task, _ = await runner.run("backup", database=str(database), folder=str(folder), target=str(work / "out"))
    assert task.status == "success", task.error_message
    made = sorted(path for path in (work / "out").iterdir() if path.suffix in (".db", ".zip"))
    for path in made:
        noted = path.with_name(path.name + ".sha256").read_bytes()
        assert noted == hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"  " + os.fsencode(path.name) + b"\n"
    with zipfile.ZipFile(made[1]) as packed:
        assert packed.namelist() == ["\\xfe.db"]


async def test_both(runner: Any, folder: Path, work: Path) -> None:
    """Database and folder are stages of one task."""
    source = make_database(work / "shop.db", 10, mode="delete")
    task, _ = await runner.run("backup", database=str(source), folder=str(folder), target=str(work / "out"))
    assert task.status == "success"
    assert [view.name for view in await runner.tasks.reader.stages(task.id)] == ["database", "folder"]
    assert set(task.result) == {"database", "folder"}
    assert {path.stat().st_mode & 0o777 for path in (work / "out").rglob("*") if path.suffix in (".zip", ".db")} == {
        0o600
    }


async def test_database_in_use(runner: Any, work: Path) -> None:
    """A database that another process writes to all the time is copied as it was at one moment."""
    source = make_database(work / "busy.db", 3000)
    script = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
print("ready", flush=True)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO empty VALUES (1)")
    connection.execute('UPDATE "odd ""name" SET text = text WHERE id % 7 = 0')
    connection.execute('INSERT INTO "odd ""name" (text) VALUES (1)')
    connection.execute("COMMIT")
"""
    with subprocess.Popen([sys.executable, "-c", script, str(source)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            task, _ = await runner.run("backup", database=str(source), target=str(work / "out"), pages_per_step=5)
        finally:
            writer.kill()
    assert task.status == "success", task.error_message
    rows = task.result["database"]["rows"]
    assert rows['odd "name'] == 3000 + rows["empty"]


async def test_own_database(runner: Any, work: Path) -> None:
    """The service's own data can be backed up while it runs; the database in it comes as a consistent copy."""
    data = runner.tasks.engine.folder
    task, entries = await runner.run("backup", folder=str(data), target=str(work / "out"), name="own")
    assert task.status == "success", task.error_message
    assert any("is a database in use" in entry.message for entry in entries)
    with zipfile.ZipFile(work / "out" / "own.zip") as archive:
        archive.extractall(work / "restored")
        assert not any(name.endswith(("-wal", "-shm", ".part.db")) for name in archive.namelist())
    with closing(sqlite3.connect(work / "restored" / "asynclog.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with asynclog.open(work / "restored") as restored:
        page = await restored.logs(task.id)
        assert page.entries[0].message == "task started: backup"


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"database": "missing.db"}, "there is no database"),
        ({"database": "plain.txt"}, "is not a SQLite database"),
        ({"folder": "missing"}, "there is no folder"),
        ({"folder": "plain.txt"}, "there is no folder"),
        ({"database": "shop.db", "target": "plain.txt"}, "is no folder"),
        ({"database": "shop.db", "name": "taken"}, "exists already"),
        ({"database": "damaged.db"}, "damaged"),
    ],
)
async def test_what_cannot_be(runner: Any, work: Path, params: dict[str, str], sentence: str) -> None:
    """What is missing, no database, damaged or in the way fails with a sentence; nothing half-made stays."""
    make_database(work / "shop.db", 10)
    (work / "plain.txt").write_text("no database, no folder " * 100)
    (work / "out").mkdir()
    (work / "out" / "taken.db").write_text("precious")
    damaged = make_database(work / "damaged.db", 2000, mode="delete")
    with damaged.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 30))
    paths = {key: str(work / value) if key != "name" else value for key, value in params.items()}
    task, entries = await runner.run("backup", **{"target": str(work / "out"), **paths})
    assert task.status == "failed"
    assert sentence in task.error_message
    assert [path.name for path in (work / "out").iterdir()] == ["taken.db"]
    assert (work / "out" / "taken.db").read_text() == "precious"
    assert any(entry.level.name == "ERROR" for entry in entries)


async def test_bad_parameters(runner: Any) -> None:
    """Nothing to back up, and a name that leaves the folder, are refused before there is a task."""
    for params in ({"target": "x"}, {"target": "x", "database": "y", "name": "../z"}, {"database": "y"}):
        with pytest.raises(InvalidError):
            await runner.tasks.start("backup", params)


async def test_unreadable(runner: Any, folder: Path, work: Path) -> None:
    """A file that vanishes or cannot be read fails the backup, unless such files are allowed; then it is listed."""
    (folder / "text.txt").unlink()
    (folder / "text.txt").symlink_to("/nowhere")
    locked = folder / "broken.db"
    locked.write_text("no database")
    (folder / "broken.db-wal").touch()  # looks like one in use, and cannot be copied as one
    task, entries = await runner.run("backup", folder=str(folder), target=str(work / "out"))
    assert task.status == "failed"
    assert "cannot be read, the first is broken.db" in task.error_message
    assert list((work / "out").iterdir()) == []
    task, entries = await runner.run("backup", folder=str(folder), target=str(work / "out"), skip_unreadable=True)
    assert task.status == "success"
    assert task.result["folder"]["unreadable"] == ["broken.db"]
    assert any(entry.level.name == "ERROR" and "broken.db" in entry.message for entry in entries)


async def test_cancel(runner: Any, work: Path) -> None:
    """A cancelled backup, here of a locked database, stops and leaves nothing."""
    source = make_database(work / "shop.db", 100, mode="delete")
    with closing(sqlite3.connect(source, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        task = await runner.tasks.start("backup", {"database": str(source), "target": str(work / "out")})
        await runner.until_logged(task, "locked by another process", source="sqlite")
        await runner.tasks.cancel(task.id)
        task = await runner.tasks.wait(task.id)
    assert task.status == "cancelled"
    assert list((work / "out").iterdir()) == []


async def test_locked(runner: Any, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another process has locked is waited for; when it stays locked, the backup says so."""
    monkeypatch.setattr(dbcopy, "BUSY_SECONDS", 0.3)
    source = make_database(work / "shop.db", 100, mode="delete")
    with closing(sqlite3.connect(source, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        task, _ = await runner.run("backup", database=str(source), target=str(work / "out"))
    assert task.status == "failed"
    assert "locked" in task.error_message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this machine lets us have one."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting a small disk takes more rights than this user has")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


async def test_full_disk(runner: Any, folder: Path, work: Path, small_disk: Path) -> None:
    """A disk that is too small is told beforehand, one that fills up in words; nothing half-made stays."""
    source = make_database(work / "shop.db", 20_000)
    task, _ = await runner.run("backup", database=str(source), target=str(small_disk))
    assert "bytes free" in task.error_message
    task, _ = await runner.run("backup", folder=str(folder), target=str(small_disk))
    assert "the disk is full" in task.error_message
    assert list(small_disk.iterdir()) == []


def test_arriving(work: Path) -> None:
    """A file arrives whole; when the writing fails, or it is too large, there is none, and no remains of it."""
    with arriving(work / "new" / "file") as part:
        part.write_text("whole")
        assert not (work / "new" / "file").exists()
    assert (work / "new" / "file").read_text() == "whole"
    with pytest.raises(ArrivalError, match=r"other\.\w+\.part"), arriving(work / "other"):
        pass  # never written, so there is nothing to sync
    with pytest.raises(ArrivalError, match="are needed"), arriving(work / "huge", needed=10**18):
        pass
    with pytest.raises(ArrivalError, match="exists already"), arriving(work / "new" / "file"):
        pass
    assert sorted(path.name for path in work.iterdir()) == ["new"]


def test_two_arrive_at_once(work: Path) -> None:
    """Of two who write one file at once the first to end has its way, and neither gets what the other wrote."""

    def both() -> None:
        with arriving(work / "file") as late:
            late.write_text("late")
            with arriving(work / "file") as early:
                early.write_text("early")
            assert late.read_text() == "late"

    with pytest.raises(ArrivalError, match="exists already"):
        both()
    assert (work / "file").read_text() == "early"
    assert sorted(path.name for path in work.iterdir()) == ["file"]


def test_a_copy_in_one_go_can_be_stopped(work: Path) -> None:
    """A copy that is made in one go, since its source is written to all the time, can be stopped at a lock, too."""
    source = make_database(work / "shop.db", 3000, mode="delete")
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:

        class Locks:
            """A logger that locks the source once it is told that no step is made any more."""

            def __getattr__(self, name: str) -> Any:
                return lambda said, *_, **__: writer.execute("BEGIN EXCLUSIVE") if "one go" in str(said) else None

        def go_on() -> None:
            if writer.in_transaction:
                raise asyncio.CancelledError
            writer.execute("INSERT INTO empty VALUES (1)")

        log: Any = Locks()
        with pytest.raises(asyncio.CancelledError):
            dbcopy.copy_database(source, work / "copy.db", log, log, 1, go_on)


def test_a_file_that_goes_meanwhile(folder: Path, work: Path) -> None:
    """A file that is removed before its turn is passed over: it is no file that cannot be read."""

    class Removes:
        """A logger that removes a file once the folder was listed."""

        def __getattr__(self, name: str) -> Any:
            return lambda said, *_, **__: (folder / "text.txt").unlink() if str(said).startswith("packing ") else None

    log: Any = Removes()
    packer = archive.Packer(folder, work / "site.zip", log, [], lambda: None)
    told = packer.pack()
    assert (told["files"], told["passed_over"], told["unreadable"]) == (4, 1, [])
    packer.verify(log)


def test_many_threads(work: Path) -> None:
    """Copies of one database from several threads at once do not disturb each other."""
    source = make_database(work / "shop.db", 2000)
    sizes: list[int] = []

    def copy() -> None:
        with closing(dbcopy.read_only(source)) as connection:
            sizes.append(connection.execute('SELECT count(*) FROM "odd ""name"').fetchone()[0])

    threads = [threading.Thread(target=copy) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [2000] * 5
