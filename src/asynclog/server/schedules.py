"""Schedules over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from starlette.responses import Response

from asynclog import values
from asynclog.errors import TooManyError
from asynclog.model import Schedule
from asynclog.redaction import Redactor
from asynclog.server.access import require_starter
from asynclog.server.limits import RETRY_SECONDS
from asynclog.server.operation import Call, answer, created, started
from asynclog.settings import Dials
from asynclog.tasks.audit import schedule_change
from asynclog.wire import raw, time_or_none

KEPT: Final = 128
"""Schedules whose params are kept as they are shown: looking through all of them each time may take long."""


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
    return [_captured(schedule.params_json, dials.max_data_size, dials.redactor) for schedule in schedules]


@lru_cache(maxsize=KEPT)
def _captured(params: str, limit: int, redactor: Redactor) -> str:
    return values.capture(msgspec.json.decode(params), limit, redactor)


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
