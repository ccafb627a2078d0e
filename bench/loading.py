"""Entries into a running service, as somebody else's program would send them: external tasks, NDJSON batches.

Open loop: what is due is due, and a batch takes all that has become due since the last one. A task's batches follow
each other, for two at a time could overtake; one that was not answered is sent again under its own id, which the
service answers without storing it twice.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import Any, Final

import httpx2
import msgspec

from bench import mix
from bench.latency import Latencies

TICK: Final = 0.02
"""Seconds between two batches of a task, at least."""
LINES: Final = 5000
"""Of one batch."""
TRIES: Final = 4
PAUSE: Final = 0.25
"""Seconds before a batch is sent again; twice as many each time."""
REQUEST_SECONDS: Final = 30.0


class ServiceError(Exception):
    """The service cannot be loaded; the text says why, and what to do about it."""


class Told(msgspec.Struct):
    """What the service answered to all of it."""

    offered: int = 0
    """Entries that became due."""
    acknowledged: int = 0
    refused: int = 0
    """Entries that were rejected, filtered, or sent in vain."""
    batches: int = 0
    again: int = 0
    """Batches that had to be sent more than once."""
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    """What went wrong, and how often."""
    seconds: float = 0.0
    """From the first entry to the last answer."""


class Client:
    """Speaks to one service. ``api_key`` goes with each request."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers=self.headers,
            timeout=REQUEST_SECONDS,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    @property
    def socket_url(self) -> str:
        """Where its WebSockets are."""
        return self.url.replace("http", "ws", 1)

    async def close(self) -> None:
        """Let its connections go."""
        await self._http.aclose()

    async def begin(self, name: str) -> str:
        """Begin an external task; its id.

        Raises:
            ServiceError: nobody is there, it is somebody else, or the caller is not let in.
        """
        body = {"external": True, "name": name, "trigger_type": "api"}
        try:
            answer = await self._http.post("/api/tasks", json=body)
        except httpx2.TransportError as error:
            raise ServiceError(f"no service answers at {self.url} ({error}); start one, or give its --url") from None
        if answer.status_code in (401, 403):
            raise ServiceError(f"{self.url} does not let us in ({_why(answer)}); give a key of it by --api-key-file")
        if answer.status_code == 429:
            raise ServiceError(f"{self.url} has a limit on us: {_why(answer)}")
        task = _object(answer).get("id") if answer.status_code == 201 else None
        if not isinstance(task, str):
            said = f"{answer.status_code} to POST /api/tasks: {_why(answer)}"
            raise ServiceError(f"{self.url} answers, but not as asynclog does ({said}); is the --url right?")
        return task

    async def finish(self, task: str) -> str | None:
        """End a task; what went wrong with that, or None."""
        return await self._say("POST", f"/api/tasks/{task}/finish", {"status": "success"})

    async def delete(self, task: str) -> str | None:
        """Delete a task; what went wrong with that, or None."""
        return await self._say("DELETE", f"/api/tasks/{task}", None)

    async def _say(self, method: str, path: str, body: object) -> str | None:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx2.TransportError as error:
            return f"{method} {path}: {type(error).__name__}"
        return None if answer.is_success else f"{method} {path}: {answer.status_code} {_why(answer)}"

    async def put(self, task: str, batch_id: str, body: bytes) -> dict[str, Any] | str:
        """Send a batch; the answer, or what went wrong."""
        path = f"/api/tasks/{task}/logs?batch_id={batch_id}"
        try:
            answer = await self._http.post(path, content=body, headers={"Content-Type": "application/x-ndjson"})
        except httpx2.TransportError as error:
            return type(error).__name__
        return _object(answer) if answer.is_success else f"{answer.status_code} {_why(answer)}"


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _why(answer: httpx2.Response) -> str:
    """The sentence of a problem, or the beginning of whatever came."""
    found = _object(answer)
    return str(found.get("detail") or found.get("title") or answer.text[:80] or answer.reason_phrase)


class Feeder:
    """Feeds one task at a steady rate. State owned here: how many entries it has sent."""

    def __init__(self, client: Client, task: str, rate: float, told: Told, latencies: Latencies) -> None:
        self.task = task
        self.sent = 0
        self._client = client
        self._rate = rate
        self._told = told
        self._latencies = latencies

    async def feed(self, start: int, seconds: float) -> None:
        """Send ``rate * seconds`` entries, the first one due at ``start`` (``time.monotonic_ns``)."""
        total = round(self._rate * seconds)
        while self.sent < total:
            passed = (time.monotonic_ns() - start) / 1e9
            ready = min(total, self.sent + LINES, int(passed * self._rate) + 1)
            if ready > self.sent:
                due = [start + round(number / self._rate * 1e9) for number in range(self.sent, ready)]
                first, self.sent = self.sent, ready
                await self._send(first, due)
            if self.sent - self._rate * passed > -LINES:  # else it is far behind, and there is no time to gather
                await asyncio.sleep(TICK)

    async def _send(self, first: int, due: list[int]) -> None:
        lines = [msgspec.json.encode(mix.line(first + place, at)) for place, at in enumerate(due)]
        told, body, batch_id = self._told, b"\n".join(lines), uuid.uuid4().hex
        told.offered += len(due)
        told.batches += 1
        for attempt in range(TRIES):
            answer = await self._client.put(self.task, batch_id, body)
            if not isinstance(answer, str):
                now = time.monotonic_ns()
                for at in due:
                    self._latencies.add((now - at) / 1000)
                accepted = int(answer.get("accepted", 0))
                told.acknowledged += accepted
                told.refused += len(due) - accepted
                return
            told.errors[answer] += 1
            told.again += attempt == 0
            await asyncio.sleep(PAUSE * 2**attempt)
        told.refused += len(due)
