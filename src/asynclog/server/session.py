"""Sessions and tickets over HTTP: who am I, sign in, sign out, and a ticket for a WebSocket."""

from __future__ import annotations

import contextlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from asynclog.errors import StoreError, UnauthenticatedError
from asynclog.model import timestamp_text
from asynclog.principal import parse_key
from asynclog.server.accessshapes import SignIn
from asynclog.server.operation import Call, answer
from asynclog.server.passes import Pass
from asynclog.server.sessions import COOKIE
from asynclog.wire import time_or_none


def _shown(call: Call, given: Pass) -> dict[str, Any]:
    principal, open_ = given.principal, call.service.access.open
    return {
        "name": principal.name,
        "key_id": principal.key_id,
        "role": principal.role.label,
        "account": principal.access.account,
        "site": principal.access.site,
        "all_scopes": principal.sees_all,
        "open": open_,
        "expires_at": time_or_none(given.until),
    }


async def show(call: Call) -> Response:
    """Who asks."""
    return answer(_shown(call, call.entered))


async def sign_in(call: Call) -> Response:
    """A session for the holder of a key."""
    body: SignIn = call.body
    access, request = call.service.access, call.request
    principal = access.keys.check(body.key.strip())
    given = parse_key(body.key.strip())
    key = None if principal is None or given is None else access.keys.valid(given.id)
    if principal is None or key is None:
        call.service.failures.add(request.client.host if request.client else "")
        raise UnauthenticatedError("This is no key of this service, or it counts no more; an admin makes keys.")
    await _end_former(call)
    session, text = access.sessions.begin(key)
    seconds = (session.until - call.tasks.engine.clock.now()) // 1_000_000
    response = answer(_shown(call, Pass(principal, session, session.until)))
    response.set_cookie(
        COOKIE, text, max_age=seconds, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )
    return response


async def _end_former(call: Call) -> None:
    """Whoever signs in anew leaves no session behind that nobody can sign out of any more."""
    former = call.service.access.sessions.read(call.request.cookies.get(COOKIE, ""))
    if former is not None:
        with contextlib.suppress(StoreError):  # it counts no more until the service ends, which is no reason to refuse
            await call.tasks.keys.end_session(former.id, former.until)


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks https, be it to a proxy. Whoever lies about it only keeps a cookie from plain http."""
    headers = request.headers
    return (
        request.url.scheme == "https"
        or headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower() == "https"
        or headers.get("origin", "").startswith("https://")
    )


async def sign_out(call: Call) -> Response:
    """End the session; its cookie counts no more, wherever it is."""
    session = call.entered.session
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", secure=_is_secure(call.request), httponly=True, samesite="strict")
    if session is not None:
        await call.tasks.keys.end_session(session.id, session.until)
    return response


async def ticket(call: Call) -> Response:
    """A ticket that lets one WebSocket in as its maker."""
    text, until = call.service.access.tickets.make(call.entered)
    return answer({"ticket": text, "expires_at": timestamp_text(until)}, 201)
