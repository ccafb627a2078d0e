"""Tasks, stages and steps as stored, and the numbers of a plugin."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from asynclog.errors import InvalidError
from asynclog.model import EVERYTHING, AccessScope, Progress, Sealed, Stage, Step, Task
from asynclog.queries import TaskQuery
from asynclog.server.listing import listed
from asynclog.store import history, outcomes
from tests.unit.store.rows import START, add_task, database, insert, plan, statements

SECOND = 1_000_000
HUGE = base64.urlsafe_b64encode(b'["created_at",true,1,99999999999999999999]').decode()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = database()
    yield connection
    connection.close()


def ids(connection: sqlite3.Connection, **query: Any) -> list[str]:
    """The tasks of a page, by id."""
    return [task.id for task in history.tasks(connection, TaskQuery(**query)).tasks]


def ran(connection: sqlite3.Connection, task_id: str, seconds: float, **values: Any) -> None:
    """A task that took so long."""
    finished = START + round(seconds * SECOND)
    add_task(connection, task_id, **{"started_at": START, "finished_at": finished, **values})


def pages(connection: sqlite3.Connection, **query: Any) -> list[str]:
    """Every page of a list, by following its cursors."""
    found: list[str] = []
    cursor = None
    while True:
        page = history.tasks(connection, TaskQuery(limit=2, cursor=cursor, **query))
        found += [task.id for task in page.tasks]
        cursor = page.next
        if cursor is None:
            return found


def test_a_task_comes_back_as_it_was_declared(connection: sqlite3.Connection) -> None:
    """Every column reaches its field: numbers, flags, free-form JSON as text, progress and seal as values."""
    columns: dict[str, Any] = {
        "name": 'ni"ght\n😀',
        "plugin": "backup",
        "account": "acme",
        "site": "north",
        "parent_id": "parent",
        "schedule_id": "s",
        "run_id": "r",
        "external": 1,
        "trigger_type": "webhook",
        "trigger_data": '{"a":1.0}',
        "params": '{"full":true}',
        "status": "failed",
        "cancelling": 1,
        "progress": '{"current":3,"total":10,"message":"half"}',
        "result": "[1,2.50]",
        "error_message": "boom",
        "error_stack": "Traceback\n  …",
        "created_at": START,
        "started_at": START + 1,
        "finished_at": START + 2 * SECOND,
        "sealed": '{"count":17,"last_seq":18}',
        "lease_until": START + 9,
        "metadata": '{"m":null}',
        "last_seq": 18,
        "debug_count": 1,
        "info_count": 2,
        "warning_count": 3,
        "error_count": 4,
        "dropped": 5,
    }
    insert(connection, "tasks", id="t", **columns)
    json = {f"{name}_json": columns.pop(name) for name in ("trigger_data", "params", "result", "metadata")}
    counts = {level: columns.pop(f"{level.lower()}_count") for level in ("DEBUG", "INFO", "WARNING", "ERROR")}
    columns |= {"external": True, "cancelling": True, "sealed": Sealed(17, 18), "progress": Progress(3, 10, "half")}
    expected = Task(id="t", counts=counts, **json, **columns)
    assert history.task(connection, "t", EVERYTHING) == expected
    assert history.tasks(connection, TaskQuery()).tasks == [expected]


def test_a_bare_task_has_the_defaults(connection: sqlite3.Connection) -> None:
    """What is NULL in the database is None in the value, and flags are false."""
    add_task(connection, "t", status="pending")
    none = {"DEBUG": 0, "INFO": 0, "WARNING": 0, "ERROR": 0}
    expected = Task(id="t", name="t", plugin="p", created_at=START, counts=none)
    assert history.task(connection, "t", EVERYTHING) == expected


@pytest.mark.parametrize("text", ["\ufffd", "x\ufffe", "Y\uffff Z"])
def test_a_list_tells_apart_what_like_does_not(connection: sqlite3.Connection, text: str) -> None:
    """SQLite's LIKE takes U+FFFD, U+FFFE and U+FFFF for one another; a list takes each for itself, as the live one."""
    for number, other in enumerate("\ufffd\ufffe\uffff"):
        shown = "".join(other if character in "\ufffd\ufffe\uffff" else character for character in text)
        add_task(connection, f"name {number}", name=f"a {shown.lower()} b")
        add_task(connection, f"error {number}", error_message=shown.upper())
    query = TaskQuery(text=text)
    found = history.tasks(connection, query).tasks
    assert len(found) == 2
    everything = history.tasks(connection, TaskQuery()).tasks
    assert [task.id for task in found] == [task.id for task in everything if listed(task, query)]


