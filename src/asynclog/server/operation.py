"""One row of the route table, and one request as its handler sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from asynclog.errors import InvalidError, TooLargeError
from asynclog.filters import LogFilter
from asynclog.model import EVERYTHING, AccessScope
from asynclog.server.parameters import Parameter
from asynclog.server.problems import MalformedError
from asynclog.server.service import Service
from asynclog.tasks.manager import TaskManager
from asynclog.wire import encode

BODY_BYTES: Final = 8 << 20
"""Of any request's body."""
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


async def read_body(request: Request, limit: int = BODY_BYTES) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it is, or says that it is, larger than the limit.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said) > limit:
        raise TooLargeError("the body", limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLargeError("the body", limit)
        parts.append(part)
    return b"".join(parts)


def parse_body(body: bytes, kind: type) -> Any:
    """The body as a struct, or as plain values where ``kind`` has no fields of its own.

    Raises:
        MalformedError: it is not JSON.
        InvalidError: it is JSON of another shape; names the field.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise InvalidError(*_fault(str(error))) from None
    except msgspec.DecodeError as error:
        raise MalformedError(f"The body is not JSON: {error}. Send one JSON object, encoded as UTF-8.") from None
    except RecursionError:
        raise MalformedError("The body is nested too deeply to be read; flatten it.") from None


def _fault(said: str) -> tuple[str, str]:
    """What msgspec said as (field, sentence)."""
    sentence, _, path = said.partition(" - at `")
    if "unknown field" in said or "required field" in said:
        name = sentence.split("`")[1]
    else:
        name = path.strip("`").removeprefix("$").removeprefix(".") or "body"
    return name, f"{name}: {sentence[:1].lower()}{sentence[1:]}"
