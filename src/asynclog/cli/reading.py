"""``asynclog tasks`` and ``asynclog tail``: what ran, and what it logged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import click

from asynclog.cli import options, terminal
from asynclog.cli.finding import each_task, find_task, path
from asynclog.cli.lines import LinePrinter
from asynclog.cli.options import Pairs, Place
from asynclog.cli.service import Object, Service
from asynclog.model import ENDED, parse_timestamp

PAGE: Final = 1000
NEWEST: Final = 100
"""Entries that are shown when nothing is said of how many."""
ACTIVITY: Final = 1_000_000
"""Lines of an activity log at most."""
NO_LIMIT: Final = 1 << 62
BEHIND: Final = "the database does not answer the service in time; the newest entries may be missing"


@click.command()
@click.option("--order-by", type=click.Choice(["created_at", "started_at", "duration"]), help="[default: created_at]")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="[default: desc]")
@click.option("-n", "--limit", type=click.IntRange(0), default=50, show_default=True, help="So many at most; 0 is all.")
@options.table()
@options.task_filter
@options.place
def tasks(
    place: Place, conditions: Pairs, order_by: str | None, order: str | None, limit: int, *, as_table: bool
) -> None:
    """List tasks, newest first.

    A table on a terminal, one JSON object a line into a pipe.
    """
    query = [*conditions, *((n, v) for n, v in (("order_by", order_by), ("order", order)) if v)]
    found: list[Object] = []
    asyncio.run(_tasks(place, query, limit or NO_LIMIT, found.append if as_table else terminal.write_object))
    if found:
        _show(found)
    elif as_table:
        terminal.remark("no tasks" + (" like that" if conditions else " yet"))


async def _tasks(place: Place, query: Pairs, limit: int, take: Callable[[Object], None]) -> None:
    async with place.connect() as service:
        asked = [
            (name, (await find_task(service, value))["id"] if name == "parent" else value) for name, value in query
        ]
        async with contextlib.aclosing(each_task(service, asked, limit)) as tasks:
            async for task in tasks:
                take(task)


def _show(tasks: list[Object]) -> None:
    now = time.time_ns() // 1000
    rows = []
    for task in tasks:
        counts, status = task["counts"], "cancelling" if task["cancelling"] else task["status"]
        rows.append(
            (
                task["id"],
                terminal.visible(task["name"]),
                terminal.visible(task["plugin"]),
                terminal.paint(status, status),
                _age(now - parse_timestamp(task["created_at"])),
                _seconds(task),
                f"{task['last_seq'] - task['dropped']:,}",
                terminal.paint(f"{counts['WARNING']:,}", "WARNING" if counts["WARNING"] else "dim"),
                terminal.paint(f"{counts['ERROR']:,}", "ERROR" if counts["ERROR"] else "dim"),
            )
        )
    columns = ("ID", "NAME", "PLUGIN", "STATUS", "AGE", "SECONDS", "ENTRIES", "WARN", "ERROR")
    terminal.show_table(columns, rows, right="AGE SECONDS ENTRIES WARN ERROR", cut="PLUGIN NAME")


def _age(microseconds: int) -> str:
    """How long ago, in the largest unit that gives a number of two digits or so."""
    seconds = max(0, microseconds // 1_000_000)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _seconds(task: Object) -> str:
    progress = task["progress"]
    if task["duration"] is not None:
        return f"{task['duration']:,.2f}"
    if progress and progress["total"]:
        return f"{100 * progress['current'] / progress['total']:.0f} %"
    return "…"


@click.command(short_help="Show the newest entries of a task, and those to come.")
@click.argument("task")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on, up to the task's end.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    help="So many: the last lines of the activity log, or with a filter, "
    "-f or ndjson the newest entries.  [default: the newest 100 entries]",
)
@click.option("--all", "everything", is_flag=True, help="All entries, not the newest ones only.")
@click.option("--format", "form", type=click.Choice(["text", "ndjson"]), default="text", show_default=True)
@options.entry_filter
@options.place
def tail(
    task: str, place: Place, conditions: Pairs, *, follow: bool, lines: int | None, everything: bool, form: str
) -> int:
    """Show the newest entries of TASK: its id, the beginning of it, its name, or `last`.

    With -f the entries that come are shown as well, live; a lost service is waited for, and nothing is missed.
    Ends with 1 when the task that was followed has failed.
    """
    if lines and form == "text" and not (follow or everything or conditions):
        return asyncio.run(_activity(place, task, lines))
    newest = None if everything else NEWEST if lines is None else lines
    return asyncio.run(_tail(place, task, conditions, newest, form, follow=follow))


async def _activity(place: Place, name: str, lines: int) -> int:
    """Show the last lines of a task's activity log as they stand in its file."""
    async with place.connect() as service:
        task = await find_task(service, name)
        newest = await service.call(
            "GET", path(task["id"], "logs"), [("order", "desc"), ("limit", "1"), ("total", "false")]
        )
        if not newest["complete"]:  # which the lines themselves cannot say
            terminal.say(BEHIND, "WARNING")
        printer, rest = LinePrinter("text"), b""
        asked = [("lines", str(min(lines, ACTIVITY)))]
        async with contextlib.aclosing(service.stream(path(task["id"], "tail"), asked)) as pieces:
            async for piece in pieces:
                *whole, rest = (rest + piece).split(b"\n")
                printer.lines(whole)
        printer.lines([rest] if rest else [])
    return 0


