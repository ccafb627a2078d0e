"""Plugins that do what a run's files have to show."""

from __future__ import annotations

import asyncio
from typing import Any

from asynclog import TaskContext


async def staged(params: dict[str, Any], context: TaskContext) -> dict[str, int]:
    """Two stages, the first entered twice; units, traces, a traceback, hostile text."""
    number, log = int(params.get("number", 0)), context.logger
    log.info("number %d \x1b[31m\nsecond line\u2028third", number, number=number)
    async with context.stage("extract", pending=number % 7) as stage:
        for item in range(number % 7):
            with context.unit(f"u{item}"):
                log.debug("item %d", item)
            context.append_trace("item_done", item=item)
            stage.progress(item + 1)
            await asyncio.sleep(0)
        stage.credits_used = 1.5
    async with context.stage("lo/ad\n..", number=7) as stage:
        log.warning("ünïcode \ud800 and \0", nan=float("nan"))
        stage.processed = 3
    async with context.stage("extract"):
        try:
            raise ValueError("in the middle")
        except ValueError:
            log.exception("caught")
    for extra in range(int(params.get("entries", 0))):
        log.info("%d", extra)
        if extra % 100 == 0:
            await asyncio.sleep(0)
    if number % 5 == 4:
        async with context.stage("failing"):
            raise RuntimeError("the end")
    return {"number": number}
