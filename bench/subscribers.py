"""Many WebSocket subscribers in a process of their own: ``python -m bench.subscribers``, spoken to by `Subscribers`.

It takes a `Plan` on its first line of stdin and answers with a line once all are connected; takes the `Totals` of the
tasks on the next one, waits for the ends of the tasks, and answers with a `Report`. Whoever loses the connection in
between connects again, as the dashboard does, and goes on behind what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
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
from bench.lateness import Lateness
from bench.mix import Lane
from bench.witness import Bins, FrameReader, Seen, Span, Witness

AT_ONCE: Final = 50
"""Connections that are opened at the same time."""
END_SECONDS: Final = 30.0
"""How long subscribers may take to get the rest once everything was emitted."""
AGAIN_SECONDS: Final = 0.5
"""Before a connection that was lost is made anew, and between two attempts."""
FINAL: Final = frozenset({1000, 4401, 4404, 4422})
"""How a connection is closed for good: all was said, or there is nothing to be had."""
LINE_BYTES: Final = 1 << 26
ROOT: Final = Path(__file__).resolve().parents[1]


class SubscribersError(Exception):
    """The process of the subscribers has ended too early; its stderr says why."""


class Seat(msgspec.Struct, frozen=True):
    """One subscriber: where, and what it has to get."""

    path: str
    """With ``after=0`` in its query."""
    task: str
    lane: Lane

    def path_after(self, seq: int) -> str:
        """Where to go on behind this entry."""
        return self.path.replace("after=0", f"after={seq}", 1)


class Plan(msgspec.Struct, frozen=True):
    """Who subscribes to what."""

    url: str
    seats: list[Seat]
    headers: dict[str, str] = {}
    record: str | None = None
    """A folder: the frames of the first subscriber of each lane go there, one file each."""


class Totals(msgspec.Struct, frozen=True):
    """What was sent, by task, and how long to wait for the rest of it."""

    sent: dict[str, int]
    unsure: dict[str, list[Span]] = {}
    """Numbers that the service did not acknowledge."""
    seconds: float = END_SECONDS


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
    unsure: int
    """Entries that did not come, and that nobody had promised."""
    unseen: int
    """Entries that had not come to those who were not told the end."""
    disordered: int
    declared: int
    unended: int
    """Subscribers that were not told the end."""
    troubled: int
    """Subscribers that lost something or got something wrong."""
    closes: dict[str, int]
    """How many connections were closed in which way, at last."""
    again: int
    """How often a connection was lost and made anew."""
    first_ns: int
    last_ns: int
    """When the first and the last entry came (``time.monotonic_ns``)."""
    histogram: str
    cpu: float
    """CPU seconds of the subscribers' process since all were connected,"""
    seconds: float
    """and how long that is ago."""
    late_ms: float
    """How late its clock was, 99th percentile: whether it got the processor when it wanted it."""

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
        """Take frames until everything was said, over as many connections as it takes."""
        while True:
            again = await self._take(socket)
            self.welcomed.set()
            if not again:
                break
            socket = await self._again()
        if self._record is not None:
            self._record.close()

    async def _take(self, socket: ClientConnection) -> bool:
        """Take frames until the connection is closed; whether it is to be made anew."""
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
            return room.begun and not (told is not None and told.code in FINAL)
        except msgspec.DecodeError as error:
            self.closed = f"a frame that means nothing: {error}"
            await socket.close()
            return False

    async def _again(self) -> ClientConnection:
        """Connect until it works; whoever waits for all of them gives up sometime."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                socket = await self._room.connect(self.seat.path_after(self.witness.through))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told if it stays so
                self.closed = f"lost, and then {_refusal(error)}"
            else:
                self._room.again += 1
                return socket


def _refusal(error: Exception) -> str:
    """Why there is no connection."""
    if isinstance(error, InvalidStatus):
        return f"refused with {error.response.status_code}"
    return f"{type(error).__name__}: {error}"


class _Room:
    """What the subscribers of this process share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.frames = 0
        self.bytes = 0
        self.first = 0
        self.last = 0
        self.again = 0
        self.begun = False
        """All are connected: from now on whoever is not is so again."""
        self.cpu = 0.0
        self.since = 0.0
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
        self.begun = True
        self.cpu, self.since = time.process_time(), time.monotonic()
        return [task for task in following if task is not None]

    async def _connect(self, seated: _Seated) -> asyncio.Task[None] | None:
        try:
            socket = await self.connect(seated.seat.path)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and told
            seated.closed = _refusal(error)
        else:
            return asyncio.create_task(seated.follow(socket))
        seated.welcomed.set()
        return None

    async def connect(self, path: str) -> ClientConnection:
        """A connection, when it is its turn. Raises whatever is in the way."""
        async with self._gate:
            return await connect(
                self.plan.url + path,
                additional_headers=self.plan.headers,
                proxy=None,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=30,
            )

    def report(self, totals: Totals, late_ms: float) -> Report:
        """What came of it, when the tasks had so many entries."""
        witnesses = []
        for seated in self.seated:
            task = seated.seat.task
            seated.witness.finish(totals.sent.get(task, 0), totals.unsure.get(task, ()))
            witnesses.append(seated.witness)
        return Report(
            subscribers=len(witnesses),
            received=sum(witness.received for witness in witnesses),
            frames=self.frames,
            bytes=self.bytes,
            lost=sum(witness.lost for witness in witnesses),
            unsure=sum(witness.unsure for witness in witnesses),
            unseen=sum(witness.unseen for witness in witnesses),
            disordered=sum(witness.disordered for witness in witnesses),
            declared=sum(witness.declared for witness in witnesses),
            unended=sum(not witness.ended for witness in witnesses),
            troubled=sum(bool(witness.lost or witness.disordered) for witness in witnesses),
            closes=Counter(seated.closed for seated in self.seated),
            again=self.again,
            first_ns=self.first,
            last_ns=self.last,
            histogram=self._bins.latencies().encode(),
            cpu=time.process_time() - self.cpu,
            seconds=time.monotonic() - self.since,
            late_ms=late_ms,
        )


