"""A step of a task: a context manager, and a decorator that makes one of every call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

import msgspec

from asynclog import values
from asynclog.logger import Place, place, traceback_text
from asynclog.model import Step, StepStatus
from asynclog.records import StepRecord
from asynclog.tasks.current import current_context
from asynclog.tasks.stage import error_text, leave

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext

P = ParamSpec("P")
T = TypeVar("T")


class StepScope:
    """``async with context.step(…) as step`` (or ``with`` in a thread). ``output`` set inside is kept at the end."""

    def __init__(self, context: TaskContext, step: Step | None, name: str) -> None:
        self._context = context
        self._step = step
        self._name = name
        self._token: Token[Place] | None = None
        self._status: StepStatus | None = None
        self._reason: str | None = None
        self.output: Any = None

    @property
    def id(self) -> str | None:
        """The step's id; None while steps are not captured."""
        return None if self._step is None else self._step.id

    def skip(self, reason: str = "") -> None:
        """The step was not needed: it ends as skipped."""
        self._status, self._reason = "skipped", values.text(reason) or None

    def fail(self, error: BaseException) -> None:
        """The step ends as failed with this error although nothing is raised here."""
        self._close(error)

    def __enter__(self) -> Self:
        if self._step is not None:
            here = place.get()
            self._token = place.set(Place(self._context.feed, here.stage, here.unit, self._step.id))
            self._context.open_step(self._step)
            self._context.record(StepRecord(self._step.task_id, self._step))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)
        leave(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _close(self, error: BaseException | None) -> None:
        step, context = self._step, self._context
        if step is None or step.status != "running":
            return
        output = None
        if self.output is not None and context.dials.capture_outputs:
            output = context.capture(self.output)
        ended = msgspec.structs.replace(
            step,
            status="error" if error is not None else self._status or "success",
            finished_at=context.now(),
            output_json=output,
            error_message=self._reason if error is None else error_text(error),
            error_stack=None if error is None else values.redact(traceback_text(error)),
        )
        self._step = ended
        context.close_step(ended)
        context.record(StepRecord(ended.task_id, ended))


def step(name: str | Callable[P, T] | None = None, *, node_type: str = "function", node_id: str | None = None) -> Any:
    """Make a step of every call of a function or coroutine function; outside of a task it is simply called.

    ``@step``, ``@step("fetch")`` or ``@step(node_type="http")``. The arguments are the input, by name; what is returned
    is the output.
    """
    if callable(name):
        return _wrapped(name, None, node_type, node_id)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        return _wrapped(function, name, node_type, node_id)

    return decorate


def _wrapped(function: Callable[P, T], name: str | None, node_type: str, node_id: str | None) -> Callable[P, T]:
    title = name or str(getattr(function, "__name__", "step"))
    signature = inspect.signature(function)

    def scope(args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepScope | None:
        context = current_context()
        if context is None:
            return None
        try:
            given: object = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the call itself will say so
            given = {"args": args, "kwargs": kwargs}
        return context.step(title, node_type=node_type, node_id=node_id, input=given)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            opened = scope(args, kwargs)
            if opened is None:
                return await function(*args, **kwargs)
            async with opened:
                opened.output = result = await function(*args, **kwargs)
                return result

        return cast("Callable[P, T]", call_async)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        opened = scope(args, kwargs)
        if opened is None:
            return function(*args, **kwargs)
        with opened:
            opened.output = result = function(*args, **kwargs)
            return result

    return call
