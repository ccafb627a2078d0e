"""From an emitted entry to 1, 100 and 1,000 WebSocket subscribers with mixed filters, against a bare uvicorn broadcast.

First the latency at 1,000 entries a second, open loop: from when an entry was due until a subscriber has it. The bare
server gathers for as long as ours does, or its latency would be that of its pauses. Then the throughput: a burst to all
of them, in time until the last one has everything, against the bare server sending the very same frames. Loss and order
are checked at every subscriber, in a process of their own; a fault fails the scenario.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import msgspec

from asynclog.engine import MOVE_SECONDS
from asynclog.live import GATHER_SECONDS
from bench.harness import Bench, Row, Sample, at_least, at_most
from bench.latency import Latencies
from bench.mix import lanes
from bench.service import Process, program, serving
from bench.subscribers import Plan, Report, Seat, subscribing

RATE: Final = 1000
SECONDS: Final = 8
ROUNDS: Final = 3
CROWDS: Final = (1, 100, 1000)
BURSTS: Final = {100: 20_000, 1000: 6_000}
"""Entries of a burst, by the number of subscribers."""
BURST_ROUNDS: Final = 5


class _Look(msgspec.Struct, frozen=True):
    """One round of one server."""

    report: Report
    start: int
    """When the first entry was emitted (``time.monotonic_ns``)."""
    cpu: float
    """Seconds the server took meanwhile."""

    @property
    def seconds(self) -> float:
        """From the first entry's emission until the last subscriber had everything."""
        return (self.report.last_ns - self.start) / 1e9


class _Round:
    """One round: a folder of its own, and how many entries there will be."""

    def __init__(self, folder: str, crowd: int, total: int) -> None:
        self.folder = Path(folder)
        self.go = self.folder / "go"
        self.crowd = crowd
        self.total = total
        self.frames = self.folder / "frames"
        self.frames.mkdir()

    def plan(self, url: str, task: str, *, record: bool) -> Plan:
        """All of the crowd on one task."""
        seats = [
            Seat(f"/ws/tasks/{task}/logs?{urlencode({'after': 0, **lane.filter})}", task, lane)
            for lane in lanes(self.crowd)
        ]
        return Plan(url, seats, record=str(self.frames) if record else None)

    async def ours(self, plugin: str, **params: object) -> _Look:
        """The service, a plugin of `bench.emitting` in it."""
        async with program(serving(self.folder / "data", "bench.emitting")) as server:
            async with httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
                body = {"plugin": plugin, "params": {"go": str(self.go), **params}}
                answer = await client.post("/api/tasks", json=body)
                answer.raise_for_status()
                task = answer.json()["id"]
            return await self._watch(server, task, record=plugin == "burst")

    async def bare(self, *options: str) -> _Look:
        """The bare broadcast."""
        command = (sys.executable, "-m", "bench.bare", str(self.go), *options)
        async with program(command) as server:
            return await self._watch(server, "bare", record=False)

    async def _watch(self, server: Process, task: str, *, record: bool) -> _Look:
        async with subscribing(self.plan(server.socket_url, task, record=record)) as crowd:
            if crowd.ready.errors:
                raise RuntimeError(f"not all subscribers could connect: {crowd.ready.errors}")
            await asyncio.sleep(0.5)  # what connecting left to do is not what is measured
            cpu = server.cpu_seconds()
            self.go.touch()
            report = await crowd.report({task: self.total})
            cpu = server.cpu_seconds() - cpu
        self.go.unlink()
        if report.lost or report.disordered or report.declared or report.unended:
            raise RuntimeError(f"subscribers did not see what was emitted: {report}")
        return _Look(report, int(self.go.with_suffix(".started").read_text(encoding="utf-8")), cpu)


async def _latency(bench: Bench, crowd: int) -> Row:
    """The 99th percentile of a crowd, at a steady rate."""
    seconds = bench.amount(SECONDS, 3)
    tick = MOVE_SECONDS + (GATHER_SECONDS if crowd > 1 else 0)
    found: dict[str, list[_Look]] = {"asynclog": [], "bare uvicorn": []}

    async def look(name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            turn = _Round(folder, crowd, RATE * seconds)
            if name == "asynclog":
                result = await turn.ours("paced", rate=RATE, seconds=seconds)
            else:
                result = await turn.bare("--rate", str(RATE), "--seconds", str(seconds), "--tick", str(tick))
        found[name].append(result)
        return result.report.latencies.percentile_ms(99)

    contenders = {name: _bound(look, name) for name in found}
    values = await bench.turns_async(contenders, bench.rounds(ROUNDS) if crowd > 1 else 2)
    ours = Latencies()
    for result in found["asynclog"]:
        ours.merge(result.report.latencies)
    cpu = {name: sum(result.cpu for result in results) for name, results in found.items()}
    mine, theirs = (Sample(name, "ms", values[name]) for name in found)
    delivered = sum(result.report.received for result in found["asynclog"])
    note = f"{delivered:,} entries delivered; p50 {ours.percentile_ms(50):.0f} ms, longest {ours.longest_ms:.0f} ms"
    note += f"; server's CPU {cpu['asynclog'] / cpu['bare uvicorn']:.2f} of the bare one's"
    extra: dict[str, Any] = {**ours.as_dict(), "delivered": delivered, "server_cpu_s": cpu["asynclog"]}
    extra["bare_cpu_s"] = cpu["bare uvicorn"]
    extra["subscribers_late_ms"] = max(result.report.late_ms for results in found.values() for result in results)
    extra |= {f"{name}_frames": sum(result.report.frames for result in results) for name, results in found.items()}
    name = f"emit to {crowd:,} WebSocket{'s' if crowd > 1 else ''}, {RATE:,}/s, p99 / bare broadcast"
    return Row(name, mine, theirs, at_most(100, "ms"), note, extra)


def _bound(look: Any, name: str) -> Any:
    return lambda: look(name)


async def _throughput(bench: Bench, crowd: int) -> Row:
    """Megabytes a second of a burst to a crowd; the bare server sends the frames that ours sent just before."""
    count = BURSTS[crowd]
    ours: list[float] = []
    theirs: list[float] = []
    frames: list[int] = []
    for _ in bench.track(range(bench.rounds(BURST_ROUNDS)), f"burst to {crowd:,}"):
        with tempfile.TemporaryDirectory() as folder:
            turn = _Round(folder, crowd, count)
            mine = await turn.ours("burst", count=count)
            bare = await turn.bare("--replay", str(turn.frames))
        for values, look in ((ours, mine), (theirs, bare)):
            values.append(look.report.bytes / look.seconds / 1e6)
        frames.append(mine.report.frames)
    name = f"burst of {count:,} to {crowd:,} WebSocket{'s' if crowd > 1 else ''} / bare broadcast of the same frames"
    note = f"{sum(frames) / len(frames):,.0f} frames"
    samples = Sample("asynclog", "MB/s", ours), Sample("bare uvicorn", "MB/s", theirs)
    if crowd < max(BURSTS):
        note += "; emitting and journaling them takes longer than sending them to so few"
    return Row(name, *samples, at_least(0.7) if crowd == max(BURSTS) else "shown", note)


async def _run(bench: Bench, crowds: Sequence[int]) -> list[Row]:
    rows = [await _latency(bench, crowd) for crowd in crowds]
    return rows + [await _throughput(bench, crowd) for crowd in BURSTS]


def run(bench: Bench) -> list[Row]:
    """Every crowd's latency, then its throughput."""
    return asyncio.run(_run(bench, CROWDS))
