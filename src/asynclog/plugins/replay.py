"""The plugin ``replay``: a log file once more, at a chosen rate, with its own levels and components."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec
from msgspec import Meta

from asynclog import TaskContext, TaskLogger, requires
from asynclog.plugins.lines import LineSplitter
from asynclog.plugins.logformats import FormatName, Parsed, entries, recognise
from asynclog.plugins.pace import Pace

CHUNK: Final = 256 * 1024
"""Bytes read at once."""
TURN: Final = 200
"""Entries after which everybody else has a turn."""
TICK_SECONDS: Final = 0.02
"""At a high rate entries go out in groups, so far apart."""
MAX_SOURCES: Final = 1000
"""Components that get a logger of their own; a file with more has something else where the component should be."""
SAMPLE_LINES: Final = 200


class ReplayError(Exception):
    """The file cannot be read."""


class ReplayParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file, and how fast."""

    path: Annotated[str, Meta(description="The log file; .gz is unpacked on the way.", min_length=1)]
    format: Annotated[
        FormatName,
        Meta(description="How its lines look; auto finds out from the first ones. generic takes any text."),
    ] = "auto"
    rate: Annotated[float, Meta(ge=0, description="Entries per second; 0 is as fast as possible.")] = 0.0
    limit: Annotated[int, Meta(ge=0, description="Stop after so many entries; 0 is the whole file.")] = 0


@requires("admin")
async def run(params: ReplayParams, context: TaskContext) -> dict[str, Any]:
    """Replays a log file with its own levels and components as sources, at a chosen rate.

    Lines that continue an entry (a stack trace) are joined to it. Each entry's own time, line number and thread are in
    its metadata; components are its source.

    Raises:
        ReplayError: there is no such file, or it cannot be read.
    """
    path = Path(params.path)
    try:
        path, total, sample = await asyncio.to_thread(_survey, path)
    except (OSError, EOFError, ValueError) as error:
        raise ReplayError(_unreadable(path, error)) from error
    chosen = recognise(sample) if params.format == "auto" else params.format
    context.logger.info("replaying %s: %d lines, format %s", path.name, total, chosen, path=str(path), rate=params.rate)
    player = _Player(params, context, total)
    async with context.stage("replay", number=1, pending=total) as stage:
        try:
            await player.play(entries(_numbered_lines(path), chosen, path.name))
        except (OSError, EOFError, ValueError) as error:
            raise ReplayError(_unreadable(path, error)) from error
        stage.processed = player.lines
        result = {"format": chosen, "entries": player.count, "lines": player.lines, "levels": dict(player.levels)}
        stage.result = result
    return result


class _Player:
    """Sends entries out at the rate asked for."""

    def __init__(self, params: ReplayParams, context: TaskContext, total: int) -> None:
        self._limit = params.limit
        self._rate = params.rate
        self._log = context.logger
        self._loggers: dict[str, TaskLogger] = {}
        self._pace = Pace(context.logger, "replayed", "lines", total)
        self.count = self.lines = 0
        self.levels: Counter[str] = Counter()

    async def play(self, parsed: Iterator[Parsed]) -> None:
        started = time.monotonic()
        while batch := await asyncio.to_thread(_take, parsed, self._next_batch()):
            for entry in batch:
                if self._rate:
                    await self._wait_until(started + self.count / self._rate)
                elif self.count % TURN == 0:
                    await asyncio.sleep(0)
                self._emit(entry)
        self._pace.finish()

    def _next_batch(self) -> int:
        size = 10 * TURN
        return size if not self._limit else min(size, self._limit - self.count)

    async def _wait_until(self, due: float) -> None:
        left = due - time.monotonic()
        if left > TICK_SECONDS:
            await asyncio.sleep(left)
        elif self.count % TURN == 0:
            await asyncio.sleep(0)

    def _emit(self, entry: Parsed) -> None:
        logger = self._loggers.get(entry.source)
        if logger is None:
            logger = self._log.with_source(entry.source)
            if len(self._loggers) < MAX_SOURCES:
                self._loggers[entry.source] = logger
        logger.log(entry.level, entry.message, metadata=entry.metadata)
        self.count += 1
        self.lines = entry.last_line
        self.levels[entry.level] += 1
        self._pace.reach(self.lines)


def _take(parsed: Iterator[Parsed], count: int) -> list[Parsed]:
    batch: list[Parsed] = []
    while len(batch) < count:
        entry = next(parsed, None)
        if entry is None:
            break
        batch.append(entry)
    return batch


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    splitter = LineSplitter()
    number = 0
    with _open(path) as file:
        while chunk := file.read(CHUNK):
            for line in splitter.feed(chunk):
                number += 1
                yield number, line.text
    for line in splitter.finish():
        number += 1
        yield number, line.text


def _survey(path: Path) -> tuple[Path, int, list[str]]:
    """The file itself, how many lines it has, and the first ones."""
    path = path.expanduser()
    sample: list[str] = []
    total = 0
    for number, line in _numbered_lines(path):
        total = number
        if number <= SAMPLE_LINES:
            sample.append(line)
    return path, total, sample


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {path}"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder; name one of the log files in it"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path} cannot be read: {reason}"
