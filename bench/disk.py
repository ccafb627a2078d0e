"""Bytes on disk for an entry, after a checkpoint, without and with the search index, against the text itself.

The text is what the text export has of the same entries: a line with time, level, source, message and metadata.
Everything in the data directory counts: the database with all its indexes, the journal. Run files are not made here:
they are that text once more.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import asynclog
from asynclog import TaskContext, TaskManager
from asynclog.filters import NO_FILTER
from asynclog.rendering import text_lines
from asynclog.settings import Settings
from asynclog.store.blocks import SEGMENT_BITS
from bench.filled import WORDS
from bench.harness import Bench, Row, Sample, at_most

ENTRIES: Final = 300_000
SOURCES: Final = ("superset_api", "git", "storage", "plugin", "db")
INDEX_SECONDS: Final = 300.0
"""How long the index may take until it has caught up."""


async def _fill(params: Mapping[str, Any], context: TaskContext) -> None:
    chance = random.Random(1)
    loggers = [context.logger.with_source(source) for source in SOURCES]
    for number in range(params["count"]):
        words = " ".join(chance.choices(WORDS, k=10))
        log, item = loggers[number % 5], chance.getrandbits(32)
        if number % 3:
            log.info("%s, item %x of run %d", words, item, number // 1000)
        else:
            log.info("%s, item %x of run %d", words, item, number // 1000, dashboard_id=number % 99, n=number)
        if number % 500 == 0:
            await asyncio.sleep(0)


async def _text(tasks: TaskManager, task: str) -> int:
    """Bytes of the text export."""
    return sum([len(text_lines(lines).encode()) async for lines in tasks.reader.export(task, NO_FILTER)])


async def _caught_up(tasks: TaskManager) -> None:
    async with asyncio.timeout(INDEX_SECONDS):
        while tasks.engine.indexer.lag >= 1 << SEGMENT_BITS:
            await asyncio.sleep(0.2)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def _sizes(folder: Path, count: int) -> tuple[int, int, int]:
    """Bytes of the text, of the directory without and with the index; closing it checkpoints."""
    async with asynclog.open(folder, settings=Settings({"search_index": False}), run_log_dir="") as tasks:
        task = await tasks.run(_fill, {"count": count})
        stored = await tasks.reader.stats(task.id, NO_FILTER)
        assert sum(stored.by_source[source] for source in SOURCES) == count, stored
        text = await _text(tasks, task.id)
    without = _size(folder)
    async with asynclog.open(folder, run_log_dir="") as tasks:
        await _caught_up(tasks)
    return text, without, _size(folder)


def run(bench: Bench) -> list[Row]:
    """One task's entries of some hundred bytes, as the writer stores them and the indexer indexes them."""
    count = bench.amount(ENTRIES, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        text, without, indexed = asyncio.run(_sizes(Path(folder), count))
    theirs = Sample("text", "bytes", [text / count])
    return [
        Row("an entry on disk / its text", Sample("asynclog", "bytes", [without / count]), theirs, at_most(1.6)),
        Row(
            "an entry on disk with the search index / its text",
            Sample("asynclog", "bytes", [indexed / count]),
            theirs,
            at_most(3),
        ),
    ]
