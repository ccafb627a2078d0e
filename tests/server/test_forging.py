"""Nobody outside speaks as asynclog itself: ``system`` is ours, whichever way an entry comes, however it is spelt."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from asynclog import LogCapturingEmitter, PlainEmitter
from asynclog.logger import poses_as_system
from asynclog.tasks.context import TaskContext
from tests.server.running import Running, running

FORGED = (
    "system",
    "SYSTEM",
    " system ",
    "System\t",
    "sys\u200btem",
    "\u202esystem\u202c",
    "\uff53\uff59\uff53\uff54\uff45\uff4d",
    "\u0455y\u0455t\u0435m",
    "\u0405YSTEM",
    "system\x07",
    "system\ufe0f",
    "sys\u034ftem",
    "sy\u0332stem",
    "system\u3164",
    "\u2800system",
)
HONEST = ("plugin", "system-check", "ecosystem", "systems", "superset_api", "stdout", "système")


@pytest.mark.parametrize("source", FORGED)
def test_what_looks_like_system_poses_as_it(source: str) -> None:
    """Case, blanks, invisible characters, full width and look-alike letters do not make it another source."""
    assert poses_as_system(source)


@pytest.mark.parametrize("source", HONEST)
def test_other_sources_are_what_they_say(source: str) -> None:
    """A source that nobody would take for ours is kept."""
    assert not poses_as_system(source)


async def pretend(_params: Any, context: TaskContext) -> None:
    """Tries to speak as the system in every way a plugin has."""
    for source in FORGED:
        context.logger.with_source(source).info("forged")
        context.logger.bind(source=source).info("forged", metadata={"source": source})
    emitter = LogCapturingEmitter(PlainEmitter(), context.logger.with_source("system"))
    emitter.emit_info("forged", source="system")
    emitter.emit_stage("system", "forged")
    async with context.stage("system"):
        context.logger.info("forged")


async def _forged(service: Running, task_id: str) -> list[dict[str, Any]]:
    page = (await service.client.get(f"/api/tasks/{task_id}/logs?limit=1000&search=forged")).json()
    assert page["entries"]
    return list(page["entries"])


async def test_a_plugin_is_no_system(tmp_path: Path) -> None:
    """A plugin's loggers, bound metadata, emitters and stages never make an entry of ours; the claim is kept."""
    async with running(tmp_path / "data", plugins={"pretend": pretend}) as service:
        task_id = await service.run("pretend")
        entries = await _forged(service, task_id)
        assert {entry["source"] for entry in entries} == {"plugin"}
        assert sum("claimed_source" in (entry["metadata"] or {}) for entry in entries) >= len(FORGED)
        text = (await service.client.get(f"/api/tasks/{task_id}/logs/export?format=text&search=forged")).text
        assert "[system]" not in text


async def test_ingested_lines_are_no_system(tmp_path: Path) -> None:
    """Lines that come over HTTP become entries of ``plugin``, the claim kept, whatever stage and metadata say."""
    async with running(tmp_path / "data") as service:
        task = await service.post("/api/tasks", {"external": True, "name": "outside"}, 201)
        rest = {"message": "forged", "stage": "system", "metadata": {"source": "system"}}
        lines = [{**rest, "source": source} for source in FORGED]
        answer = await service.client.post(f"/api/tasks/{task['id']}/logs", content="\n".join(map(json.dumps, lines)))
        assert answer.json()["accepted"] == len(FORGED)
        entries = await _forged(service, task["id"])
        assert {entry["source"] for entry in entries} == {"plugin"}
        assert all(entry["metadata"]["claimed_source"] for entry in entries)


async def test_output_of_a_child_is_no_system(tmp_path: Path) -> None:
    """Whatever a command writes is an entry of stdout or stderr, one a line, even if it looks like one of ours."""
    line = "2026-02-07 12:00:00.123 INFO  [system] forged: task finished"
    async with running(tmp_path / "data") as service:
        script = (
            f"import sys; print({line!r}); print({line!r}, file=sys.stderr); print('a\\x1b[1A\\rforged\\x85forged')"
        )
        task_id = await service.run("command", argv=[sys.executable, "-c", script])
        entries = await _forged(service, task_id)
        said = [entry for entry in entries if entry["source"] != "plugin"]  # the plugin names the command itself
        assert {entry["source"] for entry in said} == {"stdout", "stderr"}
        exported = (await service.client.get(f"/api/tasks/{task_id}/logs/export?format=text")).text
        total = (await service.client.get(f"/api/tasks/{task_id}/logs")).json()["total"]
        assert exported.count("\n") == total
        tail = (await service.client.get(f"/api/tasks/{task_id}/tail?lines=1000")).text
        ours = [row for row in exported.split("\n") if row[30:].startswith("[system]")]
        assert len(ours) == 2
        assert [row for row in tail.split("\n") if row[30:].startswith("[system]")] == ours


async def test_a_source_does_not_break_out_of_its_brackets(tmp_path: Path) -> None:
    """In text a source ends where it ends: one that holds a bracket is not read as ours with another message."""
    async with running(tmp_path / "data") as service:
        task_id = await service.say({"message": "forged", "source": "system] task finished ["})
        text = (await service.client.get(f"/api/tasks/{task_id}/logs/export?format=text&search=forged")).text
        assert "[system\\x5d task finished [] forged" in text
