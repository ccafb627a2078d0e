"""Between Starlette and the handlers: reads the request as the route table says, and turns errors into problems."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Final, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from asynclog.errors import AsynclogError, UnavailableError
from asynclog.server import problems
from asynclog.server.body import Held, parse_body, read_body
from asynclog.server.limits import caller_of
from asynclog.server.operation import Call, Operation
from asynclog.server.parameters import read_query
from asynclog.server.service import Service

Page = TypeVar("Page")

_LAST: Final = {"Connection": "close", "Retry-After": "5"}

_log: Final = logging.getLogger("asynclog.server")


class Endpoint:
    """All operations of one path."""

    def __init__(self, service: Service, operations: Sequence[Operation]) -> None:
        self._service = service
        self._operations = {operation.method: operation for operation in operations}
        self.methods = sorted({*self._operations, "OPTIONS", *(["HEAD"] if "GET" in self._operations else [])})

    async def answer(self, request: Request) -> Response:
        """The response to a request; raises nothing but CancelledError, and not even that at the end."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(self.methods)})
        operation = self._operations["GET" if request.method == "HEAD" else request.method]
        try:
            with self._service.bodies.held() as room:
                response = await self._handle(request, operation, room)
        except asyncio.CancelledError:
            if not self._service.closing:
                raise
            return problems.problem(503, "The service is going down; try again when it is up.", headers=_LAST)
        except Exception as error:  # noqa: BLE001 - the edge: logged, and the client is told
            return self._failed(request, operation, error)
        if request.method == "HEAD" and isinstance(response, Stream):
            return await response.head()
        return response

    def _failed(self, request: Request, operation: Operation, error: Exception) -> Response:
        """What the client is told of an error, which is being handled."""
        match error:
            case AsynclogError():
                if isinstance(error, UnavailableError):
                    self._tell(operation, error)
                return problems.of_error(error)
            case HTTPException():
                return problems.of_http_error(error, request.method)
            case ClientDisconnect():
                return Response(status_code=400)  # nobody reads it
            case RecursionError():
                return problems.problem(400, "The body is nested too deeply to be kept; flatten it.")
        _log.exception("%s %s failed", request.method, operation.path)
        return problems.of_failure()

    def _tell(self, operation: Operation, error: UnavailableError) -> None:
        """Say in our own log what cannot be answered, now and then: while it lasts every request may meet it."""
        route = f"{operation.method} {operation.path}"
        left_out = self._service.unanswered.left_out(route)
        if left_out is not None:
            more = f" ({left_out:,} more since this was said)" if left_out else ""
            _log.warning("%s cannot be answered now: %s%s", route, error, more)

    async def _handle(self, request: Request, operation: Operation, room: Held) -> Response:
        call = await self._read(request, operation, room)
        async with self._service.turns.turn(call.who) if operation.hard else nullcontext():
            if operation.role is not None:
                call.recheck()
            return await operation.handler(call)

    async def _read(self, request: Request, operation: Operation, room: Held) -> Call:
        if b"%2f" in request.scope.get("raw_path", b"").lower():
            raise HTTPException(404)  # no name has a slash, and no address is written in two ways
        caller = self._service.access.enter(request, operation)
        if operation.counted:
            self._service.asked.take(caller_of(caller, request))
        if operation.admit is not None:
            operation.admit(request, self._service, room)
        given = b"" if operation.open_query else request.scope["query_string"]
        query = read_query(given, operation.parameters, filtered=operation.filtered)
        body, size = None, 0
        if operation.body is not None:
            raw = await read_body(request, room, operation.body_limit)
            body, size = raw if operation.body is bytes else parse_body(raw, operation.body), len(raw)
        return Call(request, self._service, request.path_params, query.values, query.filter, body, caller, size)


async def next_page(call: Call, pages: AsyncIterator[Page]) -> Page | None:
    """The next page of a long answer, in the caller's turn: whoever reads slowly keeps nobody waiting."""
    async with call.service.turns.turn(call.who, patient=True):
        call.recheck()
        return await anext(pages, None)


class Stream(StreamingResponse):
    """A long answer. What fails in its middle breaks the connection, so that nobody takes a part for the whole.

    Args:
        content: its pieces.
        place: held while it is sent; entering it may refuse.
        media_type, headers: as of every response.
    """

    def __init__(
        self, content: AsyncIterator[Any], place: AbstractContextManager[None], media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or why it cannot be sent now."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._place)
            except AsynclogError as error:
                await self._close()
                await problems.of_error(error)(scope, receive, send)
            else:
                await self._send(scope, receive, send)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except AsynclogError as error:
            _log.warning("an answer broke off: %s", error)
        except ClientDisconnect:
            _log.debug("a client went away in the middle of an answer")
        except asyncio.CancelledError:
            _log.debug("an answer was broken off")

    async def head(self) -> Response:
        """The same without the body."""
        await self._close()
        return Response(headers=dict(self.headers.items()))

    async def _close(self) -> None:
        close = getattr(self.body_iterator, "aclose", None)
        if close is not None:
            await close()
