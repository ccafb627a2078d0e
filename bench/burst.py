"""How much memory a burst of a million entries takes, from a task that never yields, from many tasks, from a thread."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import asynclog
from asynclog import TaskContext
from asynclog.filters import NO_FILTER
from bench import plain
from bench.harness import Bench, Row, Sample, at_most

ENTRIES: Final = 1_000_000
ROUNDS: Final = 3
TASKS: Final = 20
WARM: Final = 1000
"""Entries before the burst, so that it is not the first to load and prepare anything; too few to take the memory of a
batch, which the burst would find and not count."""
SECONDS: Final = 300.0
_KINDS: Final = ("one task that never yields", f"{TASKS} tasks", "a function in a thread")


def _log(context: TaskContext, first: int, last: int) -> None:
    info = context.logger.info
    for number in range(first, last):
        if (metadata := plain.metadata_of(number)) is None:
            info(plain.MESSAGE, number)
        else:
            info(plain.MESSAGE, number, metadata=metadata)


async def _greedy(params: dict[str, Any], context: TaskContext) -> None:
    _log(context, 0, params["count"])


async def _yielding(params: dict[str, Any], context: TaskContext) -> None:
    for first in range(0, params["count"] // TASKS, 100):
        _log(context, first, first + 100)
        await asyncio.sleep(0)


def _threaded(params: dict[str, Any], context: TaskContext) -> None:
    _log(context, 0, params["count"])


_Plugin = Callable[[dict[str, Any], TaskContext], Coroutine[Any, Any, None] | None]
_PLUGINS: Final[dict[str, tuple[_Plugin, int]]] = dict(
    zip(_KINDS, ((_greedy, 1), (_yielding, TASKS), (_threaded, 1)), strict=True)
)


def _resident(kind: str) -> int:
    """Bytes of memory: ``VmRSS`` now, ``VmHWM`` at most since it was reset."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) * 1024


def _begin_anew() -> None:
    """Let the peak be told from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


async def _burst(kind: str, count: int, folder: str) -> dict[str, float]:
    plugin, tasks_at_once = _PLUGINS[kind]
    async with asynclog.open(folder) as tasks:
        await tasks.run(plugin, {"count": WARM})
        await tasks.engine.settle(SECONDS)
        _begin_anew()
        before, start = _resident("VmRSS"), time.perf_counter()
        ended = await asyncio.gather(*(tasks.run(plugin, {"count": count}) for _ in range(tasks_at_once)))
        logged = time.perf_counter() - start
        assert await tasks.engine.settle(SECONDS)
        seconds = time.perf_counter() - start
        stored = [(await tasks.reader.stats(task.id, NO_FILTER)).by_source["plugin"] for task in ended]
        assert sum(stored) == count, f"{stored} instead of {count:,} entries"
        assert not sum(task.dropped for task in ended)
        grown = _resident("VmHWM") - before
        return {"grown": grown / (1 << 20), "logged": count / logged, "stored": count / seconds}


def _measured(kind: str, count: int) -> dict[str, float]:
    """One burst in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.burst", kind, str(count), folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=SECONDS)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(bench: Bench) -> list[Row]:
    """Each of them in a process of its own, in turn."""
    count = bench.amount(ENTRIES, 100_000)
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    for _ in bench.track(range(bench.rounds(ROUNDS))):
        for kind, values in found.items():
            values.append(_measured(kind, count))
    return [
        Row(
            f"memory of a burst of {count:,}, {kind}",
            Sample("resident memory grown", "MiB", [value["grown"] for value in values]),
            None,
            at_most(100, "MiB"),
            f"stored at {Sample('', '', [value['stored'] for value in values]).median:,.0f} entries/s",
        )
        for kind, values in found.items()
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_burst(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
