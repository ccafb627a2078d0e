"""Runs `serve` as a process, for tests: ``python serving.py FOLDER [OPTIONS AS JSON]``. Its address goes to stdout."""

import asyncio
import json
import sys
import threading
from typing import Any

import uvicorn.server

from asynclog.errors import AsynclogError
from asynclog.server.serve import serve
from asynclog.tasks.manager import TaskManager


async def ticking(_params: dict[str, Any], context: Any) -> None:
    """Logs for ever."""
    number = 0
    while True:
        number += 1
        context.logger.info("tick %d", number)
        await asyncio.sleep(0.01)


def stubborn(_params: dict[str, Any]) -> None:
    """Never returns."""
    threading.Event().wait()


async def executor(_params: dict[str, Any]) -> None:
    """Blocks a thread of the loop's own executor for ever."""
    await asyncio.to_thread(threading.Event().wait)


async def breaking(_params: dict[str, Any]) -> None:
    """Breaks uvicorn, which looks at the time each second."""

    def formatdate(*_: object, **__: object) -> str:
        raise OSError("no time")

    vars(uvicorn.server)["formatdate"] = formatdate


async def started(_tasks: TaskManager, url: str) -> None:
    """Say where."""
    print(url, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    plugins = {"ticking": ticking, "stubborn": stubborn, "executor": executor, "breaking": breaking}
    options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    try:
        serve(sys.argv[1], **({"port": 0, "plugins": plugins, "started": started} | options))
    except AsynclogError as error:
        sys.exit(f"refused: {error}")