async def _main() -> None:
    loop = asyncio.get_running_loop()
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    room = _Room(plan)
    following = await room.open()
    _answer(Ready(len(room.seated) - room.errors.total(), room.errors))
    async with Lateness() as lateness:
        line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
        late_ms = lateness.p99_ms
    totals = msgspec.json.decode(line or b'{"sent":{}}', type=Totals)
    if following and line:
        await asyncio.wait(following, timeout=totals.seconds)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    _answer(room.report(totals, late_ms))


def allow_many_files() -> None:
    """Each connection is an open file; the usual limit of 1,024 is not what is to be measured."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _answer(what: Ready | Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


class Subscribers:
    """Subscribers in another process. Made by `subscribing`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: Ready) -> None:
        self._process = process
        self.ready = ready

    async def report(
        self, sent: dict[str, int], unsure: dict[str, list[Span]] | None = None, seconds: float = END_SECONDS
    ) -> Report:
        """What they saw, when the tasks had so many entries in all; waits so long for the tasks' ends.

        Args:
            sent: the entries of each task.
            unsure: numbers of those that the service did not acknowledge.
            seconds: how long to wait.

        Raises:
            SubscribersError: their process has ended.
        """
        return msgspec.json.decode(await _ask(self._process, Totals(sent, unsure or {}, seconds)), type=Report)


@asynccontextmanager
async def subscribing(plan: Plan) -> AsyncIterator[Subscribers]:
    """Connect all of a plan's subscribers, in a process that ends with the block, and not before by a Ctrl-C.

    Raises:
        SubscribersError: it has ended at once.
    """
    pipe = asyncio.subprocess.PIPE
    command: Sequence[str] = (sys.executable, "-m", "bench.subscribers")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=pipe, stdout=pipe, limit=LINE_BYTES, start_new_session=True
    )
    try:
        yield Subscribers(process, msgspec.json.decode(await _ask(process, plan), type=Ready))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, what: Plan | Totals) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, RuntimeError):  # it has ended (of which uvloop knows before); nor will it answer
        process.stdin.write(msgspec.json.encode(what) + b"\n")
        await process.stdin.drain()
    answer = await process.stdout.readline()
    if not answer:
        code = await process.wait()
        raise SubscribersError(f"the process of the subscribers ended with {code}: what they saw is not known")
    return answer


if __name__ == "__main__":
    allow_many_files()
    uvloop.run(_main())
