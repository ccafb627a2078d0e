"""``asynclog schedules``: what starts by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import click

from asynclog.cli import options, terminal
from asynclog.cli.finding import by_id
from asynclog.cli.options import Place
from asynclog.cli.service import Object, Service
from asynclog.errors import UnavailableError

PATH: Final = "/api/schedules"

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERVAL: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


@click.group()
def schedules() -> None:
    """List, add, pause, resume, run and remove schedules.

    They start their plugins while `asynclog serve` runs.
    """


@schedules.command(name="list")
@options.table()
@options.place
def show(place: Place, *, as_table: bool) -> None:
    """List the schedules, oldest first."""
    found = asyncio.run(_ask(place, _all))
    if not as_table:
        for schedule in found:
            terminal.write_object(schedule)
    elif found:
        columns = ("ID", "NAME", "PLUGIN", "DUE", "NEXT (UTC)", "LAST TASK", "STATE")
        terminal.show_table(columns, [_row(schedule) for schedule in found], cut="STATE NAME PLUGIN DUE")
    else:
        terminal.remark("no schedules yet")


def _row(schedule: Object) -> list[str]:
    due = f"every {schedule['interval']:g} s" if schedule["cron"] is None else schedule["cron"]
    zone = "" if schedule["cron"] is None or schedule["time_zone"] == "UTC" else f" {schedule['time_zone']}"
    state = "running" if schedule["running_task_id"] else "paused" if schedule["paused"] else "waiting"
    row = (
        schedule["id"],
        schedule["name"],
        schedule["plugin"],
        due + zone,
        (schedule["next_at"] or "")[:19].replace("T", " "),
        schedule["last_task_id"] or "",
        schedule["last_error"] or state,
    )
    return [terminal.visible(cell) for cell in row]


@schedules.command()
@click.argument("plugin")
@click.option("--cron", metavar="EXPR", help="Minute, hour, day, month and weekday, such as '30 2 * * 1-5'.")
@click.option("--every", metavar="TIME", help="An interval instead: seconds, or 90s, 15m, 2h, 1d.")
@click.option("--time-zone", metavar="ZONE", help="What --cron means, such as Europe/Berlin.  [default: UTC]")
@click.option(
    "--missed", type=click.Choice(["run", "skip"]), help="One run for all missed times, or none.  [default: run]"
)
@click.option("--name", metavar="NAME", help="Of the schedule and its tasks; the plugin's without it.")
@click.option("--account", metavar="NAME", help="The account its tasks belong to.")
@click.option("--site", metavar="NAME", help="The site its tasks belong to.")
@click.option("--paused", is_flag=True, default=None, help="Do not start yet.")
@options.params
@click.option("--plugins", "module", metavar="MODULE", help="A module with a dictionary PLUGINS, when no service runs.")
@options.place
def add(place: Place, plugin: str, params: Any, every: str | None, module: str | None, **about: Any) -> None:
    """Let PLUGIN be started by itself, and print the schedule's id."""
    given = {name: value for name, value in about.items() if value is not None}
    if every is not None:
        given["interval"] = _seconds(every)
    asked = {"plugin": plugin, "params": params, **given}

    async def put(service: Service) -> Object:
        created: Object = await service.call("POST", PATH, [], asked)
        return created

    created = asyncio.run(_ask(place.with_plugins(module), put, create=True))
    terminal.write(created["id"])
    if created["next_at"]:
        terminal.remark(f"due next at {created['next_at']}")


@schedules.command()
@click.argument("schedule")
@options.place
def pause(place: Place, schedule: str) -> None:
    """Let SCHEDULE, an id or its beginning, start nothing until it is resumed."""
    _change(place, schedule, {"paused": True})


@schedules.command()
@click.argument("schedule")
@options.place
def resume(place: Place, schedule: str) -> None:
    """Let SCHEDULE go on from now; times that passed meanwhile do not count as missed."""
    changed = _change(place, schedule, {"paused": False})
    terminal.remark(f"due next at {changed['next_at']}")


@schedules.command()
@click.argument("schedule")
@options.place
def run(place: Place, schedule: str) -> None:
    """Start SCHEDULE's plugin now, in the service, and print the task's id."""

    async def start(service: Service) -> Object:
        if not service.remote:
            raise UnavailableError(
                "no service runs on the data directory, and this process ends at once;"
                " start `asynclog serve`, or run the plugin here with `asynclog start`"
            )
        found = await _find(service, schedule)
        task: Object = await service.call("POST", f"{_path(found)}/run")
        return task

    terminal.write(asyncio.run(_ask(place, start))["id"])


@schedules.command()
@click.argument("schedule")
@options.place
def remove(place: Place, schedule: str) -> None:
    """Remove SCHEDULE; its tasks stay."""

    async def go(service: Service) -> None:
        await service.call("DELETE", _path(await _find(service, schedule)))

    asyncio.run(_ask(place, go))


def _change(place: Place, name: str, changes: Object) -> Object:
    async def change(service: Service) -> Object:
        changed: Object = await service.call("PATCH", _path(await _find(service, name)), [], changes)
        return changed

    found: Object = asyncio.run(_ask(place, change))
    return found


async def _ask(place: Place, function: Callable[[Service], Any], *, create: bool = False) -> Any:
    async with place.connect(create=create) as service:
        return await function(service)


async def _all(service: Service) -> list[Object]:
    found: list[Object] = (await service.call("GET", PATH))["schedules"]
    return found


async def _find(service: Service, name: str) -> Object:
    return by_id("schedule", name, await _all(service))


def _path(schedule: Object) -> str:
    return f"{PATH}/{quote(schedule['id'], safe='')}"


def _seconds(text: str) -> float:
    match = _INTERVAL.fullmatch(text.strip().lower())
    if match is None:
        raise click.UsageError(f"--every takes a time such as 90s, 15m, 2h or 1d, not {text!r}")
    return float(match[1]) * _UNITS[match[2]]
