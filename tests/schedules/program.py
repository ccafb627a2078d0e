"""Fires every second until it is killed, and says so."""

import asyncio
import sys

import asynclog


async def main(folder: str) -> None:
    """One schedule, kept from process to process."""

    async def job(_params: object, context: asynclog.TaskContext) -> None:
        sys.stdout.write(f"{context.trigger_data['scheduled_at']}\n")
        sys.stdout.flush()

    async with asynclog.open(folder, plugins={"job": job}) as tasks:
        if not tasks.scheduler.all():
            await tasks.scheduler.create({"plugin": "job", "interval": 1})
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
