"""The service as a process of its own: opens a data directory, listens, and ends in order when told to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn

from asynclog.errors import InvalidError
from asynclog.server.listening import is_loopback, listening
from asynclog.server.ownlog import LogFormat, to_stderr
from asynclog.settings import Settings
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks

END_SECONDS: Final = 9.0
"""How long ending in order may take; what is not stored then is in the journal."""

Started = Callable[[TaskManager, str], Awaitable[None]]
_log: Final = logging.getLogger("asynclog.server")


def serve(  # noqa: PLR0913 - the knobs of a process, all by name
    folder: str | Path = "data",
    *,
    host: str = "127.0.0.1",
    port: int = 8700,
    plugins: Mapping[str, object] | None = None,
    plugin_module: str | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Settings | None = None,
    log_format: LogFormat = "text",
    open_to_network: bool = False,
    started: Started | None = None,
) -> None:
    """Serve a data directory until SIGTERM or SIGINT, then end within ten seconds; a second SIGINT ends at once.

    To be called from the main thread, which it keeps. Its own log goes to stderr.

    Args:
        folder: the data directory; made if missing.
        host: where to listen.
        port: 0 takes a free one.
        plugins, plugin_module, config, settings: as for `asynclog.open`.
        log_format: of the service's own log.
        open_to_network: allows a host that other machines can reach. Nobody is asked who they are: everyone who
            reaches it reads everything and runs every plugin.
        started: called with the manager and the address once the service listens.

    Raises:
        InvalidError: the host is none, or open to the network without leave.
        LockedError, StoreError, JournalError, UnavailableError: the directory or the port cannot be had.
    """
    if not is_loopback(host) and not open_to_network:
        raise InvalidError(
            "host",
            f"other machines could reach {host!r}, and asynclog does not ask who they are: they could read every log"
            " and run every plugin. Listen on 127.0.0.1 (and use an SSH tunnel or a proxy that asks), or say"
            " --insecure-open-to-network.",
        )
    to_stderr(log_format)

    async def main() -> None:
        stop = asyncio.Event()
        ending = _Ending(stop)
        ending.listen()
        async with (
            open_tasks(folder, plugins=plugins, plugin_module=plugin_module, config=config, settings=settings) as tasks,
            listening(tasks, host, port) as url,
        ):
            _log.info("serving %s at %s", folder, url)
            if started is not None:
                await started(tasks, url)
            await stop.wait()
            _log.info("going down")
        ending.done = True

    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()) as runner:
        runner.run(main())


class _Ending:
    """How the process ends: in order at the first signal, at once at the second SIGINT, in any case in time."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self.done = False
        """Everything is closed; only threads of plugins may be left."""

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._end, signal.SIGINT)

    def _end(self, number: int) -> None:
        if self._stop.is_set():
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.raise_signal(signal.SIGINT)
            return
        self._stop.set()
        late = threading.Timer(END_SECONDS, self._leave)
        late.daemon = True
        late.start()

    def _leave(self) -> None:
        """Leave although a plugin's thread goes on, or the database does not answer: nothing logged is lost by it."""
        if not self.done:
            _log.warning("not everything ended in %.0f s; what is not stored is in the journal", END_SECONDS)
        sys.stderr.flush()
        os._exit(0)
