"""One caller's hard questions wait for one another, and nobody else's for long."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from typing import Any

import pytest

from asynclog.errors import TooManyError, UnavailableError
from asynclog.server.service import Service
from asynclog.server.turns import AT_ONCE, EACH, WAITING, Turns
from asynclog.store.sqlite import READERS
from tests.server.running import Running, eventually
from tests.server.test_problems import check


class Crowd:
    """Callers that each hold a turn until they are told to go on."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._gates: list[tuple[str, asyncio.Event]] = []
        self.order: list[str] = []
        self.works: list[asyncio.Task[None]] = []

    def come(self, *callers: str, **options: Any) -> None:
        """Ask for turns."""
        self.works += [asyncio.create_task(self._work(caller, **options)) for caller in callers]

    async def _work(self, caller: str, **options: Any) -> None:
        async with self._turns.turn(caller, **options):
            gate = asyncio.Event()
            self._gates.append((caller, gate))
            self.order.append(caller)
            await gate.wait()

    @property
    def working(self) -> list[str]:
        """Who has a turn."""
        return [caller for caller, _ in self._gates]

    async def done(self, caller: str) -> None:
        """One of the caller's is done."""
        found = next(pair for pair in self._gates if pair[0] == caller)
        self._gates.remove(found)
        found[1].set()
        await settled()


async def settled() -> None:
    """Let everybody go on who can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_caller_has_two_turns_and_others_come_between() -> None:
    """Whoever asks a lot works twice at a time; a second caller comes in at once, a third one next."""
    crowd = Crowd(Turns(at_once=3, each=2))
    crowd.come(*"aaaaaa")
    await settled()
    assert crowd.working == ["a", "a"]
    crowd.come("b", "b", "c")
    await settled()
    assert crowd.working == ["a", "a", "b"]
    for _ in range(3):
        await crowd.done(crowd.working[0])
    assert "c" in crowd.working
    while crowd.working:
        await crowd.done(crowd.working[0])
    assert Counter(crowd.order) == {"a": 6, "b": 2, "c": 1}


async def test_too_many_that_wait_are_refused() -> None:
    """Beyond so many that wait, a caller's next question is refused at once; a patient one waits all the same."""
    crowd = Crowd(Turns(at_once=1, each=1, waiting=2))
    crowd.come("a", "a", "a")
    await settled()
    with pytest.raises(TooManyError, match="2 questions"):
        async with crowd._turns.turn("a"):
            pass
    crowd.come("a", patient=True)
    crowd.come("b")
    await settled()
    while crowd.working:
        await crowd.done(crowd.working[0])
    assert crowd.order == ["a", "a", "b", "a", "a"]


async def test_a_page_waits_for_no_crowd_of_live_readers() -> None:
    """However many live readers of a caller catch up, its questions are not refused for them, and come every other
    turn; nor do the readers wait for all the questions.
    """
    crowd = Crowd(Turns(at_once=1, each=1, waiting=3))
    crowd.come("a")
    await settled()
    patient = [asyncio.create_task(_passing(crowd, "live", patient=True)) for _ in range(50)]
    await settled()
    urgent = [asyncio.create_task(_passing(crowd, "page")) for _ in range(3)]
    await settled()
    await crowd.done("a")
    await asyncio.gather(*patient, *urgent)
    assert crowd.order[1:7] == ["page", "live"] * 3
    assert crowd.order[7:] == ["live"] * 47


async def _passing(crowd: Crowd, what: str, *, patient: bool = False) -> None:
    async with crowd._turns.turn("a", patient=patient):
        crowd.order.append(what)


async def test_waiting_ends_in_time() -> None:
    """Who waits too long is told to try again, and leaves no trace: the next one has the turn."""
    crowd = Crowd(Turns(at_once=1, each=1))
    crowd.come("a")
    await settled()
    with pytest.raises(UnavailableError):
        async with crowd._turns.turn("a", seconds=0.01):
            pass
    await crowd.done("a")
    async with crowd._turns.turn("a"):
        pass


@pytest.mark.parametrize("seed", range(20))
async def test_turns_are_never_lost_nor_doubled(seed: int) -> None:
    """Whatever comes, is done, is cancelled or runs out of time in whatever order: the bounds hold all the time, and in
    the end everybody who stayed has had a turn.
    """
    dice = random.Random(seed)
    turns = Turns(at_once=3, each=2, waiting=1000)
    working: Counter[str] = Counter()
    ended: Counter[str] = Counter()

    async def work(caller: str) -> None:
        try:
            async with turns.turn(caller, patient=dice.random() < 0.3, seconds=dice.choice([0.0, 0.001, 5.0])):
                working[caller] += 1
                assert working[caller] <= 2
                assert working.total() <= 3
                try:
                    for _ in range(dice.randrange(3)):
                        await asyncio.sleep(0)
                finally:
                    working[caller] -= 1
        except UnavailableError:
            ended["late"] += 1
        else:
            ended["had"] += 1

    works = []
    for _ in range(200):
        works.append(asyncio.create_task(work(dice.choice("abcd"))))
        if dice.random() < 0.3:
            dice.choice(works).cancel()
        if dice.random() < 0.5:
            await asyncio.sleep(0)
    async with asyncio.timeout(20):
        found = await asyncio.gather(*works, return_exceptions=True)
    cancelled = [one for one in found if isinstance(one, asyncio.CancelledError)]
    assert not [one for one in found if isinstance(one, Exception)]
    assert ended.total() + len(cancelled) == 200
    assert not turns._lines
    assert not turns._working.total()


async def test_one_client_does_not_hold_all_connections(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many hard questions one client asks at once, two are at work; light questions are answered meanwhile,
    and beyond those that may wait a question is 429. Two more connections to the database are left for others.
    """
    task_id = await service.say("hello")
    reader, gate = service.tasks.reader, asyncio.Event()
    stats, at_work = reader.stats, 0

    async def slow(*given: Any) -> Any:
        nonlocal at_work
        at_work += 1
        await gate.wait()
        return await stats(*given)

    monkeypatch.setattr(reader, "stats", slow)
    place = f"/api/tasks/{task_id}/logs/stats"
    asked = [asyncio.create_task(service.client.get(place)) for _ in range(EACH + WAITING)]
    await eventually(lambda: _waiting(service) == WAITING)
    refused = await service.client.get(place)
    check(refused, 429)
    assert refused.headers["retry-after"] == "1"
    assert (await service.client.get(f"/api/tasks/{task_id}")).status_code == 200
    assert at_work == EACH < AT_ONCE < READERS
    gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


def _waiting(service: Running) -> int:
    line = _turns(service)._lines.get("127.0.0.1")
    return 0 if line is None else len(line.urgent)


def _turns(service: Running) -> Turns:
    return next(f for f in gc.get_objects() if type(f) is Service and f.tasks is service.tasks).turns
