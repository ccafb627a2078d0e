"""Runs tasks on a data directory until it is killed."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import asynclog
from asynclog import Settings
from tests.runfiles.plugins import staged


async def main(folder: str, seed: int) -> None:
    """Eight tasks at a time."""

    async def chain(first: int) -> None:
        number = first
        while True:
            await tasks.run(staged, {"number": number, "entries": number * 37 % 200}, account=f"a{first % 3}")
            number += 8

    settings = Settings(file={"task_log_level": "DEBUG", "flush_interval": 0.1})
    async with asynclog.open(folder, settings=settings) as tasks:
        await asyncio.gather(*(chain(seed + n) for n in range(8)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
