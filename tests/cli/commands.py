"""The command line as a real process: run to its end, kept running, or in a terminal of its own."""

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from asynclog.lockfile import read_owner
from asynclog.tasks.opening import open_tasks

SECONDS: Final = 30.0
"""How long anything may take before it counts as broken."""
COLOUR: Final = re.compile(r"\x1b\[\d+m")

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]


def until(found: Callable[[], T | None]) -> T:
    """Look until there is something; fail after a deadline."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{found} found nothing in {SECONDS:.0f} s")


class Cli:
    """``asynclog`` in a working directory of its own, whose data directory is ``data``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def command(self, *arguments: str) -> list[str]:
        """What is executed."""
        return [sys.executable, "-m", "asynclog", *arguments]

    def environment(self, **variables: str) -> dict[str, str]:
        """Ours, without what says how wide or colourful a terminal is."""
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        return {**kept, "TERM": "xterm", **variables}

    def __call__(self, *arguments: str, **variables: str) -> Done:
        """Run it to its end; its output is text."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def ok(self, *arguments: str, **variables: str) -> str:
        """Its standard output, when it ends with 0 and complains of nothing."""
        done = self(*arguments, **variables)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Its standard output as lines of JSON."""
        return [json.loads(line) for line in self.ok(*arguments).splitlines()]

    def last(self) -> dict[str, Any]:
        """The newest task."""
        (task,) = self.objects("tasks", "-n", "1")
        return task

    @contextlib.contextmanager
    def running(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Keep it running inside the block; it is killed if it is still there at the end."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @contextlib.contextmanager
    def service(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """``asynclog serve`` on the data directory, answering; told to end, and ended, after the block."""
        with self.running("serve", "--port", "0", "--log-level", "WARNING", *arguments, **variables) as process:
            until(lambda: self.url() or process.poll())
            assert process.poll() is None, process.communicate()
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=SECONDS)
                assert (process.returncode, said) == (0, "")

    def url(self) -> str | None:
        """Where the data directory is served."""
        owner = read_owner(self.data)
        return owner.url if owner else None

    def in_terminal(self, *arguments: str, ctrl_c_at: str | None = None, **variables: str) -> tuple[int, str]:
        """Run it in a terminal; its exit code and all that appears there, line ends as in a file.

        Once ``ctrl_c_at`` has appeared it is interrupted.
        """
        main, side = pty.openpty()
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**{"COLUMNS": "100", **variables}),
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        with process:
            try:
                shown = b""
                for piece in _everything(main):
                    shown += piece
                    if ctrl_c_at is not None and ctrl_c_at.encode() in shown:
                        threading.Thread(target=_interrupt, args=(process,)).start()
                        ctrl_c_at = None
                code = process.wait(SECONDS)
            finally:
                if process.poll() is None:
                    process.kill()
        os.close(main)
        return code, shown.decode().replace("\r\n", "\n")


def run_here(cli: Cli, *names: str) -> None:
    """Run tasks of these names with the library, which is quicker; those called "bad" fail."""

    def work(params: str) -> None:
        if params == "bad":
            raise ValueError(params)

    async def all_of_them() -> None:
        async with open_tasks(cli.data) as tasks:
            for name in names:
                await tasks.run(work, name, name=name)

    asyncio.run(all_of_them())


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C until it counts: Python does not hear it right before it begins to read from a terminal."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS / 5)


def _everything(terminal: int) -> Iterator[bytes]:
    """What comes from a terminal until nobody is left to write to it."""
    while True:
        ready, _, _ = select.select([terminal], [], [], SECONDS)
        assert ready, "the command writes nothing and does not end"
        try:
            yield os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return
