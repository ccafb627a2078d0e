"""A running service for tests: a real uvicorn on a free port, over a data directory, with clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from asynclog.server.limits import DEFAULT_LIMITS, Limits
from asynclog.server.listening import listening
from asynclog.settings import Settings
from asynclog.tasks.context import TaskContext
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks

Shape = TypeVar("Shape")
DEADLINE = 20.0
"""Seconds after which a test gives up waiting."""


class NumberParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which number."""

    number: int


async def talk(params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """Logs the entries it is given."""
    for entry in params.get("entries", []):
        logger = context.logger.with_source(entry.get("source", "plugin"))
        with context.unit(entry["unit"]) if "unit" in entry else _nothing():
            message = entry["message"] * entry.get("times", 1)
            logger.log(entry.get("level", "INFO"), message, metadata=entry.get("metadata"))
    return {"entries": len(params.get("entries", []))}


class _nothing:  # noqa: N801 - used like a function
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


async def hold(_params: dict[str, Any], context: TaskContext) -> None:
    """Runs until it is cancelled."""
    context.logger.info("holding")
    await asyncio.Event().wait()


async def fail(params: dict[str, Any], context: TaskContext) -> None:
    """Fails."""
    context.logger.info("about to fail")
    raise ValueError(params.get("why", "no reason"))


async def staged(_params: dict[str, Any], context: TaskContext) -> None:
    """Has stages and steps."""
    async with context.stage("extract", number=1, pending=2) as stage:
        async with stage.step("fetch", node_type="http", input={"url": "u"}) as step:
            context.logger.info("fetching")
            step.output = {"rows": 42}
        stage.processed = 2
        stage.result = {"ok": True}
    async with context.stage("load", number=2):
        with context.unit("u1"):
            context.logger.info("loading")


async def numbered(params: NumberParams) -> int:
    """Gives back its number."""
    return params.number


PLUGINS: Mapping[str, object] = {
    "talk": talk,
    "hold": hold,
    "fail": fail,
    "staged": staged,
    "numbered": numbered,
}


class Running:
    """A service that runs: its manager, its address, a client."""

    def __init__(self, tasks: TaskManager, url: str, client: httpx2.AsyncClient) -> None:
        self.tasks = tasks
        self.url = url
        self.client = client

    async def get(self, path: str, shape: type[Shape], status: int = 200, **params: Any) -> Shape:
        """A GET's JSON answer, which has exactly the fields of the shape."""
        response = await self.client.get(path, params=params)
        assert response.status_code == status, response.text
        return msgspec.json.decode(response.content, type=shape)

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """A POST's JSON answer."""
        response = await self.client.post(path, json=body, **options)
        assert response.status_code == status, response.text
        return response.json()

    async def run(self, plugin: str, **params: Any) -> str:
        """Start a plugin over HTTP and wait for its end; the task's id."""
        task = await self.post("/api/tasks", {"plugin": plugin, "params": params}, 201)
        await self.tasks.wait(task["id"])
        return str(task["id"])

    async def say(self, *messages: str | dict[str, Any]) -> str:
        """A finished task with these entries between its first and its last."""
        return await self.run("talk", entries=[m if isinstance(m, dict) else {"message": m} for m in messages])

    def socket(self, path: str, **options: Any) -> connect:
        """A WebSocket to connect to."""
        options = {"max_size": 1 << 26, "proxy": None, "compression": None} | options
        return connect(self.url.replace("http:", "ws:") + path, **options)


@asynccontextmanager
async def running(
    folder: Path,
    settings: Settings | None = None,
    limits: Limits = DEFAULT_LIMITS,
    proxies: Collection[str] = (),
    **options: Any,
) -> AsyncIterator[Running]:
    """Serve a data directory."""
    options = {"plugins": PLUGINS} | options
    async with (
        open_tasks(folder, settings=settings, **options) as tasks,
        listening(tasks, limits=limits, proxies=proxies) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as client,
    ):
        yield Running(tasks, url, client)


async def frames(socket: ClientConnection, until: str | None = None) -> list[dict[str, Any]]:
    """The frames of a WebSocket up to the first of a type, or to its end."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE):
        try:
            while not found or found[-1]["type"] != until:
                found.append(msgspec.json.decode(await socket.recv()))
        except ConnectionClosed:
            assert until is None, f"closed before a frame of type {until}: {found}"
    return found


def seqs(found: list[dict[str, Any]]) -> list[int]:
    """The seqs of all entries in frames."""
    return [entry["seq"] for frame in found if frame["type"] == "entries" for entry in frame["entries"]]


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)
