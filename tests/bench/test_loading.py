"""The load harness where something happens on the way: a killed service, Ctrl-C, a service that refuses or is slow."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bench.caller import Client
from bench.load import seats
from bench.loading import Course, Feeder
from bench.mix import LANES, Lane
from bench.witness import Witness
from tests.bench.test_load import ROOT, Fake, load, service, serving
from tests.server.running import Running

__all__ = ["service"]

SERVICE = ROOT / "tests" / "server" / "serving.py"
DEADLINE = 20.0


@asynccontextmanager
async def process(folder: Path, port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A service in a process of its own, and its address; killed at the end of the block."""
    command = (sys.executable, str(SERVICE), str(folder), json.dumps({"port": port}))
    found = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    assert found.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            url = (await found.stdout.readline()).decode().strip()
        yield found, url
    finally:
        if found.returncode is None:
            found.kill()
        await found.communicate()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something, and not for ever."""
    async with asyncio.timeout(DEADLINE):
        while not await holds():
            await asyncio.sleep(0.05)


async def under_way(url: str) -> bool:
    """Whether entries of a load have come."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        tasks = (await client.get("/api/tasks")).json()["tasks"]
    return any(task["last_seq"] > 50 for task in tasks)


async def test_a_service_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """The service is killed and started again while it is loaded: batches are sent again, subscribers connect again,
    and everything acknowledged comes to them once and in order.
    """
    amount = ("--rate", "500", "--tasks", "2", "--subscribers", "20", "--duration", "3")
    async with process(tmp_path / "data") as (first, url):
        loading = asyncio.create_task(load(url, tmp_path / "out.json", *amount))
        await until(lambda: under_way(url))
        first.kill()
        await first.wait()
        async with process(tmp_path / "data", int(url.rpartition(":")[2])):
            code, said, result = await loading
    assert code == 0, said
    assert result["told"]["acknowledged"] == result["stored"] == 1500
    assert result["told"]["again"] > 0
    assert result["seen"]["again"] == 20
    assert "no answer: " in said
    assert "connected again 20 times" in said


async def test_a_service_that_is_gone_for_good_is_no_loss(tmp_path: Path) -> None:
    """What was never acknowledged is told as that, and not as lost to subscribers; the load ends by itself."""
    amount = ("--rate", "400", "--tasks", "2", "--subscribers", "4", "--duration", "60")
    async with process(tmp_path / "data") as (first, url):
        loading = asyncio.create_task(load(url, tmp_path / "out.json", *amount, "--patience", "1"))
        await until(lambda: under_way(url))
        first.kill()
        code, said, result = await loading
    assert code == 1
    assert "the service took no batch for 1 s" in said
    assert "no answer came to their batches" in said
    assert "acknowledged and lost" not in said
    assert result["seen"]["lost"] == 0
    assert result["told"]["unanswered"] > 0
    assert result["stored"] is None


async def test_ctrl_c_ends_a_load_and_shows_it(service: Running, tmp_path: Path) -> None:
    """On Ctrl-C the tasks are finished, what was measured is shown and written, and the exit code says so."""
    url, out = service.url, tmp_path / "out.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "load", "--url", url, "--duration", "600", "--out", str(out)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    await until(lambda: under_way(url))
    process.send_signal(signal.SIGINT)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 130, said
    assert "interrupted: this is what was measured until then" in said
    result = json.loads(out.read_text())
    assert (result["ok"], result["interrupted"], result["problems"]) == (False, True, [])
    assert result["told"]["acknowledged"] == result["stored"] > 0
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        tasks = (await client.get("/api/tasks")).json()["tasks"]
    assert {task["status"] for task in tasks} == {"success"}


class Refusing(Fake):
    """Takes a few batches and then nothing more."""

    def __init__(self, status: int) -> None:
        super().__init__(lambda entries: entries)
        self._left = 3
        self._then = status

    async def _take(self, request: Request) -> Response:
        self._left -= 1
        if self._left < 0:
            return JSONResponse({"detail": "no more of it"}, self._then)
        return await super()._take(request)


