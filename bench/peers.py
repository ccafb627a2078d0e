"""The servers that ours is measured against and that need an environment of their own: `make bench-peers`."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import httpx2
import orjson

from bench.plain import MESSAGE

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = ROOT / ".venv-peers" / "bin" / "python"
START_SECONDS: Final = 120.0
END_SECONDS: Final = 20.0
PREFECT_BATCH: Final = 200
"""Log lines of one request: more at once are slower there."""
_QUIET: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
}


def missing() -> str | None:
    """Why they cannot be measured here; None when they can."""
    if PYTHON.exists() and (ROOT / ".venv-peers" / ".installed").exists():
        return None
    return "Prefect and Dagster are not installed, and so not measured: `make bench-peers` installs them"


def versions() -> dict[str, str]:
    """Of Prefect and Dagster."""
    names = "from importlib.metadata import version; print(version('prefect'), version('dagster'))"
    said = subprocess.run((PYTHON, "-c", names), check=True, capture_output=True, text=True).stdout.split()
    return {"prefect": said[0], "dagster": said[1]}


class Prefect:
    """A Prefect server on SQLite that runs. Made by `prefect`."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def store(self, count: int) -> None:
        """Send so many log lines of one flow run, as its own logger does; returns when they are stored."""
        run = str(uuid.uuid4())
        for first in range(0, count, PREFECT_BATCH):
            lines = [
                {
                    "name": "prefect.flow_runs",
                    "level": 20,
                    "message": MESSAGE % number,
                    "timestamp": "2026-02-07T12:00:00.123456Z",
                    "flow_run_id": run,
                }
                for number in range(first, first + PREFECT_BATCH)
            ]
            headers = {"Content-Type": "application/json"}
            answer = await self._client.post("/api/logs/", content=orjson.dumps(lines), headers=headers)
            answer.raise_for_status()


@asynccontextmanager
async def prefect(folder: Path) -> AsyncIterator[Prefect]:
    """Run Prefect's server, its data in a folder, its telemetry off, without its background services."""
    port = _free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "--no-services")
    with (folder / "prefect.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(PYTHON), "-m", "prefect", "server", "start", *options),
            env={**os.environ, **_QUIET, "PREFECT_HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            await _healthy(client, process, folder / "prefect.log")
            yield Prefect(client)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _healthy(client: httpx2.AsyncClient, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                if (await client.get("/api/health")).is_success:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.2)
    said = await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")
    raise RuntimeError(f"Prefect's server does not start: {said[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dagster:
    """Dagster's event log on SQLite, in a process of its own. Made by `dagster`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def store(self, count: int) -> float:
        """Seconds it takes to store so many log events of one run. Raises RuntimeError when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        if not (seconds := self._process.stdout.readline()):
            raise RuntimeError("Dagster's process has ended; its stderr says why")
        return float(seconds)


@contextmanager
def dagster(folder: Path) -> Iterator[Dagster]:
    """Open Dagster's event log in a folder."""
    script = Path(__file__).with_name("peer_dagster.py")
    environment = {**os.environ, **_QUIET, "DAGSTER_HOME": str(folder)}
    command = (str(PYTHON), str(script), str(folder))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Dagster(process)
        finally:
            process.terminate()
