"""The plugin ``replay``: a log file once more, at a chosen rate, with its own levels and components."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, cast

import msgspec
from msgspec import Meta

from asynclog import TaskContext, TaskLogger, requires
from asynclog.plugins.lines import LineSplitter
from asynclog.plugins.logformats import FormatName, Parsed, entries, recognise
from asynclog.plugins.pace import Pace, amount

CHUNK: Final = 256 * 1024
"""Bytes read at once."""
TURN: Final = 200
"""Entries after which everybody else has a turn."""
TICK_SECONDS: Final = 0.02
"""At a high rate entries go out in groups, so far apart."""
MAX_SOURCES: Final = 1000
"""Components that get a logger of their own; a file with more has something else where the component should be."""
SAMPLE_LINES: Final = 200
COUNTED_BYTES: Final = 64 << 20
"""Of a larger file the entries are not counted beforehand, only its lines: that takes a fraction of the time."""

_UNREADABLE: Final = (OSError, EOFError, ValueError, zlib.error)
"""What reading a file, packed or not, raises."""
PACKED: Final = 16
"""How many times its size a packed log is, about."""


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
        survey = await asyncio.to_thread(_survey, path, params)
    except _UNREADABLE as error:
        raise ReplayError(_unreadable(path, error)) from error
    path, chosen = survey.path, survey.format
    many = amount(survey.total, survey.unit)
    context.logger.info("replaying %s: %s, format %s", path.name, many, chosen, path=str(path), rate=params.rate)
    player = _Player(params, context, survey)
    async with context.stage("replay", number=1, pending=survey.total) as stage:
        try:
            await player.play(entries(_numbered_lines(path), chosen, path.name))
        except _UNREADABLE as error:
            raise ReplayError(_unreadable(path, error)) from error
        stage.processed = player.done
        result = {"format": chosen, "entries": player.count, "lines": player.lines, "levels": dict(player.levels)}
        stage.result = result
    return result


class _Survey(msgspec.Struct, frozen=True):
    """What is known of a file beforehand."""

    path: Path
    format: FormatName
    total: int
    """How much of it is to be replayed: in entries, which are what takes the time where they come at a rate, and what a
    limit counts; else in lines, which are sooner counted."""
    unit: Literal["entries", "lines"]


class _Player:
    """Sends entries out at the rate asked for."""

    def __init__(self, params: ReplayParams, context: TaskContext, survey: _Survey) -> None:
        self._limit = params.limit
        self._rate = params.rate
        self._log = context.logger
        self._loggers: dict[str, TaskLogger] = {}
        self._by_lines = survey.unit == "lines"
        self._pace = Pace(context.logger, "replayed", survey.unit, survey.total)
        self.count = self.lines = 0
        self.levels: Counter[str] = Counter()

    @property
    def done(self) -> int:
        """How much, in the unit of the survey."""
        return self.lines if self._by_lines else self.count

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
        self._pace.reach(self.done)


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


def _survey(path: Path, params: ReplayParams) -> _Survey:
    """Look through the file."""
    path = path.expanduser()
    sample = [line for _, line in islice(_numbered_lines(path), SAMPLE_LINES)]
    chosen = recognise(sample) if params.format == "auto" else params.format
    size = path.stat().st_size * (PACKED if path.suffix == ".gz" else 1)
    if params.limit or (params.rate and size <= COUNTED_BYTES):
        found = islice(entries(_numbered_lines(path), chosen, path.name), params.limit or None)
        return _Survey(path, chosen, sum(1 for _ in found), "entries")
    return _Survey(path, chosen, sum(1 for _ in _numbered_lines(path)), "lines")


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {path}"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder; name one of the log files in it"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path} cannot be read: {reason}"
