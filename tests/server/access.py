"""A service that asks for keys, and callers of every kind for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asynclog.clock import SystemClock
from asynclog.model import EVERYTHING, AccessScope
from asynclog.principal import Role
from tests.server.running import DEADLINE, Running, running

COOKIE: Final = "asynclog_session"
MARK: Final = {"X-Asynclog": "1"}
SCOPES: Final = {
    "viewer": (Role.VIEWER, EVERYTHING),
    "operator": (Role.OPERATOR, EVERYTHING),
    "admin": (Role.ADMIN, EVERYTHING),
    "admin of one account": (Role.ADMIN, AccessScope("acme")),
    "viewer of one account": (Role.VIEWER, AccessScope("acme")),
}


class MovedClock(SystemClock):
    """The system's clock, and whatever was skipped on it: everything goes on as it does, at another time."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> int:
        """Wall time."""
        return super().now() + round(self._skipped * 1_000_000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return super().monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped += seconds


class Guarded:
    """A service with keys: one for each kind of caller, by name."""

    def __init__(self, service: Running, clock: MovedClock) -> None:
        self.service = service
        self.clock = clock
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def make(self, name: str, role: Role, access: AccessScope = EVERYTHING, days: float | None = None) -> str:
        """One more key; its text."""
        key, text = await self.service.tasks.keys.create(name, role, access, days=days)
        self.keys[name], self.ids[name] = text, key.id
        return text

    def headers(self, name: str | None) -> dict[str, str]:
        """What this caller sends; a stranger sends nothing."""
        return {} if name is None else {"Authorization": f"Bearer {self.keys[name]}"}

    async def ask(self, name: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request of this caller."""
        headers = {**self.headers(name), **options.pop("headers", {})}
        return await self.service.client.request(method, path, headers=headers, **options)

    async def sign_in(self, name: str, **headers: str) -> str:
        """The cookie of a new session."""
        answer = await self.service.client.post("/api/session", json={"key": self.keys[name]}, headers=headers)
        assert answer.status_code == 200, answer.text
        self.service.client.cookies.clear()  # each request says by itself who makes it
        return cookie_of(answer)

    def socket(self, path: str, name: str | None = None, **headers: str) -> connect:
        """A WebSocket of this caller."""
        return self.service.socket(path, additional_headers={**self.headers(name), **headers})


def cookie_of(answer: httpx2.Response) -> str:
    """The session that an answer begins."""
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == COOKIE
    return str(rest.partition(";")[0])


def cookie(text: str) -> dict[str, str]:
    """A session as a header."""
    return {"Cookie": f"{COOKIE}={text}"}


@asynccontextmanager
async def guarded(folder: Path, names: Mapping[str, Any] = SCOPES, **options: Any) -> AsyncIterator[Guarded]:
    """Serve a data directory with a key for each of the names; the admin's is made first, as it has to be."""
    clock = MovedClock()
    async with running(folder, clock=clock, **options) as service:
        found = Guarded(service, clock)
        for name in sorted(names, key="admin".__ne__):
            await found.make(name, *names[name])
        yield found


async def closed(socket: connect) -> int | None:
    """The code that a WebSocket is closed with, which is told nothing before that."""
    async with socket as connection:
        told: list[Any] = []
        code = await end(connection, told)
        assert not told, "let in, if only for a moment"
        return code


async def end(connection: Any, told: list[Any] | None = None) -> int | None:
    """Read a connection to its end; the code it was closed with. ``told`` takes the frames."""
    frames = [] if told is None else told
    async with asyncio.timeout(DEADLINE):
        try:
            while True:
                frames.append(msgspec.json.decode(await connection.recv()))
        except ConnectionClosed:
            code: int | None = connection.close_code
            return code
