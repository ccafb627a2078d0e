"""The service as a process of its own: opens a data directory, listens, and ends in order when told to."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import uvicorn

from asynclog.config import Configuration
from asynclog.redaction import REDACTOR
from asynclog.server.limits import DEFAULT_LIMITS, Limits
from asynclog.server.listening import listening, without_keys
from asynclog.server.names import Names
from asynclog.server.ownlog import LogFormat, strays_to_stderr, to_stderr
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks

END_SECONDS: Final = 9.0
"""How long ending in order may take; what is not stored then is in the journal."""
THREADS_SECONDS: Final = 1.0
"""How long threads of plugins may go on once everything is closed."""
GARBAGE: Final = (10_000, 3, 20)
"""New objects between two collections, of these between two of the middle-aged, of these between two of all.

A thousand live readers make some thousands anew with every batch of entries; with Python's 700 the collector would look
at all there is every other second, which takes 0.15 s with them."""

SWITCH_SECONDS: Final = 0.00025
"""How long a thread that computes may keep the interpreter from who waits for it. It is added to a read some ten times
while a plugin computes, once for each statement and each change of threads: a read of 1 ms takes 10 with an interval of
1 ms, and 4 with this one; Python's own is 5 ms."""

Started = Callable[[TaskManager, str], Awaitable[None]]
_log: Final = logging.getLogger("asynclog.server")


def serve(  # noqa: PLR0913 - the knobs of a process, all by name
    folder: str | Path = "data",
    *,
    host: str = "127.0.0.1",
    port: int = 8700,
    plugins: Mapping[str, object] | None = None,
    plugin_module: str | None = None,
    configuration: Configuration | None = None,
    log_format: LogFormat = "text",
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    proxies: Collection[str] = (),
    started: Started | None = None,
) -> None:
    """Serve a data directory until SIGTERM or SIGINT, then end within ten seconds; a second SIGINT ends at once.

    To be called from the main thread, which it keeps. Its own log goes to stderr.

    Args:
        folder: the data directory; made if missing.
        host: where to listen.
        port: 0 takes a free one.
        plugins, plugin_module, configuration: as for `asynclog.open`.
        log_format: of the service's own log.
        hosts, origins, proxies: see `listening`.
        started: called with the manager and the address once the service listens.

    Raises:
        InvalidError: the host or a name is none, or others could reach it while there is no API key.
        LockedError, StoreError, JournalError, UnavailableError: the directory or the port cannot be had.
        UnavailableError: the server has failed, and all else has ended in order.
    """
    names = Names.of(host, hosts, origins)
    if names.beyond and not (Path(folder) / "asynclog.db").exists():
        raise without_keys(host, folder)  # before anything is made
    limits = DEFAULT_LIMITS if configuration is None else Limits.of(configuration.server)
    redactor = REDACTOR if configuration is None else configuration.redaction.redactor()
    to_stderr(log_format, redactor=redactor)
    strays_to_stderr(log_format, redactor=redactor)
    sys.setswitchinterval(SWITCH_SECONDS)

    ending = _Ending()

    async def main() -> None:
        stop = ending.listen()
        with ending.closing():
            async with (
                open_tasks(folder, plugins=plugins, plugin_module=plugin_module, configuration=configuration) as tasks,
                listening(
                    tasks,
                    host,
                    port,
                    hosts=hosts,
                    origins=origins,
                    proxies=proxies,
                    limits=limits,
                    failed=ending.begin,
                ) as url,
            ):
                _log.info("serving %s at %s", folder, url)
                gc.freeze()  # what was made until now stays: not to be looked at again
                if started is not None:
                    await started(tasks, url)
                await stop.wait()
                _log.info("going down")

    gc.set_threshold(*GARBAGE)
    loop_factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with ending, asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


class _Ending:
    """How the process ends: in order at the first signal, at once at the second SIGINT, in any case in time."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._timers: list[threading.Timer] = []
        self._closed = False
        self._code = 1

    def listen(self) -> asyncio.Event:
        """Take the signals; the event is set by the first one."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        return self._stop

    def begin(self) -> None:
        """End in order, and in time."""
        if not self._stop.is_set():
            self._stop.set()
            self._leave_after(END_SECONDS)

    def _end(self, number: int) -> None:
        if not self._stop.is_set():
            self._code = 0  # it does what it was told to
            self.begin()
        elif number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Behind the block everything is closed; the loop's own threads are waited for next."""
        try:
            yield
        finally:
            self._closed = True
            self._leave_after(THREADS_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The loop is closed. Threads of plugins that go on would keep the interpreter from ending, so time runs on."""
        if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
            for timer in self._timers:
                timer.cancel()

    def _leave_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._leave)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _leave(self) -> None:
        """Leave although a plugin's thread goes on, or the database does not answer: nothing logged is lost by it."""
        if not self._closed:
            _log.warning("not everything ended in %.0f s; what is not stored is in the journal", END_SECONDS)
        sys.stderr.flush()
        os._exit(self._code)
