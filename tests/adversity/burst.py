"""A program of its own: a million entries without yielding; prints how much memory grew, and what is stored."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asynclog
from asynclog import TaskContext

ENTRIES = 1_000_000


def resident(kind: str) -> int:
    """Bytes of memory: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) * 1024


async def burst(_params: dict[str, Any], context: TaskContext) -> None:
    log = context.logger.info
    for number in range(ENTRIES):
        log("%d", number)


async def main(folder: str) -> None:
    async with asynclog.open(folder) as tasks:
        before = resident("VmRSS")
        task = await tasks.run(burst)
        report: dict[str, Any] = {"status": task.status, "counts": task.counts, "dropped": task.dropped}
        await tasks.engine.settle(60)
        report |= {"grown": resident("VmHWM") - before, "troubles": tasks.engine.troubles()}
        report["pending"] = tasks.engine.journal.pending_bytes
        report["journal"] = tasks.engine.journal.size
    print(json.dumps(report))  # noqa: T201  # for the test to read


asyncio.run(main(sys.argv[1]))
