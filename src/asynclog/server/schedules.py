"""Schedules and webhooks over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from asynclog import values
from asynclog.errors import TooManyError
from asynclog.model import Schedule
from asynclog.server.access import require_starter
from asynclog.server.body import read_json
from asynclog.server.limits import RETRY_SECONDS
from asynclog.server.operation import JSON, Call, answer, created, started
from asynclog.server.problems import MalformedError
from asynclog.server.service import Service
from asynclog.settings import Dials
from asynclog.tasks.audit import schedule_change
from asynclog.wire import raw, time_or_none

SECRET: Final = "X-Asynclog-Hook-Secret"  # noqa: S105 - the name of a header

MAX_FIELDS: Final = 10_000
"""Of a form; to take 8 MiB of them apart would keep everybody waiting."""

_SAFE: Final = frozenset({"content-type", "user-agent", "x-request-id", "idempotency-key", "traceparent"})
# What senders say about the event itself: X-GitHub-Event, X-GitHub-Delivery, X-Gitlab-Event-UUID, X-Event-Key, …
_EVENT: Final = re.compile(r"x-(?:[a-z0-9]+-)?(?:event|delivery|hook)(?:-(?:id|uuid|key|type|name))?")


def _given(call: Call) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(call.body)
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


async def _shown(call: Call, schedule: Schedule) -> dict[str, Any]:
    [shown] = await _all_shown(call, [schedule])
    return shown


async def _all_shown(call: Call, schedules: Sequence[Schedule]) -> list[dict[str, Any]]:
    """Their params, which may be large and many, are looked through in a thread."""
    running = call.tasks.scheduler.running()
    params = await asyncio.to_thread(_params, schedules, call.tasks.engine.settings.dials)
    return [_fields(*shown, running.get(shown[0].id)) for shown in zip(schedules, params, strict=True)]


def _params(schedules: Sequence[Schedule], dials: Dials) -> list[str]:
    return [values.capture(schedule.params, dials.max_data_size, dials.redactor) for schedule in schedules]


def _fields(schedule: Schedule, params: str, running: str | None) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "name": schedule.name,
        "plugin": schedule.plugin,
        "params": raw(params),
        "account": schedule.account,
        "site": schedule.site,
        "cron": schedule.cron,
        "interval": None if schedule.interval is None else schedule.interval / 1_000_000,
        "time_zone": schedule.time_zone,
        "missed": schedule.missed,
        "paused": schedule.paused,
        "created_at": time_or_none(schedule.created_at),
        "updated_at": time_or_none(schedule.updated_at),
        "next_at": time_or_none(schedule.next_at),
        "last_at": time_or_none(schedule.last_at),
        "last_task_id": schedule.last_task_id,
        "last_error": schedule.last_error,
        "skipped": schedule.skipped,
        "running_task_id": running,
    }


async def listed(call: Call) -> Response:
    """All schedules."""
    return answer({"schedules": await _all_shown(call, call.tasks.scheduler.all(call.access))})


def _named(call: Call) -> Schedule:
    return call.tasks.scheduler.get(call.path["schedule_id"], call.access)


def _check_starter(call: Call, *names: str | None) -> None:
    """Whoever lets a plugin be started has to be one who may start it. What there is not is refused elsewhere."""
    for name in names:
        plugin = None if name is None else call.tasks.plugins.get(name)
        if plugin is not None:
            require_starter(call.principal, plugin)


async def create(call: Call) -> Response:
    """Make one."""
    _check_starter(call, call.body.plugin)
    most = call.service.limits.schedules_per_key
    if len(call.tasks.scheduler.all(call.access)) >= most:
        raise TooManyError(f"there are {most} schedules, and no more are taken; remove some", RETRY_SECONDS)
    schedule = await call.tasks.scheduler.create(_given(call), call.access)
    call.note("schedule.create", schedule.id, **schedule_change(None, schedule))
    return created(call, f"/api/schedules/{schedule.id}", await _shown(call, schedule))


async def show(call: Call) -> Response:
    """One of them."""
    return answer(await _shown(call, _named(call)))


async def change(call: Call) -> Response:
    """Change, pause or resume one."""
    known, given = _named(call), _given(call)
    _check_starter(call, given.get("plugin"))
    schedule = await call.tasks.scheduler.change(
        known.id, given, call.access, lambda now: _check_starter(call, now.plugin)
    )
    change = schedule_change(known, schedule)
    if change["after"]:
        call.note("schedule.change", schedule.id, name=schedule.name, **change)
    return answer(await _shown(call, schedule))


async def remove(call: Call) -> Response:
    """Remove one; its tasks stay."""
    schedule = _named(call)
    await call.tasks.scheduler.remove(schedule.id, call.access)
    call.note("schedule.remove", schedule.id, **schedule_change(schedule, None))
    return Response(status_code=204)


async def run(call: Call) -> Response:
    """Start its plugin now."""
    known = _named(call)
    return started(
        call,
        await call.tasks.scheduler.run_now(known.id, call.access, lambda now: _check_starter(call, now.plugin)),
    )


def admit(request: Request, service: Service) -> None:
    """Let a caller in who knows the hook's secret: nobody else's body is read."""
    service.tasks.hooks.authorised(request.path_params["name"], request.headers.get(SECRET, ""))


async def hook(call: Call) -> Response:
    """Start what a webhook starts, the request as trigger data."""
    name, request = call.path["name"], call.request
    found = call.tasks.hooks.authorised(name, request.headers.get(SECRET, ""))
    data = {
        "hook": name,
        "headers": safe_headers(request.headers),
        "query": _parsed(request.scope["query_string"]),
        "body": _body(call.body, request.headers.get("content-type", "")),
    }
    home = {"account": found.account, "site": found.site}
    with call.service.begun.one_more(f"hook {name}") as begun:
        task = await call.tasks.start(found.plugin, found.params, trigger_type="webhook", trigger_data=data, **home)
        begun(task.id)
    return started(call, task)


def safe_headers(headers: Headers) -> dict[str, str]:
    """The headers that say what was sent, and nothing about who may send it."""
    return {name: value for name, value in headers.items() if name in _SAFE or _EVENT.fullmatch(name)}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qs(text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise MalformedError(f"A form, or a query, has at most {MAX_FIELDS:,} fields; send JSON.") from None
    return {name: values[0] if len(values) == 1 else values for name, values in pairs.items()}


def _body(body: bytes, content_type: str) -> Any:
    """What was sent: JSON and forms decoded, everything else as text."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return None
    if kind == JSON or kind.endswith("+json"):
        return read_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _parsed(body)
    return body.decode("utf-8", "replace")