async def test_a_task_that_takes_no_more_is_told(tmp_path: Path) -> None:
    """Where a task was ended by somebody else, the load does not knock on: what was refused, and what was not sent any
    more, are told apart from what was lost.
    """
    amount = ("--rate", "500", "--tasks", "1", "--subscribers", "1", "--duration", "1")
    async with serving(Refusing(409)) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    told = result["told"]
    assert code == 1
    assert result["seen"]["lost"] == 0
    assert told["errors"] == {"409 no more of it": 1}
    assert told["refused"] > 0
    assert told["abandoned"] == 500 - told["refused"] - told["acknowledged"]
    assert "since their tasks take no more of us" in said
    assert "acknowledged and lost" not in said


async def test_a_batch_is_sent_again_where_that_may_help(tmp_path: Path) -> None:
    """A service that has no room just now gets the same batch again, after a while, and under the same id."""

    class Busy(Fake):
        ids: ClassVar[Counter[str]] = Counter()

        async def _take(self, request: Request) -> Response:
            self.ids[request.query_params["batch_id"]] += 1
            if len(self.ids) == 2 and self.ids.total() == 2:
                return JSONResponse({"detail": "later"}, 503, {"Retry-After": "1"})
            return await super()._take(request)

    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "1", "--duration", "0.5")
    fake = Busy(lambda entries: entries)
    async with serving(fake) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    assert code == 0, said
    assert result["told"]["again"] == 1
    assert max(fake.ids.values()) == 2


async def test_a_rate_that_cannot_be_reached_ends(tmp_path: Path) -> None:
    """A load far above what the service takes ends soon after its time, and says what was reached."""

    class Slow(Fake):
        async def _take(self, request: Request) -> Response:
            await asyncio.sleep(0.3)
            return await super()._take(request)

    amount = ("--rate", "1000000", "--tasks", "1", "--subscribers", "0", "--duration", "0.5")
    async with serving(Slow(lambda entries: entries)) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    assert code == 1
    assert "could not be sent in time" in said
    assert "of 1,000,000" in said
    assert result["told"]["unsent"] == 500_000 - result["told"]["acknowledged"] > 0


async def test_without_an_answer_a_feeder_ends_the_load() -> None:
    """Where nobody answers for as long as one is patient, the service is gone, and what was sent is not certain."""
    course, client = Course(60.0, 6000, 1, patience=0.1), Client("http://127.0.0.1:9")
    feeder = Feeder(client, "t", 0.0, 0.01, course)
    async with asyncio.timeout(DEADLINE):
        await feeder.feed()
    await client.close()
    assert course.gone
    assert feeder.unsure == [(0, feeder.sent)]
    assert course.told.unanswered == feeder.sent
    assert course.told.acknowledged == 0


@given(st.integers(1, 40), st.integers(0, 300))
def test_subscribers_are_spread(tasks: int, subscribers: int) -> None:
    """Subscribers are as even over the tasks, and over the filters, as can be; none of a task's has the filter of
    another while there are filters left.
    """
    found = seats([f"t{number}" for number in range(tasks)], subscribers)
    assert len(found) == subscribers
    by_task = Counter(seat.task for seat in found)
    by_lane = Counter(seat.lane.name for seat in found)
    for counts, kinds in ((by_task, tasks), (by_lane, len(LANES))):
        assert max(counts.values(), default=0) - min((*counts.values(), *[0] * (kinds - len(counts)))) <= 1
    for task, count in by_task.items():
        assert len({seat.lane.name for seat in found if seat.task == task}) == min(count, len(LANES))


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)
@pytest.mark.parametrize("ended", [True, False])
def test_what_nobody_promised_is_not_lost(lane: Lane, ended: bool) -> None:
    """What is missing of batches that were not acknowledged is no loss; nor is, before the end, what comes last."""
    witness = Witness(lane)
    witness.ended = ended
    numbers = [n for n in range(witness.lane.next(0), 1000, witness.lane.step) if not 200 <= n < 300 and n < 700]
    witness._look(numbers)
    witness.finish(1000, [(150, 250), (900, 950)])
    count = witness.lane.count
    assert witness.lost == count(300) - count(250) + (count(900) - count(700) + count(1000) - count(950)) * ended
    assert witness.unsure == count(250) - count(200) + count(950) - count(900)
    assert witness.unseen == (0 if ended else count(900) - count(700) + count(1000) - count(950))
    assert witness.disordered == 0
