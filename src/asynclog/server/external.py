"""Tasks whose code runs elsewhere: they send entries, stages and steps, and say how they ended."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from asynclog.server.operation import CAPTURED, JSON, Call, answer
from asynclog.tasks.parts import error_kept
from asynclog.wire import stage_object, step_object, task_object


async def ingest(call: Call) -> Response:
    """Take a batch of entries."""
    told = await call.tasks.external.ingest(call.task_id, call.body, call.query["batch_id"], call.access)
    return Response(told, media_type=JSON)


async def finish(call: Call) -> Response:
    """End the task."""
    given = await _given(call, "result")
    return answer(task_object(await call.tasks.external.finish(call.task_id, **given, access=call.access)))


async def put_stage(call: Call) -> Response:
    """Begin, change or end a stage."""
    stage = await call.tasks.external.put_stage(call.task_id, await _given(call, "result"), call.access)
    return answer(stage_object(stage, 0, {}))


async def put_step(call: Call) -> Response:
    """Begin, change or end a step."""
    given = await _given(call, "input_data", "output_data")
    return answer(step_object(await call.tasks.external.put_step(call.task_id, given, call.access), data=True))


async def _given(call: Call, *data: str) -> dict[str, Any]:
    """The fields that are given. What is kept of the data, and of long texts, is made beside the loop."""
    given = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not None}
    redactor = call.tasks.engine.settings.dials.redactor
    for name, value in given.items():
        if name in data:
            given[name] = await call.kept(value)
        elif isinstance(value, str) and len(value) > CAPTURED:
            given[name] = await call.aside(error_kept, value, redactor)
    return given
