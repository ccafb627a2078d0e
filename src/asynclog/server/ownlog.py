"""The service's own log: what asynclog and its server say about themselves, on stderr, as text or JSON."""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal, TextIO

import msgspec

from asynclog.model import timestamp_text
from asynclog.rendering import visible_text
from asynclog.values import redact

LogFormat = Literal["text", "json"]

OURS: Final = "asynclog"
SERVER: Final = "uvicorn.error"
"""Uvicorn's log. Below WARNING it names paths with their query strings, which are nobody's business."""

_NOISE: Final = (
    "ASGI callable returned without completing response",
    "Invalid HTTP request received",
    "Invalid UTF-8 sequence received",
    "Unsupported upgrade request",
)
"""What a client can bring about, or what we do on purpose and have logged already."""


def to_stderr(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send the service's own log to stderr (or a stream) from now on, and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    for name in (OURS, SERVER):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    server = logging.getLogger(SERVER)
    server.setLevel(logging.WARNING)
    server.filters = [_is_news]


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)


class _Text(logging.Formatter):
    """One line, a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        time, level, message, traceback = _parts(self, record)
        shown = f"{time[:10]} {time[11:23]}Z {level:<7} {record.name}: {visible_text(message)}"
        return f"{shown}\n{traceback}" if traceback else shown


class _Json(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        time, level, message, traceback = _parts(self, record)
        shown = {"timestamp": time, "level": level, "logger": record.name, "message": message}
        if traceback:
            shown["traceback"] = traceback
        return msgspec.json.encode(shown).decode()


def _parts(formatter: logging.Formatter, record: logging.LogRecord) -> tuple[str, str, str, str]:
    """Time, level, message and traceback, without secrets."""
    time = timestamp_text(int(record.created * 1_000_000))
    traceback = formatter.formatException(record.exc_info) if record.exc_info else ""
    return time, record.levelname, redact(record.getMessage()).strip(), redact(traceback)
