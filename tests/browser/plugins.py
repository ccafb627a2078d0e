"""What the service under test can run."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from asynclog import TaskContext, belief_scope


class GreetParams(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to greet, and how often."""

    who: str
    times: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    loudly: bool = False


async def greet(params: GreetParams, context: TaskContext) -> dict[str, Any]:
    """Greets somebody."""
    for _ in range(params.times):
        context.logger.info("hello, %s%s", params.who, "!" if params.loudly else "")
    return {"greeted": params.who}


async def hold(_params: dict[str, Any], context: TaskContext) -> None:
    """Reports progress and then waits to be cancelled."""
    context.logger.progress(3, 10, "three of ten")
    await asyncio.Event().wait()


async def every_level(_params: dict[str, Any], context: TaskContext) -> None:
    """Logs once at each level, and a belief scope."""
    log = context.logger
    log.debug("this is debug")
    log.info("this is info")
    log.warning("this is warning")
    log.error("this is error")
    with belief_scope(log, "weighing"):
        log.info("inside the scope")


async def staged(_params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Two stages with steps and units, a child task, and a failure in the second."""
    child = await context.start("greet", {"who": "child"})
    async with context.stage("extract", number=1, pending=2) as stage:
        async with stage.step("fetch", node_type="http", input={"url": "https://example.org/x"}) as step:
            context.logger.info("fetching")
            step.output = {"rows": 42}
        with context.unit("dash-7"):
            context.logger.info("about dash-7", dashboard_id=7)
        stage.processed = 2
    async with context.stage("load", number=2):
        context.logger.info("loading", child=str(child))
        raise ValueError("row 17 is broken")


async def stepping(params: dict[str, Any], context: TaskContext) -> None:
    """Has so many steps, and logs in the last one."""
    for number in range(params["steps"]):
        with context.step(f"node {number}", input={"number": number}):
            if number == params["steps"] - 1:
                context.logger.info("in the last step")


async def brittle(params: dict[str, Any], context: TaskContext) -> None:
    """Breaks when it is told to."""
    context.logger.info("level %s", params.get("level"))
    if params.get("break"):
        raise RuntimeError("it broke")


PLUGINS: Mapping[str, object] = {
    "brittle": brittle,
    "greet": greet,
    "hold": hold,
    "levels": every_level,
    "staged": staged,
    "stepping": stepping,
}
