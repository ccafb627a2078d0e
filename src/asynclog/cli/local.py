"""The data directory itself, opened in this process: the service's own routes without a network."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from asynclog.cli import inprocess, terminal
from asynclog.cli.inprocess import Application
from asynclog.cli.service import Object, Query, RefusedError, refusal
from asynclog.config import Configuration
from asynclog.errors import NotFoundError
from asynclog.principal import LOCAL
from asynclog.redaction import Redactor
from asynclog.tasks.opening import open_tasks


class LocalService:
    """`Service` in this process.

    Args:
        application: the service's routes over an opened data directory.
    """

    remote = False

    def __init__(self, application: Application) -> None:
        self._application = application

    async def call(self, method: str, path: str, query: Query = (), body: object = None) -> Any:
        """See `Service.call`."""
        sent = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        status, data = 500, b""
        async with contextlib.aclosing(inprocess.http(self._application, method, path, query, sent)) as messages:
            async for message in messages:
                status = message.get("status", status)
                data += message.get("body", b"")
        if status >= 400:
            raise refusal(status, data)
        return msgspec.json.decode(data) if data else None

    async def stream(self, path: str, query: Query = ()) -> AsyncGenerator[bytes, None]:
        """See `Service.stream`."""
        status = 500
        async with contextlib.aclosing(inprocess.http(self._application, "GET", path, query)) as messages:
            async for message in messages:
                status = message.get("status", status)
                data = message.get("body", b"")
                if status >= 400 and data:
                    raise refusal(status, data)
                if data:
                    yield data

    async def follow(self, task_id: str, query: Query = (), after: int = 0) -> AsyncGenerator[Object, None]:
        """See `Service.follow`."""
        path = f"/ws/tasks/{task_id}/logs"
        asked = [*query, ("after", str(after))]
        async with contextlib.aclosing(inprocess.websocket(self._application, path, asked)) as messages:
            async for message in messages:
                if message["type"] == "websocket.close":
                    if message.get("code") == 4404:
                        raise NotFoundError("task", task_id)
                    if message.get("code") == 4422:
                        raise RefusedError(422, message.get("reason") or "the filter is bad")
                elif message["type"] == "websocket.send":
                    yield msgspec.json.decode(message["text"])


@asynccontextmanager
async def open_service(
    configuration: Configuration, plugins: Mapping[str, object] | None = None
) -> AsyncIterator[LocalService]:
    """Own the data directory from entry to exit. Raises as `open_tasks`."""
    from asynclog.server.app import create_app  # noqa: PLC0415 - starlette takes a while to import
    from asynclog.server.ownlog import message_of  # noqa: PLC0415 - as above

    _log_to_stderr(configuration.redaction.redactor(), message_of)
    async with open_tasks(
        configuration.folder, plugins=plugins, configuration=configuration, run_schedules=False
    ) as manager:
        yield LocalService(create_app(manager, everybody=LOCAL))


class _Remark(logging.Formatter):
    """A message without secrets, of which nothing acts on a terminal."""

    def __init__(self, redactor: Redactor, message_of: Callable[[logging.LogRecord], str]) -> None:
        super().__init__()
        self._redactor = redactor
        self._message_of = message_of

    def format(self, record: logging.LogRecord) -> str:
        """The message, and a traceback below."""
        said = f"asynclog: {self._message_of(record)}"
        if record.exc_info:
            said += f"\n{self.formatException(record.exc_info)}"
        return terminal.visible(self._redactor.redact(said))


def _log_to_stderr(redactor: Redactor, message_of: Callable[[logging.LogRecord], str]) -> None:
    """Beside a command's own output the service's log says only what is wrong."""
    log = logging.getLogger("asynclog")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.WARNING)  # of the handler: the logger's own is the setting log_level
        handler.setFormatter(_Remark(redactor, message_of))
        log.addHandler(handler)
        log.propagate = False
