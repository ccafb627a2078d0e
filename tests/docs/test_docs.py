"""The documents tell the truth: examples run, and every route, setting, command and frame is written down."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog.cli.main import COMMANDS
from asynclog.config import load
from asynclog.filters import FILTER_PARAMETERS
from asynclog.server.routes import OPERATIONS
from asynclog.settings import SETTINGS
from asynclog.tasks.hooks import Hooks
from asynclog.tasks.plugin import discover

ROOT = Path(__file__).parents[2]
_EXAMPLE = re.compile(r"<!-- test: (\w+) -->\n```python\n(.*?)```", re.DOTALL)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _example(name: str, document: str) -> str:
    found = dict(_EXAMPLE.findall(_text(document)))
    return str(found[name])


def _run(
    example: str, folder: Path, params: object = None
) -> tuple[asynclog.Task, list[asynclog.Entry], list[asynclog.Step]]:
    """Run the example's ``plugin`` as a task at DEBUG."""
    scope: dict[str, Any] = {"asynclog": asynclog}
    exec(compile(example, "example", "exec"), scope)  # noqa: S102  # our own document

    async def go() -> tuple[asynclog.Task, list[asynclog.Entry], list[asynclog.Step]]:
        settings = asynclog.Settings({"task_log_level": "DEBUG"})
        async with asynclog.open(folder, settings=settings) as tasks:
            task = await tasks.run(scope["plugin"], params or {})
            page = await tasks.logs(task.id, limit=1000)
            return task, page.entries, await tasks.reader.steps(task.id)

    return asyncio.run(go())


