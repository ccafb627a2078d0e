"""Handing the interpreter over while a thread works."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from asynclog.handover import SWITCH_SECONDS, Handover

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


@pytest.fixture
def usual() -> Iterator[float]:
    """The switch interval as it was, restored afterwards."""
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


async def test_threads_change_more_often_meanwhile(usual: float) -> None:
    """Until the last call is over; then as often as before."""
    handover = Handover()
    with handover:
        with handover:
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == usual


async def test_what_others_set_stays(usual: float) -> None:
    """An interval that is shorter already is left alone, and one that somebody sets meanwhile is not undone."""
    sys.setswitchinterval(SWITCH_SECONDS / 2)
    with Handover():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS / 2)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS / 2)
    sys.setswitchinterval(usual)
    with Handover():
        sys.setswitchinterval(SWITCH_SECONDS * 3)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS * 3)
    with Handover(), Handover():  # two data directories at once
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS * 3)
