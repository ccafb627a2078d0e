"""The logger a plugin holds: threshold, format, normalise, redact, encode; then the journal.

No call here raises, awaits or waits for the database, whatever it is given and whatever is wrong underneath; each may
come from any thread. Loggers are immutable: `with_source` and `bind` give another one for the same task.
"""

from __future__ import annotations

import logging
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, NamedTuple

from asynclog import values
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.model import Level, Progress
from asynclog.records import ENTRY, encode
from asynclog.redaction import KEYWORDS, Redactor
from asynclog.settings import Dials
from asynclog.values import METADATA_LIMIT, compose, metadata_json, plain_json

SOURCE_CHARACTERS: Final = 64
LABEL_CHARACTERS: Final = 256
"""Of a stage, a unit or a step id."""

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40

_NOTHING: Final = object()
"""Stands for a message that was not given by position."""
_CLAIM: Final = "claimed_source"
_OF_THE_PROCESS: Final = (KeyboardInterrupt, SystemExit)
"""Raised by a signal handler, so not to be swallowed; anything else that comes up is a value's own failure."""

_service = logging.getLogger("asynclog.task")
_ExcInfo = bool | BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | None


class Place(NamedTuple):
    """Where in its task the running code is: what entries are labelled with."""

    feed: Feed | None = None
    stage: str | None = None
    unit: str | None = None
    step_id: str | None = None


NOWHERE: Final = Place()
_NO_LABELS: Final[list[tuple[Place | None, bytes]]] = [(None, b"")] * (ERROR + 1)
"""By level the place of the newest entry, and the labels, encoded, of entries that a logger logs there."""
place: Final[ContextVar[Place]] = ContextVar("asynclog_place", default=NOWHERE)
"""Follows the code through coroutines, gathered tasks and `asyncio.to_thread`."""


def label(value: object, limit: int = LABEL_CHARACTERS, redactor: Redactor | None = None) -> str | None:
    """A stage, unit or source as it is kept: text, cut and marked when too long; None when empty.

    With a redactor without its secrets; not for accounts and sites, which are compared with what callers may see.
    """
    if value is None:
        return None
    name = values.text(value)
    if redactor is not None:
        name = redactor.redact(name)
    if len(name) > limit:
        name = name[: limit - 1] + "…"
    return name or None


_LOOKALIKES: Final = str.maketrans(
    "\u0405\u0455\u0423\u0443\u04ae\u04af\u0415\u0435\u0422\u0442\u041c\u043c", "ssyyyyeettmm"
)
"""Cyrillic letters that look as those of ``system`` do."""
_BLANKS: Final = frozenset("\u115f\u1160\u2800")
"""What is counted among letters and signs, and shows nothing."""


@lru_cache(maxsize=1024)
def poses_as_system(source: str) -> bool:
    """Whether people would take a source for ``system``, which only asynclog itself logs as."""
    if source.isascii() and source.isalnum():
        return source.lower() == "system"
    folded = unicodedata.normalize("NFKC", source).translate(_LOOKALIKES).casefold()
    seen = (letter for letter in folded if letter not in _BLANKS and unicodedata.category(letter)[0] not in "CMZ")
    return "".join(seen) == "system"


