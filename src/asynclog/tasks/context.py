"""What a running plugin holds: its logger, its place in the task, and ways to open stages, units and steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from asynclog import records, values
from asynclog.feed import Feed
from asynclog.identity import new_id
from asynclog.logger import NOWHERE, Place, TaskLogger, current_logger, label, place
from asynclog.model import Stage, Step, Task, TraceItem
from asynclog.records import Record, TraceRecord
from asynclog.settings import Dials
from asynclog.tasks import thread
from asynclog.tasks.current import current
from asynclog.tasks.stage import StageScope, leave
from asynclog.tasks.step import StepScope

if TYPE_CHECKING:
    from asynclog.engine import Engine
    from asynclog.tasks.manager import TaskManager

P = ParamSpec("P")
T = TypeVar("T")


class TaskContext:
    """Handed to a plugin as ``context``. Every method may be called from any thread of the task.

    Args:
        task: the task it belongs to, as it was at its start.
        engine: where records go.
        feed: the task's emitting state.
        config: the plugin's configuration.
        manager: for child tasks.
    """

    def __init__(self, task: Task, engine: Engine, feed: Feed, config: Mapping[str, Any], manager: TaskManager) -> None:
        self.task_id: Final = task.id
        self.logger: Final = engine.logger(feed)
        self.config: Final[Mapping[str, Any]] = MappingProxyType(dict(config))
        self.feed: Final = feed
        self.system: Final[TaskLogger] = engine.logger(feed, "system")
        self.dials: Final[Dials] = engine.settings.dials
        self.now: Final = engine.clock.now
        self._task = task
        self._engine = engine
        self._manager = manager
        self._lock = threading.Lock()
        self._stages: dict[tuple[str, int], Stage] = {}
        self._taken: set[str] = set()
        self._open_stages: dict[str, Stage] = {}
        self._open_steps: dict[str, Step] = {}
        self._step_count = 0

    def stage(self, name: str, *, number: int | None = None, pending: int | None = None) -> StageScope:
        """A phase of the task; what is logged inside carries its name.

        Args:
            name: the label.
            number: its place among the stages; without one, that of the same name entered before, else the next free.
            pending: how many items it has to do.
        """
        title = label(name) or "stage"
        with self._lock:
            number = self._number(title, number)
            known = self._stages.get((title, number))
            again = known if known is not None and known.id not in self._taken else None
            stage = Stage(
                id=new_id() if again is None else again.id,
                task_id=self.task_id,
                number=number,
                name=title,
                pending=pending,
                started_at=self.now() if again is None else again.started_at,
            )
            self._stages[title, number] = stage
            self._taken.add(stage.id)
        return StageScope(self, stage)

    def _number(self, name: str, number: int | None) -> int:
        if number is not None:
            return int(number)
        for (known, place_), stage in self._stages.items():
            if known == name and stage.id not in self._taken:
                return place_
        return max((place_ for _, place_ in self._stages), default=0) + 1

    @contextmanager
    def unit(self, name: str) -> Iterator[None]:
        """What is logged inside is about this work item."""
        here = place.get()
        here = here if here.feed is self.feed else NOWHERE
        token = place.set(Place(self.feed, here.stage, label(name), here.step_id))
        try:
            yield
        finally:
            leave(token)

    def step(
        self,
        name: str,
        *,
        node_type: str = "step",
        node_id: str | None = None,
        input: Any = None,  # the contract's word
    ) -> StepScope:
        """One node or call, with its input and output captured; a no-op while ``capture_enabled`` is off.

        Args:
            name: what is shown.
            node_type: what kind of node it is.
            node_id: its id among the nodes; the name without one.
            input: captured now, as it is.
        """
        dials = self.dials
        if not dials.capture:
            return StepScope(self, None, name)
        here = place.get()
        here = here if here.feed is self.feed else NOWHERE
        title = label(name) or "step"
        with self._lock:
            index = self._step_count
            self._step_count += 1
        return StepScope(
            self,
            Step(
                id=new_id(),
                task_id=self.task_id,
                parent_id=here.step_id,
                step_index=index,
                stage=here.stage,
                unit=here.unit,
                node_id=label(node_id) or title,
                node_type=label(node_type) or "step",
                node_name=title,
                started_at=self.now(),
                input_json=self.capture(input) if input is not None and dials.capture_inputs else None,
            ),
            title,
        )

    def append_trace(self, event: str, **data: Any) -> None:
        """Add a machine event to the run's trace; it is no entry and no threshold applies."""
        item = TraceItem(
            task_id=self.task_id,
            timestamp=self.now(),
            event=label(event) or "event",
            data_json=self.capture(data) if data else None,
        )
        self.record(TraceRecord(self.task_id, item))

    async def start(self, plugin: str | Callable[..., Any], params: Any = None, **options: Any) -> Task:
        """Start a child task; options as for `TaskManager.start`."""
        options.setdefault("trigger_type", "internal_event")
        options.setdefault("account", self._task.account)
        options.setdefault("site", self._task.site)
        return await self._manager.start(plugin, params, parent_id=self.task_id, **options)

    @property
    def cancelling(self) -> bool:
        """Whether somebody asked to cancel the task; for functions in threads, which cannot be interrupted."""
        return self._manager.is_cancelling(self.task_id)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function bound to this place in the task, for executors of one's own."""
        return thread.wrap(function)

    def record(self, record: Record) -> None:
        """Append a record, unless the task has ended."""
        if not self.feed.sealed:
            self._engine.journal.append(None, records.encode(record))

    def capture(self, value: Any) -> str:
        """A value as JSON text, cut above ``max_data_size``."""
        return values.capture(value, self.dials.max_data_size)

    def open_stage(self, stage: Stage) -> None:
        """The stage runs."""
        with self._lock:
            self._open_stages[stage.id] = stage

    def close_stage(self, stage: Stage) -> None:
        """The stage has ended."""
        with self._lock:
            self._open_stages.pop(stage.id, None)
            self._taken.discard(stage.id)

    def open_step(self, step: Step) -> None:
        """The step runs."""
        with self._lock:
            self._open_steps[step.id] = step

    def close_step(self, step: Step) -> None:
        """The step has ended."""
        with self._lock:
            self._open_steps.pop(step.id, None)

    def left_open(self) -> tuple[list[Stage], list[Step]]:
        """Stages and steps that were begun and never ended."""
        with self._lock:
            return list(self._open_stages.values()), list(self._open_steps.values())


def enter(context: TaskContext) -> None:
    """The running code, and what it starts, belongs to this task from now on."""
    current.set(context)
    current_logger.set(context.logger)
    place.set(NOWHERE)
