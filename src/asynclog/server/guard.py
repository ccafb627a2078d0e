"""Where a request may come from: by one of our names, and, where it changes something, from no page but ours.

A web site somebody looks at must neither read the logs (by a name that it lets point here, DNS rebinding) nor change
anything (by a form or a WebSocket of its own), whether the service asks for keys or not.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asynclog.server.access import READING
from asynclog.server.connection import FORBIDDEN
from asynclog.server.names import Names
from asynclog.server.problems import problem
from asynclog.server.service import Service

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""

_OTHER_SITES: Final = ("cross-site", "same-site")


class Guard:
    """The outermost middleware.

    Args:
        app: what is guarded.
        service: counts the answers.
        names: what the service is called, and whose pages may change something.
    """

    def __init__(self, app: ASGIApp, service: Service, names: Names) -> None:
        self._app = app
        self._service = service
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._service.requests[f"{message['status'] // 100}xx"] += 1
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, dressed if scope["type"] == "http" else send)
        elif scope["type"] == "http":
            await refusal(scope, receive, dressed)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": FORBIDDEN, "reason": "not from there"})

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._names.knows(host):
            return problem(
                403,
                f"This service does not answer to the name {host!r}; call it by the address it was started with, or"
                " start it with --allow-host.",
            )
        if scope["type"] == "http" and scope["method"] in READING:
            return None
        origins = headers.getlist("origin")
        scheme: str = scope["scheme"].replace("ws", "http")
        if not all(self._names.welcomes(origin, host, scheme) for origin in origins):
            return problem(
                403, f"Pages of {', '.join(origins)} may not do this; use the service's own page, or a program."
            )
        if not origins and headers.get("sec-fetch-site") in _OTHER_SITES:
            return problem(403, "Pages of other sites may not do this; use the service's own page, or a program.")
        return None
