"""Progress emitters: what they tell becomes entries of a task too, with its stage and unit."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from asynclog import values
from asynclog.logger import DEBUG, ERROR, INFO, WARNING, TaskLogger


@runtime_checkable
class ProgressEmitter(Protocol):
    """Who is told how work goes. Methods may also be coroutine functions, and there may be more, all ``emit_…``."""

    def emit_info(self, message: str, **data: Any) -> Any:
        """Something happened."""

    def emit_stage(self, stage: str, message: str = "", **data: Any) -> Any:
        """A phase begins."""

    def emit_progress(self, current: float, total: float | None = None, message: str = "", **data: Any) -> Any:
        """So much of the work is done."""

    def emit_error(self, message: str, error: BaseException | None = None, **data: Any) -> Any:
        """Something went wrong."""

    def emit_complete(self, message: str = "", **data: Any) -> Any:
        """The work is done."""


class PlainEmitter:
    """A `ProgressEmitter` that tells nobody: the base for those who have none, to be wrapped or derived from."""

    def emit_info(self, message: str, **data: Any) -> None:
        """Something happened."""

    def emit_stage(self, stage: str, message: str = "", **data: Any) -> None:
        """A phase begins."""

    def emit_progress(self, current: float, total: float | None = None, message: str = "", **data: Any) -> None:
        """So much of the work is done."""

    def emit_error(self, message: str, error: BaseException | None = None, **data: Any) -> None:
        """Something went wrong."""

    def emit_complete(self, message: str = "", **data: Any) -> None:
        """The work is done."""


class LogCapturingEmitter:
    """Stands for another emitter; each ``emit_…`` call is an entry of a task first, and then the other one's.

    What the other one does, returns and raises is unchanged, also where its methods are coroutine functions; all its
    other attributes are reached through this one. Logging itself never raises, whatever is passed.

    ``emit_stage`` moves the stage: this entry and what is logged later in the same place carry it, and so does what
    this emitter tells from places that have no stage. ``emit_progress`` is the task's progress, ``emit_error`` an
    ERROR with the traceback of an exception among its arguments, ``emit_warning`` and ``emit_debug`` are of their
    level, every other one is INFO. The argument ``message`` is the message, all others are metadata.

    Args:
        base: any object with ``emit_…`` methods.
        logger: of the task.
        unit_key: the argument, or the key of a mapping among the arguments, that names the unit a call is about.
    """

    __slots__ = ("_base", "_logger", "_stage", "_unit_key")

    def __init__(self, base: Any, logger: TaskLogger, *, unit_key: str = "unit") -> None:
        self._base = base
        self._logger = logger
        self._unit_key = unit_key
        self._stage: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in LogCapturingEmitter.__slots__:  # a copy that is being made has none yet
            raise AttributeError(name)
        found = getattr(self._base, name)
        return self._capturing(name, found) if name.startswith("emit_") and callable(found) else found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LogCapturingEmitter.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._base, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._base, name)

    def __repr__(self) -> str:
        return f"LogCapturingEmitter({self._base!r})"

    def _capturing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                self._capture(name, method, args, kwargs)
                return await method(*args, **kwargs)

            return call_async

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._capture(name, method, args, kwargs)
            return method(*args, **kwargs)

        return call

    def _capture(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            told = _arguments(name, method, args, kwargs)
            self._tell(name.removeprefix("emit_"), told)
        except Exception as error:  # noqa: BLE001  # whatever is told, telling it is what the caller wants
            self._logger.info("%s [%s while its arguments were read]", name, type(error).__name__)

    def _tell(self, kind: str, told: dict[str, Any]) -> None:
        unit = self._unit(told)
        if kind == "stage":
            self._move(told)
        log = self._logger if self._logger.stage or self._stage is None else self._logger.bind_stage(self._stage)
        log = log if unit is None else log.bind_unit(unit)
        message = _first(told, _MESSAGES)
        if kind == "progress":
            current, total = _amounts(told)
            if current is not None:
                log.progress(current, total, message or None, metadata=told)
                return
        error = next((value for value in (message, *told.values()) if isinstance(value, BaseException)), None)
        if message is None and kind in _SAYING:
            message = next((told.pop(name) for name, value in told.items() if isinstance(value, str)), None)
        if error is not None and (message is None or message is error):
            message = f"{type(error).__name__}: {values.text(error)}"
        log.log(_LEVELS.get(kind, INFO), message or kind, metadata=told, exc_info=error)

    def _unit(self, told: dict[str, Any]) -> Any:
        key = self._unit_key
        if key in told:
            return told.pop(key)
        return next((value[key] for value in told.values() if isinstance(value, Mapping) and key in value), None)

    def _move(self, told: dict[str, Any]) -> None:
        stage = _first(told, _STAGES)
        if stage is None and told:
            stage = told.pop(next(iter(told)))
        if isinstance(stage, enum.Enum):
            stage = stage.value
        self._logger.move_to_stage(stage)
        self._stage, self._logger = stage, self._logger.bind_stage(None)
        told["message"] = _first(told, _MESSAGES) or f"stage {values.text(stage)}"


_LEVELS: Final = {
    **dict.fromkeys(("error", "exception", "failure", "failed", "critical", "fatal"), ERROR),
    **dict.fromkeys(("warning", "warn"), WARNING),
    **dict.fromkeys(("debug", "trace"), DEBUG),
}
_SAYING: Final = frozenset({"info", "complete", *_LEVELS})
"""What is told by these is a text in the first place, whatever the argument is called."""
_MESSAGES: Final = ("message", "msg", "text")
_STAGES: Final = ("stage", "stage_name", "phase", "name")
_CURRENT: Final = ("current", "done", "completed", "processed", "progress", "percent", "value")
_TOTAL: Final = ("total", "maximum", "max", "of", "count")
_ORDER: Final = {"emit_stage": ("stage",), "emit_progress": ("current", "total")}
"""What arguments are that a method takes without naming them; a message where nothing is said here."""


def _arguments(name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments by name, as the method itself names them, one after the other."""
    try:
        signature = inspect.signature(method)
        bound = signature.bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # it does not say, or the call will fail
        return {**_named(name, args), **kwargs}
    told: dict[str, Any] = {}
    for parameter, value in bound.items():
        kind = signature.parameters[parameter].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            told.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            told.update(_named(name, value))
        else:
            told[parameter] = value
    return told


def _named(name: str, args: tuple[Any, ...]) -> dict[str, Any]:
    names = (*_ORDER.get(name, ()), "message")
    found = dict(zip(names, args, strict=False))
    return found | ({"args": list(args[len(names) :])} if len(args) > len(names) else {})


def _first(told: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Take out the first of these arguments that was given."""
    return next((told.pop(name) for name in names if name in told), None)


def _amounts(told: dict[str, Any]) -> tuple[float | None, float | None]:
    """Take out how much is done, of how much; by name, else the first numbers there are."""
    numbers = [name for name, value in told.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return None, None
    current = next((name for name in _CURRENT if name in numbers), numbers[0])
    others = [name for name in numbers if name != current]
    unknown = others[:1] if current not in _CURRENT else []
    total = next((name for name in (*_TOTAL, *unknown) if name in others), None)
    return told.pop(current), None if total is None else told.pop(total)
