"""Tasks over HTTP: start, list, show, cancel, delete; their stages and steps; plugins in numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from starlette.responses import Response

from asynclog.errors import InvalidError, NotFoundError
from asynclog.logger import label
from asynclog.model import Task
from asynclog.principal import Role
from asynclog.server.access import require_starter
from asynclog.server.endpoint import Stream, next_page
from asynclog.server.listing import task_query
from asynclog.server.operation import JSON, Call, answer, started
from asynclog.server.shapes import StartTask
from asynclog.tasks.pages import StagePage, StageView, StepPage
from asynclog.tasks.reader import STEP_PAGE
from asynclog.wire import encode, stage_object, step_object, task_object

_STEPS: Final = b'{"steps":['


async def start(call: Call) -> Response:
    """Start a task, here or elsewhere."""
    body: StartTask = call.body
    options: dict[str, Any] = {
        "params": await call.kept(body.params),
        "trigger_data": await call.kept(body.trigger_data),
        "parent_id": body.parent_id,
        "metadata": await call.kept(body.metadata),
    }
    if body.trigger_type is not None:
        options["trigger_type"] = body.trigger_type
    options["account"], options["site"] = await _home(call, body)
    if body.external:
        if body.plugin is not None:
            options["plugin"] = body.plugin
        with call.service.begun.one_more(call.who) as begun:
            task = call.tasks.external.start(body.name, **options)
            begun(task.id)
        return started(call, task)
    plugins = call.tasks.plugins
    if body.plugin is None:
        raise InvalidError("plugin", "plugin: name the plugin to run, or say external: true if its code runs elsewhere")
    if body.plugin not in plugins:
        known = ", ".join(sorted(plugins)) or "none"
        raise InvalidError("plugin", f"plugin: there is no plugin {body.plugin!r}; there are: {known}")
    require_starter(call.principal, plugins[body.plugin])
    with call.service.begun.one_more(call.who) as begun:
        task = await call.tasks.start(body.plugin, options.pop("params"), name=body.name, **options)
        begun(task.id)
    return started(call, task)


async def _home(call: Call, body: StartTask) -> tuple[str | None, str | None]:
    """The account and site of a new task: as given, else its parent's, else the caller's. Raises NotFoundError."""
    account, site = label(body.account), label(body.site)
    if body.parent_id is not None:
        parent = await call.tasks.task(body.parent_id, call.access)
        account = parent.account if account is None else account
        site = parent.site if site is None else site
    return call.access.home(account, site)


async def page(call: Call) -> Response:
    """A page of tasks."""
    found = await call.tasks.reader.tasks(task_query(dict(call.query), call.access))
    shown = [task_object(task) for task in found.tasks]
    return answer({"tasks": shown, "next": found.next, "complete": found.complete})


async def show(call: Call) -> Response:
    """One task."""
    return answer(task_object(await call.tasks.task(call.task_id, call.access)))


async def cancel(call: Call) -> Response:
    """Ask a task to stop."""
    return answer(task_object(await call.tasks.cancel(call.task_id, call.access)), 202)


async def delete(call: Call) -> Response:
    """Remove an ended task and all that is its."""

    def told(task: Task) -> None:
        entries = sum(task.counts.values())
        shown = {"name": task.name, "plugin": task.plugin, "account": task.account, "site": task.site}
        call.note("task.delete", task.id, before={**shown, "status": task.status, "entries": entries}, after=None)

    await call.tasks.delete(call.task_id, call.access, told)
    return Response(status_code=204)


async def stages(call: Call) -> Response:
    """A task's stages with what was logged in them."""
    found = await call.tasks.reader.stage_page(call.task_id, call.access)
    return Response(await asyncio.to_thread(_stages, found), media_type=JSON)


def _stages(found: StagePage) -> bytes:
    """In a thread: a stage may have a hundred thousand units."""
    return encode({"stages": [_stage(view) for view in found.views], "complete": found.complete})


def _stage(view: StageView) -> dict[str, Any]:
    if view.stage is not None:
        return stage_object(view.stage, view.log_count, view.units)
    nothing = dict.fromkeys(
        ("id", "number", "status", "pending", "processed", "credits_used", "elapsed", "started_at", "finished_at",
         "error_message", "error_stack", "result")
    )  # fmt: skip
    units = [{"unit": unit, "log_count": count} for unit, count in view.units.items()]
    return {**nothing, "name": view.name, "log_count": view.log_count, "units": units}


async def steps(call: Call) -> Response:
    """A task's steps, without data: a page of them, or however many there are, a page at a time."""
    limit = call.query["limit"]
    pages = call.tasks.reader.step_pages(call.task_id, call.access, call.query["after"], limit or STEP_PAGE)
    first = await anext(pages)
    if limit is not None or first.next_after is None:
        return Response(b"".join((_STEPS, await asyncio.to_thread(_shown, first), _end(first))), media_type=JSON)
    return Stream(_all(call, first, pages), call.service.exports.taken(call.who), media_type=JSON, headers={})


def _shown(page: StepPage) -> bytes:
    return b",".join(encode(step_object(step, data=False)) for step in page.steps)


def _end(page: StepPage) -> bytes:
    return b"]," + encode({"next_after": page.next_after})[1:]


async def _all(call: Call, first: StepPage, pages: AsyncIterator[StepPage]) -> AsyncIterator[bytes]:
    page: StepPage | None = first
    before = _STEPS
    while page is not None:
        yield before + await asyncio.to_thread(_shown, page)
        before, first, page = b",", page, await next_page(call, pages)
    yield _end(first)


async def step(call: Call) -> Response:
    """One step, with data."""
    found = await call.tasks.reader.step(call.task_id, call.path["step_id"], call.access)
    return answer(step_object(found, data=True))


async def plugins(call: Call) -> Response:
    """What can be run."""
    found = []
    for plugin in call.tasks.plugins.values():
        shown: dict[str, Any] = {"name": plugin.name, "description": plugin.description}
        if plugin.params_schema is not None:
            shown["params_schema"] = plugin.params_schema
        if plugin.role > Role.OPERATOR:
            shown["role"] = plugin.role.label
        found.append(shown)
    return answer({"plugins": sorted(found, key=lambda shown: str(shown["name"]))})


async def plugin_stats(call: Call) -> Response:
    """A plugin's tasks and nodes in numbers."""
    name, reader = call.path["name"], call.tasks.reader
    found = await reader.plugin_stats(name, call.access)
    if not found.total and name not in call.tasks.plugins:
        raise NotFoundError("plugin", name)
    nodes = await reader.node_stats(name, call.access)
    return answer({**msgspec.structs.asdict(found), "nodes": [msgspec.structs.asdict(node) for node in nodes]})
