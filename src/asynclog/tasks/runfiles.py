"""Run files: what their directories are called, and the followers that write, mirror and remove them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asynclog.disk import Disk
from asynclog.engine import Engine
from asynclog.errors import StoreError
from asynclog.model import Task
from asynclog.queries import Doomed
from asynclog.tasks.follower import Follower
from asynclog.tasks.runname import RunNames

KNOWN: Final = 5000
"""Run ids looked at when names begin to be given: more than a second ever has."""
REMOVE_SECONDS: Final = 10.0
"""How long a removal waits for a disk that hangs."""
LAST_SECONDS: Final = 1.0
"""How long closing waits for the last lines; what is not written then is written after the next start."""


class RunFiles:
    """Names runs, and knows who writes their files. Made by `open_run_files`.

    Args:
        names: gives the run ids; None when no run files are written.
        followers: the one whose files are read, then the mirror.
    """

    def __init__(self, names: RunNames | None = None, followers: Sequence[Follower] = ()) -> None:
        self._names = names
        self.followers = tuple(followers)

    def name(self, now: int, trigger: str) -> str | None:
        """The run id of a task that starts; None without run files. Touches no disk."""
        return None if self._names is None else self._names.next(now, trigger)

    @property
    def failures(self) -> int:
        """Failed attempts to write or remove run files, since the start."""
        return sum(follower.failures for follower in self.followers)

    @property
    def behind(self) -> int:
        """Tasks whose files are not finished, running ones included; of the follower that has more of them."""
        return max((follower.behind for follower in self.followers), default=0)

    def troubles(self) -> list[str]:
        """Why run files are behind, as sentences."""
        return [trouble for follower in self.followers if (trouble := follower.trouble()) is not None]

    async def remove(self, doomed: Doomed) -> bool:
        """Remove a deleted task's directory and its mirror; False when that cannot be done now."""
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                return all([await follower.remove(doomed) for follower in self.followers])
        except TimeoutError:
            return False

    async def tail(self, task: Task, lines: int) -> bytes | None:
        """The last lines of a task's activity log, None when there is no file that is up to date."""
        return await self.followers[0].tail(task, lines) if self.followers else None

    async def finish(self) -> None:
        """Write what is there now, as far as a moment allows."""
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(LAST_SECONDS):
                for follower in self.followers:
                    await follower.settle()


async def open_run_files(
    engine: Engine, run_log_dir: str | Path | None, shared_log_dir: str | Path | None, disk: Disk | None = None
) -> RunFiles:
    """The run files of a data directory.

    Args:
        engine: whose tasks.
        run_log_dir: where they are, relative to the data directory; none are written when it is empty.
        shared_log_dir: where they are mirrored, likewise.
        disk: writes them.

    Raises:
        StoreError: the names given before cannot be read.
    """
    if not str(run_log_dir or ""):
        return RunFiles()
    names = RunNames(await engine.store.newest_names(KNOWN))
    followers = [_follower(engine, str(run_log_dir), "runfiles.json", disk)]
    if str(shared_log_dir or ""):
        followers.append(_follower(engine, str(shared_log_dir), "runfiles-mirror.json", disk))
    for follower in followers:
        await follower.load()
        engine.reports.append(follower.trouble)
    return RunFiles(names, followers)


def _follower(engine: Engine, root: str, memory: str, disk: Disk | None) -> Follower:
    return Follower(engine, (engine.folder / root).absolute(), engine.folder / memory, disk)
