"""The writing connection: one after the other, whatever is cancelled, and never into a file that is gone."""

import asyncio
import contextlib
import gc
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from asynclog.errors import StoreError
from asynclog.store import sqlite
from asynclog.store.schema import prepare
from asynclog.store.sqlite import Database, QueryTimeoutError

DEADLINE_SECONDS = 20.0


def put(name: str) -> Callable[[sqlite3.Connection], None]:
    def run(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO settings SELECT ?, count(*) FROM settings", (name,))

    return run


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM settings ORDER BY CAST(value AS INTEGER)")]


class Gate:
    """A function that writes, and stays in its transaction until it is let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        put(self.name)(connection)
        self.inside.set()
        assert self.go_on.wait(DEADLINE_SECONDS)
        connection.execute("COMMIT")


async def test_one_after_the_other(tmp_path: Path) -> None:
    """Calls wait for each other on the connection's thread, in the order in which they were made."""
    async with Database(tmp_path / "asynclog.db") as database:
        gate = Gate("0")
        works = [asyncio.ensure_future(database.write(gate))]
        works += [asyncio.ensure_future(database.write(put(str(number)))) for number in range(1, 10)]
        assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
        assert not any(work.done() for work in works)
        gate.go_on.set()
        await asyncio.gather(*works)
        assert await database.read(names) == [str(number) for number in range(10)]


async def test_cancelled(tmp_path: Path) -> None:
    """A cancelled call ends when its function is over, and what that wrote is there; one that waits is run as well."""
    async with Database(tmp_path / "asynclog.db") as database:
        gate = Gate("first")
        first = asyncio.ensure_future(database.write(gate))
        second = asyncio.ensure_future(database.write(put("second")))
        assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
        for _ in range(3):
            first.cancel()
            second.cancel()
            await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        gate.go_on.set()
        for work in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await work
        assert await database.read(names) == ["first", "second"]


async def test_gone_while_two_are_under_way(tmp_path: Path) -> None:
    """When the file goes, both the call that runs and the one that waits behind it fail; the next finds a new file."""
    path = tmp_path / "asynclog.db"
    async with Database(path) as database:
        gate = Gate("first")
        first = asyncio.ensure_future(database.write(gate))
        second = asyncio.ensure_future(database.write(put("second")))
        assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
        for found in tmp_path.glob("asynclog.db*"):
            found.unlink()
        third = asyncio.ensure_future(database.write(put("third")))
        await asyncio.sleep(0)
        gate.go_on.set()
        for work in (first, second):
            with pytest.raises(StoreError, match="removed or replaced while it was written"):
                await work
        await third
        assert await database.read(names) == ["third"]
        assert database.exchanged == 1


async def test_put_back_while_it_runs(tmp_path: Path) -> None:
    """A call whose file went, and for which another one is opened meanwhile, fails although there is a file again."""
    path = tmp_path / "asynclog.db"
    async with Database(path) as database:
        gate = Gate("first")
        first = asyncio.ensure_future(database.write(gate))
        assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
        for found in tmp_path.glob("asynclog.db*"):
            found.unlink()
        with contextlib.closing(sqlite3.connect(path)) as foreign:
            foreign.execute("CREATE TABLE t (a)")
        second = asyncio.ensure_future(database.write(put("second")))
        await asyncio.sleep(0)
        gate.go_on.set()
        with pytest.raises(StoreError, match="removed or replaced"):
            await first
        with contextlib.suppress(StoreError):  # it is no database of ours
            await second


@pytest.mark.parametrize("back", [False, True])
async def test_gone_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, back: bool) -> None:
    """A file that goes, or is replaced, while it is opened is not written to as if it were the one that is there."""
    path, copy = tmp_path / "asynclog.db", tmp_path / "copy.db"

    def remove() -> None:
        for found in tmp_path.glob("asynclog.db*"):
            found.unlink()

    def save(connection: sqlite3.Connection) -> None:
        with contextlib.closing(sqlite3.connect(copy)) as other:
            connection.backup(other)

    def replaced(connection: sqlite3.Connection) -> int:
        begun = prepare(connection)
        remove()
        if back:
            copy.rename(path)
        return begun

    async with Database(path) as database:
        await database.write(put("first"))
        await database.write(save)
        remove()
        monkeypatch.setattr(sqlite, "prepare", replaced)
        with pytest.raises(StoreError, match="cannot be opened"):
            await database.write(put("nowhere"))
        monkeypatch.undo()
        await database.write(put("second"))
        with contextlib.closing(sqlite3.connect(path)) as other:
            assert names(other) == [*(["first"] if back else []), "second"]


