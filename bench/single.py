"""One scenario in this process: ``python -m bench.single NAME RESULT [--quick]``; its rows go to a file, as JSON.

A process for each, so that what one leaves behind (memory, loggers, threads, a crash) does not touch the next.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench.harness import Bench, Row, SkippedError, loudly

END_SECONDS: Final = 60.0
"""How long a scenario that was interrupted may take to end what it has started: a statement of SQL, servers, files."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED: Final = 130


class Outcome(msgspec.Struct, frozen=True):
    """What came of a scenario; ``reason`` says why there are no rows."""

    name: str
    status: Literal["measured", "skipped", "failed"]
    seconds: float = 0.0
    rows: list[Row] = []
    reason: str = ""
    missed: list[str] = []
    """What could not be measured, although the rest could."""


def measure(name: str, *, quick: bool) -> Outcome:
    """Run a scenario in this process; never raises but for an interrupt."""
    start = time.perf_counter()
    bench = Bench(name, quick=quick)
    try:
        rows: list[Row] = importlib.import_module(f"bench.{name}").run(bench)
    except SkippedError as error:
        return Outcome(name, "skipped", time.perf_counter() - start, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a failed scenario does not end the others
        traceback.print_exc()
        return Outcome(name, "failed", time.perf_counter() - start, reason=f"{type(error).__name__}: {error}")
    return Outcome(name, "measured", time.perf_counter() - start, rows, missed=bench.missed)


def measure_apart(name: str, *, quick: bool) -> Outcome:
    """Run a scenario in a process of its own; a crash of it is an outcome too.

    Raises:
        KeyboardInterrupt: as soon as the scenario has ended what it had started.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", "bench.single", name, str(result), *(["--quick"] if quick else [])]
        start = time.perf_counter()
        code = _run(command)
        if code == 0:  # else it may have been cut: a disk may be full
            return msgspec.json.decode(result.read_bytes(), type=Outcome)
        return Outcome(name, "failed", time.perf_counter() - start, reason=f"its process ended with {code}")


def _run(command: list[str]) -> int:
    """Run a process and all that it starts; its exit code. Nothing of it outlives this.

    It has a group of its own, so that Ctrl-C on a terminal reaches it once, from here, and not its servers before it.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with _no_interrupt():  # while nobody knows yet which process it is
            process = subprocess.Popen(command, start_new_session=True)
        return process.wait()
    except KeyboardInterrupt:
        if process is not None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # the terminal may be gone
                loudly("ending what was begun; once more, and it is killed, and what it has on the disk stays there")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
        raise
    finally:
        if process is not None and process.returncode != 0:  # it may not have ended what it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """An interrupt inside of the block comes at its end."""
    seen: list[int] = []
    former = {number: signal.signal(number, lambda got, _: seen.append(got)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        for got in seen:
            signal.raise_signal(got)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.single", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("result", type=Path)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    try:
        outcome = measure(asked.name, quick=asked.quick)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    asked.result.write_bytes(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
