"""Any command is a task: its output becomes entries while it runs, its exit code decides, cancelling ends all of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from asynclog import Entry, InvalidError, NotFoundError
from asynclog.plugins.lines import LONGEST


def said(entries: list[Entry], source: str) -> list[str]:
    return [entry.message for entry in entries if entry.source == source]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_streams_are_sources(runner: Any) -> None:
    """Lines of stdout and stderr are entries of these sources, in order, and the exit code is the result."""
    task, entries = await runner.run("command", argv=[sys.executable, "-c", "for i in range(50): print('line', i)"])
    assert task.status == "success"
    assert task.result["exit_code"] == 0
    assert task.result["lines"] == {"stdout": 50, "stderr": 0}
    assert said(entries, "stdout") == [f"line {number}" for number in range(50)]
    task, entries = await runner.shell("echo out; echo err >&2")
    assert said(entries, "stdout") == ["out"]
    assert said(entries, "stderr") == ["err"]
    assert {entry.source for entry in entries} == {"system", "plugin", "stdout", "stderr"}


async def test_exit_code_fails_the_task(runner: Any) -> None:
    """A command that does not exit with 0 fails its task, which says with what it exited or which signal ended it."""
    task, entries = await runner.run("command", argv=["sh", "-c", "echo oops >&2; exit 3"])
    assert task.status == "failed"
    assert "exited with code 3" in task.error_message
    assert [
        entry.metadata["exit_code"] for entry in entries if entry.level.name == "ERROR" and entry.source == "plugin"
    ] == [3]
    task, _ = await runner.shell("kill -SEGV $$")
    assert "was ended by SIGSEGV" in task.error_message


async def test_levels(runner: Any) -> None:
    """A line has the level it claims; with levels off, all are INFO."""
    script = (
        "echo 'ERROR: no disk'; echo 'warning: old'; echo '2026-02-07 12:00:00 app DEBUG detail'; echo 'no ERROR here'"
    )
    _, entries = await runner.shell(script)
    levels = [entry.level.name for entry in entries if entry.source == "stdout"]
    assert levels == ["ERROR", "WARNING", "DEBUG", "INFO"]
    _, entries = await runner.shell(script, levels=False)
    assert {entry.level.name for entry in entries if entry.source == "stdout"} == {"INFO"}


async def test_live(runner: Any, work: Path) -> None:
    """A line is an entry while the command still runs."""
    gate = work / "gate"
    task = await runner.tasks.start(
        "command", {"shell": f"echo first; while [ ! -e '{gate}' ]; do sleep 0.05; done; echo last"}
    )
    await runner.until_logged(task, "first")
    assert (await runner.tasks.task(task.id)).status == "running"
    gate.touch()
    assert (await runner.tasks.wait(task.id)).status == "success"
    assert said(await runner.entries(task), "stdout") == ["first", "last"]


async def test_odd_output(runner: Any) -> None:
    """Binary output, a line of megabytes, none at the end, progress bars and empty lines harm nothing."""
    size = 3_000_000
    script = f"""
