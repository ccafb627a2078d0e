"""How soon it is there: ``import asynclog``, and ``asynclog serve`` until ready, empty and with ten million entries."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.asking import asking
from bench.filled import data_directory
from bench.harness import Bench, Row, Sample, at_most
from bench.service import program, serving

ENTRIES: Final = 10_000_000
ROUNDS: Final = 9


def _python(code: str) -> float:
    """Seconds that an interpreter takes for some code, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def _imports(bench: Bench) -> Row:
    values = bench.turns(
        {"ours": lambda: _python("import asynclog"), "bare": lambda: _python("")}, bench.rounds(ROUNDS)
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    _python("import asynclog")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    alone = [ours - bare for ours, bare in zip(values["ours"], values["bare"], strict=True)]
    return Row(
        "import asynclog, the interpreter's own start taken off",
        Sample("asynclog", "s", alone),
        Sample("an interpreter", "s", values["bare"]),
        at_most(0.15, "s"),
        f"{cpu:.3f} s of CPU, the interpreter's own included",
    )


async def _ready(folder: Path) -> float:
    """Seconds from the command to an answer of 200 by /readyz."""
    start = time.perf_counter()
    async with program(serving(folder, "bench.burning")) as service, asking(service.url) as asker:
        await asker.get("/readyz")
        return time.perf_counter() - start


def _serve(bench: Bench, folder: Path, what: str) -> Row:
    seconds = [asyncio.run(_ready(folder)) for _ in bench.track(range(bench.rounds(ROUNDS)), what)]
    return Row(f"asynclog serve until ready, {what}", Sample("asynclog", "s", seconds), None, at_most(0.7, "s"))


def _compile(folder: str) -> None:
    """Let interpreters started from here find compiled modules, as those of an installed program are."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    _python("import asynclog, asynclog.cli.main, asynclog.cli.serving, asynclog.server.serve")


def run(bench: Bench) -> list[Row]:
    """Import; an empty directory, each time the same; one of many entries."""
    with tempfile.TemporaryDirectory() as compiled:
        _compile(compiled)
        return [_imports(bench), *_starts(bench)]


def _starts(bench: Bench) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows.append(_serve(bench, Path(folder) / "data", "empty"))
    entries = bench.amount(ENTRIES, 100_000)
    with data_directory(bench, entries, index=False) as filled:
        rows.append(_serve(bench, filled, f"with {entries:,} entries"))
    return rows
