"""The thread that makes the journal power-safe: fdatasync at most 250 ms after a write, at once when hurried.

A thread, not a coroutine: it keeps its promise while the event loop is blocked. State owned here: the file
descriptors to be synced and who waits. Whatever calls may come from a finaliser that the garbage collector runs inside
of another of these calls: hence a queue that allows that (an Event would wait for itself), and the journal's own
re-entrant lock: with a second one, a finaliser that logs in this thread and a log call that begins a segment would wait
for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from asynclog import failpoints
from asynclog.disk import Disk, Memory

SYNC_SECONDS: Final = 0.25
"""How long a record waits for its fdatasync at most."""

_log = logging.getLogger("asynclog.journal")


class Retired(NamedTuple):
    """A segment that is not written any more."""

    fd: int
    size: int
    """Bytes of it that were written."""
    memory: Memory | None
    """To be let go of in the thread: giving back a mapping takes its time."""


_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[bool]"]


class Syncer:
    """Syncs the active segment; cuts retired ones to what was written, syncs and closes them.

    Args:
        disk: the file operations.
        folder: where the segments lie.
        failed: called in the thread when the disk refuses; must begin a new segment.
        lock: the journal's; never held while the disk works.
    """

    def __init__(self, disk: Disk, folder: Path, failed: Callable[[OSError], None], lock: threading.RLock) -> None:
        self._disk = disk
        self._folder = folder
        self._failed = failed
        self._lock = lock
        self._active = -1
        self._retired: list[Retired] = []
        self._renamed = False
        self._waiters: list[_Waiter] = []
        self._calls: SimpleQueue[bool] = SimpleQueue()
        """What was asked of the thread: True to sync at once."""
        self._hurried = False
        self._idle = False
        """Whether the thread sleeps until it is called; it looks by itself while things are written."""
        self._closing = False
        self._thread: threading.Thread | None = None
        self.dirty = False
        """Whether a write has been noticed that is not synced yet."""

    def start(self) -> None:
        """Start the thread; once."""
        self._thread = threading.Thread(target=self._run, name="asynclog-sync", daemon=True)
        self._thread.start()

    def watch(self, fd: int, retired: Retired | None) -> None:
        """Sync this segment from now on; cut, sync and close the retired one."""
        with self._lock:
            self._active = fd
            self._renamed = True
            if retired is not None:
                self._retired.append(retired)

    def notice(self) -> None:
        """Something was written: sync within SYNC_SECONDS. Whoever calls holds the lock."""
        self.dirty = True
        if self._idle:
            self._idle = False
            self._calls.put(False)

    def hurry(self) -> None:
        """Something was written that should be synced at once."""
        self.dirty = True
        if not self._hurried:
            self._hurried = True
            self._calls.put(True)

    async def sync(self) -> bool:
        """True once everything written before the call is synced; False when the disk refuses."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        with self._lock:
            if self._closing:
                return False
            self._waiters.append((loop, future))
        self.hurry()
        return await future

    def _run(self) -> None:
        began = -math.inf
        while True:
            self._wait(began)
            self._hurried = False  # before the sync: whoever hurries from now on is heard again
            closing = self._closing
            began = time.monotonic()
            self._sync()
            if closing:
                return

    def _wait(self, began: float) -> None:
        """Return when it is time for the sync after the one that began then."""
        urgent = self._hears(began + SYNC_SECONDS)
        with self._lock:
            self._idle = idle = not urgent and not self.dirty
        if idle:
            urgent = self._calls.get()
            self._idle = False
            if not urgent:
                self._hears(time.monotonic() + SYNC_SECONDS)

    def _hears(self, until: float) -> bool:
        """Whether somebody wants a sync at once, before it is so late."""
        urgent = False
        while not urgent and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                urgent = self._calls.get(timeout=left)
        return urgent

    def _sync(self) -> None:
        with self._lock:
            self.dirty = False  # before the sync: what is written meanwhile is noticed again
            # Each list is loaded, then replaced, in one step that nothing can come in between of.
            retired, self._retired = self._retired, []
            waiters, self._waiters = self._waiters, []
            renamed, self._renamed = self._renamed, False
            active = self._active
        closing = [(old.fd, old.size) for old in retired]
        del retired  # and their mappings, before the disk may take long
        confirmed = True
        try:
            failpoints.hit("journal.sync")
            for fd, size in closing:
                if not self._disk.is_removed(fd):  # the writer may have removed it: its records are stored
                    self._disk.truncate(fd, size)
                    self._disk.sync(fd)
            if self._disk.is_removed(active) and active == self._active:
                raise FileNotFoundError(2, "the segment has been removed by somebody else")
            self._disk.sync(active)
            if renamed:
                self._disk.sync_folder(self._folder)
        except OSError as error:
            confirmed = False
            self._refused(error)
        for fd, _ in closing:
            with contextlib.suppress(OSError):
                os.close(fd)
        for loop, future in waiters:
            with contextlib.suppress(RuntimeError):  # the waiter's loop is closed
                loop.call_soon_threadsafe(_resolve, future, confirmed)

    def _refused(self, error: OSError) -> None:
        try:
            self._failed(error)
        except Exception:  # noqa: BLE001  # this thread must live
            _log.exception("the journal could not go on elsewhere after a failed sync")

    def close(self) -> None:
        """Sync once more and end the thread. Blocks."""
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread is None:
            self._sync()
            return
        self._calls.put(True)
        thread.join()

    def forget(self) -> None:
        """In a forked child: no thread, no files; the inherited descriptors are closed."""
        self._lock = threading.RLock()
        self._calls = SimpleQueue()
        self._closing = True
        self._thread = None
        for fd in (self._active, *(old.fd for old in self._retired)):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._retired = []


def _resolve(future: asyncio.Future[bool], confirmed: bool) -> None:  # noqa: FBT001  # call_soon takes no keywords
    if not future.done():
        future.set_result(confirmed)