def test_tasks_outside_the_scope_or_being_deleted_are_not_there(connection: sqlite3.Connection) -> None:
    """In lists and by id alike."""
    add_task(connection, "ours", account="acme", site="north")
    add_task(connection, "theirs", account="globex", site="north")
    add_task(connection, "bare")
    add_task(connection, "gone", account="acme", site="north", deleted_at=1)
    ours = AccessScope(account="acme", site="north")
    assert ids(connection, access=ours) == ["ours"]
    assert ids(connection, access=AccessScope(site="north")) == ["theirs", "ours"]
    assert ids(connection) == ["bare", "theirs", "ours"]
    assert ids(connection, account="globex", access=ours) == []
    assert history.task(connection, "theirs", ours) is None
    assert history.task(connection, "gone", EVERYTHING) is None
    assert history.task(connection, "nobody", EVERYTHING) is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "edcba"),
        ({"status": ("failed",)}, "b"),
        ({"status": ("running", "pending")}, "ed"),
        ({"status": ("success", "failed")}, "cba"),
        ({"plugin": ("backup",)}, "eba"),
        ({"plugin": ("backup", "reindex"), "status": ("success",)}, "ca"),
        ({"trigger_type": ("webhook", "api")}, "b"),
        ({"account": "acme"}, "ca"),
        ({"account": "acme", "site": "north"}, "a"),
        ({"parent": "a"}, "b"),
        ({"schedule": "s1"}, "c"),
        ({"text": "NIGHT"}, "a"),
        ({"text": "50%_"}, "b"),
        ({"text": "reindex"}, "c"),
        ({"text": "É"}, "d"),
        ({"text": "é"}, ""),
        ({"text": ""}, "edcba"),
        ({"started_after": START + 10 * SECOND}, "dcb"),
        ({"started_before": START + 10 * SECOND}, "a"),
        ({"finished_after": START + 30 * SECOND}, "cb"),
        ({"min_duration": 20}, "cb"),
        ({"max_duration": 20.0}, "ba"),
        ({"min_duration": 5, "max_duration": 1e300, "order_by": "duration"}, "cba"),
        ({"order_by": "started_at"}, "dcbae"),
        ({"order_by": "started_at", "descending": False}, "eabcd"),
        ({"order_by": "duration", "text": "backup"}, "bae"),
        ({"order_by": "duration", "parent": "a"}, "b"),
        ({"descending": False, "limit": 2}, "ab"),
    ],
)
def test_a_list_shows_what_was_asked_for_in_order(
    connection: sqlite3.Connection, query: dict[str, Any], found: str
) -> None:
    """Different conditions are ANDed, repeated values ORed; times from `after` on and up to `before`."""
    common = {"started_at": START, "finished_at": START + 5 * SECOND}
    add_task(connection, "a", plugin="backup", name="nightly", account="acme", site="north", **common)
    later = {"started_at": START + 10 * SECOND, "finished_at": START + 30 * SECOND}
    trouble = {"trigger_type": "webhook", "error_message": "50%_ full", "parent_id": "a", "status": "failed"}
    add_task(connection, "b", plugin="backup", **trouble, **later)
    late = {"started_at": START + 20 * SECOND, "finished_at": START + 90 * SECOND}
    add_task(connection, "c", plugin="reindex", account="acme", schedule_id="s1", **late)
    add_task(connection, "d", plugin="x", name="É", status="running", started_at=START + 30 * SECOND)
    add_task(connection, "e", plugin="backup", status="pending")
    assert "".join(ids(connection, **query)) == found


