"""The contract of everything that reads for a caller: it takes a scope, obeys it, and has it in the statement."""

from __future__ import annotations

import inspect
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.filters import LogFilter
from asynclog.frames import Frames
from asynclog.model import (
    AUDIT_PLUGIN,
    EVERYTHING,
    AccessScope,
    Gap,
    Level,
    Stage,
    Step,
    Task,
    TraceItem,
)
from asynclog.protocols import Archive, History
from asynclog.queries import EntryQuery, TaskQuery
from asynclog.records import (
    BatchRecord,
    EntryRecord,
    GapRecord,
    Lines,
    Record,
    StageRecord,
    StepRecord,
    TaskRecord,
    TraceRecord,
    encode,
)
from asynclog.store import counts, entries, history, outcomes, selection
from asynclog.store.adapter import SqliteStore
from asynclog.store.scope import seen_task, visible
from asynclog.store.sqlite import Database
from tests.unit.store.rows import add_entries, add_task, database, entry, index, insert, statements

NOW = 1_770_465_600_000_000
OWN = AccessScope(account="a", site="s")
SCOPES = {
    "another account": AccessScope(account="b", site="s"),
    "another site": AccessScope(account="a", site="t"),
    "another account's site": AccessScope(account="b"),
    "a site elsewhere": AccessScope(site="t"),
    "other letters": AccessScope(account="A"),
}
WIDER = {"both": OWN, "the account": AccessScope(account="a"), "the site": AccessScope(site="s"), "all": AccessScope()}

Ask = Callable[[Any, AccessScope, str], Awaitable[Any]]
"""Asks a store about the task or plugin of this name within a scope."""

ARCHIVE: dict[str, Ask] = {
    "entries": lambda store, access, name: store.entries(EntryQuery(task_id=name, access=access)),
    "view": lambda store, access, name: store.view(EntryQuery(task_id=name, access=access), total=True),
    "count": lambda store, access, name: store.count(EntryQuery(task_id=name, access=access), 5.0),
    "stats": lambda store, access, name: store.stats(EntryQuery(task_id=name, access=access)),
    "histogram": lambda store, access, name: store.histogram(EntryQuery(task_id=name, access=access), 5),
    "gaps": lambda store, access, name: store.gaps(name, access),
    "stage_counts": lambda store, access, name: store.stage_counts(name, access),
    "batch_answer": lambda store, access, name: store.batch_answer(name, "batch", access),
}
HISTORY: dict[str, Ask] = {
    "tasks": lambda store, access, name: store.tasks(TaskQuery(plugin=(name,), access=access)),
    "task": lambda store, access, name: store.task(name, access),
    "stages": lambda store, access, name: store.stages(name, access),
    "steps": lambda store, access, name: store.steps(name, access),
    "step": lambda store, access, name: store.step(name, f"{name}-step", access),
    "open_steps": lambda store, access, name: store.open_steps(name, access),
    "plugin_stats": lambda store, access, name: store.plugin_stats(name, access),
    "node_stats": lambda store, access, name: store.node_stats(name, access),
    "expired": lambda store, access, name: store.expired(NOW + 10, None, name, access),
    "weigh": lambda store, access, name: store.weigh([name], access),
}
CALLS = {**ARCHIVE, **HISTORY}


