"""Webhooks over HTTP: who calls one, and what of the request becomes trigger data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from asynclog.config import Hook
from asynclog.errors import ForbiddenError
from asynclog.server.body import Held, read_json
from asynclog.server.operation import CAPTURED, JSON, Call, started
from asynclog.server.problems import MalformedError
from asynclog.server.service import Service

SECRET: Final = "X-Asynclog-Hook-Secret"  # noqa: S105 - the name of a header
SIGNATURE: Final = "X-Hub-Signature-256"
"""Of the body, as GitHub, Gitea and Forgejo send it;"""
PLAIN: Final = (SIGNATURE, "X-Hub-Signature")
"""Bitbucket under the name that GitHub's former one has."""
TIMED: Final = ("X-Asynclog-Signature", "Stripe-Signature")
"""Of time and body."""

MAX_FIELDS: Final = 10_000
"""Of a form; to take 8 MiB of them apart would keep everybody waiting."""

_SAFE: Final = frozenset({"content-type", "user-agent", "x-request-id", "idempotency-key", "traceparent"})
# What senders say about the event itself: X-GitHub-Event, X-GitHub-Delivery, X-Gitlab-Event-UUID, X-Event-Key, …
_EVENT: Final = re.compile(r"x-(?:[a-z0-9]+-)?(?:event|delivery|hook)(?:-(?:id|uuid|key|type|name))?")


def admit(request: Request, service: Service, room: Held) -> None:
    """Let a caller in who knows the hook's secret: nobody else's body is read, but of those who say they sign."""
    name, hooks = request.path_params["name"], service.tasks.hooks
    with _counted(request, service):
        if _signs(request.headers):
            hooks.signing(name)
            room.unproven = True
        else:
            hooks.authorised(name, request.headers.get(SECRET, ""))


@contextmanager
def _counted(request: Request, service: Service) -> Iterator[None]:
    """Whoever guesses is told so ever more tersely, and the service's own log says it."""
    try:
        yield
    except ForbiddenError:
        service.hook_failures.add(request.client.host if request.client else "")
        raise


def _signs(headers: Headers) -> bool:
    """Whether a signature decides: only where no secret is shown."""
    return SECRET not in headers and any(name in headers for name in (*PLAIN, *TIMED))


def _called(call: Call) -> Hook:
    """The hook, for those who may call it. Raises NotFoundError, ForbiddenError, ConflictError, TooManyError."""
    name, headers, hooks = call.path["name"], call.request.headers, call.tasks.hooks
    if not _signs(headers):
        return hooks.authorised(name, headers.get(SECRET, ""))
    timed = next((headers[header] for header in TIMED if header in headers), None)
    if timed is None:
        plain = next(headers[header] for header in PLAIN if header in headers)
        return hooks.signed(name, plain, call.body)
    return hooks.signed_now(name, timed, call.body, call.tasks.engine.clock.now() / 1_000_000)


async def hook(call: Call) -> Response:
    """Start what a webhook starts, the request as trigger data."""
    name, request = call.path["name"], call.request
    with call.service.begun.one_more(f"hook {name}") as begun:  # first: a signature with its time counts only once
        with _counted(request, call.service):
            found = _called(call)
        data = {
            "hook": name,
            "headers": safe_headers(request.headers),
            "query": _parsed(request.scope["query_string"]),
            "body": await _read(call, request.headers.get("content-type", "")),
        }
        data = await call.kept(data)
        home = {"account": found.account, "site": found.site}
        task = await call.tasks.start(found.plugin, found.params, trigger_type="webhook", trigger_data=data, **home)
        begun(task.id)
    return started(call, task)


def safe_headers(headers: Headers) -> dict[str, str]:
    """The headers that say what was sent, and nothing about who may send it."""
    return {name: value for name, value in headers.items() if name in _SAFE or _EVENT.fullmatch(name)}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qs(text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise MalformedError(f"A form, or a query, has at most {MAX_FIELDS:,} fields; send JSON.") from None
    return {name: values[0] if len(values) == 1 else values for name, values in pairs.items()}


async def _read(call: Call, content_type: str) -> Any:
    """The body, decoded; a large form takes long."""
    if call.size <= CAPTURED:
        return _body(call.body, content_type)
    return await call.aside(_body, call.body, content_type)


def _body(body: bytes, content_type: str) -> Any:
    """What was sent: JSON and forms decoded, everything else as text."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return None
    if kind == JSON or kind.endswith("+json"):
        return read_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _parsed(body)
    return body.decode("utf-8", "replace")