async def test_opened_again_and_again(tmp_path: Path) -> None:
    """However often one file is opened anew, as when it cannot be read now and then, no more files are held open."""

    def fail(_: sqlite3.Connection) -> None:
        raise OSError("injected")

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with Database(tmp_path / "asynclog.db") as database:
        await database.write(put("0"))
        before = open_files()
        for number in range(1, 6):
            with pytest.raises(StoreError):
                await database.write(fail)
            await database.write(put(str(number)))
        assert open_files() == before


async def test_what_is_computed_beside_it(tmp_path: Path) -> None:
    """Something is computed while the connection is busy; what it raises comes out where its result is asked for."""
    async with Database(tmp_path / "asynclog.db") as database:
        gate = Gate("first")
        first = asyncio.ensure_future(database.write(gate))
        assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
        seven, failing = database.beside(lambda: 7), database.beside(lambda: 7 // 0)
        assert await asyncio.to_thread(seven) == 7
        gate.go_on.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await database.write(lambda _: failing())
        assert await database.write(lambda _: seven()) == 7


class _Large:
    """What a function holds, or gives."""

    def __call__(self, _connection: sqlite3.Connection) -> "_Large":
        return _Large()


async def test_nothing_is_kept_of_what_was_run(tmp_path: Path) -> None:
    """What a function held and gave goes when nobody wants it any more, not when the next one is run: a batch of
    entries would stay in memory for as long as nothing is logged.
    """
    async with Database(tmp_path / "asynclog.db") as database:
        for ask in (database.write, database.read):
            function = _Large()
            kept = [weakref.ref(function), weakref.ref(await ask(function))]
            del function
            end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
            while any(one() is not None for one in kept):
                assert asyncio.get_running_loop().time() < end
                await asyncio.sleep(0.001)
                gc.collect()


async def test_a_transaction_that_was_not_ended_is_read_in_no_more(tmp_path: Path) -> None:
    """Where a query was interrupted at the end of its transaction, the next reader sees what was written since."""

    def endless(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        names(connection)
        connection.execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")

    async with Database(tmp_path / "asynclog.db") as database:
        with pytest.raises(QueryTimeoutError):
            await database.read(endless, 0.01)
        await database.write(put("new"))
        assert await database.read(names) == ["new"]


async def test_a_query_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """A read that is cancelled, however often, is interrupted and over when the call is, and leaves no error behind
    that nobody asks for.
    """
    left: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    inside, over = threading.Event(), threading.Event()

    def count(connection: sqlite3.Connection) -> None:
        inside.set()
        try:
            connection.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n")
        finally:
            over.set()

    async with Database(tmp_path / "asynclog.db") as database:
        work = asyncio.ensure_future(database.read(count))
        assert await asyncio.to_thread(inside.wait, DEADLINE_SECONDS)
        while not work.done():
            work.cancel()
            await asyncio.sleep(0)
        assert work.cancelled()
        assert over.is_set()
        del work
        gc.collect()
        assert await database.read(names) == []
    assert not left


async def test_one_that_cannot_be_opened_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tries again and again to open a locked database holds no more files after the hundredth time."""
    monkeypatch.setattr(sqlite, "OPEN_ATTEMPTS", 1)
    monkeypatch.setattr("asynclog.store.connection.BUSY_MS", 1)
    path = tmp_path / "asynclog.db"
    async with Database(path):
        pass
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    held = []
    for _ in range(5):
        with pytest.raises(StoreError, match="cannot be opened"):
            async with Database(path):
                pass
        held.append(len(list(Path("/proc/self/fd").iterdir())))
    assert held[1:] == held[:-1]  # SQLite itself keeps one while the other holds its lock
    other.close()


async def test_closed_though_the_call_is_cancelled(tmp_path: Path) -> None:
    """A database that is being closed, behind what is still written, is closed however often that call is cancelled."""
    gate = Gate("late")
    database = await Database(tmp_path / "asynclog.db").__aenter__()
    writing = asyncio.ensure_future(database.write(gate))
    assert await asyncio.to_thread(gate.inside.wait, DEADLINE_SECONDS)
    closing = asyncio.ensure_future(database.__aexit__(None, None, None))
    for _ in range(5):
        await asyncio.sleep(0)
        closing.cancel()
    gate.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with contextlib.suppress(StoreError):
        await writing
    assert not (tmp_path / "asynclog.db-wal").exists()
    async with Database(tmp_path / "asynclog.db") as again:
        assert await again.read(names) == ["late"]
