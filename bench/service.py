"""The service under measurement: `asynclog serve`, as a process of its own on a free port."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
START_SECONDS: Final = 60.0
CONFIGURATION: Final = """\
[server]
connections = 10000
subscriptions = 5000
subscriptions_per_key = 5000
requests_per_second = 1000000
"""
"""Limits of a caller that are no part of what is measured."""
_ADDRESS: Final = re.compile(rb"(http://\S+:\d+)")


class Process:
    """A server that runs: its address, and what it costs."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    @property
    def socket_url(self) -> str:
        """Where its WebSockets are."""
        return self.url.replace("http", "ws", 1)

    def cpu_seconds(self) -> float:
        """CPU seconds it has taken until now, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def program(command: Sequence[str]) -> AsyncIterator[Process]:
    """Run a server that tells its address on stderr; it is ended with the block, and what it says then is dropped.

    Raises:
        RuntimeError: it ended, or told no address in a minute; with what it said.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=pipe)
    assert process.stderr is not None
    draining: asyncio.Task[bytes] | None = None
    said = b""
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (found := _ADDRESS.search(line := await process.stderr.readline())):
                said += line
                if not line:
                    raise RuntimeError(f"the server ended at once: {said.decode(errors='replace')}")
        draining = asyncio.create_task(process.stderr.read())
        yield Process(found[1].decode(), process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if draining is not None:
            await draining


def serving(data: Path, plugins: str) -> Sequence[str]:
    """The command that serves a data directory with the plugins of a module, to as many as come."""
    config = data.with_suffix(".toml")
    config.write_text(CONFIGURATION, encoding="utf-8")
    command = (sys.executable, "-m", "asynclog", "serve", "--port", "0", "--config", str(config))
    return (*command, "--data", str(data), "--plugins", plugins)
