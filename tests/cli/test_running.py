"""asynclog run and start: what is run, how it ends, and what ends it early."""

import os
import signal
import sqlite3
import subprocess
from pathlib import Path

from tests.cli.commands import SECONDS, Cli, until


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _pid_in(file: Path) -> int:
    return int(until(lambda: file.read_text().strip() if file.exists() else None))


def test_the_output_goes_through_and_the_exit_code_comes_back(either: Cli) -> None:
    """A command's lines appear on the stream it wrote them to; its exit code is the status and ours."""
    done = either("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    task = either.last()
    assert task["status"] == "failed"
    assert "exited with code 7" in task["error_message"]
    done = either("run", "--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 128 + signal.SIGKILL
    not_executable = either("run", "--", "/dev/null")
    assert (not_executable.returncode, not_executable.stderr.count("\n")) == (126, 1)
    done = either("run", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr.count("\n") == 1
    assert "no-such-program" in done.stderr


def test_every_line_is_logged_once_in_order(either: Cli) -> None:
    """Twenty thousand quick lines are all logged, as they are all shown."""
    shown = either.ok("run", "--", "seq", "20000").splitlines()
    logged = [entry["message"] for entry in either.objects("export", "last", "--source", "stdout")]
    assert shown == logged == [str(number) for number in range(1, 20_001)]


def test_ctrl_c_cancels_the_task_and_ends_the_command(either: Cli) -> None:
    """Ctrl-C ends the command and what it has started; the task is cancelled, its lines are kept, the exit says so."""
    pid_file = either.folder / "pid"
    with either.running("run", "--", "sh", "-c", f"echo begun; sleep 1000 & echo $! > {pid_file}; wait") as process:
        child = _pid_in(pid_file)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGINT
    assert out == "begun\n"
    until(lambda: not _alive(child))
    task = either.last()
    assert task["status"] == "cancelled"
    assert [e["message"] for e in either.objects("export", "last", "--source", "stdout")] == ["begun"]


def test_cancelling_in_the_service_ends_the_command(cli: Cli) -> None:
    """Who cancels the task in the service ends the command, wherever it runs."""
    pid_file = cli.folder / "pid"
    with cli.service(), cli.running("run", "--", "sh", "-c", f"echo $$ > {pid_file}; exec sleep 1000") as process:
        child = _pid_in(pid_file)
        cli.ok("cancel", "last")
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
        assert "ended in the service" in said
        assert not _alive(child)
        assert cli.last()["status"] == "cancelled"


def test_a_killed_run_loses_no_line_that_was_shown(cli: Cli) -> None:
    """After kill -9 without a service, all lines that were shown are in the log, and the task is interrupted."""
    script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"
    with cli.running("run", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline().strip() for _ in range(50)]
        process.kill()
        process.wait()
    assert "is interrupted" in cli("tasks").stderr
    task = cli.last()
    assert task["status"] == "interrupted"
    logged = [entry["message"] for entry in cli.objects("export", "last", "--source", "stdout")]
    assert logged[:50] == shown == [str(number) for number in range(1, 51)]


def test_the_command_goes_on_when_nobody_reads_it(either: Cli) -> None:
    """A closed pipe stops the showing, not the command and not the logging."""
    with either.running("run", "--", "sh", "-c", "seq 1 5000; exit 3") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(SECONDS) == 3
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(either.objects("export", "last", "--source", "stdout")) == 5000


def test_the_command_goes_on_when_what_it_writes_into_is_full(either: Cli) -> None:
    """A full disk at the other end of our output is said once; the command ends by itself, with all lines logged."""
    with Path("/dev/full").open("w") as full:
        command = either.command("run", "--", "sh", "-c", "seq 1 50; exit 3")
        done = subprocess.run(
            command, cwd=either.folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done
    assert "stdout cannot be written (No space left on device)" in done.stderr
    assert len(either.objects("export", "last", "--source", "stdout")) == 50


def test_nothing_needs_an_open_descriptor(either: Cli) -> None:
    """With standard input, output and error closed, as some daemons start what they start, a command is recorded."""
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *either.command("run", "--", "sh", "-c", "echo out; exit 3")]
    assert subprocess.run(closed, cwd=either.folder, timeout=SECONDS, check=False).returncode == 3
    assert [e["message"] for e in either.objects("export", "last", "--source", "stdout")] == ["out"]


def test_arguments_are_bytes(either: Cli) -> None:
    """A command gets its arguments as they are; what in them is no UTF-8 is shown and stored as escapes."""
    folder = os.fsencode(either.folder)
    Path(os.fsdecode(folder + b"/caf\xe9")).write_text("found\n")
    assert either.ok("run", "--", "cat", os.fsdecode(b"caf\xe9")) == "found\n"
    assert either.last()["params"]["argv"] == ["cat", "caf\\xe9"]
    refused = either("tail", os.fsdecode(b"caf\xe9"))
    assert (refused.returncode, refused.stderr) == (
        2,
        "asynclog: 'caf\\xe9' is no text in UTF-8, and nothing else is stored\n",
    )


def test_the_output_is_shown_whatever_is_logged_of_it(either: Cli) -> None:
    """A threshold decides what is kept of a command's lines, not what is seen of them."""
    assert either.ok("run", "--", "echo", "quiet", ASYNCLOG_TASK_LOG_LEVEL="ERROR") == "quiet\n"


def test_a_database_that_takes_nothing_keeps_no_command(cli: Cli) -> None:
    """Alone, more lines than memory keeps are not waited for while nothing can be stored; they are stored later."""
    script = "echo begun; until [ -e go ]; do sleep 0.02; done; seq 1 60000; echo ended; exit 7"
    with cli.running("run", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        other = sqlite3.connect(cli.data / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (cli.folder / "go").touch()
        assert "ended\n" in process.stdout
        assert any("the end of the task cannot be shown" in line for line in process.stderr)
        other.execute("ROLLBACK")
        other.close()
        assert process.wait(SECONDS) == 7
    assert len(cli.objects("export", "last", "--source", "stdout")) == 60_002


def test_a_plugin_is_started_with_its_parameters(cli: Cli) -> None:
    """-p values are JSON where they can be; alone the plugin runs to its end, beside a service -f follows it."""
    source = cli.folder / "old.log"
    source.write_text("INFO a\nERROR b\n")
    started = ("start", "levels", "-p", f"path={source}")
    assert "task finished" in cli.ok(*started)
    assert cli.last()["result"]["levels"] == {"INFO": 1, "ERROR": 1}
    with cli.service():
        assert cli.ok(*started).strip() == until(lambda: cli.last()["id"])
        assert "task finished" in cli.ok(*started, "--follow")
        failed = cli("start", "levels", "--params", '{"path": "/nowhere"}', "-f")
        assert failed.returncode == 1
        assert "No such file" in failed.stdout
        assert cli("start", "levels", "--params", "{").returncode == 2


def test_plugins_of_a_module_are_found(cli: Cli) -> None:
    """--plugins MODULE offers the plugins of a module in the current directory, and they get their configuration."""
    (cli.folder / "mine.py").write_text(
        "async def greet(params, context):\n"
        "    '''Says hello.'''\n"
        "    context.logger.info('%s %s', context.config['greeting'], params['who'])\n"
        "PLUGINS = {'greet': greet}\n"
    )
    (cli.folder / "asynclog.toml").write_text('[plugins.greet]\ngreeting = "good morning"\n')
    assert "good morning you" in cli.ok("start", "greet", "-p", "who=you", "--plugins", "mine")
    with cli.service():
        unknown = cli("start", "greet", "--plugins", "mine")
        assert (unknown.returncode, "start it with `--plugins mine`" in unknown.stderr) == (2, True)
    with cli.service("--plugins", "mine"):
        assert "good morning me" in cli.ok("start", "greet", "-p", "who=me", "-f")
        assert "greet" in [plugin["name"] for plugin in cli.objects("plugins")]
    done = cli("start", "greet", "--plugins", "nothing_there")
    assert done.returncode == 2
    assert "nothing_there cannot be imported" in done.stderr


def test_input_comes_from_nowhere(cli: Cli) -> None:
    """A command that reads finds the end of its input at once."""
    done = subprocess.run(
        cli.command("run", "--", "cat"), cwd=cli.folder, input="typed", capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
