"""Doubles for tests, of asynclog and of programs that use it: a clock that is moved by hand, a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import heapq
import itertools
from pathlib import Path

from asynclog.disk import Disk, Memory


class ManualClock:
    """A `Clock` that stands still until `advance`. Lives on one event loop.

    Args:
        now: the first wall time, microseconds since the epoch.
    """

    def __init__(self, now: int = 1_770_465_600_000_000) -> None:
        self._now = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def now_ns(self) -> int:
        """Wall time, nanoseconds."""
        return self._now * 1000

    def now(self) -> int:
        """Wall time."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._number), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in the order of their times."""
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._set(max(due, self._monotonic))
            if not future.done():
                future.set_result(None)
                for _ in range(5):  # let the sleeper run, and what it wakes
                    await asyncio.sleep(0)
        self._set(end)

    def set_wall(self, now: int) -> None:
        """Let the wall time jump, as when somebody sets the machine's clock."""
        self._now = now

    def _set(self, monotonic: float) -> None:
        self._now += round((monotonic - self._monotonic) * 1_000_000)
        self._monotonic = monotonic


class FaultyDisk(Disk):
    """A `Disk` whose operations fail while told to.

    ``room`` is how many more bytes can be allocated or written (None: any); ``write_error``, ``create_error`` and
    ``sync_error`` are errno numbers raised instead of doing the work.

    Args:
        mapped: False for one on which nothing can be mapped.
    """

    def __init__(self, *, mapped: bool = True) -> None:
        self.mapped = mapped
        self.room: int | None = None
        self.write_error: int | None = None
        self.create_error: int | None = None
        self.sync_error: int | None = None
        self.syncs = 0

    def write(self, fd: int, data: bytes) -> int:  # type: ignore[override]  # a static method in the parent
        """Write bytes, fewer than asked for when the room ends."""
        return Disk.write(fd, data[: self.spend(len(data))])

    def spend(self, size: int) -> int:
        """Take so many bytes of the room, or what is left of it: how many. Raises OSError when there are none."""
        if self.write_error is not None:
            raise OSError(self.write_error, "injected")
        if self.room is not None:
            size = min(size, self.room)
            if not size:
                raise OSError(errno.ENOSPC, "injected")
            self.room -= size
        return size

    def create(self, path: Path) -> int:
        """An empty file."""
        if self.create_error is not None:
            raise OSError(self.create_error, "injected")
        return super().create(path)

    def allocate(self, fd: int, size: int) -> Memory | None:
        """Mapped room in a file, into which copying fails with ``write_error`` too."""
        if not self.mapped:
            return None
        if self.spend(size) < size:
            raise OSError(errno.ENOSPC, "injected")
        memory = super().allocate(fd, size)
        return None if memory is None else _FaultyMemory(self, memory)

    def sync(self, fd: int) -> None:
        """Sync a file."""
        if self.sync_error is not None:
            raise OSError(self.sync_error, "injected")
        super().sync(fd)
        self.syncs += 1


class _FaultyMemory:
    """Room in a file on a `FaultyDisk`."""

    def __init__(self, disk: FaultyDisk, memory: Memory) -> None:
        self._disk = disk
        self._memory = memory

    def __setitem__(self, place: slice, data: bytes, /) -> None:
        if self._disk.write_error is not None:
            raise OSError(self._disk.write_error, "injected")
        self._memory[place] = data
