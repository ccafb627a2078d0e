"""Settings, retention and health over HTTP."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import time
from pathlib import Path

import pytest

from asynclog.server import shapes
from asynclog.settings import SETTINGS, Settings
from asynclog.testing import FaultyDisk
from tests.server.running import DEADLINE, Running, eventually, running

PLACE = "/api/settings/logging"


async def test_settings_change_at_once_and_for_good(tmp_path: Path) -> None:
    """A PUT names some settings, counts from the next log call on, and is there after a restart."""
    async with running(tmp_path) as service:
        before = await service.get(PLACE, shapes.LoggingSettings)
        assert (before.task_log_level, before.pinned) == ("INFO", [])
        quiet = await service.say({"message": "d", "level": "DEBUG"})
        changed = await service.client.put(PLACE, json={"task_log_level": "debug", "retention_days": 7})
        assert changed.status_code == 200
        assert changed.json()["task_log_level"] == "DEBUG"
        loud = await service.say({"message": "d", "level": "DEBUG"})
        for task_id, count in ((quiet, 0), (loud, 1)):
            page = await service.get(f"/api/tasks/{task_id}/logs", shapes.LogPage, level="DEBUG")
            assert len(page.entries) == count
    async with running(tmp_path) as service:
        after = await service.get(PLACE, shapes.LoggingSettings)
        assert (after.task_log_level, after.retention_days, after.flush_interval) == ("DEBUG", 7, before.flush_interval)


async def test_every_setting_is_in_the_contract(service: Running) -> None:
    """The answer holds each setting of the table, and the change takes each of them."""
    response = await service.client.get(PLACE)
    assert set(response.json()) == {*SETTINGS, "pinned"}
    assert set(shapes.LoggingChange.__struct_fields__) == set(SETTINGS)
    values = {name: value for name, value in response.json().items() if name != "pinned"}
    assert (await service.client.put(PLACE, json=values)).json() == response.json()


async def test_the_services_own_log_follows_its_level(service: Running) -> None:
    """log_level is the level of the logger asynclog, at once."""
    await service.client.put(PLACE, json={"log_level": "ERROR"})
    assert logging.getLogger("asynclog").level == logging.ERROR
    await service.client.put(PLACE, json={"log_level": "INFO"})
    assert logging.getLogger("asynclog").level == logging.INFO


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"task_log_level": "LOUD"}, "task_log_level"),
        ({"flush_interval": 0}, "flush_interval"),
        ({"message_limit": -1}, "message_limit"),
        ({"capture_enabled": "yes"}, "capture_enabled"),
        ({"colour": "red"}, "colour"),
        ({"pinned": []}, "pinned"),
        ({"log_level": None}, "log_level"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_setting_changes_nothing(shared: Running, body: dict[str, object], parameter: str) -> None:
    """A bad value or name is 422 and names it; the good ones beside it are not taken either."""
    response = await shared.client.put(PLACE, json={"retention_max_tasks": 5} | body)
    assert (response.status_code, response.json()["parameter"]) == (422, parameter)
    assert (await shared.get(PLACE, shapes.LoggingSettings)).retention_max_tasks == 0


async def test_a_pinned_setting_stays(tmp_path: Path) -> None:
    """A setting pinned by flag or environment is listed, and a PUT that names it is 409."""
    async with running(tmp_path, Settings(pinned={"task_log_level": "ERROR"})) as service:
        shown = await service.get(PLACE, shapes.LoggingSettings)
        assert (shown.task_log_level, shown.pinned) == ("ERROR", ["task_log_level"])
        response = await service.client.put(PLACE, json={"task_log_level": "INFO", "retention_days": 1})
        assert response.status_code == 409
        assert "pinned" in response.json()["detail"]
        assert (await service.get(PLACE, shapes.LoggingSettings)).retention_days == 30


async def test_retention_is_run_on_demand(service: Running) -> None:
    """A dry run says what would go; the run removes it, and never a running task."""
    held = await service.post("/api/tasks", {"plugin": "hold"}, 201)
    ended = [await service.say(f"{number}") for number in range(3)]
    await service.client.put(PLACE, json={"retention_max_tasks": 1})
    report = await service.client.post("/api/retention/run?dry_run=true")
    assert (report.json()["dry_run"], set(report.json()["task_ids"])) == (True, set(ended[:2]))
    assert (await service.client.get(f"/api/tasks/{ended[0]}")).status_code == 200
    done = (await service.client.post("/api/retention/run")).json()
    assert (done["dry_run"], done["tasks"], done["entries"]) == (False, 2, 6)
    left = [task.id for task in (await service.get("/api/tasks", shapes.TaskPage)).tasks]
    assert set(left) == {ended[2], held["id"]}


async def test_health(service: Running) -> None:
    """The process answers on /healthz and is ready on /readyz when everything works."""
    assert (await service.get("/healthz", shapes.Health)).status == "ok"
    assert await service.get("/readyz", shapes.Readiness) == shapes.Readiness(status="ready", reasons=[])


async def test_a_broken_journal_is_said(tmp_path: Path) -> None:
    """With a journal that cannot be written /readyz is 503 and says why, until it can."""
    disk = FaultyDisk()
    async with running(tmp_path, disk=disk) as service:
        task_id = await service.say("before")
        disk.write_error = disk.create_error = errno.EIO
        await service.say("during")
        told = await service.get("/readyz", shapes.Readiness, 503)
        assert told.status == "degraded"
        assert told.reasons
        assert (await service.client.get(f"/api/tasks/{task_id}/logs")).status_code == 200
        disk.write_error = disk.create_error = None
        async with asyncio.timeout(DEADLINE):
            while service.tasks.engine.degraded:  # an append after a while finds out
                await service.say("after")
        assert (await service.client.get("/readyz")).status_code == 200


async def test_a_locked_database_is_said(tmp_path: Path) -> None:
    """While another process locks the database all that is told of a task that cannot be stored says that it is
    incomplete, what was stored is shown, deleting is 503, /readyz too.
    """
    async with running(tmp_path) as service:
        task_id = await service.say("before")
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            late = await service.post("/api/tasks", {"plugin": "hold"}, 201)
            page = await service.get(f"/api/tasks/{task_id}/logs", shapes.LogPage)
            assert [entry.message for entry in page.entries[1:2]] == ["before"]
            assert await told_complete(service, late["id"]) == {False}
            assert await told_complete(service, task_id) == {True}
            refused = await service.client.delete(f"/api/tasks/{task_id}")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            await eventually(lambda: service.tasks.engine.degraded)
            assert (await service.client.get("/readyz")).status_code == 503
        finally:
            other.execute("ROLLBACK")
            other.close()
        await eventually(lambda: not service.tasks.engine.degraded)
        assert await told_complete(service, late["id"]) == {True}


async def told_complete(service: Running, task_id: str) -> set[bool]:
    """Whether what is told of a task says that it is complete."""
    asked: list[tuple[str, type[shapes.Answer]]] = [
        ("logs", shapes.LogPage),
        ("logs/stats", shapes.LogStats),
        ("logs/sources", shapes.Sources),
        ("logs/histogram", shapes.Histogram),
        ("stages", shapes.Stages),
    ]
    answers = await asyncio.gather(*(service.get(f"/api/tasks/{task_id}/{path}", shape) for path, shape in asked))
    return {answer.complete for answer in answers}


async def test_the_own_log_is_not_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the database is locked the service's own log says which requests cannot be answered, not each of them."""
    async with running(tmp_path) as service:
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            asked = [service.client.put("/api/settings/logging", json={"log_level": "INFO"}) for _ in range(2)]
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [503, 503]
        finally:
            other.execute("ROLLBACK")
            other.close()
    said = [record.getMessage() for record in caplog.records if "cannot be answered now" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("PUT /api/settings/logging cannot be answered now: the database")


async def test_what_is_stored_waits_for_nothing(tmp_path: Path) -> None:
    """Entries across tasks below what is stored are complete, and come at once, while what is newer cannot be stored;
    so are those of a task that was at rest before.
    """
    async with running(tmp_path) as service:
        task_id = await service.say("before")
    async with running(tmp_path) as service:
        older, *_, newest = (await service.get("/api/logs", shapes.SearchPage, order="asc")).entries
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            await service.post("/api/tasks", {"plugin": "hold"}, 201)
            for asked, complete in (
                ({"before_id": newest.id}, True),
                ({"before_id": newest.id + 1, "order": "asc"}, True),
                ({"task": task_id}, True),
                ({"before_id": newest.id + 1000}, False),
                ({}, False),
            ):
                page = await service.get("/api/logs", shapes.SearchPage, **asked)
                assert page.complete == complete, asked
                assert older in page.entries
        finally:
            other.execute("ROLLBACK")
            other.close()


async def test_metrics_are_counted(service: Running) -> None:
    """Prometheus text names records, requests and sockets, and no task."""
    task_id = await service.say("hi")
    response = await service.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert float(values["asynclog_records_total"]) >= 5
    assert float(values['asynclog_http_requests_total{status="2xx"}']) >= 1
    assert values["asynclog_ready"] == "1.0"
    assert task_id not in response.text


async def test_metrics_say_what_an_alarm_needs(service: Running) -> None:
    """Failures are 0 before there is one, and since when the process runs, and what it takes, is there."""
    response = await service.client.get("/metrics")
    values = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert float(values['asynclog_http_requests_total{status="5xx"}']) == 0
    assert float(values["asynclog_database_bytes"]) > 4096
    assert 0 < float(values["process_start_time_seconds"]) <= time.time()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert float(values[name]) > 0
