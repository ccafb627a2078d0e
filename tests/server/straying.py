"""Plugins whose secrets nobody catches: ``--plugins straying`` of a service that runs as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
from typing import Any

from asynclog import TaskContext


class Careless:
    """Fails when it is collected."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __del__(self) -> None:
        raise ValueError(f"secret={self.secret}")


async def stray(params: dict[str, Any], context: TaskContext) -> None:
    """Leaves errors, warnings and messages where nobody takes them."""
    secret = params["password"]

    async def forgotten() -> None:
        raise ValueError(f"password={secret}\x1b[2J")

    def in_thread() -> None:
        raise ValueError(f"token={secret}")

    work = asyncio.get_running_loop().create_task(forgotten())
    await asyncio.wait([work])
    del work
    thread = threading.Thread(target=in_thread)
    thread.start()
    await asyncio.to_thread(thread.join)
    careless = Careless(secret)
    del careless
    gc.collect()
    warnings.warn(f"api_key={secret}", stacklevel=1)
    logging.getLogger("straying").warning("pwd=%s", secret)
    logging.getLogger().error("Authorization: Bearer %s", secret)
    context.logger.info("strayed")


PLUGINS = {"stray": stray}
