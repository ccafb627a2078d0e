"""The task manager: starts, awaits, cancels, finishes and deletes tasks.

State owned here: the tasks that run in this process. What they are and were is the engine's (`Live`) and the store's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from asynclog.engine import Engine
from asynclog.errors import ConflictError, NotFoundError
from asynclog.feed import Feed
from asynclog.logger import label, traceback_text
from asynclog.model import AUDIT_PLUGIN, EVERYTHING, AccessScope, Task, TaskStatus, end_of
from asynclog.records import TaskRecord
from asynclog.tasks import trace
from asynclog.tasks.audit import Audit
from asynclog.tasks.beginning import new_task
from asynclog.tasks.context import TaskContext, enter
from asynclog.tasks.ending import STORED_SECONDS, finish
from asynclog.tasks.external import External
from asynclog.tasks.hooks import Hooks
from asynclog.tasks.keyring import KeyRing
from asynclog.tasks.pages import LogPage
from asynclog.tasks.plugin import Plugin, plugin_name
from asynclog.tasks.reader import Reader
from asynclog.tasks.recorder import Recorder
from asynclog.tasks.runfiles import RunFiles
from asynclog.tasks.scheduler import Scheduler
from asynclog.tasks.stage import error_text
from asynclog.tasks.sweeper import Sweeper
from asynclog.tasks.thread import Outcome, outcome_of, run_in_thread
from asynclog.values import Captured

REPORT_SECONDS: Final = 0.25
"""How often the progress of running tasks is recorded."""
GRACE_SECONDS: Final = 3.0
"""How long running tasks have to end when the manager closes."""

_log = logging.getLogger("asynclog.tasks")


class _Run:
    """A task that runs here."""

    def __init__(self, task: Task, plugin: Plugin, params: Any, context: TaskContext, recorder: Recorder) -> None:
        self.task = task
        self.plugin = plugin
        self.params = params
        self.context = context
        self.recorder = recorder
        self.work: asyncio.Future[Outcome] | None = None
        """What runs now: the plugin's coroutine, or its function's thread."""
        self.outer: asyncio.Task[Task] | None = None
        self.cancelled = False
        self.interrupted = False
        self.told = False
        """Whether the plugin has seen that it is asked to stop."""

    @property
    def stopping(self) -> bool:
        """Whether it is asked to stop."""
        return self.cancelled or self.interrupted

    @property
    def ending(self) -> TaskStatus:
        """How it ends when it stops for having been asked."""
        return "interrupted" if self.interrupted else "cancelled"

    def stop_if_asked(self) -> None:
        """Cancel what has only just begun."""
        if self.stopping:
            self.stop()

    def stop(self) -> None:
        """Cancel what can be cancelled: a coroutine, but no thread."""
        if isinstance(self.work, asyncio.Task):
            self.work.cancel()


class TaskManager:
    """Runs plugins as tasks. Made by `asynclog.open`.

    Args:
        engine: the data directory.
        plugins: name to plugin.
        config: name of a plugin to its configuration.
        run_files: names runs, and removes their files.
        hooks: who may start what from outside.
    """

    def __init__(
        self,
        engine: Engine,
        plugins: Mapping[str, Plugin],
        config: Mapping[str, Mapping[str, Any]],
        run_files: RunFiles,
        hooks: Hooks,
    ) -> None:
        self.engine = engine
        self.plugins: Mapping[str, Plugin] = dict(plugins)
        self.reader = Reader(engine)
        self.run_files = run_files
        self.hooks = hooks
        self.keys = KeyRing(engine)
        self.audit = Audit(engine)
        self.sweeper = Sweeper(engine, run_files.remove, self.audit.note_retention)
        self.external = External(engine, run_files)
        self.scheduler = Scheduler(engine, self.plugins, self.start)
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
            params: handed to it as they are, an empty dictionary for None; stored normalised and cut. These and other
                large values may come as `Captured`.
            name: of the task; the plugin's without one.
            trigger_type: one of manual, schedule, webhook, db_change, internal_event, api.

        Raises:
            NotFoundError: no plugin has this name.
            InvalidError: the parameters do not fit, or the trigger type is none.
            ConflictError: the manager is closing.
        """
        if self._closing:
            raise ConflictError("the service is going down and starts no more tasks")
        chosen = self._plugin(plugin)
        params = {} if params is None else params
        given = chosen.check(params.value if isinstance(params, Captured) else params)
        task = new_task(
            self.engine,
            self.run_files,
            plugin=chosen.name,
            name=label(name, redactor=self.engine.settings.dials.redactor) or chosen.name,
            params=params,
            trigger_type=trigger_type,
            trigger_data=trigger_data,
            account=account,
            site=site,
            parent_id=parent_id,
            schedule_id=schedule_id,
            metadata=metadata,
        )
        feed = Feed(task.id)
        recorder = Recorder(self.engine, feed)
        context = TaskContext(task, recorder, self.engine.logger(feed), self._config.get(chosen.name, {}), self)
        run = self._runs[task.id] = _Run(task, chosen, given, context, recorder)
        live = self.engine.hub.add(task, feed)
        self._record(run, status="running", started_at=self.engine.clock.now())
        self.engine.record(trace.run_start(run.task))
        live.set_task(run.task)
        run.outer = asyncio.create_task(self._execute(run), name=f"asynclog-task-{task.id}")
        return run.task

    async def run(self, plugin: str | Callable[..., Any] | object, params: Any = None, **options: Any) -> Task:
        """Start a plugin and wait for its end: power-safe on return, and stored unless the store is down.

        Cancelling the call cancels the task. Arguments and errors as for `start`. A failed plugin does not raise: see
        the task's status.
        """
        task = await self.start(plugin, params, **options)
        try:
            return await self.wait(task.id)
        except asyncio.CancelledError:
            with contextlib.suppress(ConflictError, NotFoundError):  # it has just ended
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
            return Plugin(plugin_name(plugin), plugin)
        found = self.plugins.get(plugin)
        if found is None:
            raise NotFoundError("plugin", plugin)
        return found

    async def _execute(self, run: _Run) -> Task:
        run.recorder.system.info("task started: %s", run.task.plugin)
        status: TaskStatus = "success"
        result: Any = None
        try:
            result, failure = await self._call(run)
        except BaseException as error:  # noqa: BLE001  # this task itself was cancelled, or the call cannot be made
            failure = error
        if isinstance(failure, asyncio.CancelledError) and run.stopping:
            status, failure = run.ending, None
        elif failure is not None:
            status = "failed"
        elif run.cancelled and not isinstance(run.work, asyncio.Task):
            status = run.ending  # a thread cannot be stopped: it has returned after it was asked to stop
        elif run.told:
            status = run.ending
        return await self._finish(run, status, result, failure)

    async def _call(self, run: _Run) -> Outcome:
        if run.stopping:  # before it had begun
            raise asyncio.CancelledError
        context = contextvars.copy_context()
        context.run(enter, run.context)
        loop = asyncio.get_running_loop()

        def call() -> Any:
            return run.plugin.call(run.params, run.context)

        if run.plugin.is_coroutine:
            run.work = loop.create_task(outcome_of(call), context=context)
        else:
            run.work = context.run(run_in_thread, call, f"asynclog-{run.task.id}")
        await asyncio.wait([run.work])
        outcome = run.work.result()
        if inspect.isawaitable(outcome[0]):  # a function that returned a coroutine
            returned = outcome[0]
            run.work = loop.create_task(outcome_of(lambda: returned), context=context)
            run.stop_if_asked()
            await asyncio.wait([run.work])
            outcome = run.work.result()
        return outcome

    async def _finish(self, run: _Run, status: TaskStatus, result: Any, failure: BaseException | None) -> Task:
        engine, recorder = self.engine, run.recorder
        now = end_of(run.task.started_at, engine.clock.now())
        recorder.interrupt(now)
        seconds = (now - (run.task.started_at or now)) / 1_000_000
        message = stack = None
        if failure is not None:
            redactor = recorder.dials.redactor
            message, stack = error_text(failure, redactor), redactor.redact(traceback_text(failure))
            recorder.system.error("task failed after %.2f s: %s", seconds, message, exc_info=failure)
        elif status == "success":
            recorder.system.info("task finished in %.2f s", seconds)
        elif status == "interrupted":
            message = "the service was stopped while it ran"
            recorder.system.warning("task interrupted after %.2f s: %s", seconds, message)
        else:
            recorder.system.warning("task %s after %.2f s", status, seconds)
        ended = msgspec.structs.replace(
            run.task,
            status=status,
            cancelling=False,
            finished_at=now,
            progress=recorder.feed.progress,
            result_json=None if result is None else recorder.capture(result),
            error_message=message,
            error_stack=stack,
        )
        run.task = await finish(engine, recorder.feed, ended)
        self._runs.pop(run.task.id, None)
        return run.task

    def _record(self, run: _Run, **changes: Any) -> None:
        run.task = msgspec.structs.replace(run.task, **changes)
        self.engine.record(TaskRecord(run.task.id, run.task))

    async def report(self) -> None:
        """Record the progress of running tasks, for ever; the manager's owner runs it."""
        while True:
            await self.engine.clock.sleep(REPORT_SECONDS)
            for run in list(self._runs.values()):
                progress = run.recorder.feed.progress
                if progress is not run.task.progress and not run.recorder.feed.sealed:
                    self._record(run, progress=progress)

    async def cancel(self, task_id: str, access: AccessScope = EVERYTHING) -> Task:
        """Ask a running task to stop. A function in a thread goes on until it returns.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has ended.
        """
        task = await self.task(task_id, access)
        _refuse_audit(task)
        if task.external and not task.ended:
            return await self.external.finish(task_id, "cancelled", access=access)
        run = self._runs.get(task_id)
        if run is None or run.recorder.feed.sealed:
            raise ConflictError(f"the task {task_id} has ended ({task.status}) and cannot be cancelled")
        if not run.cancelled:
            run.cancelled = True
            self._record(run, cancelling=True)
            run.recorder.system.warning("cancellation requested")
            self.engine.collect()  # whoever looks now sees it
        run.stop()
        return run.task

    def is_cancelling(self, task_id: str) -> bool:
        """Whether a running task is asked to stop; from any thread of it, which then knows."""
        run = self._runs.get(task_id)
        if run is not None and run.stopping:
            run.told = True
        return run is not None and run.told

    async def delete(
        self, task_id: str, access: AccessScope = EVERYTHING, told: Callable[[Task], None] | None = None
    ) -> None:
        """Remove an ended task and everything of it; it is gone for everybody on return, its rows soon after.

        Args:
            task_id: which.
            access: what the caller may see.
            told: called with the task once the removal is sure to happen, whatever is raised then.

        Raises:
            NotFoundError: there is none.
            ConflictError: it is running.
            StoreError: the store cannot be written now.
        """
        task = await self.task(task_id, access)
        _refuse_audit(task)
        if not task.ended:
            raise ConflictError(f"the task {task_id} is {task.status}; cancel it first")
        await self.sweeper.remove([task_id], None if told is None else functools.partial(told, task))

    async def close(self) -> None:
        """Interrupt what runs, giving it a moment to end. What does not end in time is left behind."""
        self._closing = True
        outers = [run.outer for run in self._runs.values() if run.outer is not None]
        for run in self._runs.values():
            run.interrupted = not run.cancelled
            run.stop()
        if outers:
            await asyncio.wait(outers, timeout=GRACE_SECONDS)
        left = list(self._runs.values())
        for run in left:
            _log.warning("the task %s did not end in time and is left interrupted", run.task.id)
            run.interrupted = True
            run.stop()
            if run.outer is not None:
                run.outer.cancel()
        if left:
            await asyncio.wait([run.outer for run in left if run.outer is not None])

    async def task(self, task_id: str, access: AccessScope = EVERYTHING) -> Task:
        """The task as it is now. Raises NotFoundError."""
        return await self.reader.task(task_id, access)

    async def logs(self, task_id: str, *, access: AccessScope = EVERYTHING, **options: Any) -> LogPage:
        """A page of a task's entries; see `Reader.logs` for the options."""
        return await self.reader.logs(task_id, access=access, **options)


def _refuse_audit(task: Task) -> None:
    if task.plugin == AUDIT_PLUGIN:
        raise ConflictError("the audit is kept for good: it can be neither cancelled nor deleted")
