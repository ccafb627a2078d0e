"""Many WebSocket subscribers in a process of their own: ``python -m bench.subscribers``, spoken to by `Subscribers`.

It takes a `Plan` on its first line of stdin and answers with a line once all are connected; takes the totals of the
tasks on the next one, waits for the ends of the tasks, and answers with a `Report`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bench.latency import Latencies
from bench.mix import Lane
from bench.witness import Bins, FrameReader, Seen, Witness

AT_ONCE: Final = 50
"""Connections that are opened at the same time."""
END_SECONDS: Final = 30.0
"""How long subscribers may take to get the rest once everything was emitted."""
LINE_BYTES: Final = 1 << 26
ROOT: Final = Path(__file__).resolve().parents[1]


class Seat(msgspec.Struct, frozen=True):
    """One subscriber: where, and what it has to get."""

    path: str
    task: str
    lane: Lane


class Plan(msgspec.Struct, frozen=True):
    """Who subscribes to what."""

    url: str
    seats: list[Seat]
    headers: dict[str, str] = {}
    record: str | None = None
    """A folder: the frames of the first subscriber of each lane go there, one file each."""


class Ready(msgspec.Struct, frozen=True):
    """How many are connected, and why others are not."""

    connected: int
    errors: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """What all of them saw."""

    subscribers: int
    received: int
    """Entries, all subscribers together."""
    frames: int
    bytes: int
    lost: int
    disordered: int
    declared: int
    unended: int
    """Subscribers that were not told the end."""
    troubled: int
    """Subscribers that lost something or got something wrong."""
    closes: dict[str, int]
    """How many connections were closed in which way."""
    first_ns: int
    last_ns: int
    """When the first and the last entry came (``time.monotonic_ns``)."""
    histogram: str
    cpu: float
    """CPU seconds of the subscribers' process since all were connected."""

    @property
    def latencies(self) -> Latencies:
        """From when an entry was due until a subscriber had it."""
        return Latencies.decode(self.histogram)


class _Seated:
    """One subscriber at work."""

    def __init__(self, seat: Seat, room: _Room, record: Path | None) -> None:
        self.seat = seat
        self.witness = Witness(seat.lane)
        self.closed = "not connected"
        self.welcomed = asyncio.Event()
        """The first frame has come, or no frame will come."""
        self._room = room
        self._record = None if record is None else record.open("wb")

    async def follow(self, socket: ClientConnection) -> None:
        """Take frames until the connection is closed."""
        room, take = self._room, self.witness.take
        self.closed = "open"
        try:
            while True:
                data = await socket.recv(decode=False)
                take(room.arrived(data))
                self.welcomed.set()
                if self._record is not None:
                    self._record.write(len(data).to_bytes(4, "big") + data)
        except ConnectionClosed as error:
            told = error.rcvd
            self.closed = "lost" if told is None else f"{told.code} {told.reason}".strip()
        except msgspec.DecodeError as error:
            self.closed = f"a frame that means nothing: {error}"
            await socket.close()
        self.welcomed.set()
        if self._record is not None:
            self._record.close()


class _Room:
    """What the subscribers of this process share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.frames = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self.cpu = 0.0
        self.errors: Counter[str] = Counter()
        self._bins = Bins()
        self._read = FrameReader().read
        self._gate = asyncio.Semaphore(AT_ONCE)
        lanes: set[str] = set()
        self.seated: list[_Seated] = []
        for seat in plan.seats:
            record = None
            if plan.record is not None and seat.lane.name not in lanes:
                lanes.add(seat.lane.name)
                record = Path(plan.record) / f"{seat.lane.name}.frames"
            self.seated.append(_Seated(seat, self, record))

    def arrived(self, data: bytes) -> Seen:
        """A frame is here."""
        now = time.monotonic_ns()
        self.frames += 1
        self.bytes += len(data)
        seen = self._read(data)
        if seen.due:
            self.first = self.first or now
            self.last = now
            self._bins.add(now, seen.due)
        return seen

    async def open(self) -> list[asyncio.Task[None]]:
        """Connect them all, until each is welcomed or turned away; the tasks that follow."""
        following = await asyncio.gather(*(self._connect(seated) for seated in self.seated))
        welcomed = [asyncio.ensure_future(seated.welcomed.wait()) for seated in self.seated]
        if welcomed:
            await asyncio.wait(welcomed, timeout=END_SECONDS)
        for seated in self.seated:
            if seated.closed != "open":
                self.errors[seated.closed] += 1
        return [task for task in following if task is not None]

    async def _connect(self, seated: _Seated) -> asyncio.Task[None] | None:
        address = self.plan.url + seated.seat.path
        async with self._gate:
            try:
                socket = await connect(
                    address,
                    additional_headers=self.plan.headers,
                    proxy=None,
                    compression=None,
                    max_size=None,
                    ping_interval=None,
                    open_timeout=30,
                )
            except InvalidStatus as error:
                seated.closed = f"refused with {error.response.status_code}"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and told
                seated.closed = f"{type(error).__name__}: {error}"
            else:
                return asyncio.create_task(seated.follow(socket))
        seated.welcomed.set()
        return None

    def report(self, totals: dict[str, int]) -> Report:
        """What came of it, when the tasks had so many entries."""
        witnesses = []
        for seated in self.seated:
            seated.witness.finish(totals.get(seated.seat.task, 0))
            witnesses.append(seated.witness)
        return Report(
            subscribers=len(witnesses),
            received=sum(witness.received for witness in witnesses),
            frames=self.frames,
            bytes=self.bytes,
            lost=sum(witness.lost for witness in witnesses),
            disordered=sum(witness.disordered for witness in witnesses),
            declared=sum(witness.declared for witness in witnesses),
            unended=sum(not witness.ended for witness in witnesses),
            troubled=sum(bool(witness.lost or witness.disordered) for witness in witnesses),
            closes=Counter(seated.closed for seated in self.seated),
            first_ns=self.first,
            last_ns=self.last,
            histogram=self._bins.latencies().encode(),
            cpu=time.process_time() - self.cpu,
        )


async def _main() -> None:
    loop = asyncio.get_running_loop()
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    room = _Room(plan)
    following = await room.open()
    room.cpu = time.process_time()
    _answer(Ready(len(room.seated) - room.errors.total(), room.errors))
    line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
    if following and line:
        await asyncio.wait(following, timeout=END_SECONDS)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    _answer(room.report(msgspec.json.decode(line or b"{}", type=dict[str, int])))


def _answer(what: Ready | Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


class Subscribers:
    """Subscribers in another process. Made by `subscribing`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: Ready) -> None:
        self._process = process
        self.ready = ready

    async def report(self, totals: dict[str, int]) -> Report:
        """What they saw, when the tasks had so many entries in all; waits half a minute for the tasks' ends."""
        return msgspec.json.decode(await _ask(self._process, totals), type=Report)


@asynccontextmanager
async def subscribing(plan: Plan) -> AsyncIterator[Subscribers]:
    """Connect all of a plan's subscribers, in a process that ends with the block."""
    pipe = asyncio.subprocess.PIPE
    command: Sequence[str] = (sys.executable, "-m", "bench.subscribers")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, limit=LINE_BYTES)
    try:
        yield Subscribers(process, msgspec.json.decode(await _ask(process, plan), type=Ready))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, what: Plan | dict[str, int]) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(what) + b"\n")
    await process.stdin.drain()
    answer = await process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the subscribers' process ended with {await process.wait()}; its stderr says why")
    return answer


if __name__ == "__main__":
    uvloop.run(_main())
