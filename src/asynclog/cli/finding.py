"""From what a person types for a task, a key or a schedule to that."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import quote

from asynclog.cli import terminal
from asynclog.cli.service import Object, Query, RefusedError, Service
from asynclog.errors import InvalidError, NotFoundError, UnavailableError

PAGE: Final = 200
SEARCHED: Final = 10_000
"""A prefix is looked for among so many of the newest tasks that contain it anywhere."""
SHOWN: Final = 5

_BEHIND: Final = "the database does not answer the service in time"


def path(task_id: str, *more: str) -> str:
    """The path of a task's route."""
    return "/".join(["/api/tasks", quote(task_id, safe=""), *more])


async def find_task(service: Service, name: str) -> Object:
    """The task that is meant: by its id, by the beginning of it when only one fits, or ``last`` for the newest.

    Where no id fits, the newest task of that very name.

    Raises:
        NotFoundError: none is.
        InvalidError: several are.
        UnavailableError: which is the newest is not known now.
    """
    if name == "last":
        page: Any = await service.call("GET", "/api/tasks", [("limit", "1")])
        if not page["complete"]:
            raise UnavailableError(f"{_BEHIND}, so which task is the last one is not known; name it by its id")
        if not page["tasks"]:
            raise NotFoundError("task", name)
        newest: Object = page["tasks"][0]
        return newest
    try:
        found: Object = await service.call("GET", path(name))
        return found
    except (RefusedError, NotFoundError) as error:
        if isinstance(error, RefusedError) and error.status != 404:
            raise
    return await _looked_for(service, name)


async def _looked_for(service: Service, name: str) -> Object:
    """The one task whose id begins so, else the newest of that very name. Raises as `find_task`."""
    matches: list[Object] = []
    named: list[Object] = []
    async with contextlib.aclosing(each_task(service, [("text", name)], SEARCHED if name else 0, sure=True)) as listed:
        async for task in listed:
            if task["id"].startswith(name):
                matches.append(task)
            elif task["name"] == name and not named:
                named.append(task)
    matches = matches or named
    if not matches:
        raise NotFoundError("task", name)
    if len(matches) > 1:
        shown = ", ".join(task["id"] for task in matches[:SHOWN]) + (", …" if len(matches) > SHOWN else "")
        raise InvalidError("task", f"{name!r} is the beginning of {len(matches)} tasks ({shown}); type more of it")
    return matches[0]


def by_id(kind: str, name: str, known: list[Object]) -> Object:
    """The one of these that is meant: by its id, or by the beginning of it when only one fits.

    Raises:
        NotFoundError: none is.
        InvalidError: several are.
    """
    found = [one for one in known if name and one["id"].startswith(name)]
    exact = [one for one in found if one["id"] == name]
    if not found:
        raise NotFoundError(kind, name)
    if len(found) > 1 and not exact:
        raise InvalidError(kind, f"{name!r} is the beginning of {len(found)} {kind}s; type more of it")
    return (exact or found)[0]


async def each_task(service: Service, query: Query, limit: int, *, sure: bool = False) -> AsyncGenerator[Object, None]:
    """Tasks in the order of the list, at most ``limit``, from as many pages as that takes.

    That tasks may be missing is said; or, who has to be ``sure`` gets an error.

    Raises:
        UnavailableError: they may be.
    """
    asked, found = [*query], 0
    while found < limit:
        page: Any = await service.call("GET", "/api/tasks", [*asked, ("limit", str(min(PAGE, limit - found)))])
        if not page["complete"] and sure:
            raise UnavailableError(f"{_BEHIND}, so which task is meant is not known; name it by its whole id")
        if not page["complete"] and not found:
            terminal.say(f"{_BEHIND}; the newest tasks, and how the others are now, may be missing", "WARNING")
        for task in page["tasks"]:
            yield task
        found += len(page["tasks"])
        if page["next"] is None:
            return
        asked = [*query, ("cursor", page["next"])]
