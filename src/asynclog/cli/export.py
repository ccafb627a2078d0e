"""``asynclog export``: all entries of a task, of any number, into a file or a pipe."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import click

from asynclog.cli import options, terminal
from asynclog.cli.finding import find_task, path
from asynclog.cli.options import Pairs, Place
from asynclog.cli.service import Object, Service
from asynclog.errors import UnavailableError

FORMATS: Final = ("ndjson", "text", "csv")


@click.command(short_help="Write all entries of a task into a file or a pipe.")
@click.argument("task")
@click.option("--format", "form", type=click.Choice(FORMATS), default="ndjson", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Where to; standard output without it.")
@options.entry_filter
@options.place
def export(task: str, place: Place, conditions: Pairs, form: str, output: str | None) -> None:
    """Write all entries of TASK that match: its id, the beginning of it, its name, or `last`.

    FILE appears when it is complete; an export that fails leaves none, and the one from before as it was.
    """
    asyncio.run(_export(place, task, conditions, form, output))


async def _export(place: Place, name: str, conditions: Pairs, form: str, output: str | None) -> None:
    async with place.connect() as service:
        task = await find_task(service, name)
        with _target(output) as file, _progress(output, await _total(service, task, conditions)) as advance:
            pieces = service.stream(path(task["id"], "logs", "export"), [*conditions, ("format", form)])
            written = await _copy(pieces, file, advance)
    if output is not None:
        terminal.remark(f"{written:,} bytes in {output}")


async def _copy(pieces: AsyncGenerator[bytes, None], file: BinaryIO, advance: Callable[[int], None]) -> int:
    written = 0
    async with contextlib.aclosing(pieces) as stream:
        async for piece in stream:
            file.write(piece)
            written += len(piece)
            advance(piece.count(b"\n"))
    return written


async def _total(service: Service, task: Object, conditions: Pairs) -> int | None:
    """How many entries to expect, for whoever watches the progress."""
    if not terminal.interactive(sys.stderr):
        return None
    page = await service.call("GET", path(task["id"], "logs"), [*conditions, ("limit", "1")])
    total: int | None = page["total"]
    return total


class _Shown:
    """Standard output as a terminal: takes the bytes of a file and shows what would act on it as escapes."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def write(self, piece: bytes) -> int:
        """Show it, with the line ends of a terminal."""
        sys.stdout.write(terminal.visible(self._decode(piece.replace(b"\r\n", b"\n"))))
        return len(piece)


@contextlib.contextmanager
def _target(output: str | None) -> Iterator[BinaryIO]:
    if output is None:
        sys.stdout.flush()
        yield cast("BinaryIO", _Shown()) if terminal.interactive(sys.stdout) else sys.stdout.buffer
        sys.stdout.flush()
        sys.stdout.buffer.flush()
        return
    final = Path(output)
    if final.exists() and not (final.is_file() or final.is_dir()):  # a device or a named pipe
        with final.open("wb") as file:
            yield file
        return
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with part.open("wb") as file:
            yield file
        part.replace(final)
    except OSError as error:  # what the service could not do is no OSError
        raise UnavailableError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(output: str | None, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr when it is a terminal and the output is not shown on one."""
    if not terminal.interactive(sys.stderr) or (output is None and terminal.interactive(sys.stdout)):
        yield lambda _lines: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415 - slow

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(sys.stderr), transient=True) as progress:
        bar = progress.add_task("entries", total=total)
        lines = 0

        def advance(more: int) -> None:
            nonlocal lines
            lines += more  # a header and tracebacks are lines without being entries
            progress.update(bar, completed=lines if total is None else min(lines, total))

        yield advance
