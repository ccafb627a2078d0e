"""A stage of a task: a context manager, for coroutines and for functions in threads."""

from __future__ import annotations

import asyncio
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from asynclog import values
from asynclog.logger import NOWHERE, Place, place, traceback_text
from asynclog.model import Stage, end_of
from asynclog.redaction import Redactor
from asynclog.tasks.recorder import LARGEST_NUMBER, Recorder

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext
    from asynclog.tasks.step import StepScope


class StageScope:
    """``async with context.stage(…) as stage`` (or ``with`` in a thread).

    ``processed``, ``credits_used`` and ``result`` may be set at any time inside and are kept at the end; when a stage
    is entered again they begin as they were. Entries logged inside, by child tasks and threads too, carry the stage.
    An error that leaves the block makes the stage an error, a cancellation makes it interrupted.
    """

    def __init__(self, context: TaskContext, recorder: Recorder, name: str, number: int | None, pending: Any) -> None:
        self._context = context
        self._recorder = recorder
        self._name = recorder.label(name) or "stage"
        self._number = None if number is None else max(min(int(number), LARGEST_NUMBER), -LARGEST_NUMBER)
        self._stage: Stage | None = None
        self._left: tuple[Place, Token[Place]] | None = None
        self.pending = pending
        self.processed: Any = None
        self.credits_used: Any = None
        self.result: Any = None

    @property
    def name(self) -> str:
        """The stage's name, as entries carry it."""
        return self._name

    @property
    def number(self) -> int | None:
        """The stage's number; None before it is entered unless one was asked for."""
        return self._number if self._stage is None else self._stage.number

    @property
    def id(self) -> str | None:
        """The stage's id; None before it is entered."""
        return None if self._stage is None else self._stage.id

    def progress(self, processed: float, pending: float | None = None) -> None:
        """Say how far the stage is, of how many: an INFO entry, and the stage's counts."""
        self.processed = processed
        if pending is not None:
            self.pending = pending
        shown = {"current": processed, "total": self.pending, "message": None}
        of = "" if self.pending is None else f" of {_shown(self.pending)}"
        self._system.info("stage %s: %s%s", self._name, _shown(processed), of, metadata={"progress": shown})
        if self._stage is not None:
            self._stage = self._now_is(self._stage)
            self._recorder.put_stage(self._stage)

    def step(
        self,
        name: str,
        *,
        node_type: str = "step",
        node_id: str | None = None,
        input: Any = None,
    ) -> StepScope:
        """A step inside this stage; see `TaskContext.step`."""
        return self._context.step(name, node_type=node_type, node_id=node_id, input=input)

    @property
    def _system(self) -> Any:
        return self._recorder.system.bind_stage(self._name)

    def _now_is(self, stage: Stage) -> Stage:
        return msgspec.structs.replace(
            stage,
            pending=_whole(self.pending),
            processed=_whole(self.processed),
            credits_used=_number(self.credits_used),
        )

    def __enter__(self) -> Self:
        """Begin it. Raises RuntimeError while it is open: two that run at once are two."""
        if self._left is not None:
            raise RuntimeError(f"the stage {self._name} is open; make another one with context.stage(…)")
        recorder, here = self._recorder, self._recorder.here()
        self._stage = stage = recorder.begin_stage(self._name, self.number, _whole(self.pending))
        self._resume(stage)
        inside = Place(recorder.feed, self._name, here.unit, here.step_id)
        self._left = inside, place.set(inside)
        pending = "" if self.pending is None else f" ({_shown(self.pending)} pending)"
        self._system.info("stage %s started%s", self._name, pending)
        return self

    def _resume(self, stage: Stage) -> None:
        """Take over what an earlier time in the stage has reached."""
        self.pending = stage.pending
        if self.processed is None:
            self.processed = stage.processed
        if self.credits_used is None:
            self.credits_used = stage.credits_used

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left, self._left = self._left, None
        if self._stage is not None and left is not None:
            self._finish(self._stage, error)
            leave(*left)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _finish(self, stage: Stage, error: BaseException | None) -> None:
        recorder = self._recorder
        self._stage = ended = msgspec.structs.replace(
            self._now_is(stage),
            finished_at=end_of(stage.started_at, recorder.now()),
            result_json=stage.result_json if self.result is None else recorder.capture(self.result),
            **outcome(error, recorder.dials.redactor),
        )
        seconds = ((ended.finished_at or 0) - ended.started_at) / 1_000_000
        facts = {"elapsed": seconds, "processed": ended.processed, "credits_used": ended.credits_used}
        told = {name: value for name, value in facts.items() if value is not None}
        if ended.status == "success":
            processed = "" if ended.processed is None else f", {ended.processed:,} processed"
            self._system.info("stage %s finished in %.2f s%s", self._name, seconds, processed, metadata=told)
        elif ended.status == "interrupted":
            self._system.warning("stage %s interrupted after %.2f s", self._name, seconds, metadata=told)
        else:
            self._system.error(
                "stage %s failed after %.2f s: %s",
                self._name,
                seconds,
                ended.error_message,
                exc_info=error,
                metadata=told,
            )
        recorder.put_stage(ended)


def leave(inside: Place, token: Token[Place]) -> None:
    """Be where one was before entering ``inside``; in a context that was never inside, nothing changes."""
    try:
        place.reset(token)
    except ValueError:  # another context: that of a child task or thread, or one in which a generator is closed
        if place.get() is inside:
            before = token.old_value
            place.set(NOWHERE if before is Token.MISSING else before)


def outcome(error: BaseException | None, redactor: Redactor) -> dict[str, Any]:
    """How a stage or step ended: its status, and what went wrong. What is cancelled did not fail by itself."""
    if error is None:
        return {"status": "success"}
    cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
    return {
        "status": "interrupted" if cancelled else "error",
        "error_message": error_text(error, redactor),
        "error_stack": None if cancelled else redactor.redact(traceback_text(error)),
    }


def error_text(error: BaseException, redactor: Redactor) -> str:
    """What an exception says, redacted; with its type where that alone would not tell what happened."""
    said, kind = values.text(error), type(error).__name__
    if (isinstance(error, KeyError) or not isinstance(error, Exception)) and said not in ("", kind):
        said = f"{kind}: {said}"
    return redactor.redact(said or kind)[:1000]


def _shown(number: object) -> str:
    return f"{number:,}" if type(number) in (int, float) else values.text(number)


def _whole(number: object) -> int | None:
    return int(number) if isinstance(number, int | float) and abs(number) < 1 << 53 else None


def _number(number: object) -> float | None:
    return float(number) if isinstance(number, int | float) and abs(number) < 1e300 else None
