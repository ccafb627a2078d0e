"""Load a running asynclog and say how it took it: latency, loss and order.

External tasks are fed over HTTP at a steady rate, open loop, while WebSocket subscribers with mixed filters follow
them. Every entry knows when it was due; every subscriber knows which entry has to come next.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import math
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from asynclog.cli.credentials import api_key
from asynclog.errors import InvalidError
from bench.caller import REQUEST_SECONDS, Client, ServiceError
from bench.lateness import Lateness
from bench.loaded import Cost, Load, Result, counted, show
from bench.loading import GIVE_UP_SECONDS, Course, Feeder
from bench.mix import LANES
from bench.report import new_file
from bench.subscribers import END_SECONDS, Plan, Seat, SubscribersError, allow_many_files, subscribing

FAILED: Final = 1
UNUSABLE: Final = 2
INTERRUPTED: Final = 130
SHOWN_SECONDS: Final = 0.2
"""Between two looks of the bar."""
TICK: Final = 0.02
"""Seconds between two batches of a task, at least;"""
REQUESTS: Final = 400
"""with many tasks so many that there are no more batches a second than this in all."""
AT_ONCE: Final = 8
"""Requests at a time, but for batches."""
STORED_SECONDS: Final = 30.0
"""How long the last entries may take until they can be read."""
GONE_SECONDS: Final = 1.0
"""How long anything is waited for from a service that is gone, or when somebody wants the end at once."""
HURRY_SECONDS: Final = 5.0
"""How long whoever interrupts it has to wait for what is on its way."""

EPILOG: Final = """\
exit codes:
  0    every entry was acknowledged, is stored, and reached its subscribers once and in order
  1    not so; what went wrong is named
  2    the service cannot be loaded: nobody is there, no key, no room; or the command makes no sense
  130  interrupted (Ctrl-C): what was measured until then is shown

The tasks are finished in any case and stay, unless --delete is given. An API key is taken from --api-key-file, or from
ASYNCLOG_API_KEY or ASYNCLOG_API_KEY_FILE as by every command; it takes the role operator.
docs/performance.md says how to read the numbers.
"""

NAMED: Final = 5
"""Tasks that are named where something is wrong with them."""

T = TypeVar("T")


class Running:
    """A load under way: what Ctrl-C ends, first gently and then at once."""

    def __init__(self, console: Console) -> None:
        self.course: Course | None = None
        self.interrupted = False
        self._console = console
        self._work = asyncio.current_task()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside of the block SIGINT and SIGTERM end the load."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        if self.course is not None and not self.interrupted:
            self.interrupted = True
            self.course.end()
            say(self._console, "ending the load and its tasks; once more ends it at once", "yellow")
        elif self._work is not None:
            self.interrupted = True
            self._work.cancel()


async def run(load: Load, console: Console) -> Result:
    """Load the service; its tasks are finished whatever happens, and deleted where they are empty or that is asked for.

    Raises:
        ServiceError: it cannot be loaded.
        SubscribersError: what they saw is not known.
        asyncio.CancelledError: it was interrupted before there was anything to tell, or twice.
    """
    running, tasks = Running(console), list[str]()
    client = Client(load.url, load.api_key)
    with running.interruptible():
        try:
            say(console, f"loading {load.url} for {load.duration:g} s: {load}", "")
            await _begin(load, client, tasks)
            result = await _follow(load, client, tasks, running, console)
            if load.delete:
                result.cleanup.extend(await _each(client.delete, tasks, "deleted"))
            return result
        except BaseException:
            client.wait_at_most(GONE_SECONDS if running.interrupted else REQUEST_SECONDS)
            left = await _each(client.finish, tasks, "finished")
            if load.delete or running.course is None:  # there is nothing in them
                left += await _each(client.delete, tasks, "deleted")
            for problem in left:
                say(console, problem)
            raise
        finally:
            await client.close()


async def _begin(load: Load, client: Client, tasks: list[str]) -> None:
    """Begin the tasks; those that were begun are known whatever becomes of the others. Raises ServiceError."""

    async def begin(number: int) -> None:
        tasks.append(await client.begin(f"load {number} of {load.tasks}"))

    await begin(1)  # alone: whatever is wrong, it is wrong with all of them
    outcomes = await _gated(begin, range(2, load.tasks + 1))
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _gated(work: Callable[[T], Awaitable[Any]], items: Sequence[T]) -> list[Any]:
    """The outcomes of some work for each item, a few at a time: what it returned or raised."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> Any:
        async with gate:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items), return_exceptions=True)


