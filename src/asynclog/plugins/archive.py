"""A folder as a zip file, and the proof that what is in it can be read back as it was."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import msgspec

from asynclog import TaskLogger
from asynclog.plugins.arrival import READ
from asynclog.plugins.dbcopy import CopyError, copy_database
from asynclog.plugins.pace import Pace

_PAGES: Final = 1000
_COMPANIONS: Final = ("-wal", "-shm")
"""What lies beside a SQLite database in use."""


class ArchiveError(Exception):
    """The folder cannot be packed, or the archive cannot be read back."""


class _UnreadableError(Exception):
    """A file of the folder cannot be read; the archive is as before."""


class _GoneError(Exception):
    """A file of the folder was removed since the folder was listed; the archive is as before."""


class _Item(msgspec.Struct, frozen=True):
    """A file to pack. ``live``: a SQLite database in use, of which a consistent copy is packed."""

    path: Path
    name: str
    size: int
    live: bool


class Packer:
    """Packs one folder into one archive and reads it back.

    Args:
        folder: what to pack.
        target: the new file; it may lie inside the folder.
        log: where it is told.
        exclude: patterns (``*.tmp``, ``cache/*``) of names, relative to the folder, that are left out.
        go_on: called often; raises to stop.
    """

    def __init__(
        self, folder: Path, target: Path, log: TaskLogger, exclude: list[str], go_on: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._target = target
        self._log = log
        self._exclude = exclude
        self._go_on = go_on
        self._digests: dict[str, str] = {}
        self._unreadable: list[str] = []
        self._passed = 0

    def pack(self) -> dict[str, Any]:
        """Write the archive; what was done.

        Links are not followed; they, what is neither file nor folder, and files that go meanwhile are passed over with
        a warning. A file that cannot be read is an ERROR entry and listed.

        Raises:
            ArchiveError: it is no folder.
        """
        if not self._folder.is_dir():
            raise ArchiveError(f"there is no folder {self._folder}")
        items = list(self._items())
        total = sum(item.size for item in items)
        self._log.info("packing %d files, %d bytes of %s", len(items), total, self._folder)
        pace = Pace(self._log, "packed", "bytes", total)
        with zipfile.ZipFile(self._target, "x", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for item in items:
                self._go_on()
                try:
                    self._digests[item.name] = self._add(archive, item, pace)
                except _GoneError:
                    self._passed += 1
                    self._log.warning("%s is passed over: it was removed meanwhile", item.name)
                except (_UnreadableError, CopyError) as error:
                    self._unreadable.append(item.name)
                    self._log.error("%s cannot be read: %s", item.name, error)
        pace.finish()
        return {
            "files": len(self._digests),
            "unpacked": pace.done,
            "passed_over": self._passed,
            "unreadable": self._unreadable,
        }

    def verify(self, log: TaskLogger) -> None:
        """Read every file of the archive back and compare it with what was packed. Raises ArchiveError."""
        pace = Pace(log, "read back", "bytes")
        try:
            with zipfile.ZipFile(self._target) as archive:
                infos = archive.infolist()
                pace.total = sum(info.file_size for info in infos)
                if sorted(info.filename for info in infos) != sorted(self._digests):
                    raise ArchiveError(f"{self._target.name} does not hold the files that were packed")
                for info in infos:
                    if self._read_back(archive, info, pace) != self._digests[info.filename]:
                        raise ArchiveError(f"{info.filename} reads back differently from how it was packed")
        except (zipfile.BadZipFile, EOFError) as error:
            raise ArchiveError(f"{self._target.name} cannot be read back: {error}") from error
        pace.finish()
        log.info("all %d files read back as they were packed", len(self._digests))

    def _read_back(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, pace: Pace) -> str:
        digest = hashlib.sha256()
        with archive.open(info) as member:
            while chunk := member.read(READ):
                self._go_on()
                digest.update(chunk)
                pace.advance(len(chunk))
        return digest.hexdigest()

    def _items(self) -> Iterator[_Item]:
        for parent, folders, names in os.walk(self._folder, onerror=self._unlisted):
            self._go_on()
            here = Path(parent)
            folders[:] = sorted(name for name in folders if not self._left_out(here / name))
            links = [name for name in folders if (here / name).is_symlink()]
            databases = {name[: -len(end)] for name in names for end in _COMPANIONS if name.endswith(end)} & set(names)
            companions = {name + end for name in databases for end in _COMPANIONS}
            for name in sorted({*names, *links} - companions):
                path = here / name
                if path != self._target and not self._left_out(path):
                    yield from self._item(path, live=name in databases)

    def _item(self, path: Path, *, live: bool) -> Iterator[_Item]:
        try:
            found = path.lstat()
        except FileNotFoundError:  # gone since it was listed
            return
        if stat.S_ISREG(found.st_mode):
            yield _Item(path, _archive_name(path.relative_to(self._folder)), found.st_size, live)
        else:
            self._passed += 1
            self._log.warning("%s is passed over: it is no regular file", path.relative_to(self._folder))

    def _unlisted(self, error: OSError) -> None:
        self._unreadable.append(str(error.filename))
        self._log.error("the folder %s cannot be listed: %s", error.filename, error.strerror)

    def _left_out(self, path: Path) -> bool:
        relative = path.relative_to(self._folder).as_posix()
        return any(fnmatch(relative, pattern) or fnmatch(path.name, pattern) for pattern in self._exclude)

    def _add(self, archive: zipfile.ZipFile, item: _Item, pace: Pace) -> str:
        if not item.live:
            return self._add_file(archive, item.path, item.size, item, pace)
        with self._copied(item) as copy:
            return self._add_file(archive, copy, copy.stat().st_size, item, pace)

    @contextmanager
    def _copied(self, item: _Item) -> Iterator[Path]:
        """A consistent copy of a database in use."""
        copy = self._target.with_name(self._target.name + ".db")
        try:
            self._log.info("%s is a database in use: a consistent copy of it is packed", item.name)
            quiet = self._log.bind(database=item.name)
            copy_database(item.path, copy, quiet, quiet, _PAGES, self._go_on)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def _add_file(self, archive: zipfile.ZipFile, path: Path, size: int, item: _Item, pace: Pace) -> str:
        """Pack the first ``size`` bytes: a file that grows all the time must come to an end too."""
        try:
            info = zipfile.ZipInfo.from_file(item.path, item.name, strict_timestamps=False)
            source = path.open("rb")
        except FileNotFoundError as error:
            raise _GoneError from error
        except OSError as error:
            raise _UnreadableError(error.strerror or str(error)) from error
        digest = hashlib.sha256()
        left = size
        with source:
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                while chunk := source.read(min(READ, left)):
                    self._go_on()
                    digest.update(chunk)
                    member.write(chunk)
                    left -= len(chunk)
                    pace.advance(len(chunk))
            grown = bool(source.read(1))
        if grown or left:
            self._log.warning("%s %s while it was packed", item.name, "grew" if grown else "shrank", size=size)
        self._log.debug("packed %s", item.name, size=size - left, sha256=digest.hexdigest())
        return digest.hexdigest()


def _archive_name(path: Path) -> str:
    """The name as text; bytes that are no UTF-8 are escaped, since a zip file cannot hold them."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
