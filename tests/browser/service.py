"""The service as its users start it, `asynclog serve` in a process of its own, and a client to set the scene with."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(rb" at (http://\S+:\d+)")
START = 30.0
"""Seconds a service gets to listen."""


class Service:
    """A running service: its address, and its API in the words of these tests."""

    def __init__(self, url: str, process: asyncio.subprocess.Process, client: httpx2.AsyncClient) -> None:
        self.url = url
        self.process = process
        self._client = client

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer of one request that has to succeed."""
        content = None if body is None else msgspec.json.encode(body)
        answer = await self._client.request(method, path, content=content, headers={"content-type": "application/json"})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def use(self, key: str) -> None:
        """Makes every call from here on with this API key."""
        self._client.headers["authorization"] = f"Bearer {key}"

    async def make_key(self, name: str, role: str, **more: object) -> dict[str, Any]:
        """A new API key, with its text as ``key``; the first one is used for what follows."""
        made = await self.call("POST", "/api/keys", {"name": name, "role": role, **more})
        if "authorization" not in self._client.headers:
            self.use(made["key"])
        return dict(made)

    async def external(self, name: str, entries: Iterable[Mapping[str, Any]] = ()) -> str:
        """A task whose entries come from the test itself; its id. The service logs its start as entry 1."""
        task = await self.call("POST", "/api/tasks", {"external": True, "name": name})
        await self.log(task["id"], entries)
        return str(task["id"])

    async def log(self, task: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Adds entries to an external task."""
        lines = [msgspec.json.encode(entry) for entry in entries]
        for start in range(0, len(lines), 20_000):
            body = b"\n".join(lines[start : start + 20_000])
            answer = await self._client.post(f"/api/tasks/{task}/logs", content=body)
            assert answer.is_success, answer.text
            assert answer.json()["rejected"] == 0, answer.text

    async def finish(self, task: str, status: str = "success", **more: object) -> None:
        """Ends an external task."""
        await self.call("POST", f"/api/tasks/{task}/finish", {"status": status, **more})

    async def run(self, plugin: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Runs a plugin to its end; the task."""
        task = await self.call("POST", "/api/tasks", {"plugin": plugin, "params": dict(params or {})})
        async with asyncio.timeout(START):
            while task["finished_at"] is None:
                await asyncio.sleep(0.02)
                task = await self.call("GET", f"/api/tasks/{task['id']}")
        return dict(task)


@asynccontextmanager
async def serving(data: Path, port: int = 0, flags: tuple[str, ...] = ()) -> AsyncIterator[Service]:
    """A service over `data`, until the block ends; a test may stop it earlier with `stop`."""
    command = [sys.executable, "-m", "asynclog", "serve", "--data", str(data), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, "--plugins", "tests.browser.plugins", *flags, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        url = await asyncio.wait_for(_address(process.stderr), START)
        reading = asyncio.create_task(_drain(process.stderr))
        async with httpx2.AsyncClient(base_url=url, timeout=START) as client:
            yield Service(url, process, client)
    finally:
        await stop(process)
        if reading is not None:
            await reading


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends a service as Ctrl-C does, and waits for it."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), START)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    said = []
    async for line in stderr:
        said.append(line.decode(errors="replace"))
        if found := ADDRESS.search(line):
            return found[1].decode()
    raise AssertionError(f"the service ended before it listened: {''.join(said)}")


async def _drain(stderr: asyncio.StreamReader) -> None:
    while await stderr.read(65_536):
        pass
