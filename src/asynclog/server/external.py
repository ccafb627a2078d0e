"""Tasks whose code runs elsewhere: they send entries, stages and steps, and say how they ended."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from asynclog.server.operation import JSON, Call, answer
from asynclog.wire import stage_object, step_object, task_object


async def ingest(call: Call) -> Response:
    """Take a batch of entries."""
    told = await call.tasks.external.ingest(call.task_id, call.body, call.query["batch_id"], call.access)
    return Response(told, media_type=JSON)


async def finish(call: Call) -> Response:
    """End the task."""
    body = call.body
    task = await call.tasks.external.finish(
        call.task_id, body.status, result=body.result, error_message=body.error_message, access=call.access
    )
    return answer(task_object(task))


async def put_stage(call: Call) -> Response:
    """Begin, change or end a stage."""
    stage = await call.tasks.external.put_stage(call.task_id, _given(call), call.access)
    return answer(stage_object(stage, 0, {}))


async def put_step(call: Call) -> Response:
    """Begin, change or end a step."""
    step = await call.tasks.external.put_step(call.task_id, _given(call), call.access)
    return answer(step_object(step, data=True))


def _given(call: Call) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not None}
