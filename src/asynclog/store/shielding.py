"""Awaiting what must not be left half done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
    """Await it, also when this call is cancelled meanwhile, however often; that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # once more, while it is still under way
                await asyncio.wait([task])
        _ = task.cancelled() or task.exception()  # nobody else asks for it
        raise


async def ended(*works: asyncio.Task[Any]) -> None:
    """Cancel them and wait until they are over, also when this call is cancelled; that is raised afterwards."""
    for work in works:
        work.cancel()
    await to_its_end(asyncio.wait(works))
