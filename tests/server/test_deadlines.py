"""No question keeps a connection to the database for ever, and whoever asked is told."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asynclog.server.routes import OPERATIONS
from asynclog.store.sqlite import Database, QueryTimeoutError
from tests.server.running import Running
from tests.server.test_problems import check

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def test_every_route_that_reads_has_a_deadline(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that the database does not answer in time is ended there, and is 503 with a sentence and a time to
    try again, whatever was asked; afterwards everything is answered as before.
    """
    task_id = await shared.say("hello")
    external = (await shared.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"]
    read = Database.read

    async def slow(self: Database, function: Callable[[sqlite3.Connection], Any], deadline: float = 10.0) -> Any:
        return await read(self, lambda connection: (connection.execute(ENDLESS).fetchone(), function(connection)), 0.05)

    routes = [o for o in OPERATIONS if o.method == "GET" and 503 in o.errors and o.path != "/readyz"]
    paths = {o.path.replace("{task_id}", task_id).replace("{name}", "talk").replace("{step_id}", "x") for o in routes}
    light = {f"/api/tasks/{task_id}"}  # known without the database
    assert len(paths) > 10
    with monkeypatch.context() as patch:
        patch.setattr(Database, "read", slow)
        for path in sorted(paths - light):
            answer = await shared.client.get(path)
            detail = check(answer, 503)["detail"]
            assert re.search("took longer than 0.05 s", detail), path
            assert answer.headers["retry-after"] == "1"
    for path in paths:
        assert (await shared.client.get(path)).status_code in (200, 404), path
    assert external


async def test_a_deadline_between_two_statements_counts(shared: Running) -> None:
    """A question of several statements is ended, too, when its time runs out while none of them is at work."""
    late = threading.Event()
    database: Database = shared.tasks.engine._database

    def dawdle(connection: sqlite3.Connection) -> Any:
        late.wait(0.3)
        return connection.execute(ENDLESS).fetchone()

    with pytest.raises(QueryTimeoutError):
        await database.read(dawdle, 0.01)
    assert await database.read(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
