"""A child process ends with its call, whatever loop runs it and however it behaves."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from asynclog.plugins.child import Outcome, run_child
from asynclog.plugins.lines import Line

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop] | None] = {"asyncio": None}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on one of the loops the service may have."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(work)

    return run


class Heard:
    """Lines as they come."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._more = asyncio.Event()

    def take(self, stream: str, line: Line) -> None:
        self.lines.append((stream, line.text))
        self._more.set()

    async def until(self, text: str) -> None:
        while not any(text in line for _, line in self.lines):
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 20)


async def cancelled(work: Callable[[Heard], Awaitable[Any]], after: str, times: int = 1) -> Heard:
    """Start it, cancel it once it has written this, so many times, and wait for its end."""
    heard = Heard()
    running = asyncio.ensure_future(work(heard))
    await heard.until(after)
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    return heard


def ended(pid: int) -> bool:
    """Whether a process is gone, or is only waited for by nobody; a killed one has a moment to go."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
    return False


def test_outcome(on_loop: Any) -> None:
    """Exit code, both streams and nothing left over; a loop of its own each time."""

    async def work() -> tuple[Outcome, Heard]:
        heard = Heard()
        return await run_child("echo a; echo b >&2; exit 7", heard.take), heard

    outcome, heard = on_loop(work())
    assert (outcome.exit_code, outcome.held_open) == (7, False)
    assert sorted(heard.lines) == [("stderr", "b"), ("stdout", "a")]


def test_cancel(on_loop: Any) -> None:
    """A cancelled call lets the child tidy up, hears its last words and leaves nothing of its group."""
    script = "trap 'echo bye; exit 0' TERM; sh -c 'echo pid $$; exec sleep 600' & wait"
    heard = on_loop(cancelled(lambda heard: run_child(script, heard.take), "pid"))
    assert ("stdout", "bye") in heard.lines
    assert ended(int(heard.lines[0][1].split()[1]))


def test_cancel_twice(on_loop: Any) -> None:
    """A second cancellation ends the grace: a child that ignores SIGTERM is killed at once."""
    script = "trap '' TERM; echo pid $$; while :; do sleep 1; done"
    heard = on_loop(cancelled(lambda heard: run_child(script, heard.take, grace_seconds=3600), "pid", times=2))
    assert ended(int(heard.lines[0][1].split()[1]))


def test_cancel_while_it_starts(on_loop: Any, tmp_path: Path) -> None:
    """A call that is cancelled before it knows that its child runs hears it all the same, and ends all it started."""
    pid_file = tmp_path / "pid"

    async def work() -> Heard:
        heard = Heard()
        script = f"echo begun; sleep 600 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
        running = asyncio.ensure_future(run_child(script, heard.take))
        while not pid_file.exists():  # it goes on by itself; the loop hardly gets a turn
            await asyncio.sleep(0)
            time.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return heard

    assert on_loop(work()).lines == [("stdout", "begun")]
    assert ended(int(pid_file.read_text()))


def test_many_at_once(on_loop: Any) -> None:
    """Fifty children at once keep their lines apart, and no descriptor stays open."""

    async def one(number: int) -> list[str]:
        heard = Heard()
        await run_child([sys.executable, "-S", "-c", f"print({number}); print({number})"], heard.take)
        return [line for _, line in heard.lines]

    async def work() -> list[list[str]]:
        return await asyncio.gather(*(one(number) for number in range(50)))

    before = len(list(Path("/proc/self/fd").iterdir()))
    assert on_loop(work()) == [[str(number)] * 2 for number in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_no_such_program(on_loop: Any) -> None:
    """What cannot be started raises OSError and leaves no descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        on_loop(run_child(["no-such-program-anywhere"], lambda *_: None))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_files_of_others_stay_open_while_children_end(on_loop: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A child's end closes its own descriptors, once: never the file that a thread has just opened."""
    broken: list[OSError] = []
    enough = threading.Event()

    def read_files() -> None:
        while not broken and not enough.is_set():
            try:
                descriptor = os.open(__file__, os.O_RDONLY)
                os.read(descriptor, 1000)
                os.close(descriptor)
            except OSError as error:
                broken.append(error)

    async def run_many() -> None:
        for _ in range(40):
            await run_child(["true"], lambda _stream, _line: None)

    threads = [threading.Thread(target=read_files) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        on_loop(run_many())
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert broken == []
