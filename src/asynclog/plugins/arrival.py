"""A file that is there whole or not at all: written beside its name, synced, then moved to it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

READ: Final = 1 << 20
"""Bytes read at once."""


class ArrivalError(Exception):
    """The file cannot be written: it exists, the disk is full, the folder cannot be used."""


@contextmanager
def arriving(target: Path, needed: int = 0) -> Iterator[Path]:
    """Give a path to write to; what was written is at ``target`` afterwards, its owner's alone, or nothing when the
    body raised. The path is nobody else's: of several who write the same file at once, the first to end has its way.

    Args:
        target: where the file shall be; its folder is made.
        needed: bytes that will be written, as far as known; refused beforehand when they do not fit.

    Raises:
        ArrivalError: the target exists, or cannot be written.
    """
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ArrivalError(f"{target.parent} is no folder") from None
    except OSError as error:
        raise ArrivalError(f"the folder {target.parent} cannot be made: {error.strerror}") from error
    try:
        _refuse_to_replace(target)
        free = shutil.disk_usage(target.parent).free
        if needed > free:
            raise ArrivalError(f"{target.parent} has {free:,} bytes free, and {needed:,} are needed")
        yield part
        with part.open("rb+") as file:
            # What was copied may be private, whoever the folder belongs to; so nobody else reads the copy either.
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        _move(part, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise ArrivalError(_reason(target, error)) from error
    finally:
        with suppress(OSError):  # its folder may be none
            part.unlink(missing_ok=True)


def _refuse_to_replace(target: Path) -> None:
    if target.exists():
        raise ArrivalError(f"{target} exists already; move it away, or choose another name")


def _move(part: Path, target: Path) -> None:
    try:
        os.link(part, target)  # which replaces nothing, whoever was faster
    except OSError:  # somebody was; or the file system has no links
        _refuse_to_replace(target)
        part.replace(target)


def sha256_of(path: Path, read: Callable[[int], None] = lambda _: None) -> str:
    """The digest of a file's contents; ``read`` hears how many bytes more were read, and may raise to stop."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ):
            digest.update(chunk)
            read(len(chunk))
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {target} could not be written; what there was of it is removed"
    where = error.filename or target
    return f"{where}: {error.strerror or error}"
