"""A child process whose output is logged line by line while it runs.

It leads a process group of its own, so that cancelling reaches what it starts: first SIGTERM, after a grace SIGKILL.
The pipes are ours, not the event loop's process transport's: so the child's exit is seen when it exits, whether or not
it has closed its pipes, and whoever else holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import msgspec

from asynclog.plugins.lines import Line, LineSplitter

CHUNK: Final = 16 * 1024
"""Bytes taken from a pipe at once; between two chunks everybody else has a turn."""
MOST_HELD: Final = 1 << 20
"""Bytes in a pipe, if a child asks for as much room as Linux gives."""
LINGER_SECONDS: Final = 1.0
"""After the child's exit its output has ended when nothing came for so long, though another process holds the pipes."""
LONGEST_LINGER_SECONDS: Final = 10.0
"""When that other process goes on writing."""
GROUP_POLL_SECONDS: Final = 0.05

OnLine = Callable[[str, Line], None]
"""Takes ``stdout`` or ``stderr`` and a line."""


class Outcome(msgspec.Struct, frozen=True):
    """How a child ended. ``held_open``: another process, started by it, still has its output open."""

    exit_code: int
    seconds: float
    held_open: bool

    @property
    def sentence(self) -> str:
        """The end in words: an exit code, or the signal that ended it."""
        if self.exit_code >= 0:
            return f"exited with code {self.exit_code}"
        try:
            name = signal.Signals(-self.exit_code).name
        except ValueError:
            name = f"signal {-self.exit_code}"
        return f"was ended by {name}"


async def run_child(
    command: Sequence[str] | str,
    on_line: OnLine,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    grace_seconds: float = 2.0,
    started: Callable[[int], None] | None = None,
) -> Outcome:
    """Run a command to its end and hand over every line of its output as it comes.

    Args:
        command: an argument list, or one string for the shell.
        on_line: called on the event loop; must neither block nor raise.
        cwd: where it runs.
        env: variables beside those of this process.
        grace_seconds: between SIGTERM and SIGKILL when the call is cancelled; a second cancellation ends the grace.
        started: called with its process id.

    Raises:
        OSError: it cannot be started (not found, not executable, no such folder).
        asyncio.CancelledError: the call was cancelled; the child has ended by then, and its group has been killed.
    """
    began = time.monotonic()
    async with _Pipe() as stdout, _Pipe() as stderr:
        readers = [
            asyncio.create_task(_read(stdout, lambda line: on_line("stdout", line))),
            asyncio.create_task(_read(stderr, lambda line: on_line("stderr", line))),
        ]
        starting = asyncio.ensure_future(_start(command, stdout.write_end, stderr.write_end, cwd, env))
        try:
            process = await asyncio.shield(starting)
            stdout.close_write_end()
            stderr.close_write_end()
            if started is not None:
                started(process.pid)
            exit_code = await process.wait()
            held_open = await _drain(readers, (stdout, stderr))
        except asyncio.CancelledError:
            while not starting.done():
                with contextlib.suppress(asyncio.CancelledError):  # once more, while it is still being started
                    await asyncio.wait([starting])
            if starting.exception() is None:  # it runs, though perhaps nobody was told yet
                await _end_group(starting.result(), grace_seconds)
            raise
        finally:
            await _stop(readers)
        for reader in readers:
            if not reader.cancelled():
                reader.result()  # a failure of on_line is a failure of the call
        return Outcome(exit_code, time.monotonic() - began, held_open)


async def _start(
    command: Sequence[str] | str, stdout: int, stderr: int, cwd: str | None, env: Mapping[str, str] | None
) -> asyncio.subprocess.Process:
    variables = None if env is None else {**os.environ, **env}
    nothing = asyncio.subprocess.DEVNULL
    if isinstance(command, str):
        return await asyncio.create_subprocess_shell(
            command, stdin=nothing, stdout=stdout, stderr=stderr, cwd=cwd, env=variables, start_new_session=True
        )
    return await asyncio.create_subprocess_exec(
        *command, stdin=nothing, stdout=stdout, stderr=stderr, cwd=cwd, env=variables, start_new_session=True
    )


class _Pipe:
    """A pipe to be read here, for a child to write into at the other end.

    No transport of the loop's: uvloop closes a transport's descriptor twice, and the second time it may be the one of a
    file that another thread has just opened.
    """

    def __init__(self) -> None:
        self.read_end = self.write_end = -1
        self.heard = time.monotonic()

    async def __aenter__(self) -> Self:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        return self

    async def read(self) -> bytes:
        """What has come, at most a chunk; nothing at the end."""
        while True:
            try:
                data = os.read(self.read_end, CHUNK)
            except BlockingIOError:
                await self._readable()
            else:
                self.heard = time.monotonic()
                return data

    def rest(self) -> bytes:
        """What has come and was not read yet, at most so much as a pipe holds."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while len(data) < MOST_HELD and (more := os.read(self.read_end, CHUNK)):
                data += more
        return data

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.read_end, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self.read_end)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def __aexit__(self, *_: object) -> None:
        self.close_write_end()
        os.close(self.read_end)


async def _read(pipe: _Pipe, take: Callable[[Line], None]) -> None:
    lines = LineSplitter()
    try:
        while data := await pipe.read():
            for line in lines.feed(data):
                take(line)
            await asyncio.sleep(0)  # a read that finds its data waiting does not give the others a turn
    except asyncio.CancelledError:
        for line in lines.feed(pipe.rest()):  # written before the end, though nobody had a turn to read it
            take(line)
        raise
    finally:
        for line in lines.finish():
            take(line)


async def _drain(readers: list[asyncio.Task[None]], pipes: tuple[_Pipe, ...]) -> bool:
    """Read on after the child's exit; True when somebody else holds its output open."""
    exited = time.monotonic()
    while True:
        now = time.monotonic()
        quiet_since = max(exited, *(pipe.heard for pipe in pipes))
        left = min(quiet_since + LINGER_SECONDS, exited + LONGEST_LINGER_SECONDS) - now
        if left <= 0:
            return True
        _, reading = await asyncio.wait(readers, timeout=left)
        if not reading:
            return False


async def _stop(readers: list[asyncio.Task[None]]) -> None:
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)


async def _end_group(process: asyncio.subprocess.Process, grace_seconds: float) -> None:
    """End the child and all that is left of its group. A cancellation meanwhile ends the grace, not the ending."""
    _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    try:
        async with asyncio.timeout(grace_seconds):
            await process.wait()
        while _group_alive(process.pid) and time.monotonic() < deadline:  # noqa: ASYNC110  # nobody tells us
            await asyncio.sleep(GROUP_POLL_SECONDS)
    except (TimeoutError, asyncio.CancelledError):
        pass
    finally:
        _signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(asyncio.CancelledError):
        await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
