"""The lock that says one process owns a data directory, and where that process can be reached."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from asynclog.errors import LockedError, StoreError

ATTEMPTS: Final = 4
"""How often a lock that is held is tried, ATTEMPT_SECONDS apart."""
ATTEMPT_SECONDS: Final = 0.02


class Owner(msgspec.Struct, frozen=True):
    """Who owns the directory: process id, and the address of its service if it runs one."""

    pid: int
    url: str | None = None


class DirectoryLock:
    """Held from entry to exit; a killed process gives it up by itself.

    Raises:
        LockedError: on entry, another process holds it.
        StoreError: on entry, the directory can be neither made nor used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"the data directory {self._path.parent} cannot be used: {error}") from error
        for attempt in range(ATTEMPTS):  # somebody may just be looking whether it is held
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if attempt < ATTEMPTS - 1:
                    time.sleep(ATTEMPT_SECONDS)
        else:
            os.close(self._fd)
            self._fd = -1
            owner = read_owner(self._path.parent)
            who = f"process {owner.pid}" if owner and owner.pid else "another process"
            where = f" and serves it at {owner.url}" if owner and owner.url else ""
            raise LockedError(
                f"{who} owns the data directory {self._path.parent}{where}; use that service, or stop it first"
            )
        os.register_at_fork(after_in_child=self._close)
        self.tell(None)
        return self

    def tell(self, url: str | None) -> None:
        """Write down where the service of this process can be reached.

        On a full disk others are not told: they know that somebody owns the directory, but not who.
        """
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode(Owner(os.getpid(), url)), 0)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        self._close()


def read_owner(folder: Path) -> Owner | None:
    """The process that owns a data directory now; None when nobody does."""
    path = folder / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        with contextlib.suppress(msgspec.DecodeError, OSError):
            return msgspec.json.decode(path.read_bytes(), type=Owner)
        return Owner(pid=0)
    finally:
        os.close(fd)
    return None
