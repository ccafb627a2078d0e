"""One row of the route table, and one request as its handler sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from asynclog.filters import LogFilter
from asynclog.model import EVERYTHING, AccessScope
from asynclog.server.parameters import Parameter
from asynclog.server.service import Service
from asynclog.tasks.manager import TaskManager
from asynclog.wire import encode

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose query and body have been read. ``body`` is a struct, bytes, or None."""

    request: Request
    service: Service
    path: Mapping[str, str]
    query: Mapping[str, Any]
    filter: LogFilter
    body: Any
    access: AccessScope = EVERYTHING

    @property
    def tasks(self) -> TaskManager:
        """Where everything is asked."""
        return self.service.tasks

    @property
    def task_id(self) -> str:
        """The task the path names."""
        return self.path["task_id"]


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method at one path does: everything routing, parsing, documentation and tests need to know.

    Args:
        handler: gives the response; may raise any AsynclogError.
        filtered: whether it takes the filter parameters.
        body: the struct of its JSON body; bytes for what it reads itself; None for none.
        answer: the struct of its JSON answer; None where ``media`` says what it is.
        status: of success.
        takes: the media of a body of bytes.
        open_query: whether it takes any query, unread.
        errors: statuses besides 422 (parameters, body), 404 (path parameters) and 500, with when they come.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    parameters: tuple[Parameter, ...] = ()
    filtered: bool = False
    body: type | None = None
    answer: type | None = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    takes: tuple[str, ...] = (NDJSON,)
    open_query: bool = False
    errors: Mapping[int, str] = field(default_factory=dict)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status, headers, JSON)
