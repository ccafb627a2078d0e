"""What the plugins that come along promise together: public names, an explanation, a pace that is reported."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import Entry, plugins
from asynclog.plugins import PLUGINS
from asynclog.plugins.pace import Pace, amount

FOLDER = Path(plugins.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_public_names_only(path: Path) -> None:
    """A plugin imports of asynclog what anybody may: the names at its top, and its neighbours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("asynclog") for alias in node.names)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asynclog"):
            if node.module == "asynclog":
                assert {alias.name for alias in node.names} <= set(asynclog.__all__)
            else:
                assert node.module is not None
                assert node.module.startswith("asynclog.plugins")
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith("_") and isinstance(node.value, ast.Name)
                    and node.value.id in ("context", "log", "logger"))  # fmt: skip


async def test_they_explain_themselves(runner: Any) -> None:
    """Each has a sentence that says what it does; each new one a schema in which every parameter is described."""
    assert set(PLUGINS) <= set(runner.tasks.plugins)
    for name in PLUGINS:
        plugin = runner.tasks.plugins[name]
        assert plugin.description.endswith(".")
        assert plugin.takes_context == (name != "levels")
        if plugin.takes_context:
            for definition in plugin.params_schema["$defs"].values():
                for field, schema in definition["properties"].items():
                    assert schema.get("description"), f"{name}: {field} is not described"


def test_amount() -> None:
    """Numbers are shown as people read them."""
    assert amount(1234, "rows") == "1,234 rows"
    assert [amount(size, "bytes") for size in (0, 999, 1500, 2_500_000, 3_100_000_000, 4e15)] == [
        "0 bytes", "999 bytes", "1.5 kB", "2.5 MB", "3.1 GB", "4,000.0 TB",
    ]  # fmt: skip


async def test_pace(runner: Any) -> None:
    """Progress comes once a second and at the end, with share, rate and what is left; no total, no share."""
    seconds = 0.0

    def plugin(context: asynclog.TaskContext) -> None:
        nonlocal seconds
        known = Pace(context.logger, "copied", "rows", 1000, clock=lambda: seconds)
        for _ in range(40):
            seconds += 0.125
            known.advance(25)
        known.finish()
        unknown = Pace(context.logger, "read", "bytes", clock=lambda: seconds)
        seconds += 2
        unknown.reach(4000)
        Pace(context.logger, "did", "nothing", 0, clock=lambda: seconds).finish()

    task, entries = await runner.run(plugin)
    said = [entry for entry in entries if entry.metadata and "progress" in entry.metadata]
    assert [entry.message for entry in said[:2]] == [
        "copied 200 of 1,000 rows (20%), 200 rows/s, about 4 s left",
        "copied 400 of 1,000 rows (40%), 200 rows/s, about 3 s left",
    ]
    assert said[5].message == "copied 1,000 of 1,000 rows (100%), 200 rows/s"
    assert said[6].message == "read 4.0 kB, 2.0 kB/s"
    assert len(said) == 8
    assert said[0].metadata["progress"] == {"current": 200, "total": 1000, "message": said[0].message}
    assert isinstance(said[0], Entry)
    assert task.status == "success"
