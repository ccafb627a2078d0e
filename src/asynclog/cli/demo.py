"""What ``asynclog demo`` has to show: tasks that do real work on real files."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

from asynclog.model import Task
from asynclog.tasks.context import TaskContext
from asynclog.tasks.manager import TaskManager

LOG_RATE: Final = 40.0
"""Entries a second of a log file: quick enough to be alive."""
TEXT_RATE: Final = 10.0
"""And of a text: slow enough to be read."""
MAX_TEXTS: Final = 4
PACKAGE: Final = Path(__file__).resolve().parents[1]
TEXTS: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**/*.md")

_INVENTORY: Final = """
CREATE TABLE files (path TEXT PRIMARY KEY, kind TEXT NOT NULL, bytes INTEGER NOT NULL, lines INTEGER NOT NULL,
 sha256 TEXT NOT NULL);
CREATE INDEX files_by_kind ON files (kind, bytes)"""


async def inventory(params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Measures every file of a folder into a SQLite file, then has both backed up and the table migrated.

    Parameters: ``folder``, and ``target`` for all that is made.
    """
    folder, target = Path(params["folder"]), Path(params["target"])
    database, copy = target / "inventory.db", target / "texts"
    log = context.logger
    async with context.stage("measure", number=1) as stage:
        measured = await asyncio.to_thread(_measure, folder, database, context)
        stage.processed, stage.result = measured["files"], measured
    async with context.stage("copy", number=2):
        copied = await asyncio.to_thread(_copy, copy, context)
        log.info("%d texts copied to %s", copied, copy)
    async with context.stage("hand over", number=3):
        backups = {"database": str(database), "folder": str(copy), "target": str(target / "backups")}
        children = [
            await context.start("backup", backups, name="backup of the inventory"),
            await context.start(
                "migration", {"source": str(database), "target": str(target / "moved.db")}, name="move of the inventory"
            ),
        ]
        for child in children:
            log.info("started %s", child.name, task=child.id)
    return measured


def _measure(folder: Path, database: Path, context: TaskContext) -> dict[str, Any]:
    """Runs in a thread."""
    shutil.rmtree(database.parent, ignore_errors=True)
    database.parent.mkdir(parents=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    context.logger.info("measuring %d files in %s", len(files), folder)
    total = 0
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_INVENTORY)
        for number, path in enumerate(files, 1):
            data = path.read_bytes()
            name, lines = path.relative_to(folder).as_posix(), data.count(b"\n")
            row = (name, path.suffix.lstrip(".") or "none", len(data), lines, hashlib.sha256(data).hexdigest())
            connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)
            total += len(data)
            source = context.logger.with_source(row[1])
            source.log("DEBUG" if not data else "INFO", "%s: %d lines, %d bytes", name, lines, len(data))
            context.logger.progress(number, len(files))
        connection.commit()
    return {"files": len(files), "bytes": total}


def _copy(target: Path, context: TaskContext) -> int:
    """Runs in a thread."""
    target.mkdir()
    copied = 0
    for path in texts():
        shutil.copy(path, target / path.name)
        context.logger.with_source("copy").info("%s", path)
        copied += 1
    return copied


def texts() -> Iterator[Path]:
    """The project's own texts: those of the current directory, else the one that every installation has."""
    here = Path.cwd()
    found = [path for pattern in TEXTS for path in sorted(here.glob(pattern)) if path.is_file()]
    installed = (
        Path(str(distribution("asynclog").locate_file(""))) / f"asynclog-{distribution('asynclog').version}.dist-info"
    )
    yield from found or [path for path in (installed / "METADATA",) if path.is_file()]


async def begin(tasks: TaskManager, target: Path, replay: Sequence[Path]) -> list[Task]:
    """Start the tasks; they run on while the service serves.

    Args:
        tasks: where.
        target: a folder of the demo's own, emptied.
        replay: log files to replay; without any the project's texts are read out.
    """
    started = [
        await tasks.start(
            inventory, {"folder": str(PACKAGE), "target": str(target)}, name="inventory of the program's own files"
        ),
        await tasks.start("command", {"argv": [sys.executable, "-VV"]}, name="which Python this is"),
    ]
    if any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        started.append(await tasks.start("git", {"repository": str(Path.cwd())}, name=f"git {Path.cwd().name}"))
    for path in replay or list(texts())[:MAX_TEXTS]:
        params = {"path": str(path), "rate": LOG_RATE if replay else TEXT_RATE}
        started.append(await tasks.start("replay", params, name=f"replay of {path.name}"))
    return started
