"""A stage of a task: a context manager, for coroutines and for functions in threads."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from asynclog import values
from asynclog.logger import Place, place, traceback_text
from asynclog.model import Stage
from asynclog.records import StageRecord

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext
    from asynclog.tasks.step import StepScope


class StageScope:
    """``async with context.stage(…) as stage`` (or ``with`` in a thread).

    ``processed``, ``credits_used`` and ``result`` may be set at any time inside and are kept at the end. Entries logged
    inside, by child tasks and threads too, carry the stage.
    """

    def __init__(self, context: TaskContext, stage: Stage) -> None:
        self._context = context
        self._stage = stage
        self._token: Token[Place] | None = None
        self.pending = stage.pending
        self.processed: int | None = None
        self.credits_used: float | None = None
        self.result: Any = None

    @property
    def number(self) -> int:
        """The stage's number."""
        return self._stage.number

    @property
    def name(self) -> str:
        """The stage's name, as entries carry it."""
        return self._stage.name

    def progress(self, processed: int, pending: int | None = None) -> None:
        """Say how far the stage is: an INFO entry, and the stage's counts."""
        self.processed = processed
        if pending is not None:
            self.pending = pending
        self._context.system.info(
            "stage %s: %s of %s",
            self.name,
            processed,
            self.pending,
            progress={"current": processed, "total": self.pending, "message": None},
        )
        self._put(self._now_is())

    def step(self, name: str, **options: Any) -> StepScope:
        """A step inside this stage; see `TaskContext.step`."""
        return self._context.step(name, **options)

    def _now_is(self) -> Stage:
        return msgspec.structs.replace(
            self._stage,
            pending=_whole(self.pending),
            processed=_whole(self.processed),
            credits_used=_number(self.credits_used),
        )

    def _put(self, stage: Stage) -> None:
        self._stage = stage
        self._context.record(StageRecord(stage.task_id, stage))

    def __enter__(self) -> Self:
        here = place.get()
        self._token = place.set(Place(self._context.feed, self.name, here.unit, here.step_id))
        self._context.open_stage(self._stage)
        self._put(self._stage)
        pending = "" if self.pending is None else f" ({self.pending:,} pending)"
        self._context.system.info("stage %s started%s", self.name, pending)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(error)
        leave(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _finish(self, error: BaseException | None) -> None:
        context = self._context
        ended = msgspec.structs.replace(
            self._now_is(),
            status="success" if error is None else "error",
            finished_at=context.now(),
            result_json=None if self.result is None else context.capture(self.result),
            error_message=None if error is None else error_text(error),
            error_stack=None if error is None else values.redact(traceback_text(error)),
        )
        seconds = ((ended.finished_at or 0) - ended.started_at) / 1_000_000
        if error is None:
            processed = "" if ended.processed is None else f", {ended.processed:,} processed"
            context.system.info("stage %s finished in %.2f s%s", self.name, seconds, processed)
        else:
            context.system.error("stage %s failed after %.2f s: %s", self.name, seconds, ended.error_message)
        context.close_stage(ended)
        self._put(ended)


def leave(token: Token[Place] | None) -> None:
    """Be where one was before; harmless in another context than the one that was entered."""
    if token is None:
        return
    try:
        place.reset(token)
    except ValueError:  # left in another context than entered, as async generators do
        if token.old_value is not Token.MISSING:
            place.set(token.old_value)


def error_text(error: BaseException) -> str:
    """An exception in one line, redacted."""
    return values.redact(values.text(error) or type(error).__name__)[:1000]


def _whole(number: object) -> int | None:
    return int(number) if isinstance(number, int | float) and abs(number) < 1 << 53 else None


def _number(number: object) -> float | None:
    return float(number) if isinstance(number, int | float) and abs(number) < 1e300 else None