@pytest.mark.parametrize("order_by", ["created_at", "started_at", "duration"])
@pytest.mark.parametrize("descending", [True, False])
def test_cursors_show_every_task_once(connection: sqlite3.Connection, order_by: str, descending: bool) -> None:
    """Page after page gives the whole list: equal values, and tasks without a value yet, included."""
    for number in range(12):
        values: list[dict[str, Any]] = [
            {},
            {"status": "running", "started_at": START},
            {"started_at": START + number % 2, "finished_at": START + 2},
        ]
        add_task(connection, f"t{number:02}", **values[number % 3])
    whole = ids(connection, order_by=order_by, descending=descending)
    assert pages(connection, order_by=order_by, descending=descending) == whole
    assert sorted(whole) == [f"t{number:02}" for number in range(12)]
    assert whole == ids(connection, order_by=order_by, descending=not descending)[::-1]


def test_a_cursor_stays_put_while_tasks_come_and_go(connection: sqlite3.Connection) -> None:
    """A task created, or deleted, between two pages repeats and skips nothing else."""
    for number in range(6):
        add_task(connection, f"t{number}")
    first = history.tasks(connection, TaskQuery(limit=2))
    add_task(connection, "new")
    connection.execute("DELETE FROM tasks WHERE id IN ('t4', 't3')")
    second = history.tasks(connection, TaskQuery(limit=2, cursor=first.next))
    assert [task.id for task in first.tasks + second.tasks] == ["t5", "t4", "t2", "t1"]
    last = history.tasks(connection, TaskQuery(limit=2, cursor=second.next))
    assert ([task.id for task in last.tasks], last.next) == (["t0"], None)


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "!!!!", "bnVsbA", "WyJhIl0", "W10=", "WyJjcmVhdGVkX2F0Iix0cnVlLCJ4IiwxXQ", HUGE]
)
def test_a_made_up_cursor_is_refused(connection: sqlite3.Connection, cursor: str) -> None:
    """What no list gave is an InvalidError that names the cursor."""
    with pytest.raises(InvalidError, match="begin without one") as caught:
        history.tasks(connection, TaskQuery(cursor=cursor))
    assert caught.value.parameter == "cursor"


def test_a_cursor_of_another_order_is_refused(connection: sqlite3.Connection) -> None:
    """A cursor belongs to the order of the list that gave it."""
    for number in range(3):
        ran(connection, f"t{number}", number)
    cursor = history.tasks(connection, TaskQuery(limit=1, order_by="duration")).next
    for query in (TaskQuery(cursor=cursor), TaskQuery(cursor=cursor, order_by="duration", descending=False)):
        with pytest.raises(InvalidError, match="another order"):
            history.tasks(connection, query)


@pytest.mark.parametrize(
    ("query", "index", "sorts"),
    [
        ({}, "SCAN tasks", False),
        ({"plugin": ("p",)}, "tasks_plugin (plugin=?)", False),
        ({"plugin": ("p",), "cursor": "here"}, "tasks_plugin (plugin=? AND rank<?)", False),
        ({"status": ("failed",)}, "tasks_status (status=?)", False),
        ({"status": ("pending", "running")}, "tasks_status (status=?)", True),
        ({"account": "acme"}, "tasks_account (account=?)", False),
        ({"access": AccessScope(account="acme")}, "tasks_account (account=?)", False),
        ({"parent": "t"}, "tasks_parent (parent_id=?)", False),
        ({"schedule": "s"}, "tasks_schedule (schedule_id=?)", False),
        ({"order_by": "started_at"}, "tasks_started", False),
        ({"order_by": "started_at", "started_after": 5}, "tasks_started (started_at>?)", False),
        ({"order_by": "duration", "plugin": ("p",)}, "tasks_duration", False),
    ],
)
def test_a_list_is_read_through_an_index_in_its_order(
    connection: sqlite3.Connection, query: dict[str, Any], index: str, sorts: bool
) -> None:
    """Lists need no sorting but that of the few active tasks, so their cost is that of a page."""
    for number in range(3):
        add_task(connection, f"t{number}")
    if "cursor" in query:
        query = {**query, "cursor": history.tasks(connection, TaskQuery(limit=1)).next}
    with statements(connection) as seen:
        history.tasks(connection, TaskQuery(**query))
    assert seen
    for statement in seen:
        assert index in plan(connection, statement)
        assert ("TEMP B-TREE" in plan(connection, statement)) is sorts


