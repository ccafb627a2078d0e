"""Load a running asynclog and say how it took it: latency, loss and order.

External tasks are fed over HTTP at a steady rate, open loop, while WebSocket subscribers with mixed filters follow
them. Every entry knows when it was due; every subscriber knows which entry has to come next. The exit code is 0 when
nothing was lost, repeated, overtaken or refused, 1 when something was, 2 when the service cannot be loaded at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.latency import Latencies
from bench.loading import Client, Feeder, ServiceError, Told
from bench.mix import LANES, lanes
from bench.report import new_file
from bench.subscribers import Plan, Report, Seat, subscribing

FAILED: Final = 1
UNUSABLE: Final = 2
NORMAL: Final = "1000"
"""How a connection ends when all was said."""
SHOWN_SECONDS: Final = 0.2
"""Between two looks of the bar."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: entries a second in all, over so many tasks, and subscribers in all."""

    url: str
    rate: float
    tasks: int
    subscribers: int
    duration: float
    api_key: str | None = None
    delete: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load."""

    load: Load
    told: Told
    acknowledged: Latencies
    """From when an entry was due until the service had answered for it."""
    seen: Report
    cleanup: list[str]
    """What went wrong when the tasks were finished and deleted."""

    @property
    def problems(self) -> list[str]:
        """What should not have happened, as sentences."""
        told, seen = self.told, self.seen
        found = {
            "entries were lost on the way to subscribers": seen.lost,
            "entries came again, late or to the wrong subscriber": seen.disordered,
            "entries were declared dropped by the service": seen.declared,
            "entries were refused, or never acknowledged": told.refused,
            "subscribers were not told the end of their task": seen.unended,
        }
        closes = [f"{count:,} connections ended: {why}" for why, count in seen.closes.items() if why != NORMAL]
        return [f"{count:,} {what}" for what, count in found.items() if count] + closes + self.cleanup

    def as_dict(self) -> dict[str, Any]:
        """For the JSON."""
        load = {name: value for name, value in msgspec.to_builtins(self.load).items() if name != "api_key"}
        seen = {name: value for name, value in msgspec.to_builtins(self.seen).items() if name != "histogram"}
        return {
            "load": load,
            "ok": not self.problems,
            "problems": self.problems,
            "told": msgspec.to_builtins(self.told),
            "acknowledged_per_second": self.told.acknowledged / (self.told.seconds or 1),
            "emit_to_acknowledged": self.acknowledged.as_dict(),
            "emit_to_subscriber": self.seen.latencies.as_dict(),
            "seen": seen,
        }


async def run(load: Load, console: Console) -> Result:
    """Load the service; its tasks are finished, and deleted where that is asked for, whatever happens.

    Raises:
        ServiceError: it cannot be loaded.
    """
    client = Client(load.url, load.api_key)
    tasks: list[str] = []
    try:
        for number in range(load.tasks):
            tasks.append(  # noqa: PERF401 - those that were begun are finished, whatever becomes of the next
                await client.begin(f"load {number + 1} of {load.tasks}")
            )
        result = await _follow(load, client, tasks, console)
        if load.delete:
            result.cleanup.extend(await _each(client.delete, tasks))
            tasks.clear()
        return result
    except BaseException:
        left = await _each(client.finish, tasks)
        if load.delete:
            left += await _each(client.delete, tasks)
        for problem in left:
            console.print(problem, style="bold red", markup=False, highlight=False)
        raise
    finally:
        await client.close()


async def _follow(load: Load, client: Client, tasks: Sequence[str], console: Console) -> Result:
    told, latencies = Told(), Latencies()
    async with subscribing(_plan(load, client, tasks)) as crowd:
        ready = crowd.ready
        if ready.errors:
            reasons = "; ".join(f"{count} times {why}" for why, count in ready.errors.items())
            raise ServiceError(f"only {ready.connected} of {load.subscribers} subscribers could connect: {reasons}")
        feeders = [Feeder(client, task, load.rate / len(tasks), told, latencies) for task in tasks]
        start = time.monotonic_ns()
        await _watched(load, told, console, *(feeder.feed(start, load.duration) for feeder in feeders))
        told.seconds = (time.monotonic_ns() - start) / 1e9
        cleanup = await _each(client.finish, tasks)
        seen = await crowd.report({feeder.task: feeder.sent for feeder in feeders})
    return Result(load=load, told=told, acknowledged=latencies, seen=seen, cleanup=cleanup)


def _plan(load: Load, client: Client, tasks: Sequence[str]) -> Plan:
    """Every task gets every filter, as far as there are subscribers."""
    seats = []
    for number, lane in enumerate(lanes(load.subscribers)):
        task = tasks[number // len(LANES) % len(tasks)]
        seats.append(Seat(f"/ws/tasks/{task}/logs?{urlencode({'after': 0, **lane.filter})}", task, lane))
    return Plan(client.socket_url, seats, client.headers)


async def _watched(load: Load, told: Told, console: Console, *works: Coroutine[Any, Any, None]) -> None:
    """Run them all, and say how far they are."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("loading", total=load.rate * load.duration, state="")
        feeding = [asyncio.ensure_future(work) for work in works]
        try:
            while (await asyncio.wait(feeding, timeout=SHOWN_SECONDS))[1]:
                behind = told.offered - told.acknowledged - told.refused
                state = f"{told.acknowledged:,} acknowledged, {behind:,} on their way, {told.again} batches sent again"
                progress.update(bar, completed=told.acknowledged, state=state)
        finally:
            for work in feeding:
                work.cancel()
            outcomes = await asyncio.gather(*feeding, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _each(say: Callable[[str], Awaitable[str | None]], tasks: Sequence[str]) -> list[str]:
    """What went wrong in saying something to each task."""
    return [found for found in await asyncio.gather(*(say(task) for task in tasks)) if found is not None]


def show(result: Result, console: Console) -> None:
    """The table for people."""
    load, told, seen = result.load, result.told, result.seen
    table = Table(
        title=f"{load.url}: {load.rate:,.0f} entries/s over {load.tasks} tasks, {load.subscribers} subscribers"
    )
    for heading in ("", "p50", "p90", "p99", "p99.9", "longest"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, latencies in (("due to acknowledged", result.acknowledged), ("due to subscriber", seen.latencies)):
        table.add_row(name, *(f"{milliseconds:,.1f} ms" for milliseconds in latencies.as_dict().values()))
    console.print(table)
    rate = told.acknowledged / (told.seconds or 1)
    console.print(
        f"{told.acknowledged:,} of {told.offered:,} entries acknowledged in {told.seconds:.1f} s ({rate:,.0f}/s,"
        f" {told.batches:,} batches, {told.again} sent again); {seen.received:,} entries in {seen.frames:,} frames"
        f" ({seen.bytes / 1e6:,.1f} MB) reached {seen.subscribers:,} subscribers",
        highlight=False,
    )
    for error, count in told.errors.items():
        console.print(f"{count} times: {error}", style="yellow", markup=False)
    for problem in result.problems:
        console.print(problem, style="bold red", markup=False)
    if not result.problems:
        console.print("nothing lost, nothing twice, everything in order, at every subscriber", style="green")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8700", help="of the service (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000, help="entries a second, in all (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=4, help="external tasks (default: %(default)s)")
    parser.add_argument("--subscribers", type=int, default=20, help="WebSockets, in all (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=30, help="seconds (default: %(default)s)")
    parser.add_argument("--api-key-file", type=Path, help="a file with nothing but an API key that may write")
    parser.add_argument("--delete", action="store_true", help="delete the tasks afterwards instead of keeping them")
    parser.add_argument("--out", type=new_file, help="a file for the result, as JSON")
    return parser


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is none
        return False


def _load(arguments: Sequence[str]) -> tuple[Load, Path | None]:
    parser = _parser()
    asked = parser.parse_args(arguments)
    for name, least in (("rate", 0.1), ("tasks", 1), ("subscribers", 0), ("duration", 0.1)):
        if not least <= getattr(asked, name) < math.inf:
            parser.error(f"--{name} has to be at least {least:g}")
    if not _is_url(asked.url):
        parser.error("--url is an address such as http://127.0.0.1:8700 or https://logs.example.org")
    key = None
    if asked.api_key_file is not None:
        try:
            key = asked.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            parser.error(f"--api-key-file cannot be read: {error}")
        if not key.isascii() or len(key.split()) != 1:
            parser.error("--api-key-file holds one API key and nothing else")
    load = Load(
        url=asked.url,
        rate=asked.rate,
        tasks=asked.tasks,
        subscribers=asked.subscribers,
        duration=asked.duration,
        api_key=key,
        delete=asked.delete,
    )
    return load, asked.out


def main(arguments: Sequence[str]) -> int:
    """The command ``load``; its exit code."""
    load, out = _load(arguments)
    console = Console(stderr=True)
    try:
        result = asyncio.run(run(load, console))
    except ServiceError as error:
        console.print(str(error), style="bold red", markup=False, highlight=False)
        return UNUSABLE
    except KeyboardInterrupt:
        console.print("interrupted; the tasks were finished, but for any named above", style="yellow")
        return FAILED
    show(result, Console(width=None if sys.stdout.isatty() else 160))
    if out is not None:
        out.write_text(json.dumps(result.as_dict(), indent=1) + "\n", encoding="utf-8")
    return FAILED if result.problems else 0
