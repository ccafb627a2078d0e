"""Run directories on disk: ``<root>/<account>/<site>/<run id>``, walked one component at a time, no link ever followed.

Everything here blocks and is meant for a thread; it raises OSError. Directories are 0700, files 0600.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from asynclog.disk import Disk
from asynclog.tasks.runname import component

LOG: Final = "automation_run.log"
TRACE: Final = "run_trace.jsonl"
BLOCK: Final = 64 * 1024
"""Bytes read at once from a file's end."""
TAIL_BYTES: Final = 8 << 20
"""Of the last lines of a file at most."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe that somebody put there would wait for its other end.
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ShortenedError(OSError):
    """A file is shorter than what was written to it: somebody cut or removed it."""


class ForeignError(OSError):
    """The directory, or a file in it, is not ours."""


class Piece(NamedTuple):
    """What a file goes on with: at ``offset``, up to which it is right, and nothing after it."""

    offset: int
    data: bytes


class RunPlace(NamedTuple):
    """Where a run's directory is. ``mark`` is the first line of its activity log: it says whose it is."""

    root: Path
    account: str | None
    site: str | None
    run_id: str
    mark: bytes

    @property
    def parts(self) -> tuple[str, str, str]:
        """The components below the root."""
        return component(self.account), component(self.site), component(self.run_id)


@contextmanager
def _entered(place: RunPlace, depth: int, *, create: bool) -> Iterator[int]:
    """A directory of the path, open: 2 is the site's, 3 the run's. The root's own parent has to exist."""
    fd = _open_root(place.root, create=create)
    try:
        for part in place.parts[:depth]:
            inner = _open_folder(part, fd, create=create)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _open_root(root: Path, *, create: bool) -> int:
    try:
        return os.open(root, _FOLDER & ~os.O_NOFOLLOW)  # it is the user's choice, and may be a link
    except FileNotFoundError:
        if not create:
            raise
    with contextlib.suppress(FileExistsError):
        root.mkdir(0o700)
    return os.open(root, _FOLDER)


def _open_folder(name: str, parent: int, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Iterator[int]:
    """A regular file of a directory, open."""
    fd = os.open(name, flags | _FILE, 0o600, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ForeignError(f"{name} is no regular file")
        yield fd
    finally:
        os.close(fd)


def _is_ours(place: RunPlace, folder: int) -> bool:
    """Whether nobody else's run is logged here."""
    try:
        with _opened(LOG, os.O_RDONLY, folder) as fd:
            begun = os.read(fd, len(place.mark))
    except FileNotFoundError:
        return True
    return place.mark.startswith(begun)


def write(place: RunPlace, pieces: Mapping[str, Piece], disk: Disk, *, fresh: bool) -> None:
    """Let the files go on with their pieces and end there. When it fails, it can be done again.

    Args:
        place: where; made if missing.
        pieces: by the name of the file.
        disk: writes.
        fresh: whether nothing was written there before, as far as is known.

    Raises:
        ShortenedError: a file does not reach up to its piece.
        ForeignError: the directory is another task's, or a file none.
        OSError: the disk is full, missing, or refuses.
    """
    with _entered(place, 3, create=True) as folder:
        if fresh and not _is_ours(place, folder):
            raise ForeignError(f"{'/'.join(place.parts)} belongs to another task")
        for name, piece in pieces.items():
            with _opened(name, os.O_WRONLY | os.O_CREAT, folder) as fd:
                _write_piece(fd, name, piece, disk)


def _write_piece(fd: int, name: str, piece: Piece, disk: Disk) -> None:
    size = os.fstat(fd).st_size
    if size < piece.offset:
        raise ShortenedError(f"{name} is shorter than what was written to it")
    if size > piece.offset:
        os.ftruncate(fd, piece.offset)
    os.lseek(fd, piece.offset, os.SEEK_SET)
    rest = memoryview(piece.data)
    while rest:
        rest = rest[disk.write(fd, rest) :]


def remove(place: RunPlace) -> None:
    """Remove the directory, and those of its site and account when they are empty; nothing of another task.

    Raises:
        OSError: it cannot be, or the disk is away: the root is missing, and its parent too.
    """
    with contextlib.suppress(FileExistsError):
        place.root.mkdir(0o700)
    try:
        with _entered(place, 2, create=False) as site:
            _remove_run(place, site)
        with _entered(place, 1, create=False) as account, contextlib.suppress(OSError):
            os.rmdir(place.parts[1], dir_fd=account)
        with _entered(place, 0, create=False) as root, contextlib.suppress(OSError):
            os.rmdir(place.parts[0], dir_fd=root)
    except FileNotFoundError:
        return


def _remove_run(place: RunPlace, site: int) -> None:
    name = place.parts[2]
    if not stat.S_ISDIR(os.stat(name, dir_fd=site, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=site)  # a link: what it points to is not ours
        return
    with _entered(place, 3, create=False) as folder:
        ours = _is_ours(place, folder)
    if ours:
        shutil.rmtree(name, dir_fd=site)


def tail(place: RunPlace, name: str, lines: int) -> bytes:
    """The last lines of a file, read from its end: at most `TAIL_BYTES`, whatever the file's size."""
    with _entered(place, 3, create=False) as folder, _opened(name, os.O_RDONLY, folder) as fd:
        if not _is_ours(place, folder):
            raise ForeignError(f"{'/'.join(place.parts)} belongs to another task")
        return last_lines(fd, lines)


def last_lines(fd: int, lines: int) -> bytes:
    """The last lines of an open file; see `tail`."""
    start = end = os.fstat(fd).st_size
    blocks: list[bytes] = []
    breaks = 0
    # The last line's own break is one more than the breaks before it.
    while start > 0 and breaks <= lines and end - start < TAIL_BYTES:
        size = min(BLOCK, start)
        start -= size
        block = os.pread(fd, size, start)
        breaks += block.count(b"\n")
        blocks.append(block)
    return cut_lines(b"".join(reversed(blocks)), lines, whole=start == 0)


def cut_lines(data: bytes, lines: int, *, whole: bool) -> bytes:
    """The last lines of what a file ends with; without ``whole`` the first one may be a part and is left out."""
    rows = data.splitlines(keepends=True)
    if not whole and len(rows) > 1:
        del rows[0]
    return b"".join(rows[-lines:])
