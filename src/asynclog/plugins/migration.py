"""The plugin ``migration``: tables from one SQLite file into another, changed on the way, rows counted."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from asynclog import TaskContext, requires
from asynclog.plugins.dbcopy import LOOK_SECONDS, CopyError, code_of, patiently, quoted, size_of, uri_of
from asynclog.plugins.pace import Pace
from asynclog.plugins.tableplan import PlanError, TablePlan, plan_table, table_names


class MigrationError(Exception):
    """A table could not be migrated; the target has none of it."""


class TableParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table, and what becomes of it."""

    name: Annotated[str, Meta(description="The table in the source.", min_length=1)]
    target: Annotated[str | None, Meta(description="Its name in the target; the same without one.")] = None
    columns: Annotated[
        dict[str, str] | None,
        Meta(description="Column in the target -> SQL expression over the source's row, as lower(email); "
                         "all columns as they are without it."),
    ] = None  # fmt: skip
    where: Annotated[str | None, Meta(description="SQL condition: which rows; all without one.")] = None


class MigrationParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where to where, and which tables."""

    source: Annotated[str, Meta(description="The SQLite file to read; it is not changed.", min_length=1)]
    target: Annotated[str, Meta(description="The SQLite file to write; made when it is missing.", min_length=1)]
    tables: Annotated[
        list[TableParams] | None, Meta(description="Which tables, and how; all of them as they are without it.")
    ] = None
    if_exists: Annotated[
        Literal["fail", "append", "replace"], Meta(description="When the target has a table of that name.")
    ] = "fail"
    chunk: Annotated[int, Meta(ge=1, le=1_000_000, description="Rows copied at once, between two looks round.")] = (
        10_000
    )


@requires("admin")
def run(params: MigrationParams, context: TaskContext) -> dict[str, Any]:
    """Copies and transforms tables between two SQLite files, in chunks, and verifies the row counts.

    Each table is one transaction, so the target has all of it or none. It is read as it was at one moment,
    whoever writes it meanwhile. Views and triggers do not come along; virtual tables are passed over.

    Raises:
        MigrationError: a file, table or expression is wrong, a row does not fit, or the counts differ.
    """
    source, target = Path(params.source).expanduser(), Path(params.target).expanduser()
    migration = _Migration(params, context)
    try:
        size_of(source)
        if target.exists():
            if source.samefile(target):
                raise MigrationError("source and target are the same file")
            if target.stat().st_size:
                size_of(target)
        with closing(_connect(target)) as connection:
            migration.attach(connection, source)
            return migration.tables(connection)
    except (CopyError, PlanError) as error:
        raise MigrationError(str(error)) from error
    except sqlite3.Error as error:
        raise MigrationError(_reason(target, error)) from error


def _connect(target: Path) -> sqlite3.Connection:
    """The target, made when it is missing."""
    try:
        connection = sqlite3.connect(uri_of(target, "rwc"), uri=True, isolation_level=None, timeout=LOOK_SECONDS)
    except sqlite3.OperationalError as error:
        raise MigrationError(f"{target} cannot be written: {error}; does its folder exist?") from error
    return connection


class _Migration:
    """One run of the plugin."""

    def __init__(self, params: MigrationParams, context: TaskContext) -> None:
        self._params = params
        self._context = context
        self._log = context.logger.with_source("sqlite")
        self._check = context.logger.with_source("verify")

    def attach(self, connection: sqlite3.Connection, source: Path) -> None:
        """The source is ``origin`` from now on, read-only."""
        origin = uri_of(source, "ro")
        patiently(lambda: connection.execute("ATTACH ? AS origin", (origin,)), self._log, self._go_on)

    def tables(self, connection: sqlite3.Connection) -> dict[str, Any]:
        wanted = self._params.tables
        if wanted is None:
            names, virtual = table_names(connection)
            for name in virtual:
                self._log.warning("the virtual table %s is passed over; make it anew in the target", name)
            wanted = [TableParams(name=name) for name in names]
        plans = [
            plan_table(connection, each.name, each.target or each.name, each.columns, each.where) for each in wanted
        ]
        self._context.logger.info("migrating %d tables", len(plans), tables=[plan.name for plan in plans])
        result: dict[str, Any] = {"tables": {}, "rows": 0}
        for number, plan in enumerate(plans, 1):
            with self._context.stage(plan.name, number=number) as stage:
                rows = self._table(connection, plan)
                stage.processed, stage.result = rows, {"rows": rows, "target": plan.target}
            result["tables"][plan.target] = rows
            result["rows"] += rows
            self._context.logger.progress(number, len(plans), f"{number} of {len(plans)} tables migrated")
        return result

    def _table(self, connection: sqlite3.Connection, plan: TablePlan) -> int:
        patiently(lambda: connection.execute("BEGIN IMMEDIATE"), self._log, self._go_on)
        try:
            before = self._make(connection, plan)
            total = connection.execute(plan.count).fetchone()[0]
            self._log.info("%s: %d rows to copy", plan.name, total, target=plan.target)
            copied = self._copy(connection, plan, total)
            for statement in plan.indexes if before is None else ():
                self._go_on()
                connection.execute(statement)
            self._verify(connection, plan, total, copied, before or 0)
            patiently(lambda: connection.execute("COMMIT"), self._log, self._go_on)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return copied

    def _make(self, connection: sqlite3.Connection, plan: TablePlan) -> int | None:
        """The target's table; the rows it has already, None when it is new."""
        exists = connection.execute(
            "SELECT 1 FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE", (plan.target,)
        ).fetchone()
        if exists and self._params.if_exists == "append":
            return int(connection.execute(f"SELECT count(*) FROM main.{quoted(plan.target)}").fetchone()[0])  # noqa: S608  # quoted
        if exists:
            if self._params.if_exists == "fail":
                raise MigrationError(f"the target has a table {plan.target} already; choose append or replace")
            self._log.warning("the target's table %s is replaced", plan.target)
            connection.execute(f"DROP TABLE main.{quoted(plan.target)}")
        connection.execute(plan.create)
        return None

    def _copy(self, connection: sqlite3.Connection, plan: TablePlan, total: int) -> int:
        """Insert chunk by chunk; each is one statement, so that no row waits for Python."""
        pace = Pace(self._log, "copied", "rows", total)
        if plan.chunk is None:
            pace.reach(connection.execute(plan.whole).rowcount)
        else:
            last: int | None = plan.lowest(connection)
            while last is not None:
                self._go_on()
                end = connection.execute(plan.bound, (last, self._params.chunk)).fetchone()[0]
                if end is None:
                    break
                pace.advance(connection.execute(plan.chunk, (last, end)).rowcount)
                if end >= plan.HIGHEST:
                    break
                last = end + 1
        pace.finish()
        return pace.done

    def _verify(self, connection: sqlite3.Connection, plan: TablePlan, total: int, copied: int, before: int) -> None:
        there = connection.execute(f"SELECT count(*) FROM main.{quoted(plan.target)}").fetchone()[0] - before  # noqa: S608  # quoted
        if not total == copied == there:
            raise MigrationError(
                f"{plan.name}: {total:,} rows were to be copied, {copied:,} were, {there:,} are there; nothing is kept"
            )
        self._check.info("%s: %d rows in the source, %d in the target", plan.name, total, there)

    def _go_on(self) -> None:
        if self._context.cancelling:
            raise asyncio.CancelledError


def _reason(target: Path, error: sqlite3.Error) -> str:
    code = code_of(error)
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full: {target} could not be written"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{target} is locked by another process; try again when it is done"
    return f"the table was not migrated, the target has none of it: {error}"
