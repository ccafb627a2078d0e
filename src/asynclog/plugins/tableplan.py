"""The SQL that brings one table from an attached database ``origin`` into ``main``: made and checked beforehand."""

from __future__ import annotations

import sqlite3
from typing import ClassVar, Final

import msgspec

from asynclog.plugins.dbcopy import quoted

_GENERATED: Final = (2, 3)
"""What `pragma_table_xinfo` says of generated columns: they make themselves."""


class PlanError(Exception):
    """There is no such table or column, or an expression is no SQL."""


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The statements for one table.

    ``bound`` takes a first rowid and a number of rows and gives the last rowid of that chunk; ``chunk`` takes first
    and last rowid. A table without rowids has no ``chunk``: ``whole`` does it at once.
    """

    HIGHEST: ClassVar[int] = 2**63 - 1

    name: str
    target: str
    create: str
    count: str
    whole: str
    chunk: str | None
    bound: str
    first: str
    indexes: list[str]

    def lowest(self, connection: sqlite3.Connection) -> int | None:
        """The first rowid, None for an empty table."""
        found: int | None = connection.execute(self.first).fetchone()[0]
        return found


def table_names(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """The source's own tables, and its virtual ones."""
    rows = connection.execute(
        "SELECT name, type FROM pragma_table_list WHERE schema = 'origin' AND type IN ('table', 'virtual')"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    return [name for name, kind in rows if kind == "table"], [name for name, kind in rows if kind == "virtual"]


def plan_table(
    connection: sqlite3.Connection, name: str, target: str, columns: dict[str, str] | None, where: str | None
) -> TablePlan:
    """Plan one table; nothing is written.

    Raises:
        PlanError: the table, a column or an expression is wrong.
    """
    found = connection.execute(
        "SELECT l.name, l.wr, s.sql FROM pragma_table_list AS l JOIN origin.sqlite_schema AS s ON s.name = l.name"
        " WHERE l.schema = 'origin' AND l.type = 'table' AND l.name = ? COLLATE NOCASE",
        (name,),
    ).fetchone()
    if found is None:
        raise PlanError(f"the source has no table {name!r}")
    name, without_rowid, sql = found
    stored = _columns(connection, name)
    if columns == {}:
        raise PlanError(f"{name}: columns is empty; leave it out for all columns as they are")
    taken = columns or {column: quoted(column) for column, _, hidden in stored if hidden not in _GENERATED}
    table = f"origin.{quoted(name)}"
    select = f"SELECT {', '.join(taken.values())} FROM {table}"  # noqa: S608  # expressions are the caller's own SQL
    condition = f"({where})" if where else "1"
    into = f"INSERT INTO main.{quoted(target)} ({', '.join(map(quoted, taken))}) "
    _try(connection, name, f"{select} WHERE {condition} LIMIT 0")
    rowid = None if without_rowid else _rowid_name(stored)
    unchanged = columns is None and target.casefold() == name.casefold()
    ranged = f"{rowid} >= ?1 AND {rowid} <= ?2 AND {condition}"
    return TablePlan(
        name=name,
        target=target,
        create=sql if unchanged else _create(target, taken, stored),
        count=f"SELECT count(*) FROM {table} WHERE {condition}",  # noqa: S608  # as above
        whole=f"{into}{select} WHERE {condition}",
        chunk=None if rowid is None else f"{into}{select} WHERE {ranged} ORDER BY {rowid}",
        bound=f"SELECT max({rowid}) FROM (SELECT {rowid} FROM {table} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT ?2)",  # noqa: S608  # as above
        first=f"SELECT min({rowid}) FROM {table}",  # noqa: S608  # as above
        indexes=_indexes(connection, name) if unchanged else [],
    )


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, str, int]]:
    """Name, declared type, and what is hidden about it."""
    rows = connection.execute("SELECT name, type, hidden FROM pragma_table_xinfo(?, 'origin')", (table,))
    return [(name, kind, hidden) for name, kind, hidden in rows]


def _rowid_name(stored: list[tuple[str, str, int]]) -> str | None:
    """A name of the rowid that no column has taken."""
    names = {name.casefold() for name, _, _ in stored}
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in names), None)


def _try(connection: sqlite3.Connection, name: str, statement: str) -> None:
    try:
        connection.execute(statement).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise PlanError(f"{name}: a column's expression or the condition is wrong: {error}") from error


def _create(target: str, taken: dict[str, str], stored: list[tuple[str, str, int]]) -> str:
    """A new table; a column that is taken as it is keeps its type, a computed one has none."""
    kinds = {quoted(name): kind for name, kind, _ in stored} | {name: kind for name, kind, _ in stored}
    columns = ", ".join(
        f"{quoted(name)} {kinds.get(expression.strip(), '')}".strip() for name, expression in taken.items()
    )
    return f"CREATE TABLE main.{quoted(target)} ({columns})"


def _indexes(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT sql FROM origin.sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table,)
    )
    return [sql for (sql,) in rows]