async def _follow(load: Load, client: Client, tasks: Sequence[str], running: Running, console: Console) -> Result:
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    plan = Plan(client.socket_url, seats(tasks, load.subscribers), client.headers)
    async with subscribing(plan) as crowd:
        if crowd.ready.errors:
            raise ServiceError(_turned_away(load, crowd.ready.connected, crowd.ready.errors))
        entries = round(load.rate * load.duration / load.tasks)
        course = running.course = Course(load.duration, entries, load.tasks, load.patience)
        feeders = [Feeder(client, task, place / len(tasks), load.tick, course) for place, task in enumerate(tasks)]
        client.wait_at_most(load.patience)
        itself = await _feed(course, feeders, console)
        hurry = running.interrupted or course.gone
        if not hurry and not course.told.abandoned:
            course.told.seconds = max(course.told.seconds, load.duration)
        silent = course.gone or (hurry and course.told.unanswered > 0)
        patience = GONE_SECONDS if silent else HURRY_SECONDS if hurry else END_SECONDS
        client.wait_at_most(patience)
        cleanup = await _each(client.finish, tasks, "finished")
        sent = {feeder.task: feeder.sent for feeder in feeders}
        seen = await crowd.report(sent, {feeder.task: feeder.unsure for feeder in feeders}, patience)
        stored = await _stored(client, feeders, patience)
    return Result(
        load=load,
        started=started,
        told=course.told,
        acknowledged=course.latencies,
        seen=seen,
        tasks=list(tasks),
        watched=len({seat.task for seat in plan.seats}),
        stored=stored,
        itself=itself,
        interrupted=running.interrupted,
        gone=course.gone,
        cleanup=cleanup,
    )


