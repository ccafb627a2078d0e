"""Plugins that emit the entries of `bench.mix` inside the service under measurement: ``--plugins bench.emitting``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from asynclog import TaskContext
from bench import mix
from bench.pace import due

TURN: Final = 100
"""Entries between two looks of the loop at others."""


async def told(go: Path) -> int:
    """Wait for the file that says go, and answer that it was seen, with the time (``time.monotonic_ns``)."""
    while not go.exists():  # noqa: ASYNC240 - a stat of a file in memory
        await asyncio.sleep(0.02)
    start = time.monotonic_ns()
    go.with_suffix(".started").write_text(str(start), encoding="utf-8")
    return start


class _Emitter:
    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._loggers = [context.logger.with_source(source) for source in mix.SOURCES]

    def emit(self, number: int, due_ns: int) -> None:
        """One entry, which was due then."""
        logger = self._loggers[number % len(self._loggers)]
        call = logger.warning if mix.level(number) == "WARNING" else logger.info
        unit = mix.unit(number)
        if unit is None:
            call(mix.message(number), metadata=mix.metadata(number, due_ns))
        else:
            with self._context.unit(unit):
                call(mix.message(number), metadata=mix.metadata(number, due_ns))


async def paced(params: Mapping[str, Any], context: TaskContext) -> None:
    """``rate`` entries a second for ``seconds``, once there is a file ``go``; each knows when it was due."""
    emitter, rate = _Emitter(context), params["rate"]
    await told(Path(params["go"]))
    async for first, count, at in due(rate, params["seconds"]):
        for number in range(first, first + count):
            emitter.emit(number, at + round((number - first) / rate * 1e9))


async def burst(params: Mapping[str, Any], context: TaskContext) -> None:
    """``count`` entries as fast as it goes, once there is a file ``go``."""
    emitter = _Emitter(context)
    start = await told(Path(params["go"]))
    for number in range(params["count"]):
        emitter.emit(number, start)
        if number % TURN == 0:
            await asyncio.sleep(0)


PLUGINS: Mapping[str, object] = {"paced": paced, "burst": burst}
