"""Handing the interpreter over while a thread works."""

import asyncio

from asynclog.handover import Handover

DEADLINE_SECONDS = 20.0


async def _until(rests: list[float], count: int) -> None:
    end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while len(rests) < count:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0)


async def test_the_loop_rests_while_something_is_under_way() -> None:
    """Again and again while at least one call is under way, however many are; not before, and not afterwards."""
    rests: list[float] = []
    handover = Handover(rests.append)
    with handover:
        with handover:
            await _until(rests, 3)
        await _until(rests, len(rests) + 3)
    before = len(rests)
    await asyncio.sleep(0.02)
    assert len(rests) == before
    with handover:
        await _until(rests, before + 1)
    assert all(0 < seconds < 0.001 for seconds in rests)
