"""Who may speak to the service as long as it knows no users: programs on this machine, and its own page.

A web site somebody looks at must neither read the logs (by a name that it lets point here, DNS rebinding) nor change
anything (by a form or a WebSocket of its own). So the Host has to be one of ours, and whoever sends an Origin has to
be of that very host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asynclog.server.problems import problem
from asynclog.server.service import Service

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine for itself."""

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""


class Guard:
    """The outermost middleware.

    Args:
        app: what is guarded.
        service: counts the answers.
        hosts: the names the service is called by, without port; ``*`` among them lets every address (not name) in;
            None leaves the Host to whoever mounted the application.
    """

    def __init__(self, app: ASGIApp, service: Service, hosts: Collection[str] | None) -> None:
        self._app = app
        self._service = service
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

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
            await self._app(scope, receive, dressed)
        elif scope["type"] == "http":
            await refusal(scope, receive, dressed)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4403, "reason": "not from there"})

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._is_ours(host):
            return problem(
                403,
                f"This service does not answer to the name {host!r}; call it by the address it was started with.",
            )
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope["method"] not in READING
        if changes and not _same_place(origin, host):
            return problem(403, f"Pages of {origin} may not do this; use the service's own page, or a program.")
        return None

    def _is_ours(self, host: str) -> bool:
        if self._hosts is None:
            return True
        name = _name(host)
        return name in self._hosts or ("*" in self._hosts and _is_address(name))


def _same_place(origin: str | None, host: str) -> bool:
    """Whether a request comes from no page, or from one of this host and port."""
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _name(host: str) -> str:
    """The host without its port, lower case, an IPv6 address without brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
