"""One scenario in this process: ``python -m bench.single NAME RESULT [--quick]``; its rows go to a file, as JSON.

A process for each, so that what one leaves behind (memory, loggers, threads, a crash) does not touch the next.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Literal

import msgspec

from bench.harness import Bench, Row, SkippedError


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
    """Run a scenario in a process of its own; a crash of it is an outcome too."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", "bench.single", name, str(result), *(["--quick"] if quick else [])]
        start = time.perf_counter()
        code = subprocess.run(command, check=False).returncode
        if result.is_file():
            return msgspec.json.decode(result.read_bytes(), type=Outcome)
        return Outcome(name, "failed", time.perf_counter() - start, reason=f"its process ended with {code}")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.single", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("result", type=Path)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    asked.result.write_bytes(msgspec.json.encode(measure(asked.name, quick=asked.quick)))


if __name__ == "__main__":
    main()