async def _tail(place: Place, name: str, conditions: Pairs, lines: int | None, form: str, *, follow: bool) -> int:
    async with place.connect() as service:
        task = await find_task(service, name)
        printer = LinePrinter(form)
        if follow and not service.remote and task["status"] not in ENDED:
            terminal.say("no service runs on the data directory, so nothing new can come; showing what is there")
            follow = False
        if lines is None and follow:
            return await show_live(service, task["id"], conditions, 0, printer)
        if lines is None:
            await _forward(service, task["id"], conditions, printer)
            return 0
        after = await _newest(service, task, conditions, lines, printer, follow=follow)
        return await show_live(service, task["id"], conditions, after, printer) if follow else 0


async def _newest(
    service: Service, task: Object, conditions: Pairs, lines: int, printer: LinePrinter, *, follow: bool
) -> int:
    """Show the newest entries; the seq from which on what comes is new. Gaps behind it are new to who follows."""
    if not lines:
        return int(task["last_seq"])
    entries: list[Object] = []
    gaps: list[Object] = []
    before: list[tuple[str, str]] = []
    while len(entries) < lines:
        limit = str(min(PAGE, lines - len(entries)))
        asked = [*conditions, ("order", "desc"), ("limit", limit), ("total", "false"), *before]
        page = await service.call("GET", path(task["id"], "logs"), asked)
        if not (page["complete"] or before or follow):
            terminal.say(BEHIND, "WARNING")
        entries += page["entries"]
        gaps = page["gaps"]
        if page["next_before"] is None:
            break
        before = [("before", str(page["next_before"]))]
    first = entries[-1]["seq"] if len(entries) == lines else 0
    newest = int(entries[0]["seq"]) if entries else 0
    last = newest if follow else NO_LIMIT
    _interleave(printer, entries[::-1], [gap for gap in gaps if first < gap["to_seq"] and gap["from_seq"] < last])
    return newest


async def _forward(service: Service, task_id: str, conditions: Pairs, printer: LinePrinter) -> None:
    """Show all entries, page by page."""
    after: int | None = 0
    while after is not None:
        asked = [*conditions, ("after", str(after)), ("limit", str(PAGE)), ("total", "false")]
        page = await service.call("GET", path(task_id, "logs"), asked)
        last = page["next_after"]
        gaps = [g for g in page["gaps"] if g["to_seq"] > after and (last is None or g["to_seq"] <= last)]
        _interleave(printer, page["entries"], gaps)
        after = last
        if after is None and not page["complete"]:
            terminal.say(BEHIND, "WARNING")


def _interleave(printer: LinePrinter, entries: list[Object], gaps: list[Object]) -> None:
    """Entries with the gaps at their places."""
    start = 0
    for gap in sorted(gaps, key=lambda gap: int(gap["from_seq"])):
        end = next((i for i in range(start, len(entries)) if entries[i]["seq"] > gap["from_seq"]), len(entries))
        printer.entries(entries[start:end])
        printer.gap(gap)
        start = end
    printer.entries(entries[start:])


async def show_live(service: Service, task_id: str, conditions: Pairs, after: int, printer: LinePrinter) -> int:
    """Show a task's entries from a cursor on, up to its end; 0 when it did not fail."""
    status = "running"
    async with contextlib.aclosing(service.follow(task_id, conditions, after)) as frames:
        async for frame in frames:
            kind = frame["type"]
            if kind == "entries":
                printer.entries(frame["entries"])
            elif kind == "gap":
                printer.gap(frame)
            elif kind == "task":
                status = frame["task"]["status"]
            elif kind == "lost":
                terminal.say(f"{frame['detail']}; trying again", "WARNING")
    return 0 if status == "success" else 1
