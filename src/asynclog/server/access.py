"""Who may come in, and who may do what: the one place where requests and WebSockets are told apart by that."""

from __future__ import annotations

from typing import Final, Protocol

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from asynclog.errors import ForbiddenError, UnauthenticatedError
from asynclog.principal import LOCAL, Principal, Role
from asynclog.protocols import Clock
from asynclog.server.passes import Pass
from asynclog.server.problems import RefusedError
from asynclog.server.sessions import COOKIE, Sessions
from asynclog.server.tickets import Tickets
from asynclog.tasks.keyring import KeyRing
from asynclog.tasks.plugin import Plugin

MARK: Final = "X-Asynclog"
"""The header that a page of another site cannot send without being asked first."""
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""The types that any page can make a browser send anywhere."""
TAKEN: Final = frozenset({"application/json", "application/x-ndjson"})

_NOBODY: Final = (
    "Say who you are: send an API key as `Authorization: Bearer KEY`, or sign in. An admin makes keys with"
    " `asynclog keys add`."
)
_WRONG: Final = "This key, session or ticket does not count, or does not count any more; ask an admin for a new key."


class Door(Protocol):
    """What an operation says about who may use it and how."""

    @property
    def role(self) -> Role | None:
        """The role that is needed; None asks nobody."""

    @property
    def everywhere(self) -> bool:
        """Whether it reaches beyond one account or site."""

    @property
    def takes(self) -> tuple[str, ...]:
        """The media of a body of bytes."""


class Access:
    """Lets people in.

    Args:
        keys: who has a key.
        clock: wall time.
        everybody: nobody is asked for a key, and everybody is this one.
    """

    def __init__(self, keys: KeyRing, clock: Clock, everybody: Principal | None = None) -> None:
        self.keys = keys
        self.sessions = Sessions(keys, clock)
        self.tickets = Tickets(clock)
        self._clock = clock
        self._everybody = everybody

    @property
    def open(self) -> bool:
        """Whether nobody is asked for a key."""
        return self._everybody is not None or self.keys.open

    def enter(self, request: Request, door: Door) -> Pass | None:
        """Let a request in, before its body is read; None for a stranger where nobody is asked.

        Raises:
            UnauthenticatedError: nobody we know.
            ForbiddenError: somebody who may not.
            RefusedError: a page sends it in a way that pages of other sites can, too.
        """
        _refuse_forms(request, door)
        found = self._admit(request)
        if door.role is None:
            return found
        if found is None:
            raise UnauthenticatedError(_WRONG if _has_shown_something(request) else _NOBODY)
        require(found.principal, door.role, everywhere=door.everywhere)
        if found.session is not None and request.method not in READING:
            _refuse_foreign_pages(request.headers)
        return found

    def connect(self, websocket: HTTPConnection, ticket: str | None) -> Pass:
        """Let a WebSocket in: by header, cookie or ticket. All of them read, so everybody we know may.

        Raises:
            UnauthenticatedError: nobody we know.
        """
        found = self._admit(websocket) if ticket is None or self.open else self.tickets.use(ticket)
        if found is None or not self.counts(found):
            raise UnauthenticatedError("say who you are" if ticket is None else "the ticket was used, or is too old")
        return found

    def counts(self, given: Pass) -> bool:
        """Whether somebody who was let in may still be here."""
        if given.principal.key_id is None:
            return self.open
        if given.until is not None and self._clock.now() >= given.until:
            return False
        ended = given.session is not None and self.keys.has_ended(given.session.id)
        return not ended and self.keys.valid(given.principal.key_id) is not None

    def _admit(self, connection: HTTPConnection) -> Pass | None:
        if self._everybody is not None:
            return Pass(self._everybody)
        if self.keys.open:
            return Pass(LOCAL)
        shown = _key(connection.headers)
        if shown is not None:
            principal = self.keys.check(shown)
            return None if principal is None else Pass(principal, until=self._end(principal))
        session = self.sessions.read(connection.cookies.get(COOKIE, ""))
        holder = None if session is None else self.keys.holder(session.key_id)
        return None if session is None or holder is None else Pass(holder, session, session.until)

    def _end(self, principal: Principal) -> int | None:
        key = None if principal.key_id is None else self.keys.valid(principal.key_id)
        return None if key is None else key.expires_at


def require(principal: Principal, role: Role, *, everywhere: bool = False) -> None:
    """Let somebody do what takes this role. Raises ForbiddenError, which names it."""
    if principal.role < role:
        raise ForbiddenError(
            f"this takes the role {role.label}; the key {principal.name!r} is a {principal.role.label}'s"
        )
    if everywhere and not principal.sees_all:
        raise ForbiddenError(
            f"this takes the role {role.label} for all accounts and sites, for it reaches beyond the one that the key"
            f" {principal.name!r} is for"
        )


def require_starter(principal: Principal, plugin: Plugin) -> None:
    """Let somebody start a plugin, now or by a schedule. Raises ForbiddenError."""
    require(principal, plugin.role, everywhere=plugin.role == Role.ADMIN)


def _key(headers: Headers) -> str | None:
    """The key that was sent; None when none was, empty when it cannot be told which."""
    bearers = [text for given in headers.getlist("authorization") if (text := _bearer(given)) is not None]
    found = {text.strip() for text in bearers + headers.getlist("x-api-key")}  # blanks around a value are not of it
    if not found:
        return None
    return found.pop() if len(found) == 1 else ""


def _bearer(given: str) -> str | None:
    """The token of an Authorization header; None for another scheme, which may be a proxy's."""
    scheme, _, token = given.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _has_shown_something(request: Request) -> bool:
    return _key(request.headers) is not None or COOKIE in request.cookies


def _media(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _refuse_forms(request: Request, door: Door) -> None:
    """A page's form is not how anything is done here. Programs may send what they like."""
    if request.method in READING or not ("origin" in request.headers or "sec-fetch-site" in request.headers):
        return
    media = _media(request.headers)
    if media in FORMS and media not in door.takes:
        raise RefusedError(415, f"A page may not send {media} here; send application/json.")


def _refuse_foreign_pages(headers: Headers) -> None:
    """A cookie is sent by the browser, whoever makes it: so that it was our page has to be shown in another way."""
    if headers.get(MARK) != "1":
        raise ForbiddenError(f"a session changes something only with the header `{MARK}: 1`; send it, or use a key")
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_body and _media(headers) not in TAKEN:
        raise RefusedError(415, "Within a session a body is application/json, or application/x-ndjson for entries.")
