"""The plugin ``backup``: a SQLite database while it is in use, and a folder as a zip file; both verified."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from asynclog import TaskContext, requires
from asynclog.plugins.archive import ArchiveError, Packer
from asynclog.plugins.arrival import ArrivalError, arriving, sha256_of
from asynclog.plugins.dbcopy import CopyError, copy_database, size_of
from asynclog.plugins.pace import amount


class BackupError(Exception):
    """There is no complete, verified backup; the sentence says what to do."""


class BackupParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to back up (a database, a folder, or both), and where to."""

    database: Annotated[str | None, Meta(description="A SQLite file; it may be in use.")] = None
    folder: Annotated[str | None, Meta(description="A folder, packed with everything in it.")] = None
    target: Annotated[str, Meta(description="The folder that gets the backups; made when it is missing.", min_length=1)]
    name: Annotated[
        Annotated[str, Meta(pattern=r"^[^/\0]+$")] | None,
        Meta(description="Name of the new files without ending; by default the original's with the time (UTC)."),
    ] = None
    exclude: Annotated[
        list[str], Meta(description="Patterns of names in the folder that are left out: *.tmp, cache/*.")
    ] = msgspec.field(default_factory=list)
    pages_per_step: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Database pages copied at once; writers wait so long.")
    ] = 1000
    skip_unreadable: Annotated[
        bool, Meta(description="Succeed though some files could not be read; they are listed in the result.")
    ] = False

    def __post_init__(self) -> None:
        if self.database is None and self.folder is None:
            raise ValueError("name a database, a folder, or both")


@requires("admin")
def run(params: BackupParams, context: TaskContext) -> dict[str, Any]:
    """Backs up a SQLite database in use and a folder (as zip), reads both back and notes their checksums.

    Beside each new file lies ``NAME.sha256`` for `sha256sum --check`. A file is there whole and verified, or not at
    all. Runs in a thread; cancelled, it stops at the next megabyte or step.

    Raises:
        BackupError: what is to be backed up or the target cannot be used, or something reads back differently.
    """

    def go_on() -> None:
        if context.cancelling:
            raise asyncio.CancelledError

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    result: dict[str, Any] = {}
    try:
        if params.database is not None:
            with context.stage("database", number=1) as stage:
                stage.result = result["database"] = _database(params, params.database, stamp, context, go_on)
        if params.folder is not None:
            with context.stage("folder", number=2) as stage:
                stage.result = result["folder"] = _folder(params, params.folder, stamp, context, go_on)
                stage.processed = result["folder"]["files"]
    except (ArrivalError, ArchiveError, CopyError) as error:
        raise BackupError(str(error)) from error
    return result


def _database(
    params: BackupParams, database: str, stamp: str, context: TaskContext, go_on: Callable[[], None]
) -> dict[str, Any]:
    log = context.logger.with_source("sqlite")
    source = Path(database).expanduser()
    target = _target(params, source.stem, stamp, ".db")
    with arriving(target, needed=size_of(source)) as part:
        copied = copy_database(source, part, log, context.logger.with_source("verify"), params.pages_per_step, go_on)
        digest = sha256_of(part, lambda _: go_on())
    return {**_noted(target, digest, context), "pages": copied["pages"], "rows": copied["rows"]}


def _folder(
    params: BackupParams, folder: str, stamp: str, context: TaskContext, go_on: Callable[[], None]
) -> dict[str, Any]:
    source = Path(folder).expanduser().absolute()
    target = _target(params, source.name or "root", stamp, ".zip").absolute()
    with arriving(target) as part:
        packer = Packer(source, part, context.logger.with_source("zip"), params.exclude, go_on)
        packed = packer.pack()
        if packed["unreadable"] and not params.skip_unreadable:
            raise BackupError(
                f"{len(packed['unreadable'])} files cannot be read, the first is {packed['unreadable'][0]}; "
                "give the service the right to, exclude them, or set skip_unreadable"
            )
        packer.verify(context.logger.with_source("verify"))
        digest = sha256_of(part, lambda _: go_on())
    return {**_noted(target, digest, context), **packed}


def _target(params: BackupParams, stem: str, stamp: str, ending: str) -> Path:
    return Path(params.target).expanduser() / f"{params.name or f'{stem}-{stamp}'}{ending}"


def _noted(target: Path, digest: str, context: TaskContext) -> dict[str, Any]:
    """Write the checksum beside the file, and say that it is there."""
    target.with_name(target.name + ".sha256").write_bytes(os.fsencode(f"{digest}  {target.name}\n"))
    size = target.stat().st_size
    context.logger.info("%s is complete: %s, SHA-256 %s", target, amount(size, "bytes"), digest)
    context.append_trace("backup_written", path=str(target), bytes=size, sha256=digest)
    return {"path": str(target), "bytes": size, "sha256": digest}