def test_stages_come_by_number(connection: sqlite3.Connection) -> None:
    """With every field, in the order of their numbers; none of a task that is being deleted."""
    add_task(connection, "t")
    ended: dict[str, Any] = {
        "pending": 120,
        "processed": 119,
        "credits_used": 1.5,
        "finished_at": START + 5,
        "result": '{"ok":true}',
    }
    error: dict[str, Any] = {"error_message": "boom", "error_stack": "Traceback"}
    insert(connection, "stages", id="2", task_id="t", number=2, name="load", status="running", started_at=START)
    insert(
        connection, "stages", id="1", task_id="t", number=1, name="ex", status="error", started_at=1, **ended, **error
    )
    done: dict[str, Any] = {
        "pending": 120,
        "processed": 119,
        "credits_used": 1.5,
        "finished_at": START + 5,
        "result_json": '{"ok":true}',
    }
    assert history.stages(connection, "t", EVERYTHING) == [
        Stage(id="1", task_id="t", number=1, name="ex", status="error", started_at=1, **done, **error),
        Stage(id="2", task_id="t", number=2, name="load", started_at=START),
    ]
    connection.execute("UPDATE tasks SET deleted_at = 1")
    assert history.stages(connection, "t", EVERYTHING) == []


def test_steps_come_in_order_and_one_with_its_data(connection: sqlite3.Connection) -> None:
    """The list leaves input and output out; a single step has them, and belongs to its task alone."""
    add_task(connection, "t")
    add_task(connection, "other")
    node = {"node_id": "n", "node_type": "http", "node_name": "fetch"}
    for index in (2, 0, 1):
        insert(
            connection, "steps", id=f"s{index}", task_id="t", step_index=index, status="running", started_at=1, **node
        )
    ended = {"status": "error", "finished_at": 9, "error_message": "boom", "error_stack": "Traceback", "stage": "load"}
    labels = {"unit": "u", "parent_id": "s0"}
    connection.execute(
        f"UPDATE steps SET {', '.join(f'{name} = ?' for name in {**ended, **labels})},"
        " input_data = '{\"url\":1.0}', output_data = '[]' WHERE id = 's1'",
        [*ended.values(), *labels.values()],
    )
    values: dict[str, Any] = {"id": "s1", "task_id": "t", "step_index": 1, "started_at": 1, **node, **ended, **labels}
    assert [step.id for step in history.steps(connection, "t", EVERYTHING)] == ["s0", "s1", "s2"]
    assert history.steps(connection, "t", EVERYTHING)[1] == Step(**values)
    assert [step.id for step in history.steps(connection, "t", EVERYTHING, "s0", 1)] == ["s1"]
    assert history.steps(connection, "other", EVERYTHING, "s0") == []
    assert history.step(connection, "t", "s1", EVERYTHING) == Step(**values, input_json='{"url":1.0}', output_json="[]")
    assert history.step(connection, "other", "s1", EVERYTHING) is None
    assert history.step(connection, "t", "nobody", EVERYTHING) is None
    connection.execute("UPDATE tasks SET deleted_at = 1")
    assert history.steps(connection, "t", EVERYTHING) == []
    assert history.step(connection, "t", "s1", EVERYTHING) is None


def test_plugin_stats_are_counts_share_and_percentiles(connection: sqlite3.Connection) -> None:
    """By status; success among the ended ones; p50 and p95 by nearest rank over tasks that ran."""
    for number in range(1, 21):
        ran(connection, f"s{number}", number)
    ran(connection, "failed", 100, status="failed")
    add_task(connection, "running", status="running", started_at=START)
    add_task(connection, "never", status="cancelled", finished_at=START)
    ran(connection, "other", 500, plugin="q")
    ran(connection, "gone", 500, deleted_at=1)
    stats = outcomes.plugin_stats(connection, "p", EVERYTHING)
    assert (stats.plugin, stats.total) == ("p", 23)
    expected = {"pending": 0, "running": 1, "success": 20, "failed": 1, "cancelled": 1, "interrupted": 0}
    assert stats.by_status == expected
    assert stats.success_rate == 20 / 22
    assert (stats.p50, stats.p95) == (11.0, 20.0)


