"""One row of the route table, and one request as its handler sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from asynclog.errors import UnauthenticatedError
from asynclog.filters import LogFilter
from asynclog.model import AccessScope, Task
from asynclog.principal import Principal, Role
from asynclog.server.body import BODY_BYTES, Held
from asynclog.server.limits import caller_of
from asynclog.server.parameters import Parameter
from asynclog.server.passes import Pass
from asynclog.server.service import Service
from asynclog.tasks.manager import TaskManager
from asynclog.values import Captured, capture
from asynclog.wire import encode, task_object

CAPTURED: Final = 32 << 10
"""Bytes of a body above which what is kept of it is captured in a thread: up to 10 ms are not worth one."""
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose query and body have been read. ``body`` is a struct, bytes, or None."""

    request: Request
    service: Service
    path: Mapping[str, str]
    query: Mapping[str, Any]
    filter: LogFilter
    body: Any
    caller: Pass | None
    """Who asks; None for a stranger, which only operations without a role have to do with."""
    size: int = 0
    """Bytes of the body."""

    @property
    def entered(self) -> Pass:
        """How the caller was let in; only where the operation has a role."""
        if self.caller is None:
            raise RuntimeError("nobody was asked who they are here")
        return self.caller

    @property
    def principal(self) -> Principal:
        """Who asks; only where the operation has a role."""
        return self.entered.principal

    @property
    def access(self) -> AccessScope:
        """The account and site that the caller sees; only where the operation has a role."""
        return self.principal.access

    def note(self, action: str, subject: str, **details: Any) -> None:
        """Take down in the audit what the caller has just changed: see `Audit.note`."""
        self.tasks.audit.note(action, subject, self.principal, self.address, **details)

    @property
    def address(self) -> str | None:
        """From where the request came, as far as is known."""
        client = self.request.client
        return None if client is None else client.host

    async def kept(self, value: Any) -> Any:
        """What to hand on of a value from the body that is stored: itself, or where it may be large, captured already.

        Raises as `aside`.
        """
        if value is None or self.size <= CAPTURED:
            return value
        dials = self.tasks.engine.settings.dials
        return Captured(value, await self.aside(capture, value, dials.max_data_size, dials.redactor))

    async def aside(self, work: Callable[..., Kept], *args: Any) -> Kept:
        """Do what would keep everybody waiting, with a large body: in a thread, one at a time, callers in turn.

        Raises:
            TooManyError, UnavailableError: see `Turns.turn`.
            UnauthenticatedError: see `recheck`.
        """
        async with self.service.captures.turn(self.who):
            done = await asyncio.to_thread(work, *args)
        if self.caller is not None:
            self.recheck()
        return done

    def recheck(self) -> None:
        """Go on only if the caller still may: a body, a turn or an answer takes its time.

        Raises:
            UnauthenticatedError: the key was revoked or has expired, or the session is over.
        """
        if not self.service.access.counts(self.entered):
            raise UnauthenticatedError(
                "The key was revoked or has expired, or the session is over, in the middle of this."
            )

    @property
    def tasks(self) -> TaskManager:
        """Where everything is asked."""
        return self.service.tasks

    @property
    def who(self) -> str:
        """Who shares the caller's limits."""
        return caller_of(self.caller, self.request)

    @property
    def task_id(self) -> str:
        """The task the path names."""
        return self.path["task_id"]


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method at one path does: everything routing, parsing, documentation and tests need to know.

    Args:
        role: who may; None asks nobody. What an admin does reaches beyond one account or site.
        handler: gives the response; may raise any AsynclogError.
        filtered: whether it takes the filter parameters.
        body: the struct of its JSON body; bytes for what it reads itself; None for none.
        answer: the struct of its JSON answer; None where ``media`` says what it is.
        status: of success.
        takes: the media of a body of bytes.
        beyond: whether what it shows or does reaches beyond one account or site, so that it takes a key for all.
        open_query: whether it takes any query, unread.
        admit: lets callers in whom the operation itself knows, before the body is read into the room; raises as a
            handler does.
        body_limit: bytes of a body.
        hard: whether it may keep the database busy, so that callers have their turns.
        errors: statuses besides 422 (parameters, body), 404 (path parameters) and 500, with when they come.
    """

    method: str
    path: str
    role: Role | None
    handler: Handler
    summary: str
    parameters: tuple[Parameter, ...] = ()
    filtered: bool = False
    body: type | None = None
    answer: type | None = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    takes: tuple[str, ...] = (NDJSON,)
    beyond: bool = False
    open_query: bool = False
    admit: Callable[[Request, Service, Held], None] | None = None
    body_limit: int = BODY_BYTES
    hard: bool = False
    errors: Mapping[int, str] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether callers may ask it only so often: not the page, and not whether the service is well."""
        return self.path.startswith("/api/")

    @property
    def everywhere(self) -> bool:
        """Whether it takes a key for all accounts and sites."""
        return self.beyond or self.role == Role.ADMIN


def created(call: Call, path: str, value: object) -> Response:
    """A JSON response about something new, which is at this path from now on."""
    return answer(value, 201, {"Location": f"{call.request.scope.get('root_path', '')}{path}"})


def started(call: Call, task: Task) -> Response:
    """A task that was started just now."""
    return created(call, f"/api/tasks/{task.id}", task_object(task))


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status, headers, JSON)