class TaskLogger:
    """Logs for one task as one source.

    ``message % args`` is formatted as in `logging`; keywords become metadata, except ``exc_info``, ``stack_info``,
    ``stacklevel``, ``extra`` (as in `logging`) and ``metadata`` (a mapping to merge). A message may be given as the
    keyword ``message`` (or ``msg``) when it is not given by position.
    """

    __slots__ = ("_bound", "_dials", "_feed", "_journal", "_labels", "_now_ns", "_source", "_stage", "_unit")

    def __init__(
        self,
        journal: Journal,
        feed: Feed,
        dials: Dials,
        now_ns: Callable[[], int],
        source: str = "plugin",
        bound: dict[str, Any] | None = None,
        stage: str | None = None,
        unit: str | None = None,
    ) -> None:
        self._journal = journal
        self._feed = feed
        self._dials = dials
        self._now_ns = now_ns
        self._source = source
        self._bound = bound
        self._stage = stage
        self._unit = unit
        self._labels = _NO_LABELS.copy()

    def with_source(self, source: str) -> TaskLogger:
        """The same task, another source. ``system`` is not for plugins: it becomes ``plugin``, the claim is kept."""
        name = label(source, SOURCE_CHARACTERS, self._dials.redactor) or "plugin"
        bound = {key: value for key, value in (self._bound or {}).items() if key != _CLAIM}
        if poses_as_system(name):
            bound[_CLAIM], name = name, "plugin"
        return self._like(source=name, bound=bound or None)

    def bind(self, /, **metadata: Any) -> TaskLogger:
        """The same task and source; every entry carries this metadata too."""
        return self._like(bound={**(self._bound or {}), **metadata})

    def bind_stage(self, stage: str | None) -> TaskLogger:
        """The same task and source; every entry carries this stage, wherever it is logged."""
        return self._like(stage=self._label(stage))

    def bind_unit(self, unit: str | None) -> TaskLogger:
        """The same task and source; every entry is about this unit, wherever it is logged."""
        return self._like(unit=self._label(unit))

    def _label(self, value: object) -> str | None:
        return label(value, redactor=self._dials.redactor)

    def _like(self, **changes: Any) -> TaskLogger:
        mine = {"source": self._source, "bound": self._bound, "stage": self._stage, "unit": self._unit}
        return TaskLogger(self._journal, self._feed, self._dials, self._now_ns, **{**mine, **changes})

    @property
    def task_id(self) -> str:
        """The task it logs for."""
        return self._feed.task_id

    @property
    def stage(self) -> str | None:
        """The stage its entries carry when they are logged here; None for none."""
        here = place.get()
        return self._stage or (here.stage if here.feed is self._feed else None)

    def move_to_stage(self, stage: str | None) -> None:
        """Let what is logged from here on, in this coroutine or thread and what it starts, carry this stage."""
        here = place.get()
        here = here if here.feed is self._feed else NOWHERE
        place.set(Place(self._feed, self._label(stage), here.unit, here.step_id))

    @property
    def source(self) -> str:
        """The source its entries carry."""
        return self._source

    def enabled(self, level: int) -> bool:
        """Whether an entry of this level would be kept now."""
        return self._dials.threshold <= level

    def debug(self, message: object = _NOTHING, /, *args: object, **fields: Any) -> None:
        """Log what only a developer wants to see."""
        if self._dials.threshold <= DEBUG:
            self._emit(DEBUG, message, args, fields)

    def info(self, message: object = _NOTHING, /, *args: object, **fields: Any) -> None:
        """Log what happens."""
        if self._dials.threshold <= INFO:
            self._emit(INFO, message, args, fields)

    def warning(self, message: object = _NOTHING, /, *args: object, **fields: Any) -> None:
        """Log what is odd but not yet wrong."""
        if self._dials.threshold <= WARNING:
            self._emit(WARNING, message, args, fields)

    def error(self, message: object = _NOTHING, /, *args: object, **fields: Any) -> None:
        """Log what went wrong; its journal record is synced to disk at once."""
        if self._dials.threshold <= ERROR:
            self._emit(ERROR, message, args, fields)

    def exception(self, message: object = _NOTHING, /, *args: object, exc_info: _ExcInfo = True, **fields: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        if self._dials.threshold <= ERROR:
            self._emit(ERROR, message, args, {"exc_info": exc_info, **fields})

    def log(self, level: object, message: object = _NOTHING, /, *args: object, **fields: Any) -> None:
        """Log at a level given as name or number; what is no level counts as INFO and is kept in the metadata."""
        try:
            severity = int(Level.parse(level))
        except _OF_THE_PROCESS:
            raise
        except BaseException:  # noqa: BLE001  # a hostile value may raise anything when it is shown
            severity, fields = INFO, {**fields, "claimed_level": values.text(level)}
        if self._dials.threshold <= severity:
            self._emit(severity, message, args, fields)

    def progress(self, current: float, total: float | None = None, message: str | None = None, **fields: Any) -> None:
        """Say how far the task is: an INFO entry with ``metadata.progress``, and the task's progress."""
        try:
            said = None if message is None else self._dials.redactor.redact(values.text(message))[:LABEL_CHARACTERS]
            self._feed.progress = progress = Progress(
                current=_finite(current),
                total=None if total is None else _finite(total),
                message=said,
            )
            shown = {"current": progress.current, "total": progress.total, "message": progress.message}
            of = "" if progress.total is None else f" of {progress.total:,g}"
            text = f"{progress.current:,g}{of}"
        except _OF_THE_PROCESS:
            raise
        except BaseException:  # noqa: BLE001  # whatever a plugin passes, its log call returns
            text = f"progress {values.text(current)} of {values.text(total)}"
            shown = {"current": values.text(current), "total": values.text(total), "message": message}
        if self._dials.threshold <= INFO:
            self._emit(INFO, text if message is None else message, (), {**fields, "progress": shown})

    def _emit(  # noqa: C901  # the hot path: flat
        self, level: int, message: object, args: tuple[object, ...], fields: dict[str, Any]
    ) -> None:
        feed = self._feed
        if message is _NOTHING:
            message = fields.pop("message", None) if "message" in fields else fields.pop("msg", "")
        text, data = "", None
        try:
            dials = self._dials
            redactor = dials.redactor
            if args and type(message) is str and message in redactor.numeric:
                try:
                    text = message % args  # digits, whatever they are
                except _OF_THE_PROCESS:
                    raise
                except BaseException:  # noqa: BLE001  # they do not fit: that is said below
                    text = ""
            if not text or len(text) * 4 > dials.message_limit:
                text = compose(message, args, fields, dials.message_limit, redactor)
            bound = self._bound
            if fields or bound:
                data = plain_json({**bound, **fields} if bound else fields, METADATA_LIMIT, redactor)
                if data is None:  # as it is when a keyword asks for something
                    data = metadata_json(self._metadata(fields), METADATA_LIMIT, redactor)
            here = place.get()
            there, labels = self._labels[level]
            if there is not here:
                labels = self._label_entries(level, here)
            now_ns = self._now_ns
            payload = encode((ENTRY, labels, now_ns() // 1000, text, data))
        except _OF_THE_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001  # an entry is never refused, a log call never raises
            payload = self._unloggable(level, text, f"{type(error).__name__} while it was logged")
        if not self._journal.append(feed, payload, level) and feed.sealed:
            with suppress(Exception):  # a handler of the service's log that fails is not the plugin's affair
                said = text or self._dials.redactor.redact(values.text(message))
                _service.warning("entry %d after the end of task %s: %s", feed.late, feed.task_id, said)

    def _label_entries(self, level: int, here: Place) -> bytes:
        """Encode what entries of this level are labelled with here, for this one and for those to come."""
        where = here if here.feed is self._feed else NOWHERE
        labels = encode(
            (self.task_id, level, self._source, self._stage or where.stage, self._unit or where.unit, where.step_id)
        )
        self._labels[level] = here, labels
        return labels

    def _metadata(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The keywords over ``metadata`` over ``extra`` over bound metadata; the reserved ones as what they ask for."""
        bound = self._bound or {}
        if KEYWORDS.isdisjoint(fields):
            return {**bound, **fields}
        level = fields.pop("stacklevel", 1)
        stack = fields.pop("stack_info", False)
        failure = fields.pop("exc_info", None)
        for name in ("metadata", "extra"):
            more = fields.pop(name, None)
            try:
                fields = fields if more is None else {**more, **fields}
            except _OF_THE_PROCESS:
                raise
            except BaseException:  # noqa: BLE001  # no mapping, or one that fails: kept as it is
                fields[name] = more
        found = None if failure is None or failure is False else _traceback(failure)
        if found is not None:
            fields["traceback"] = found
        if stack is not None and stack is not False:
            fields["stack"] = _stack(level if isinstance(level, int) else 1)
        return {**bound, **fields}

    def _unloggable(self, level: int, text: str, reason: str) -> bytes:
        text, _ = values.clean(text, self._dials.message_limit, self._dials.redactor)
        message = f"{text} [unloggable: {reason}]".lstrip()
        return encode((ENTRY, self._label_entries(level, NOWHERE), self._now_ns() // 1000, message, None))


def _finite(number: float) -> float:
    value = float(number)
    if value - value != 0:
        raise ValueError("not a finite number")
    return int(value) if value == int(value) and abs(value) < 1 << 53 else value


def _traceback(failure: object) -> str | None:
    """The text of a traceback, as `logging` takes ``exc_info``."""
    if isinstance(failure, BaseException):
        error: BaseException | None = failure
    elif isinstance(failure, tuple):
        error = failure[1] if len(failure) > 1 and isinstance(failure[1], BaseException) else None
    else:
        error = None if isinstance(failure, int) and not failure else sys.exc_info()[1]
    return None if error is None else traceback_text(error)


def traceback_text(error: BaseException) -> str:
    """The traceback of an exception, whatever its own ``__str__`` does."""
    try:
        return values.text("".join(traceback.format_exception(error)).rstrip("\n"))
    except _OF_THE_PROCESS:
        raise
    except BaseException:  # noqa: BLE001  # a hostile exception must not break the task it is logged from
        return f"{type(error).__name__} (its traceback cannot be shown)"


def _stack(level: int) -> str:
    """The stack of the caller of the log call; of that one's caller with ``stacklevel`` 2, and so on."""
    frame = sys._getframe(4)  # noqa: SLF001  # as logging itself finds the caller: _stack up to info
    while level > 1 and frame.f_back is not None:
        frame, level = frame.f_back, level - 1
    return "".join(traceback.format_stack(frame)).rstrip("\n")


@contextmanager
def belief_scope(logger: TaskLogger | str, name: str | None = None) -> Iterator[None]:
    """Log the entry into a piece of work, its coherent end or its failure, and its exit; all at DEBUG.

    ``belief_scope(logger, name)`` logs for the logger's task; ``belief_scope(name)`` for the current task and, outside
    of one, to the service's own log. An error is logged and raised again.
    """
    if isinstance(logger, TaskLogger):
        target: TaskLogger | None = logger
        title = values.text(name)
    else:
        target = current_logger.get()
        title = values.text(logger if name is None else name)
    if target is None:
        debug: Callable[..., None] = logging.getLogger("asynclog").debug
        enabled = logging.getLogger("asynclog").isEnabledFor(DEBUG)
    else:
        debug = target.debug
        enabled = target.enabled(DEBUG) and target._dials.belief_scope  # noqa: SLF001  # the same module
    if not enabled:
        yield
        return
    debug("[%s][Entry]", title)
    try:
        yield
    except BaseException as error:
        debug("[%s][Coherence:Failed] %s: %s", title, type(error).__name__, values.text(error))
        raise
    debug("[%s][Coherence:OK]", title)
    debug("[%s][Exit]", title)


current_logger: Final[ContextVar[TaskLogger | None]] = ContextVar("asynclog_logger", default=None)
"""The logger of the task that the running code belongs to."""
