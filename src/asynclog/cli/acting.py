"""``asynclog plugins``, ``start``, ``cancel`` and ``delete``: what can run, and what is done with it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from asynclog.cli import options, terminal
from asynclog.cli.finding import find_task, path
from asynclog.cli.lines import LinePrinter
from asynclog.cli.options import Place
from asynclog.cli.reading import show_live
from asynclog.cli.service import Object, Service
from asynclog.cli.signals import Interruption, interruptible
from asynclog.model import ENDED

SECOND_TIME: Final = 2
QUIET_SECONDS: Final = 5.0
"""How long nothing may come of a task that has ended before it is not waited for any more."""
UNSTORED: Final = "the end of the task cannot be shown: the database does not take what it has logged"


@click.command()
@click.option("--plugins", "module", metavar="MODULE", help="A module with a dictionary PLUGINS, when no service runs.")
@options.table()
@options.place
def plugins(place: Place, module: str | None, *, as_table: bool) -> None:
    """List the plugins that can be started."""
    found: list[Object] = asyncio.run(_plugins(place.with_plugins(module)))
    if not as_table:
        for plugin in found:
            terminal.write_object(plugin)
        return
    rows = [
        (plugin["name"], plugin["description"], ", ".join(_parameters(plugin.get("params_schema")))) for plugin in found
    ]
    terminal.show_table(("NAME", "DESCRIPTION", "PARAMETERS"), [[*map(terminal.visible, row)] for row in rows])


async def _plugins(place: Place) -> list[Object]:
    with place.even_without() as here:
        async with here.connect(create=True) as service:
            if service.remote and place.module:
                terminal.say(place.elsewhere, "WARNING")
            found: list[Object] = (await service.call("GET", "/api/plugins"))["plugins"]
            return found


def _parameters(schema: Any) -> list[str]:
    """The names of a JSON schema's properties, required ones marked."""
    if not isinstance(schema, dict):
        return []
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    schema = schema.get("$defs", {}).get(reference, schema)
    required = schema.get("required", ())
    return [name + ("*" if name in required else "") for name in schema.get("properties", {})]


@click.command()
@click.argument("plugin")
@options.params
@click.option("--name", metavar="NAME", help="Of the task; the plugin's without it.")
@click.option("--account", metavar="NAME", help="The account the task belongs to.")
@click.option("--site", metavar="NAME", help="The site the task belongs to.")
@click.option("--follow", "-f", is_flag=True, help="Show what it logs up to its end, and end with 1 if it fails.")
@click.option("--plugins", "module", metavar="MODULE", help="A module with a dictionary PLUGINS, when no service runs.")
@options.place
def start(place: Place, plugin: str, params: Any, module: str | None, *, follow: bool, **about: str | None) -> int:
    """Start PLUGIN as a task and print the task's id.

    Without a service it runs in this process, which then always follows it to its end.
    """
    asked = {"plugin": plugin, "params": params, **{key: value for key, value in about.items() if value}}
    return asyncio.run(_start(place.with_plugins(module), asked, follow=follow))


async def _start(place: Place, asked: Object, *, follow: bool) -> int:
    async with place.connect(create=True) as service:
        printer = LinePrinter("text")
        if not service.remote:
            task, interruption = await start_here(service, asked, printer.entries)
            if task["status"] != "success":
                terminal.say(f"task {task['id']}: {task['status']}", task["status"])
            return interruption.exit_code if interruption.signal is not None else int(task["status"] != "success")
        task = await service.call("POST", "/api/tasks", [], asked)
        if not follow:
            terminal.write(task["id"])
            return 0
        terminal.remark(f"task {task['id']}")
        return await show_live(service, task["id"], [], 0, printer)


async def start_here(
    service: Service, asked: Object, show: Callable[[list[Object]], None]
) -> tuple[Object, Interruption]:
    """Start a task in this process and show its entries to its end; a signal cancels it, a second one stops waiting.

    Returns:
        The task as it ended, and whether a signal did that.
    """
    cancelling: list[asyncio.Task[Any]] = []
    following: asyncio.Task[None] | None = None
    news = asyncio.Event()

    def interrupt() -> None:
        if following is None:
            return  # it has hardly begun; see below
        cancelling.append(asyncio.create_task(service.call("POST", path(task["id"], "cancel"))))
        if len(cancelling) == SECOND_TIME:
            following.cancel()

    with interruptible(interrupt) as interruption:
        task: Object = await service.call("POST", "/api/tasks", [], asked)
        terminal.remark(f"task {task['id']}")
        following = asyncio.create_task(_follow(service, task["id"], show, news))
        if interruption.signal is not None:
            interrupt()
        await _wait(service, task["id"], following, news)
        await asyncio.gather(*cancelling, return_exceptions=True)  # it may have ended by itself just before
    if not following.cancelled():
        following.result()
    ended: Object = await service.call("GET", path(task["id"]))
    return ended, interruption


async def _wait(service: Service, task_id: str, following: asyncio.Task[None], news: asyncio.Event) -> None:
    """Wait until all of a task was shown, or until it has ended and the rest cannot be had, as on a full disk."""
    while not following.done():
        news.clear()
        await asyncio.wait([following], timeout=QUIET_SECONDS)
        if following.done() or news.is_set():
            continue
        task = await service.call("GET", path(task_id))
        if task["status"] in ENDED and not (following.done() or news.is_set()):
            terminal.say(UNSTORED, "WARNING")
            following.cancel()
            await asyncio.wait([following])


async def _follow(service: Service, task_id: str, show: Callable[[list[Object]], None], news: asyncio.Event) -> None:
    async with contextlib.aclosing(service.follow(task_id)) as frames:
        async for frame in frames:
            news.set()
            if frame["type"] == "entries":
                show(frame["entries"])


@click.command(short_help="Cancel a task.")
@click.argument("task")
@options.place
def cancel(task: str, place: Place) -> None:
    """Cancel TASK: its id, the beginning of it, its name, or `last`."""
    asyncio.run(_cancel(place, task))


async def _cancel(place: Place, name: str) -> None:
    async with place.connect() as service:
        task = await find_task(service, name)
        answer: Object = await service.call("POST", path(task["id"], "cancel"))
        terminal.remark(f"task {answer['id']}: {'cancelling' if answer['cancelling'] else answer['status']}")


@click.command()
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.place
def delete(tasks: tuple[str, ...], place: Place, *, yes: bool) -> None:
    """Delete ended tasks with all they logged."""
    found = asyncio.run(_find_all(place, tasks))
    if not yes and terminal.interactive(sys.stdin):  # outside the loop, which would keep Ctrl-C from the question
        found = {task_id: shown for task_id, shown in found.items() if click.confirm(f"Delete {shown}?", err=True)}
    if found:
        asyncio.run(_delete(place, found))


async def _find_all(place: Place, names: tuple[str, ...]) -> dict[str, str]:
    """The tasks that are meant, each with what a person knows it by."""
    async with place.connect() as service:
        tasks = [await find_task(service, name) for name in names]
    return {
        task["id"]: terminal.visible(f"{task['id']} ({task['name']}, {task['last_seq']:,} entries)") for task in tasks
    }


async def _delete(place: Place, tasks: dict[str, str]) -> None:
    async with place.connect() as service:
        for task_id, shown in tasks.items():
            await service.call("DELETE", path(task_id))
            terminal.remark(f"deleted {shown}")
