"""Calls that block on a disk, from the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

HANGING_SECONDS: Final = 2.0
"""How long a cancelled call waits for the disk."""
P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function gives that runs in a thread. A cancelled call waits for it, but not for a disk that hangs."""
    work = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work], timeout=HANGING_SECONDS)
        raise
