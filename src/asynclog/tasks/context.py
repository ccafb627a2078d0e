"""What a running plugin holds: its logger, its place in the task, and ways to open stages, units and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from asynclog.logger import NOWHERE, Place, TaskLogger, current_logger, place
from asynclog.model import Task, TraceItem
from asynclog.records import TraceRecord
from asynclog.tasks import thread
from asynclog.tasks.current import current
from asynclog.tasks.recorder import Recorder
from asynclog.tasks.stage import StageScope, leave
from asynclog.tasks.step import StepScope

if TYPE_CHECKING:
    from asynclog.tasks.manager import TaskManager

P = ParamSpec("P")
T = TypeVar("T")


class TaskContext:
    """Handed to a plugin as ``context``. Every method may be called from any thread of the task; `start` is awaited on
    the event loop.

    Args:
        task: the task it belongs to, as it was at its start.
        recorder: where records go.
        logger: of the task, source ``plugin``.
        config: the plugin's configuration.
        manager: for child tasks.
    """

    def __init__(
        self, task: Task, recorder: Recorder, logger: TaskLogger, config: Mapping[str, Any], manager: TaskManager
    ) -> None:
        self.task_id: Final = task.id
        self.logger: Final = logger
        self.config: Final[Mapping[str, Any]] = MappingProxyType(dict(config))
        self._task = task
        self._recorder = recorder
        self._manager = manager

    def stage(self, name: str, *, number: int | None = None, pending: int | None = None) -> StageScope:
        """A phase of the task; what is logged inside carries its name.

        Args:
            name: the label.
            number: its place among the stages; without one, that of the same name entered before, else the next free.
            pending: how many items it has to do.
        """
        return StageScope(self, self._recorder, name, number, pending)

    @contextmanager
    def unit(self, name: str) -> Iterator[None]:
        """What is logged inside is about this work item."""
        here = self._recorder.here()
        inside = Place(self._recorder.feed, here.stage, self._recorder.label(name), here.step_id)
        token = place.set(inside)
        try:
            yield
        finally:
            leave(inside, token)

    def step(
        self,
        name: str,
        *,
        node_type: str = "step",
        node_id: str | None = None,
        input: Any = None,
    ) -> StepScope:
        """One node or call, with its input and output captured; a no-op while ``capture_enabled`` is off.

        Args:
            name: what is shown.
            node_type: what kind of node it is.
            node_id: its id among the nodes; the name without one.
            input: captured now, as it is.
        """
        return StepScope(self._recorder if self.captures else None, name, node_type, node_id, input)

    @property
    def captures(self) -> bool:
        """Whether steps are recorded now (the setting ``capture_enabled``)."""
        return self._recorder.dials.capture

    def append_trace(self, event: str, /, **data: Any) -> None:
        """Add a machine event to the run's trace; it is no entry and no threshold applies."""
        recorder = self._recorder
        item = TraceItem(
            task_id=self.task_id,
            timestamp=recorder.now(),
            event=recorder.label(event) or "event",
            data_json=recorder.capture(data) if data else None,
        )
        recorder.record(TraceRecord(self.task_id, item))

    @property
    def trigger_data(self) -> Any:
        """What the task was triggered with, as stored: a webhook's request, a schedule's due time; None without."""
        return self._task.trigger_data

    async def start(self, plugin: str | Callable[..., Any] | object, params: Any = None, **options: Any) -> Task:
        """Start a child task; it goes on when this one ends. Options and errors as for `TaskManager.start`."""
        options.setdefault("trigger_type", "internal_event")
        options.setdefault("account", self._task.account)
        options.setdefault("site", self._task.site)
        return await self._manager.start(plugin, params, **{**options, "parent_id": self.task_id})

    @property
    def cancelling(self) -> bool:
        """Whether the task is asked to stop; for functions in threads, which cannot be interrupted."""
        return self._manager.is_cancelling(self.task_id)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function bound to this place in the task, for executors and threads of one's own."""
        return thread.wrap(function)


def enter(context: TaskContext) -> None:
    """The running code, and what it starts, belongs to this task from now on."""
    current.set(context)
    current_logger.set(context.logger)
    place.set(NOWHERE)