import sys
write = sys.stdout.buffer.write
write(b"\\xff\\x00\\x80binary\\n")
write(("é" * {size // 2}).encode() + b"\\n")
write(b"one\\r\\ntwo\\n\\nthree")
"""
    task, entries = await runner.run("command", argv=[sys.executable, "-c", script])
    assert task.status == "success"
    lines = said(entries, "stdout")
    assert lines[0] == "\\xff\\x00\\x80binary"
    assert lines[-4:] == ["one", "two", "", "three"]
    assert "".join(lines[1:-4]) == "é" * (size // 2)
    assert max(len(line.encode()) for line in lines) <= LONGEST
    _, entries = await runner.shell("for i in $(seq 500); do printf 'at %d\\r' $i; done; printf 'done\\n'")
    lines = said(entries, "stdout")
    assert lines[0] == "at 1"
    assert lines[-1] == "done"
    assert len(lines) < 20


async def test_where_and_with_what(runner: Any, work: Path) -> None:
    """The command runs in the folder and with the variables it is given, and reads an empty input."""
    task, entries = await runner.shell("pwd; echo $COLOUR; cat", cwd=str(work), env={"COLOUR": "red"})
    assert task.status == "success"
    assert said(entries, "stdout") == [str(work), "red"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"argv": ["no-such-program-anywhere"]}, "there is no program 'no-such-program-anywhere'"),
        ({"argv": ["/etc/passwd"]}, "must not be executed"),
        ({"argv": ["true"], "cwd": "/no/such/folder"}, "the folder /no/such/folder does not exist"),
        ({"argv": ["tr\0ue"]}, "null byte"),
    ],
)
async def test_what_cannot_start(runner: Any, params: dict[str, Any], sentence: str) -> None:
    """A command that cannot be started fails its task with a sentence that says why."""
    task, _ = await runner.run("command", **params)
    assert task.status == "failed"
    assert sentence in task.error_message


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"argv": []},
        {"argv": ["x"], "shell": "x"},
        {"argv": "ls"},
        {"shell": "x", "typo": 1},
        {"argv": ["x"], "grace_seconds": -1},
    ],
)
async def test_bad_parameters(runner: Any, params: dict[str, Any]) -> None:
    """Parameters that do not fit are refused before there is a task."""
    with pytest.raises(InvalidError):
        await runner.tasks.start("command", params)
    with pytest.raises(NotFoundError):
        await runner.tasks.start("no such plugin")


async def test_cancel(runner: Any) -> None:
    """Cancelling ends the command and what it started, letting it tidy up first; its last words are entries."""
    script = "trap 'echo tidying; exit 0' TERM; sh -c 'echo child $$; exec sleep 600' & wait"
    task = await runner.tasks.start("command", {"shell": script})
    pid = int((await runner.until_logged(task, "child")).message.split()[1])
    await runner.tasks.cancel(task.id)
    task = await runner.tasks.wait(task.id)
    assert task.status == "cancelled"
    assert "tidying" in said(await runner.entries(task), "stdout")

    async def gone() -> bool:
        return not alive(pid)

    await runner.until(gone)


async def test_cancel_what_does_not_listen(runner: Any) -> None:
    """A command whose group ignores SIGTERM is killed when its grace is over."""
    script = "trap '' TERM; (trap '' TERM; echo child $(exec sh -c 'echo $PPID'); sleep 600) & echo ready; wait"
    task = await runner.tasks.start("command", {"shell": script, "grace_seconds": 0.2})
    pid = int((await runner.until_logged(task, "child")).message.split()[1])
    await runner.until_logged(task, "ready")
    assert alive(pid)
    await runner.tasks.cancel(task.id)
    assert (await runner.tasks.wait(task.id)).status == "cancelled"

    async def gone() -> bool:
        return not alive(pid)

    await runner.until(gone)


async def test_closed_pipes(runner: Any) -> None:
    """A command that closes its output and goes on is waited for."""
    script = "import os, time; print('open', flush=True); os.close(1); os.close(2); time.sleep(0.3); os._exit(4)"
    task, entries = await runner.run("command", argv=[sys.executable, "-c", script])
    assert said(entries, "stdout") == ["open"]
    assert "exited with code 4" in task.error_message


async def test_grandchild_holds_the_pipes(runner: Any, work: Path) -> None:
    """A process left behind that holds the output open does not keep the task, which says so."""
    pid_file = work / "pid"
    task, entries = await runner.shell(f"sleep 600 & echo $! > '{pid_file}'; echo done")
    pid = int(pid_file.read_text())
    try:
        assert task.status == "success"
        assert said(entries, "stdout") == ["done"]
        assert any("holds its output open" in entry.message for entry in entries)
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_much_output_is_fair(runner: Any) -> None:
    """A command that writes as fast as it can leaves others their turn, and can be cancelled."""
    await runner.tasks.engine.change_settings({"task_log_level": "ERROR"})  # the reading is what is tested
    task = await runner.tasks.start("command", {"argv": ["yes", "a line"]})
    for _ in range(3):
        other, _ = await runner.run("command", argv=["true"])
        assert other.status == "success"
    assert (await runner.tasks.task(task.id)).status == "running"
    await runner.tasks.cancel(task.id)
    assert (await runner.tasks.wait(task.id)).status == "cancelled"


async def test_secrets(runner: Any, tmp_path: Path) -> None:
    """What a command writes and is given goes through redaction: neither entries nor task hold the secret."""
    secret = "zq7Vx93hLmT2wKf8"
    task, entries = await runner.shell(
        f"echo password={secret}; tool --password {secret} 2>/dev/null; true",
        env={"API_TOKEN": secret},
    )
    shown = " ".join(
        [*(f"{entry.message} {entry.metadata_json}" for entry in entries), task.params_json, task.result_json]
    )
    assert secret not in shown
    assert "[redacted]" in shown
    file = tmp_path / "key"
    file.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n{secret}\n-----END PRIVATE KEY-----\nafter\n")
    _, entries = await runner.run("command", argv=["cat", str(file)])
    lines = [entry.message for entry in entries if entry.source == "stdout"]
    assert lines == ["[redacted PRIVATE KEY]", *["[redacted]"] * 3, "after"]