def test_the_readme_example_runs(tmp_path: Path) -> None:
    """The ten lines in the README do what they say."""
    script = tmp_path / "example.py"
    script.write_text(_example("library", "README.md"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "success ['slow answer']"


def test_the_plugin_module_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module in docs/plugins.md is found by its dictionary, and each of its plugins runs."""
    (tmp_path / "documented_plugins.py").write_text(_example("plugin", "docs/plugins.md"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = discover(module="documented_plugins")
    assert plugins["reindex"].params_schema is not None

    async def go() -> list[Any]:
        async with asynclog.open(tmp_path / "data", plugin_module="documented_plugins") as tasks:
            with pytest.raises(asynclog.InvalidError):
                await tasks.start("reindex", {"dashboard": "seven"})
            params = {"reindex": {"dashboard": 7}, "checksum": {"numbers": [1, 2, 3]}, "legacy": {"b": 1, "a": 2}}
            return [(await tasks.run(name, given)).result for name, given in params.items()]

    assert asyncio.run(go()) == [{"full": False}, 6, {"seen": ["a", "b"]}]


def test_the_logging_example_logs(tmp_path: Path) -> None:
    """What docs/plugins.md says of the logger comes out: sources, metadata, traceback, progress, belief scope."""
    task, entries, _ = _run(_example("logging", "docs/plugins.md"), tmp_path)
    assert task.status == "success"
    by_message = {entry.message: entry for entry in entries}
    assert by_message["fetched 42 charts"].metadata == {"dashboard_id": 7}
    assert by_message["slow"].source == "superset_api"
    failure = by_message["could not divide"].metadata
    assert failure is not None
    assert failure["attempt"] == 2
    assert "ZeroDivisionError" in failure["traceback"]
    assert by_message["[reindex][Exit]"].level is asynclog.Level.DEBUG
    assert task.progress is not None
    assert (task.progress.current, task.progress.total) == (3, 10)


def test_the_handler_example_takes_what_logging_says(tmp_path: Path) -> None:
    """The handler of docs/plugins.md makes entries of what libraries log, formatted, with tracebacks."""
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        task, entries, _ = _run(_example("handler", "docs/plugins.md"), tmp_path)
    finally:
        root.handlers[:] = before
    assert task.status == "success"
    said, failed = [entry for entry in entries if entry.source == "httpx"]
    assert (said.level.name, said.message) == ("INFO", "https://example.org 200")
    assert "ZeroDivisionError" in (failed.metadata or {})["traceback"]


def test_the_history_example_leaves_history(tmp_path: Path) -> None:
    """What docs/plugins.md says of stages, units and steps comes out."""
    task, entries, steps = _run(_example("history", "docs/plugins.md"), tmp_path)
    assert task.status == "success"
    assert [(step.node_name, step.node_type, step.unit, step.status) for step in steps] == [
        ("fetch", "http", "dash-1", "success"),
        ("parse", "step", "dash-1", "success"),
        ("fetch", "http", "dash-2", "success"),
        ("parse", "step", "dash-2", "success"),
    ]
    assert any(entry.stage == "extract" for entry in entries)


def test_the_workflow_example_works(tmp_path: Path) -> None:
    """The workflow of docs/workflows.md runs on a log file, each node a step."""
    log = tmp_path / "app.log"
    log.write_text("1 INFO started\n2 ERROR no space left\n3 INFO done\n", encoding="utf-8")
    task, _, steps = _run(_example("workflow", "docs/workflows.md"), tmp_path / "data", {"path": str(log)})
    assert task.result == {"longest": 21, "errors": "1"}
    assert {step.node_id: step.status for step in steps} == dict.fromkeys(
        ("read", "levels", "longest", "errors"), "success"
    )


def test_the_emitter_example_works(tmp_path: Path) -> None:
    """What the code of docs/emitters.md tells its emitter is in the task's log, with stage and unit."""
    task, entries, _ = _run(_example("emitter", "docs/emitters.md"), tmp_path)
    scored = [entry for entry in entries if entry.message.startswith("scored")]
    assert [(entry.stage, entry.unit) for entry in scored] == [
        ("scoring", "candidate-17"),
        ("scoring", "candidate-18"),
    ]
    assert task.progress is not None
    assert task.progress.current == 2
    assert "all scored" in [entry.message for entry in entries]


def test_the_schedules_can_be_made(tmp_path: Path) -> None:
    """The schedules that docs/schedules.md adds on the command line are taken: their plugins take these parameters."""
    lines = re.findall(r"^\$ (asynclog schedules add .*)$", _text("docs/schedules.md"), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        command = [sys.executable, "-m", *shlex.split(line), "--data", str(tmp_path / "data")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", ["docs/schedules.md", "docs/operations.md", "src/asynclog/config.py"])
def test_the_configurations_count(tmp_path: Path, document: str) -> None:
    """Each asynclog.toml that is shown can be read, and its hooks start what takes their parameters."""
    shown = re.findall(r"```toml\n(.*?)```|The file::\n\n(.*?)\n\nA ", _text(document), re.DOTALL)
    assert shown
    for text in map("".join, shown):
        file = tmp_path / "asynclog.toml"
        file.write_text(re.sub(r'"sha256:[^"]*"', f'"sha256:{"0" * 64}"', textwrap.dedent(text)), encoding="utf-8")
        configuration = load(file=file)
        Hooks(configuration.hooks, discover())
        configuration.redaction.redactor()


def test_every_route_is_documented() -> None:
    """docs/http.md names every method and path that the service has."""
    text = _text("docs/http.md")
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}" in text, f"{operation.method} {operation.path}"


def test_every_setting_is_documented() -> None:
    """docs/operations.md names every setting."""
    text = _text("docs/operations.md")
    for name in SETTINGS:
        assert f"`{name}`" in text, name


def test_every_filter_parameter_is_documented() -> None:
    """docs/http.md names every filter parameter."""
    text = _text("docs/http.md")
    for name in FILTER_PARAMETERS:
        assert f"`{name.removesuffix('.KEY')}" in text, name


def test_every_command_is_documented() -> None:
    """docs/cli.md names every command."""
    text = _text("docs/cli.md")
    for name in COMMANDS:
        assert f"asynclog {name}" in text, name


_FRAMES = ("task", "entries", "stage", "step", "gap", "end", "filter", "error", "tasks", "removed")


@pytest.mark.parametrize("kind", _FRAMES)
def test_every_frame_is_documented(kind: str) -> None:
    """docs/http.md names every frame of the WebSockets."""
    assert f'{{"type": "{kind}"' in _text("docs/http.md")


def test_links_lead_somewhere() -> None:
    """Every relative link of README and docs points to a file that is there."""
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
