"""One run of a workflow: which nodes are done, failed or skipped."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from asynclog.tasks.plugin import is_coroutine
from asynclog.tasks.thread import run_in_thread

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext
    from asynclog.tasks.step import StepScope
    from asynclog.tasks.workflow import Node

SOURCE: Final = "workflow"
"""Of the entries that tell how nodes end."""


class Execution:
    """Runs nodes as soon as what they need is there.

    State owned here, on the event loop: the outputs, and why a node has none.

    Args:
        nodes: by id, without a circle.
        order: their ids, each after those it needs.
        params: the task's.
        context: the task's.
    """

    def __init__(self, nodes: Mapping[str, Node], order: Sequence[str], params: Any, context: TaskContext) -> None:
        self._nodes = nodes
        self._order = order
        self._context = context
        self._log = context.logger.with_source(SOURCE)
        self._outputs: dict[str, Any] = {"params": params}
        self._missing: dict[str, str] = {}
        self._first: BaseException | None = None

    async def run(self) -> Mapping[str, Any]:
        """The output of every node.

        A node's error does not stop the others; the first one is raised when all have ended. A cancellation is passed
        on to the nodes and raised when they have ended: functions in threads cannot be interrupted and are waited for,
        until a second cancellation.
        """
        running: dict[str, asyncio.Task[None]] = {}
        for node_id in self._order:
            node = self._nodes[node_id]
            before = [running[other] for other in node.needs]
            running[node_id] = asyncio.create_task(self._node(node, before), name=f"asynclog-node-{node_id}")
        try:
            await asyncio.wait(running.values())
        except asyncio.CancelledError:
            await _stop(running.values())
            raise
        if self._first is not None:
            raise self._first
        return self._outputs

    async def _node(self, node: Node, before: Collection[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        name = node.name or node.id
        lacking = sorted(other for other in node.needs if other in self._missing)
        given, wrong = (None, None) if lacking else self._inputs(node)
        async with self._context.step(name, node_type=node.type, node_id=node.id, input=given) as step:
            if given is not None:
                await self._run(node, name, given, step)
            elif wrong is not None:
                self._fail(node, name, step, wrong)
            else:
                reason = ", ".join(f"{other} {self._missing[other]}" for other in lacking)
                step.skip(reason)
                self._missing[node.id] = "was skipped"
                self._log.warning("node %s skipped: %s", name, reason)

    def _inputs(self, node: Node) -> tuple[dict[str, Any] | None, LookupError | None]:
        try:
            return {argument: _taken(self._outputs, path) for argument, path in node.inputs.items()}, None
        except LookupError as error:
            return None, error

    async def _run(self, node: Node, name: str, given: dict[str, Any], step: StepScope) -> None:
        current = asyncio.current_task()
        try:
            output = await self._call(node, given)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and current is not None and current.cancelling():
                raise
            self._fail(node, name, step, error)  # a cancellation that nobody asked for here is a failure too
            return
        step.output = self._outputs[node.id] = output
        self._log.info("node %s finished", name)

    def _fail(self, node: Node, name: str, step: StepScope, error: BaseException) -> None:
        self._missing[node.id] = "failed"
        self._first = error if self._first is None else self._first  # an exception may be false
        step.fail(error)
        self._log.error("node %s failed: %s", name, error, exc_info=error)

    async def _call(self, node: Node, given: dict[str, Any]) -> Any:
        if "context" not in given and node.takes_context:
            given = {**given, "context": self._context}
        if is_coroutine(node.call):
            return await node.call(**given)
        result = await _in_thread(node, given)
        return await result if inspect.isawaitable(result) else result


async def _in_thread(node: Node, given: dict[str, Any]) -> Any:
    """Run a function in a thread; when cancelled, wait for it until cancelled again."""
    work = run_in_thread(lambda: node.call(**given), f"asynclog-node-{node.id}")
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
    result, error = work.result()
    if error is not None:
        raise error
    return result


async def _stop(running: Collection[asyncio.Task[None]]) -> None:
    """Cancel the nodes and wait for them; when cancelled meanwhile, cancel them again and do not wait."""
    for task in running:
        task.cancel()
    try:
        await asyncio.wait(running)
    except asyncio.CancelledError:
        for task in running:
            task.cancel()
        raise


def _taken(outputs: Mapping[str, Any], path: str) -> Any:
    """What a path like ``read.rows.0`` leads to. Raises LookupError, as a sentence, when that is nowhere."""
    first, *parts = path.split(".")
    found = outputs[first]
    for part in parts:
        try:
            if isinstance(found, Mapping):
                found = found[part]
            elif isinstance(found, Sequence):
                found = found[int(part)]
            else:
                found = getattr(found, part)
        except (LookupError, ValueError, AttributeError):
            raise LookupError(f"there is no {part!r} in what {path!r} is taken from") from None
    return found
