"""Handing the interpreter over while a thread works."""

import asyncio
import os
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


async def test_a_forked_child_has_the_usual_interval(usual: float) -> None:
    """What was under way in the parent is not in the child, which keeps no interval that was set for it."""
    with Handover(lambda _: None):
        assert sys.getswitchinterval() == SWITCH_SECONDS
        child = os.fork()
        if not child:
            os._exit(0 if sys.getswitchinterval() == usual else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sys.getswitchinterval() == SWITCH_SECONDS