def seats(tasks: Sequence[str], subscribers: int) -> list[Seat]:
    """So many subscribers, as evenly over the tasks as over the filters, and of each task as many filters as can be."""
    found: list[Seat] = []
    for place, task in enumerate(tasks):
        for _ in range(subscribers // len(tasks) + (place < subscribers % len(tasks))):
            lane = LANES[len(found) % len(LANES)]
            found.append(Seat(f"/ws/tasks/{task}/logs?{urlencode({'after': 0, **lane.filter})}", task, lane))
    return found


def _turned_away(load: Load, connected: int, errors: dict[str, int]) -> str:
    reasons = "; ".join(f"{count} times {why}" for why, count in errors.items())
    advice = ""
    if any(why.startswith(("4429", "1013", "refused with 503")) for why in errors):
        advice = (
            " Ask for fewer --subscribers, or raise its [server] subscriptions_per_key, subscriptions or connections."
        )
    if any("Too many open files" in why for why in errors):
        advice += " Raise the limit of open files of this machine (`ulimit -Hn`)."
    return f"only {connected:,} of {load.subscribers:,} subscribers could connect: {reasons}.{advice}"


async def _feed(course: Course, feeders: Sequence[Feeder], console: Console) -> Cost:
    """Let them all feed, and say how far they are; what that took."""
    cpu, began = time.process_time(), time.monotonic()
    async with Lateness() as lateness:
        feeding = [asyncio.ensure_future(feeder.feed()) for feeder in feeders]
        try:
            await _watched(course, feeding, console)
        finally:
            for work in feeding:
                work.cancel()
            outcomes = await asyncio.gather(*feeding, return_exceptions=True)
        cost = Cost((time.process_time() - cpu) / (time.monotonic() - began), lateness.p99_ms)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return cost


async def _watched(course: Course, feeding: Sequence[asyncio.Future[None]], console: Console) -> None:
    """Return when all feeders are done, or had time to end; on a terminal a bar says how far they are."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    told, over = course.told, None
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("loading", total=course.seconds, state="")
        while (await asyncio.wait(feeding, timeout=SHOWN_SECONDS))[1]:
            now = time.monotonic()
            if course.over:
                over = over or now
                if now - over > HURRY_SECONDS:
                    return
            passed = (time.monotonic_ns() - course.start) / 1e9
            state = f"{told.acknowledged:,} acknowledged, {told.unanswered:,} on their way"
            if told.again:
                state += f", {told.again:,} batches sent again"
            progress.update(bar, completed=min(passed, course.seconds), state=state)


async def _stored(client: Client, feeders: Sequence[Feeder], patience: float) -> int | None:
    """How many entries can be read, once those are all that were acknowledged, or there was time enough."""
    deadline = time.monotonic() + min(patience, STORED_SECONDS)

    async def stored(feeder: Feeder) -> int | None:
        while True:
            found = await client.stored(feeder.task)
            enough = found is not None and found >= feeder.acknowledged
            if enough or time.monotonic() > deadline:
                return found
            await asyncio.sleep(SHOWN_SECONDS)

    found = await _gated(stored, feeders)
    return sum(found) if all(isinstance(count, int) for count in found) else None


async def _each(say: Callable[[str], Awaitable[str | None]], tasks: Sequence[str], what: str) -> list[str]:
    """What went wrong in saying something to each task."""
    wrong = defaultdict[str, list[str]](list)
    for task, found in zip(tasks, await _gated(say, tasks), strict=True):
        if found is not None:
            wrong[str(found)].append(task)
    return [
        f"{counted(len(some), 'task')} could not be {what} ({', '.join([*some[:NAMED], '…'][: len(some)])}): {why}"
        for why, some in wrong.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench load",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="http://127.0.0.1:8700", help="of the service (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000, help="entries a second, in all (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=4, help="external tasks (default: %(default)s)")
    parser.add_argument("--subscribers", type=int, default=20, help="WebSockets, in all (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=30, help="seconds (default: %(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=GIVE_UP_SECONDS,
        help="seconds without any answer after which the service is taken for gone (default: %(default)g)",
    )
    parser.add_argument("--api-key-file", metavar="FILE", help="a file with nothing but an API key of an operator")
    parser.add_argument("--delete", action="store_true", help="delete the tasks afterwards instead of keeping them")
    parser.add_argument("--out", type=new_file, metavar="FILE", help="a file for the result, as JSON")
    return parser


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = not (parts.query or parts.fragment or parts.username)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and plain
    except ValueError:  # the port is none
        return False


def _load(arguments: Sequence[str]) -> tuple[Load, Path | None]:
    parser = _parser()
    asked = parser.parse_args(arguments)
    for name, least in (("rate", 0.1), ("tasks", 1), ("subscribers", 0), ("duration", 0.1), ("patience", 0.1)):
        if not least <= getattr(asked, name) < math.inf:
            parser.error(f"--{name} has to be at least {least:g}")
    if round(asked.rate * asked.duration / asked.tasks) < 1:
        parser.error(
            f"--rate {asked.rate:g} for --duration {asked.duration:g} is less than an entry for each of --tasks"
            f" {asked.tasks}; ask for more, or for fewer tasks"
        )
    if not _is_url(asked.url):
        parser.error("--url is an address such as http://127.0.0.1:8700 or https://logs.example.org, and no page of it")
    try:
        key = api_key(os.environ, asked.api_key_file)
    except InvalidError as error:
        parser.error(str(error))
    load = Load(
        url=asked.url.rstrip("/"),
        rate=asked.rate,
        tasks=asked.tasks,
        subscribers=asked.subscribers,
        duration=asked.duration,
        patience=asked.patience,
        tick=max(TICK, asked.tasks / REQUESTS),
        api_key=key,
        delete=asked.delete,
    )
    return load, asked.out


def say(console: Console, text: str, style: str = "bold red") -> None:
    """A line of its own, as long as it is."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str]) -> int:
    """The command ``load``; its exit code."""
    load, out = _load(arguments)
    console = Console(stderr=True)
    allow_many_files()
    try:
        result = uvloop.run(run(load, console))
    except ServiceError as error:
        say(console, str(error))
        return _written(out, {"ok": False, "problems": [str(error)]}, console, UNUSABLE)
    except SubscribersError as error:
        say(console, str(error))
        return _written(out, {"ok": False, "problems": [str(error)]}, console, FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(console, "interrupted; the tasks were finished, but for any named above", "yellow")
        return _written(out, {"ok": False, "problems": ["interrupted"]}, console, INTERRUPTED)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over; who is impatient gets the rest all the same
    code = INTERRUPTED if result.interrupted else FAILED if result.problems else 0
    code = _written(out, result.as_dict(), console, code)  # first: who reads the table may go away
    show(result, Console(width=None if sys.stdout.isatty() else 160))
    return code


def _written(out: Path | None, found: dict[str, Any], console: Console, code: int) -> int:
    """Keep the result, if that was asked for; the exit code."""
    if out is None:
        return code
    try:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        say(console, f"the result could not be written: {error}")
        return code or FAILED
    return code
