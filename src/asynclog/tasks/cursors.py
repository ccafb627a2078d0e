"""Which tasks' run files are not finished, and how far they are: kept in one small file of the data directory."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from asynclog.tasks.runpage import Cursor

_log = logging.getLogger("asynclog.runfiles")


class Cursors(msgspec.Struct):
    """The tasks that are not finished under a root, and the rank up to which all tasks are known."""

    root: str
    rank: int = 0
    tasks: dict[str, Cursor] = {}


def load(path: Path, root: Path) -> Cursors:
    """The cursors of a root as they were saved; new ones where there are none. Blocks."""
    new = Cursors(str(root))
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Cursors)
    except FileNotFoundError:
        return new
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("%s cannot be read (%s); run files are written anew", path, error)
        return new
    if found.root == new.root:
        return found
    return Cursors(new.root, found.rank, {task_id: Cursor() for task_id in found.tasks})  # they begin anew there


def save(path: Path, data: bytes) -> None:
    """Put the encoded cursors in the place of those before, at once or not at all. Blocks; raises OSError."""
    part = path.with_name(f"{path.name}.new")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    part.replace(path)
