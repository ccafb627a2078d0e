"""`python -m bench` itself: what it lists, refuses, and does when a scenario fails or somebody interrupts it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.command import main
from bench.harness import Row, Sample, at_least
from bench.report import show
from bench.single import Outcome, measure_apart
from tests.bench.test_load import ROOT

DEADLINE = 60.0


async def bench(*arguments: str, interrupt_at: str = "", **variables: str) -> tuple[int, str]:
    """Run the command; its exit code and what it said. SIGINT comes when it says something certain."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(DEADLINE):
        while line := await process.stdout.readline():
            said += line
            if interrupt_at and interrupt_at.encode() in line:
                process.send_signal(signal.SIGINT)
        code = await process.wait()
    return code, said.decode()


async def measuring(pid: int) -> int:
    """The process of the scenario, once there is one."""
    while True:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"bench.single" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nosuch",), "there is no scenario nosuch; there are log_call"),
        (("redaction", "load"), "load stands alone"),
        (("redaction", "--out", "no/such/folder/x.json"), "cannot be written"),
        (("--slow",), "unrecognized arguments: --slow"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown scenario, or option, and a result that cannot be kept end in a sentence before anything else."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_list_is_of_all_scenarios(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--list names each with what it measures, and measures nothing."""
    monkeypatch.setattr(sys, "argv", ["bench", "--list"])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"log_call", "ingest", "scroll"} <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 5 for line in lines)


async def test_a_scenario_is_measured_and_kept(tmp_path: Path) -> None:
    """A short look at one scenario: a table on stdout, every round in the JSON, exit code 0."""
    out = tmp_path / "out.json"
    code, said = await bench("redaction", "--quick", "--out", str(out))
    assert code == 0, said
    assert "a short look" in said
    assert "targets met" in said
    kept = json.loads(out.read_text())
    assert [scenario["status"] for scenario in kept["scenarios"]] == ["measured"]
    assert kept["quick"]
    assert not kept["interrupted"]
    assert all(row["ours"]["values"] for row in kept["rows"])


async def test_ctrl_c_shows_what_was_measured(tmp_path: Path) -> None:
    """On Ctrl-C the scenario ends with all that it started; what was measured before is shown and kept, and what is
    missing is named.
    """
    out = tmp_path / "out.json"
    code, said = await bench(
        "redaction", "pages", "disk", "--quick", "--out", str(out), interrupt_at="pages: filling a database with 10,000"
    )
    assert code == 130, said
    assert "nothing of pages, disk" in said
    assert "redaction, 100 bytes of prose" in said
    assert "Traceback" not in said
    kept = json.loads(out.read_text())
    assert kept["interrupted"]
    assert [scenario["name"] for scenario in kept["scenarios"]] == ["redaction"]


async def test_ctrl_c_during_the_imports(tmp_path: Path) -> None:
    """On Ctrl-C before anything has begun the command is just over."""
    out = tmp_path / "out.json"
    (tmp_path / "uvloop.py").write_text("import threading\nprint('importing', flush=True)\nthreading.Event().wait()\n")
    code, said = await bench("pages", "--out", str(out), interrupt_at="importing", PYTHONPATH=str(tmp_path))
    assert code == -signal.SIGINT, said
    assert "Traceback" not in said
    assert not out.exists()


def test_a_scenario_that_fails_is_an_outcome() -> None:
    """A scenario that raises, or whose process dies, is told as failed, with why."""
    outcome = measure_apart("nosuch", quick=True)
    assert (outcome.status, outcome.rows) == ("failed", [])
    assert outcome.reason == "ModuleNotFoundError: No module named 'bench.nosuch'"


async def test_a_scenario_whose_process_dies_is_an_outcome(tmp_path: Path) -> None:
    """A scenario whose process is killed is told as failed; the others go on, and the exit code says it."""
    out = tmp_path / "out.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "pages", "redaction", "--quick", "--out", str(out)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE):
        child = await measuring(process.pid)
        os.kill(child, signal.SIGKILL)
        said = (await process.communicate())[0].decode()
    assert process.returncode == 1, said
    assert "pages FAILED: its process ended with -9" in said
    kept = json.loads(out.read_text())
    assert [scenario["status"] for scenario in kept["scenarios"]] == ["failed", "measured"]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, 0)
        pytest.fail("something of the scenario is left")


async def test_a_full_disk_is_an_outcome(tmp_path: Path) -> None:
    """Where no more than half a kilobyte can be written, a scenario has failed, and its rows are no half ones."""
    out = tmp_path / "out.json"
    command = f"ulimit -f 1; exec '{sys.executable}' -m bench redaction --quick --out '{out}'"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE):
        said = (await process.communicate())[0].decode()
    assert process.returncode == 1, said
    assert "redaction FAILED: its process ended with 1" in said


def test_a_terminal_of_eighty_columns_shows_what_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """However narrow, a row has its name, its numbers whole, its target and the verdict; notes need more room."""
    ours, theirs = (
        Sample("asynclog", "entries/s", [146_492.0] * 3),
        Sample("plain insert", "entries/s", [258_900.0] * 3),
    )
    row = Row("20 tasks until stored / plain insert", ours, theirs, at_least(0.75), "a note")
    show([Outcome("sustained", "measured", rows=[row])], Console(width=80), quick=False)
    said = capsys.readouterr().out
    for word in ("20 tasks", "146,492", "258,900", "0.57", ">= 0.75", "NOT MET"):
        assert word in said
    assert "a note" not in said