def life(task_id: str, **values: Any) -> list[Record]:
    """Everything a task can have."""
    ended: dict[str, Any] = {"status": "success", "created_at": NOW, "started_at": NOW, "finished_at": NOW + 5}
    step: dict[str, Any] = {"step_index": 0, "node_id": "n", "node_type": "t", "node_name": "n", "started_at": NOW}
    lines = Lines(1, NOW, int(Level.INFO), "plugin", "extract", "u", "from outside", None)
    return [
        TaskRecord(task_id, Task(id=task_id, name=task_id, plugin=task_id, **ended, **values)),
        EntryRecord(task_id, NOW, int(Level.ERROR), "plugin", "extract", "u", None, "m" * 20_000, None),
        BatchRecord(task_id, [msgspec.Raw(encode(lines))], "batch", "{}"),
        GapRecord(task_id, Gap(task_id=task_id, from_seq=3, to_seq=4, reason="full")),
        StageRecord(task_id, Stage(id=f"{task_id}-stage", task_id=task_id, number=1, name="extract", started_at=NOW)),
        StepRecord(task_id, Step(id=f"{task_id}-step", task_id=task_id, **step)),
        TraceRecord(task_id, TraceItem(task_id=task_id, timestamp=NOW, event="run_start")),
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store with a task ``own`` of account a and site s, and the audit."""
    async with Database(tmp_path / "asynclog.db") as opened:
        found = SqliteStore(opened)
        frames = Frames()
        record_id = 0
        for task_id, values in (("own", {"account": "a", "site": "s"}), (AUDIT_PLUGIN, {})):
            seq = 0
            for record in life(task_id, **values):
                numbered = isinstance(record, EntryRecord | BatchRecord)
                record_id, seq = record_id + 1, seq + numbered
                frames.append((record_id, seq if numbered else 0, 1, encode(record)))
        await found.commit("journal", frames, record_id)
        yield found


def _blank(answer: Any, method: str) -> Any:
    """The answer as plain values, without the name that was asked for."""
    plain = msgspec.to_builtins(answer)
    return {**plain, "plugin": ""} if method == "plugin_stats" else plain


NAMES = (None, "a", "A", "")


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=8))
def test_the_statement_and_the_predicate_mean_the_same(tasks: list[tuple[str | None, str | None, bool]]) -> None:
    """Whatever the task and the scope: `AccessScope.sees`, the condition in SQL and the look-up by id agree."""
    connection = database()
    for number, (account, site, audit) in enumerate(tasks):
        plugin = AUDIT_PLUGIN if audit else "p"
        add_task(connection, str(number), account=account, site=site, plugin=plugin)
    for account, site, audit in itertools.product(NAMES, NAMES, (False, True)):
        access = AccessScope(account, site, audit)
        condition, params = visible(access)
        found = connection.execute(f"SELECT id FROM tasks WHERE {condition} ORDER BY rank", params)
        by_id = [seen_task(str(number), access) for number in range(len(tasks))]
        looked_up = [connection.execute(f"SELECT {task}", values).fetchone() for task, values in by_id]
        told = [history.task(connection, str(number), EVERYTHING) for number in range(len(tasks))]
        expected = [task.id for task in told if task is not None and access.sees(task)]
        assert [row[0] for row in found.fetchall()] == expected
        assert [row[0] for row in looked_up if row[0] is not None] == expected
    connection.close()


def test_every_method_takes_a_scope() -> None:
    """No method of the reading protocols can be called without saying for whom, and each of them is tried here."""
    for protocol, calls in ((Archive, ARCHIVE), (History, HISTORY)):
        methods = {name: method for name, method in vars(protocol).items() if not name.startswith("_")}
        assert set(methods) == set(calls), f"say in this test how each method of {protocol.__name__} is asked"
        for implementation in (protocol, SqliteStore):
            for name in methods:
                hints = get_type_hints(getattr(implementation, name))
                takes = [kind for kind in hints.values() if kind in (AccessScope, EntryQuery, TaskQuery)]
                assert len(takes) == 1, f"{implementation.__name__}.{name} takes no scope"
                access = inspect.signature(getattr(implementation, name)).parameters.get("access")
                assert access is None or access.default is inspect.Parameter.empty, f"{name} may be asked without"


@pytest.mark.parametrize("method", CALLS)
async def test_what_is_outside_the_scope_is_not_there(store: SqliteStore, method: str) -> None:
    """Each method answers about another's task as about none, and about one's own as an admin is answered."""
    ask = CALLS[method]
    whole = _blank(await ask(store, EVERYTHING, "own"), method)
    nothing = _blank(await ask(store, EVERYTHING, "nobody"), method)
    assert whole != nothing, "there is nothing to hide"
    for name, scope in SCOPES.items():
        assert _blank(await ask(store, scope, "own"), method) == nothing, name
    for name, scope in WIDER.items():
        assert _blank(await ask(store, scope, "own"), method) == whole, name


@pytest.mark.parametrize("method", [name for name in CALLS if name != "expired"])
async def test_the_audit_is_there_for_its_scope_alone(store: SqliteStore, method: str) -> None:
    """Each method knows of the audit when the scope says so; never for an account, a site, or all without it."""
    ask = CALLS[method]
    nothing = _blank(await ask(store, EVERYTHING, "nobody"), method)
    assert _blank(await ask(store, EVERYTHING, AUDIT_PLUGIN), method) != nothing
    for scope in (AccessScope(), OWN, AccessScope(account="a", audit=True), AccessScope(site="s", audit=True)):
        assert _blank(await ask(store, scope, AUDIT_PLUGIN), method) == nothing


async def test_the_audit_is_in_no_list_that_does_not_name_it(store: SqliteStore) -> None:
    """Lists of tasks and entries, counts over all of them and what has expired leave it out, whoever asks."""
    page = await store.tasks(TaskQuery())
    assert [task.id for task in page.tasks] == ["own"]
    assert len((await store.entries(EntryQuery())).lines) == 2
    assert (await store.stats(EntryQuery())).total == 2
    assert await store.count(EntryQuery(), 5.0) == 2
    assert await store.expired(NOW + 10, None, None, EVERYTHING) == ["own"]
    assert await store.expired(None, 0, None, EVERYTHING) == ["own"]


async def test_retention_within_a_scope(store: SqliteStore) -> None:
    """What has expired is what one sees of it."""
    assert await store.expired(None, 0, None, OWN) == ["own"]
    assert await store.expired(None, 1, None, OWN) == []
    assert await store.expired(None, 0, None, SCOPES["another site"]) == []


@pytest.mark.parametrize("large", [False, True])
def test_each_statement_about_a_task_holds_the_scope(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    """What is read of one task is read by statements that name the caller's account and site themselves.

    So it is where a large task is read through the index of blocks, which itself is about no one's entries.
    """
    if large:
        monkeypatch.setattr(selection, "_FEW_ENTRIES", 0)
    connection = database()
    add_task(connection, "t", account="a", site="s")
    huge = entry(message="m" * 3_000_000)
    add_entries(connection, [huge, *[entry(stage="x", unit="u", step_id="n") for _ in range(40)]])
    insert(connection, "gaps", task_id="t", from_seq=50, to_seq=51, reason="full")
    index(connection)
    asked = [("unit", "u"), ("level", "ERROR"), ("search", "hello"), ("step_id", "n"), ("level", "INFO")]
    with statements(connection) as seen:
        _ask_everything(connection, asked)
    assert len(seen) > 20
    assert any("log_segments" in statement for statement in seen) == large
    assert any("FROM task_logs WHERE id = 1" in statement for statement in seen), (
        "the large entry was not read by itself"
    )
    for statement in seen:
        if statement in ("BEGIN", "COMMIT") or ("log_segments" in statement and "task_logs" not in statement):
            continue
        assert "account = 'a'" in statement, statement
        assert "site = 's'" in statement, statement
        assert "deleted_at IS NULL" in statement, statement


def _ask_everything(connection: sqlite3.Connection, asked: list[tuple[str, str]]) -> None:
    for pairs in ([], *([pair] for pair in asked)):
        query = EntryQuery(task_id="t", filter=LogFilter.parse(pairs), access=OWN, after=1, before=30, through=25)
        entries.page(connection, query)
        counts.stats(connection, query)
        counts.count(connection, query)
        counts.histogram(connection, query, 3)
        counts.view(connection, query, total=True)
    entries.page(connection, EntryQuery(task_id="t", access=OWN, max_bytes=1000))
    entries.gaps(connection, "t", OWN)
    entries.batch_answer(connection, "t", "b", OWN)
    counts.stage_counts(connection, "t", OWN)
    history.task(connection, "t", OWN)
    history.tasks(connection, TaskQuery(access=OWN))
    history.stages(connection, "t", OWN)
    history.steps(connection, "t", OWN)
    history.step(connection, "t", "n", OWN)
    history.expired(connection, 1, 1, None, OWN)
    outcomes.plugin_stats(connection, "p", OWN)
    outcomes.node_stats(connection, "p", OWN)
