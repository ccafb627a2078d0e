"""A step of a task: a context manager, and a decorator that makes one of every call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

import msgspec

from asynclog import values
from asynclog.identity import new_id
from asynclog.logger import Place, place
from asynclog.model import Step, end_of
from asynclog.redaction import REDACTOR
from asynclog.tasks.current import current_context
from asynclog.tasks.recorder import Recorder
from asynclog.tasks.stage import leave, outcome

P = ParamSpec("P")
T = TypeVar("T")


class StepScope:
    """``async with context.step(…) as step`` (or ``with`` in a thread).

    Input and output are captured when they are given, as they are then. An error that leaves the block makes the step
    an error, a cancellation makes it interrupted. While ``capture_enabled`` is off it does nothing.

    Args:
        recorder: where it is recorded; None for a step that is not.
        name: what is shown.
        node_type: what kind of node it is.
        node_id: its id among the nodes; the name without one.
        given: the input.
    """

    def __init__(self, recorder: Recorder | None, name: object, node_type: object, node_id: object, given: Any) -> None:
        self._recorder = recorder
        self._step: Step | None = None
        self._left: tuple[Place, Token[Place]] | None = None
        self._skipped: str | None = None
        self._output: Any = None
        self._output_json: str | None = None
        if recorder is not None:
            self._name = recorder.label(name) or "step"
            self._type = recorder.label(node_type) or "step"
            self._node = recorder.label(node_id) or self._name
            kept = given is not None and recorder.dials.capture_inputs
            self._input_json = recorder.capture(given) if kept else None

    @property
    def id(self) -> str | None:
        """The step's id; None before it is entered and while steps are not captured."""
        return None if self._step is None else self._step.id

    @property
    def output(self) -> Any:
        """What it made; None unless set."""
        return self._output

    @output.setter
    def output(self, output: Any) -> None:
        self._output = output
        recorder = self._recorder
        if recorder is not None and recorder.dials.capture_outputs:
            self._output_json = None if output is None else recorder.capture(output)

    def skip(self, reason: str = "") -> None:
        """The step was not needed: it ends as skipped, the reason in the place of an error message."""
        redactor = REDACTOR if self._recorder is None else self._recorder.dials.redactor
        self._skipped = redactor.redact(values.text(reason))

    def fail(self, error: BaseException) -> None:
        """The step ends now, with this error, although nothing is raised here."""
        self._close(error, failed=True)

    def __enter__(self) -> Self:
        """Begin it. Raises RuntimeError when it was begun before."""
        recorder = self._recorder
        if recorder is None:
            return self
        if self._step is not None:
            raise RuntimeError(f"the step {self._name} was begun before; make another one with context.step(…)")
        here = recorder.here()
        self._step = step = Step(
            id=new_id(),
            task_id=recorder.feed.task_id,
            parent_id=here.step_id,
            step_index=recorder.next_index(),
            stage=here.stage,
            unit=here.unit,
            node_id=self._node,
            node_type=self._type,
            node_name=self._name,
            started_at=recorder.now(),
            input_json=self._input_json,
        )
        inside = Place(recorder.feed, here.stage, here.unit, step.id)
        self._left = inside, place.set(inside)
        recorder.put_step(step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left, self._left = self._left, None
        self._close(error)
        if left is not None:
            leave(*left)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _close(self, error: BaseException | None, *, failed: bool = False) -> None:
        recorder, step = self._recorder, self._step
        if recorder is None or step is None or step.status != "running":
            return
        ending = outcome(error, recorder.dials.redactor)
        if failed:
            ending["status"] = "error"
        elif error is None and self._skipped is not None:
            ending = {"status": "skipped", "error_message": self._skipped or None}
        self._step = ended = msgspec.structs.replace(
            step, finished_at=end_of(step.started_at, recorder.now()), output_json=self._output_json, **ending
        )
        recorder.put_step(ended)


@overload
def step(name: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def step(
    name: str | None = None, *, node_type: str = "function", node_id: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def step(name: str | Callable[P, T] | None = None, *, node_type: str = "function", node_id: str | None = None) -> Any:
    """Make a step of every call of a function or coroutine function; outside of a task it is simply called.

    ``@step``, ``@step("fetch")`` or ``@step(node_type="http")``. The arguments are the input, by name and without
    ``self`` or ``cls``; what is returned is the output.

    Raises:
        TypeError: it decorates something that cannot be called, a ``classmethod`` object for example.
    """
    if name is not None and not isinstance(name, str):
        return _wrapped(name, None, node_type, node_id)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        return _wrapped(function, name, node_type, node_id)

    return decorate


def _wrapped(function: Callable[P, T], name: str | None, node_type: str, node_id: str | None) -> Callable[P, T]:
    if not callable(function):
        raise TypeError(f"{type(function).__name__} cannot be called; put @step below @classmethod and its like")
    title = name or str(getattr(function, "__name__", type(function).__name__))
    given = _arguments(function)

    def scope(args: tuple[Any, ...], kwargs: dict[str, Any]) -> StepScope | None:
        context = current_context()
        if context is None or not context.captures:
            return None
        return context.step(title, node_type=node_type, node_id=node_id, input=given(args, kwargs))

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


def _arguments(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], object]:
    """How a call's arguments are named."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not say
        return lambda args, kwargs: {"args": args, "kwargs": kwargs}
    first = next(iter(signature.parameters), None)
    owner = first if first in ("self", "cls") else None

    def name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        try:
            found = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the call itself will say so
            return {"args": args, "kwargs": kwargs}
        if owner is not None:
            found.pop(owner, None)
        return found

    return name
