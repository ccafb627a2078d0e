"""A consistent copy of a SQLite database in use, and the proof that it is one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from asynclog import TaskLogger
from asynclog.plugins.pace import Pace

T = TypeVar("T")

BUSY_SECONDS: Final = 60.0
"""How long a copy waits for a lock before it gives up."""
LOOK_SECONDS: Final = 0.1
"""How long SQLite itself waits for one, before somebody looks whether to go on."""
RESTARTS: Final = 3
"""A writer in another process makes the copy begin anew; after so many times it is made in one go."""
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FINDINGS: Final = 20


class CopyError(Exception):
    """The database cannot be copied, or the copy is not sound."""


class _RestartedError(Exception):
    """The source was written to once too often."""


def size_of(database: Path) -> int:
    """Bytes of a database file. Raises CopyError when it is none.

    The file itself is never opened, here and elsewhere: closing it would drop the locks that SQLite holds on it in
    this process, should the database be in use here too.
    """
    try:
        if not database.is_file():
            raise CopyError(f"there is no database {database}")
        with closing(read_only(database)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except OSError as error:
        raise CopyError(f"{database} cannot be read: {error.strerror}") from error
    except sqlite3.Error as error:
        if not _is_busy(error):  # who locks it uses it, so it is one
            raise CopyError(_reason(database, error)) from error
    return database.stat().st_size


def read_only(database: Path) -> sqlite3.Connection:
    """A connection that can change nothing, not even by a checkpoint."""
    return sqlite3.connect(uri_of(database, "ro"), uri=True, isolation_level=None, timeout=0.1)


def uri_of(database: Path, mode: str) -> str:
    """How SQLite is told to open a file in this mode, whatever bytes its name has."""
    return f"file:{quote(os.fsencode(database.absolute()))}?mode={mode}"


def copy_database(
    source: Path, target: Path, log: TaskLogger, check: TaskLogger, pages: int, go_on: Callable[[], None]
) -> dict[str, Any]:
    """Copy a database page by page while others use it, and verify the copy.

    Args:
        source: read only.
        target: a new file.
        log: where the copying is told.
        check: where the verifying is told.
        pages: copied in one go; between two the source can be written.
        go_on: called often; raises to stop.

    Returns: its pages, bytes and rows by table.

    Raises:
        CopyError: it cannot be copied, or the copy is not sound.
    """
    try:
        with closing(read_only(source)) as origin, closing(sqlite3.connect(target, isolation_level=None)) as copy:
            total = patiently(lambda: origin.execute("PRAGMA page_count").fetchone()[0], log, go_on)
            before = origin.execute("PRAGMA data_version").fetchone()[0]
            page_size = origin.execute("PRAGMA page_size").fetchone()[0]
            log.info("copying %s: %d pages of %d bytes", source, total, page_size)
            _copy(origin, copy, log, pages, page_size, go_on)
            go_on()
            rows = _verify(copy, check)
            if origin.execute("PRAGMA data_version").fetchone()[0] == before:
                _compare(rows, row_counts(origin), check)
            else:
                check.info("the source was written to meanwhile, so its rows are not compared")
    except sqlite3.Error as error:
        raise CopyError(_reason(source, error)) from error
    return {"pages": total, "bytes": target.stat().st_size, "rows": rows}


def patiently(work: Callable[[], T], log: TaskLogger, go_on: Callable[[], None]) -> T:
    """Do something to a database, again and again while another process locks it.

    Raises:
        CopyError: it stays locked for `BUSY_SECONDS`.
    """
    patience = _Patience(log)
    while True:
        go_on()
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            patience.use()


class _Patience:
    """Waits for a lock, for so long and not longer."""

    def __init__(self, log: TaskLogger) -> None:
        self._log = log
        self._since: float | None = None

    def use(self) -> None:
        """It is still locked."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._log.warning("the database is locked by another process; waiting up to %d s", BUSY_SECONDS)
        elif now - self._since > BUSY_SECONDS:
            raise CopyError(f"the database was locked by another process for {BUSY_SECONDS:.0f} s")

    def renew(self) -> None:
        """It was not locked."""
        self._since = None


def _copy(
    origin: sqlite3.Connection,
    copy: sqlite3.Connection,
    log: TaskLogger,
    pages: int,
    page_size: int,
    go_on: Callable[[], None],
) -> None:
    pace = Pace(log, "copied", "bytes")
    watch = _Watch(pace, page_size, log, go_on)
    try:
        origin.backup(copy, pages=pages, progress=watch, sleep=0.01)
    except _RestartedError:
        log.warning("the source is written to all the time; copying it in one go, without progress")
        origin.backup(copy, pages=-1, progress=watch.waits, sleep=0.01)
        pace.done = pace.total or 0
    pace.finish()


class _Watch:
    """Hears how far a copy is after each of its steps; raises to stop it."""

    def __init__(self, pace: Pace, page_size: int, log: TaskLogger, go_on: Callable[[], None]) -> None:
        self._pace = pace
        self._page_size = page_size
        self._log = log
        self._go_on = go_on
        self._remaining: int | None = None
        self._restarts = 0
        self._patience = _Patience(log)

    def waits(self, status: int, *_: int) -> bool:
        """Whether the step was none, because of a lock; raises to stop, as when it is locked for too long."""
        self._go_on()
        if status in _BUSY:
            self._patience.use()
            return True
        self._patience.renew()
        return False

    def __call__(self, status: int, remaining: int, total: int) -> None:
        if self.waits(status):
            return
        if self._remaining is not None and remaining > self._remaining:
            self._restarts += 1
            self._log.info("the source was written to by somebody else: the copy begins anew")
            if self._restarts >= RESTARTS:
                raise _RestartedError
        self._remaining = remaining
        self._pace.total = total * self._page_size
        self._pace.reach((total - remaining) * self._page_size)


def _verify(copy: sqlite3.Connection, check: TaskLogger) -> dict[str, int]:
    findings = [row[0] for row in copy.execute(f"PRAGMA integrity_check({_FINDINGS})")]
    if findings != ["ok"]:
        for finding in findings:
            check.error("integrity check: %s", finding)
        raise CopyError("the copy is damaged, and so is the source; the errors logged say where")
    rows = row_counts(copy)
    check.info("integrity check: ok; %d tables, %d rows", len(rows), sum(rows.values()), rows=rows)
    return rows


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows by table."""
    names = connection.execute(
        "SELECT name FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {
        name: connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0]  # noqa: S608  # quoted
        for (name,) in names.fetchall()
    }


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _compare(copied: dict[str, int], original: dict[str, int], check: TaskLogger) -> None:
    if copied != original:
        raise CopyError(f"the copy has other rows than the source: {copied} instead of {original}")
    check.info("every table has as many rows as in the source")


def code_of(error: sqlite3.Error) -> int:
    """SQLite's own primary code of an error; 0 for one of Python's."""
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code


def _is_busy(error: sqlite3.Error) -> bool:
    return code_of(error) in _BUSY


def _reason(source: Path, error: sqlite3.Error) -> str:
    said, code = str(error), code_of(error)
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full: {source} could not be copied"
    if code == sqlite3.SQLITE_NOTADB:
        return f"{source} is not a SQLite database"
    if code == sqlite3.SQLITE_CORRUPT:
        return f"{source} is damaged: {said}; try `sqlite3 {source.name} .recover`"
    if code == sqlite3.SQLITE_CANTOPEN:
        return (
            f"{source} cannot be opened; reading a database in WAL mode takes its -shm file, or the right to make one"
        )
    return f"{source} cannot be copied: {said}"