def test_plugin_stats_of_nothing_are_none(connection: sqlite3.Connection) -> None:
    """Without ended tasks there is no rate and no percentile; one task is its own; scopes count their own."""
    nothing = outcomes.plugin_stats(connection, "p", EVERYTHING)
    assert (nothing.total, nothing.success_rate, nothing.p50, nothing.p95) == (0, None, None, None)
    ran(connection, "one", 2.5, account="acme", status="failed")
    one = outcomes.plugin_stats(connection, "p", AccessScope(account="acme"))
    assert (one.total, one.success_rate, one.p50, one.p95) == (1, 0.0, 2.5, 2.5)
    assert outcomes.plugin_stats(connection, "p", AccessScope(account="globex")).total == 0


def test_node_stats_are_those_of_the_newest_tasks(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of each node by status, with percentiles; only of the plugin's newest tasks that the scope sees."""
    monkeypatch.setattr(outcomes, "NODE_TASKS", 10)
    node = {"node_type": "http", "step_index": 0, "started_at": START}
    for number in range(12):
        add_task(connection, f"t{number}")
        ended = START + number * SECOND
        values = {"status": "success", "finished_at": ended, "node_id": "fetch", "node_name": "Fetch", **node}
        insert(connection, "steps", id=f"f{number}", task_id=f"t{number}", **values)
    values = {"status": "running", "node_id": "a", "node_name": "A", **node}
    insert(connection, "steps", id="r", task_id="t11", **values)
    insert(connection, "steps", id="e", task_id="t11", **{**values, "status": "error", "finished_at": START + 500_000})
    waiting, fetch = outcomes.node_stats(connection, "p", EVERYTHING)
    assert (waiting.node_id, waiting.total, waiting.by_status) == ("a", 2, {"running": 1, "error": 1})
    assert (waiting.p50, waiting.p95) == (0.5, 0.5)
    assert (fetch.node_name, fetch.total, fetch.by_status) == ("Fetch", 10, {"success": 10})
    assert (fetch.p50, fetch.p95) == (6.0, 11.0)
    assert outcomes.node_stats(connection, "p", AccessScope(account="acme")) == []


def test_expired_are_ended_tasks_too_old_or_too_many(connection: sqlite3.Connection) -> None:
    """By age, by number within each plugin, or either; never one that runs or is being deleted already."""
    for number in range(5):
        add_task(connection, f"p{number}", finished_at=START + number)
    add_task(connection, "q0", plugin="q", finished_at=START)
    add_task(connection, "old", status="running", started_at=1)
    add_task(connection, "gone", finished_at=1, deleted_at=2)
    assert history.expired(connection, None, None, None, EVERYTHING) == []
    assert sorted(history.expired(connection, START + 2, None, None, EVERYTHING)) == ["p0", "p1", "q0"]
    assert sorted(history.expired(connection, START + 2, None, "p", EVERYTHING)) == ["p0", "p1"]
    assert sorted(history.expired(connection, None, 3, None, EVERYTHING)) == ["p0", "p1", "p2"]
    assert sorted(history.expired(connection, START + 1, 4, None, EVERYTHING)) == ["p0", "p1", "q0"]
    assert sorted(history.expired(connection, None, 0, "q", EVERYTHING)) == ["q0"]


def test_many_tasks_of_one_account_expire_none_of_another(connection: sqlite3.Connection) -> None:
    """How many tasks of a plugin are kept is counted for each account and site by itself."""
    add_task(connection, "other", account="other", finished_at=START)
    add_task(connection, "site", account="acme", site="x", finished_at=START)
    add_task(connection, "none", finished_at=START)
    for number in range(3):
        add_task(connection, f"p{number}", account="acme", finished_at=START + number)
    assert sorted(history.expired(connection, None, 1, None, EVERYTHING)) == ["p0", "p1"]
