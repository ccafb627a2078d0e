"""The task manager: starts, awaits, cancels, finishes and deletes tasks.

State owned here: the tasks that run in this process. What they are and were is the engine's (`Live`) and the store's.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from asynclog import values
from asynclog.engine import Engine
from asynclog.errors import ConflictError, InvalidError, NotFoundError
from asynclog.feed import Feed
from asynclog.identity import new_id
from asynclog.logger import label, traceback_text
from asynclog.model import EVERYTHING, TRIGGER_TYPES, AccessScope, Task, TaskStatus
from asynclog.records import StageRecord, StepRecord, TaskRecord
from asynclog.tasks.context import TaskContext, enter
from asynclog.tasks.ending import STORED_SECONDS, finish
from asynclog.tasks.external import External
from asynclog.tasks.plugin import Plugin
from asynclog.tasks.reader import LogPage, Reader
from asynclog.tasks.stage import error_text
from asynclog.tasks.sweeper import Sweeper
from asynclog.tasks.thread import run_in_thread

REPORT_SECONDS: Final = 0.25
"""How often the progress of running tasks is recorded."""
GRACE_SECONDS: Final = 3.0
"""How long running tasks have to end when the manager closes."""

_log = logging.getLogger("asynclog.tasks")


class _Run:
    """A task that runs here."""

    def __init__(self, task: Task, plugin: Plugin, params: Any, context: TaskContext) -> None:
        self.task = task
        self.plugin = plugin
        self.params = params
        self.context = context
        self.work: asyncio.Future[Any] | None = None
        self.outer: asyncio.Task[Task] | None = None
        self.cancelled = False
        self.interrupted = False


class TaskManager:
    """Runs plugins as tasks. Made by `asynclog.open`.

    Args:
        engine: the data directory.
        plugins: name to plugin.
        config: name of a plugin to its configuration.
    """

    def __init__(self, engine: Engine, plugins: Mapping[str, Plugin], config: Mapping[str, Mapping[str, Any]]) -> None:
        self.engine = engine
        self.plugins: Mapping[str, Plugin] = dict(plugins)
        self.reader = Reader(engine)
        self.sweeper = Sweeper(engine)
        self.external = External(engine)
        self._config = config
        self._runs: dict[str, _Run] = {}
        self._closing = False

    async def start(  # noqa: PLR0913  # what a task is
        self,
        plugin: str | Callable[..., Any] | object,
        params: Any = None,
        *,
        name: str | None = None,
        trigger_type: str = "manual",
        trigger_data: Any = None,
        account: str | None = None,
        site: str | None = None,
        parent_id: str | None = None,
        schedule_id: str | None = None,
        metadata: Any = None,
    ) -> Task:
        """Start a plugin as a task in the background.

        Args:
            plugin: the name of a registered one, or a plugin itself.
            params: handed to it as they are; stored normalised and cut.
            name: of the task; the plugin's without one.
            trigger_type: one of manual, schedule, webhook, db_change, internal_event, api.

        Raises:
            NotFoundError: no plugin has this name.
            InvalidError: the parameters do not fit, or the trigger type is none.
            ConflictError: the manager is closing.
        """
        if self._closing:
            raise ConflictError("the service is going down and starts no more tasks")
        if trigger_type not in TRIGGER_TYPES:
            raise InvalidError("trigger_type", f"trigger_type is one of {', '.join(TRIGGER_TYPES)}")
        chosen = self._plugin(plugin)
        given = chosen.check(params)
        limit = self.engine.settings.dials.max_data_size
        task = Task(
            id=new_id(),
            name=label(name) or chosen.name,
            plugin=chosen.name,
            account=label(account),
            site=label(site),
            parent_id=parent_id,
            schedule_id=schedule_id,
            trigger_type=trigger_type,  # type: ignore[arg-type]  # checked above
            trigger_data_json=None if trigger_data is None else values.capture(trigger_data, limit),
            params_json=values.capture({} if params is None else params, limit),
            metadata_json=None if metadata is None else values.capture(metadata, limit),
            created_at=self.engine.clock.now(),
        )
        feed = Feed(task.id)
        context = TaskContext(task, self.engine, feed, self._config.get(chosen.name, {}), self)
        run = self._runs[task.id] = _Run(task, chosen, given, context)
        live = self.engine.hub.add(task, feed)
        self._record(run, status="running", started_at=self.engine.clock.now())
        live.set_task(run.task)
        run.outer = asyncio.create_task(self._execute(run), name=f"asynclog-task-{task.id}")
        return run.task

    async def run(self, plugin: str | Callable[..., Any] | object, params: Any = None, **options: Any) -> Task:
        """Start a plugin and wait for its end: power-safe on return, and stored unless the store is down.

        Arguments and errors as for `start`. A failed plugin does not raise: see the task's status.
        """
        task = await self.start(plugin, params, **options)
        try:
            return await self.wait(task.id)
        except asyncio.CancelledError:
            if task.id in self._runs:
                await self.cancel(task.id)
            raise

    async def wait(self, task_id: str) -> Task:
        """The task once it has ended. Cancelling the wait does not cancel the task.

        Raises:
            NotFoundError: there is none.
        """
        run = self._runs.get(task_id)
        if run is not None and run.outer is not None:
            await asyncio.shield(run.outer)
            await self.engine.settle(STORED_SECONDS)
        live = self.engine.hub.get(task_id)
        while live is not None and not live.ended and not live.removed:
            await live.changed()
        if run is not None and run.task.ended:
            return run.task
        return await self.task(task_id)

    def _plugin(self, plugin: str | Callable[..., Any] | object) -> Plugin:
        if isinstance(plugin, Plugin):
            return plugin
        if not isinstance(plugin, str):
            return Plugin(getattr(plugin, "__name__", type(plugin).__name__), plugin)
        found = self.plugins.get(plugin)
        if found is None:
            raise NotFoundError("plugin", plugin)
        return found

    async def _execute(self, run: _Run) -> Task:
        run.context.system.info("task started: %s", run.task.plugin)
        status: TaskStatus = "success"
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await self._call(run)
        except asyncio.CancelledError as error:
            if run.cancelled or run.interrupted:
                status = "interrupted" if run.interrupted else "cancelled"
            else:
                status, failure = "failed", error
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything; that is its task's failure
            status, failure = "failed", error
        else:
            if run.cancelled and not run.plugin.is_coroutine:
                status = "cancelled"
        return await self._finish(run, status, result, failure)

    async def _call(self, run: _Run) -> Any:
        context = contextvars.copy_context()
        context.run(enter, run.context)
        if run.plugin.is_coroutine:
            run.work = asyncio.get_running_loop().create_task(
                _awaited(run.plugin.call(run.params, run.context)), context=context
            )
        else:
            run.work = context.run(
                run_in_thread, lambda: run.plugin.call(run.params, run.context), f"asynclog-{run.task.id}"
            )
        await asyncio.wait([run.work])
        result = run.work.result()
        if inspect.isawaitable(result):  # a function that returns a coroutine
            run.work = asyncio.get_running_loop().create_task(_awaited(result), context=context)
            await asyncio.wait([run.work])
            result = run.work.result()
        return result

    async def _finish(self, run: _Run, status: TaskStatus, result: Any, failure: BaseException | None) -> Task:
        engine, context = self.engine, run.context
        now = engine.clock.now()
        self._close_parts(run, now)
        seconds = (now - (run.task.started_at or now)) / 1_000_000
        message = stack = None
        if failure is not None:
            message, stack = error_text(failure), values.redact(traceback_text(failure))
            context.system.error("task failed after %.2f s: %s", seconds, message, exc_info=failure)
        elif status == "success":
            context.system.info("task finished in %.2f s", seconds)
        else:
            context.system.warning("task %s after %.2f s", status, seconds)
        ended = msgspec.structs.replace(
            run.task,
            status=status,
            cancelling=False,
            finished_at=now,
            progress=context.feed.progress,
            result_json=None if result is None else context.capture(result),
            error_message=message,
            error_stack=stack,
        )
        run.task = await finish(engine, context.feed, ended)
        self._runs.pop(run.task.id, None)
        return run.task

    def _close_parts(self, run: _Run, now: int) -> None:
        """Stages and steps that the plugin left open end with it."""
        stages, steps = run.context.left_open()
        for stage in stages:
            closed = msgspec.structs.replace(stage, status="interrupted", finished_at=now)
            self.engine.record(StageRecord(run.task.id, closed))
        for step in steps:
            self.engine.record(
                StepRecord(run.task.id, msgspec.structs.replace(step, status="interrupted", finished_at=now))
            )

    def _record(self, run: _Run, **changes: Any) -> None:
        run.task = msgspec.structs.replace(run.task, **changes)
        self.engine.record(TaskRecord(run.task.id, run.task))

    async def report(self) -> None:
        """Record the progress of running tasks, for ever; the manager's owner runs it."""
        while True:
            await self.engine.clock.sleep(REPORT_SECONDS)
            for run in list(self._runs.values()):
                progress = run.context.feed.progress
                if progress is not run.task.progress and not run.context.feed.sealed:
                    self._record(run, progress=progress)

    async def cancel(self, task_id: str, access: AccessScope = EVERYTHING) -> Task:
        """Ask a running task to stop. A function in a thread goes on until it returns.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has ended.
        """
        task = await self.task(task_id, access)
        if task.external and not task.ended:
            return await self.external.finish(task_id, "cancelled", access=access)
        run = self._runs.get(task_id)
        if run is None or run.context.feed.sealed:
            raise ConflictError(f"the task {task_id} has ended ({task.status}) and cannot be cancelled")
        if not run.cancelled:
            run.cancelled = True
            self._record(run, cancelling=True)
            run.context.system.warning("cancellation requested")
        if run.work is not None and run.plugin.is_coroutine:
            run.work.cancel()
        return run.task

    def is_cancelling(self, task_id: str) -> bool:
        """Whether a running task was asked to stop."""
        run = self._runs.get(task_id)
        return run is not None and (run.cancelled or run.interrupted)

    async def delete(self, task_id: str, access: AccessScope = EVERYTHING) -> None:
        """Remove an ended task and everything of it; it is gone for everybody on return, its rows soon after.

        Raises:
            NotFoundError: there is none.
            ConflictError: it is running.
            StoreError: the store cannot be written now.
        """
        task = await self.task(task_id, access)
        if not task.ended:
            raise ConflictError(f"the task {task_id} is {task.status}; cancel it first")
        await self.sweeper.remove([task_id])

    async def close(self) -> None:
        """Interrupt what runs, giving it a moment to end."""
        self._closing = True
        for run in self._runs.values():
            run.interrupted = not run.cancelled
            if run.work is not None and run.plugin.is_coroutine:
                run.work.cancel()
        outers = [run.outer for run in self._runs.values() if run.outer is not None]
        if outers:
            await asyncio.wait(outers, timeout=GRACE_SECONDS)
        for run in list(self._runs.values()):
            _log.warning("the task %s did not end in time and is left interrupted", run.task.id)
            if run.outer is not None and not run.context.feed.sealed:
                run.outer.cancel()
                await self._finish(run, "interrupted", None, None)

    async def task(self, task_id: str, access: AccessScope = EVERYTHING) -> Task:
        """The task as it is now. Raises NotFoundError."""
        return await self.reader.task(task_id, access)

    async def logs(self, task_id: str, *, access: AccessScope = EVERYTHING, **options: Any) -> LogPage:
        """A page of a task's entries; see `Reader.logs` for the options."""
        return await self.reader.logs(task_id, access=access, **options)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
