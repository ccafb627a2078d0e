"""The service's own log: what asynclog and its server say about themselves, on stderr, as text or JSON."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Final, Literal, TextIO

import msgspec

from asynclog.model import timestamp_text
from asynclog.redaction import REDACTOR, Redactor
from asynclog.rendering import visible_text
from asynclog.texts import format_message, text

LogFormat = Literal["text", "json"]

OURS: Final = "asynclog"
SERVER: Final = "uvicorn.error"
"""Uvicorn's log. Below WARNING it names paths with their query strings, which are nobody's business."""

_NOISE: Final = (
    "ASGI callable returned without completing",
    "Invalid HTTP request received",
    "Invalid UTF-8 sequence received",
    "Unsupported upgrade request",
)
"""What a client can bring about, or what we do on purpose and have logged already."""


def to_stderr(log_format: LogFormat, stream: TextIO | None = None, redactor: Redactor = REDACTOR) -> None:
    """Send the service's own log to stderr (or a stream) from now on, and nowhere else; without secrets."""
    handler = _handler(log_format, stream, redactor)
    for name in (OURS, SERVER):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    server = logging.getLogger(SERVER)
    server.setLevel(logging.WARNING)
    server.filters = [_is_news]


def strays_to_stderr(log_format: LogFormat, stream: TextIO | None = None, redactor: Redactor = REDACTOR) -> None:
    """Send what nobody else takes the same way: it would come to stderr as it is, with whatever secrets it holds.

    That is what plugins log without having said where to, warnings, and errors of tasks, threads and finalisers that
    nobody waits for. For a process of our own: it sets hooks of the interpreter.
    """
    handler = _handler(log_format, stream, redactor)
    handler.setLevel(logging.WARNING)
    logging.lastResort = handler
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").handlers = [handler]
    log = logging.getLogger(OURS)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = "a thread" if args.thread is None else f"the thread {args.thread.name}"
            log.error("%s ended with an error", name, exc_info=args.exc_value)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        log.error("%s", args.err_msg or "an error that nobody could be told", exc_info=args.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


def _handler(log_format: LogFormat, stream: TextIO | None, redactor: Redactor) -> logging.StreamHandler[TextIO]:
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Json(redactor) if log_format == "json" else _Text(redactor))
    return handler


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments. Those that do not fit stand behind it: `logging` would write them to stderr as
    they are, secrets included.
    """
    args = record.args or ()
    return format_message(record.msg, args if isinstance(args, tuple) else (args,))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes what it can."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as its base
        """Say nothing: `logging` would write the record as it is, secrets included, where it could not be written."""


class _Clean(logging.Formatter):
    """Gives time, level, message and traceback, without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor.redact

    def _parts(self, record: logging.LogRecord) -> tuple[str, str, str, str]:
        time = timestamp_text(int(record.created * 1_000_000))
        traceback = text(self.formatException(record.exc_info)) if record.exc_info else ""  # it may name any file
        return time, record.levelname, self._redact(message_of(record)).strip(), self._redact(traceback)


class _Text(_Clean):
    """One line, a traceback indented below: nothing in either is taken for another line, or acts on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time, level, message, traceback = self._parts(record)
        shown = f"{time[:10]} {time[11:23]}Z {level:<7} {record.name}: {visible_text(message)}"
        return "\n    ".join([shown, *map(visible_text, traceback.splitlines())])


class _Json(_Clean):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        time, level, message, traceback = self._parts(record)
        shown = {"timestamp": time, "level": level, "logger": record.name, "message": message}
        if traceback:
            shown["traceback"] = traceback
        return msgspec.json.encode(shown).decode()
