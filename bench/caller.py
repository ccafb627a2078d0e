"""Asks a running service, as any program may that has its address and perhaps a key."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx2
import msgspec

CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0
LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same may be asked again."""
LONGEST_WAIT: Final = 10.0
"""Seconds of a ``Retry-After`` that are waited."""
SHOWN: Final = 300
"""Characters of what a service says."""


class ServiceError(Exception):
    """The service cannot be loaded; the text says why, and what to do about it."""


class Answered(msgspec.Struct, frozen=True):
    """What came of a batch."""

    ok: bool
    accepted: int = 0
    filtered: int = 0
    why: str = ""
    """What went wrong."""
    later: bool = False
    """It may be sent again: there was no answer, or one that says so."""
    after: float = 0.0
    """Not before so many seconds."""
    final: bool = False
    """Nothing else will be taken either: the task has ended, or the key does not count any more."""


class Client:
    """Speaks to one service. ``api_key`` goes with each request."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers=self.headers,
            timeout=httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
            verify=ssl.create_default_context(),  # as of the WebSockets: SSL_CERT_FILE counts
        )

    @property
    def socket_url(self) -> str:
        """Where its WebSockets are."""
        return self.url.replace("http", "ws", 1)

    def wait_at_most(self, seconds: float) -> None:
        """From now on no answer is waited for longer than so, nor longer than usual."""
        seconds = min(seconds, REQUEST_SECONDS)
        self._http.timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))

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
        except httpx2.RequestError as error:
            why = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in why:
                raise ServiceError(
                    f"the certificate of {self.url} is not to be trusted ({why}); name the file of the authority that"
                    " has signed it, or of itself if nobody has, in SSL_CERT_FILE"
                ) from None
            raise ServiceError(f"no service answers at {self.url} ({why}); start one, or give its --url") from None
        if answer.status_code == 401:
            raise ServiceError(
                f"{self.url} does not let us in ({_why(answer)}) Give a key of it by --api-key-file or ASYNCLOG_API_KEY"
            )
        if answer.status_code == 403:
            raise ServiceError(f"{self.url} does not let us begin a task: {_why(answer)}")
        if answer.status_code in (429, 503):
            raise ServiceError(f"{self.url} takes no further task now: {_why(answer)}")
        task = _object(answer).get("id") if answer.status_code == 201 else None
        if not isinstance(task, str):
            said = f"{answer.status_code} to POST /api/tasks: {_why(answer)}"
            raise ServiceError(f"{self.url} answers, but not as asynclog does ({said}); is the --url right?")
        return task

    async def finish(self, task: str) -> str | None:
        """End a task that may have ended; what went wrong with that, or None."""
        said = await self._say("POST", f"/api/tasks/{task}/finish", {"status": "success"})
        return None if said is not None and said.startswith("409 ") else said

    async def delete(self, task: str) -> str | None:
        """Delete a task; what went wrong with that, or None."""
        return await self._say("DELETE", f"/api/tasks/{task}", None)

    async def stored(self, task: str) -> int | None:
        """How many entries can be read that are not the service's own; None when that cannot be told now.

        Raises:
            ServiceError: nor will it be told later.
        """
        try:
            answer = await self._http.get(f"/api/tasks/{task}/logs/stats?exclude_source=system")
        except httpx2.RequestError:
            return None
        if answer.status_code in LATER:
            return None
        total = _object(answer).get("total")
        if not answer.is_success or not isinstance(total, int):
            raise ServiceError(f"{answer.status_code} {_why(answer)}")
        return total

    async def _say(self, method: str, path: str, body: object) -> str | None:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx2.RequestError as error:
            return f"no answer: {type(error).__name__}"
        return None if answer.is_success else f"{answer.status_code} {_why(answer)}"

    async def put(self, task: str, batch_id: str, body: bytes) -> Answered:
        """Send a batch."""
        path = f"/api/tasks/{task}/logs?batch_id={batch_id}"
        try:
            answer = await self._http.post(path, content=body, headers={"Content-Type": "application/x-ndjson"})
        except httpx2.RequestError as error:
            return Answered(ok=False, why=f"no answer: {type(error).__name__}", later=True)
        if answer.is_success:
            found = _object(answer)
            return Answered(ok=True, accepted=int(found.get("accepted", 0)), filtered=int(found.get("filtered", 0)))
        status = answer.status_code
        return Answered(
            ok=False,
            why=f"{status} {_why(answer)}",
            later=status in LATER,
            after=_seconds(answer.headers.get("retry-after", "")),
            final=status in (401, 403, 404, 409),
        )


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _why(answer: httpx2.Response) -> str:
    """The sentence of a problem, or where it sends us to, or the beginning of whatever came."""
    found = _object(answer)
    said = found.get("detail") or found.get("title")
    if said is None and "location" in answer.headers:
        said = f"go to {answer.headers['location']}"
    return str(said or " ".join(answer.text.split())[:80] or answer.reason_phrase)[:SHOWN]
