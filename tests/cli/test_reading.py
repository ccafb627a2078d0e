"""asynclog tasks, tail and export: the same alone and beside a service."""

import asyncio
import csv
import io
import json
import sqlite3
import subprocess
from pathlib import Path

from asynclog.tasks.context import TaskContext
from asynclog.tasks.opening import open_tasks
from tests.cli.commands import Cli, run_here

SCRIPT = "echo one; echo two >&2; echo 'WARNING: three'; echo 'ERROR: four'"


def test_what_a_command_wrote_can_be_listed_read_and_exported(either: Cli) -> None:
    """A task that ran is in the list, its entries in tail and in all three forms of export, by any of its names."""
    assert either("run", "--name", "writer", "--", "sh", "-c", SCRIPT).returncode == 0
    task = either.last()
    assert (task["name"], task["plugin"], task["status"]) == ("writer", "command", "success")
    shown = either.objects("tail", "last", "--format", "ndjson")
    assert [entry["seq"] for entry in shown] == list(range(1, task["last_seq"] + 1))
    assert either.objects("tail", task["id"][:6], "--all", "--format", "ndjson") == shown
    assert either.objects("export", "last") == shown
    lines = either.ok("tail", "writer").splitlines()
    assert either.ok("export", "last", "--format", "text").splitlines() == lines
    assert any(line.endswith("INFO  [stdout] one") or "[stdout] one" in line for line in lines)
    rows = list(csv.DictReader(io.StringIO(either.ok("export", "last", "--format", "csv"))))
    assert [row["message"] for row in rows] == [entry["message"] for entry in shown]


def test_filters_mean_what_they_mean_everywhere(either: Cli) -> None:
    """The filter parameters are options of tail and export; different ones are ANDed, repeated ones ORed."""
    assert either("run", "--", "sh", "-c", SCRIPT).returncode == 0

    def messages(*options: str) -> list[str]:
        return [entry["message"] for entry in either.objects("tail", "last", "--format", "ndjson", *options)]

    assert messages("--source", "stdout", "--min-level", "warn") == ["WARNING: three", "ERROR: four"]
    assert sorted(messages("--source", "stdout", "--source", "stderr", "--search", "O")) == [
        "ERROR: four",
        "one",
        "two",
    ]
    assert len(messages("--exclude-source", "stdout", "--exclude-source", "stderr", "--metadata", "exit_code=0")) == 1
    assert messages("--since", "1h", "-n", "1", "--level", "error") == ["ERROR: four"]
    exported = either.objects("export", "last", "--source", "stdout", "--min-level", "warn")
    assert [entry["message"] for entry in exported] == ["WARNING: three", "ERROR: four"]


def test_tasks_are_filtered_and_limited(cli: Cli) -> None:
    """The filters of the list are options of `tasks`; the limit is kept over several pages."""
    run_here(cli, *["good"] * 210, "bad", "good")
    assert [task["name"] for task in cli.objects("tasks", "--status", "failed", "--status", "cancelled")] == ["bad"]
    assert [task["name"] for task in cli.objects("tasks", "-n", "2")] == ["good", "bad"]
    assert len(cli.objects("tasks", "--started-after", "1h", "-n", "0", "--text", "goo", "--order", "asc")) == 211
    assert cli.objects("tasks", "--plugin", "nothing") == []


def test_children_are_found_by_any_name_of_their_parent(cli: Cli) -> None:
    """--parent takes what names a task everywhere else."""

    async def child(_params: object) -> None:
        return

    async def parent(_params: object, context: TaskContext) -> None:
        await context.start("child")

    async def both() -> None:
        async with open_tasks(cli.data, plugins={"child": child}) as tasks:
            await tasks.run(parent, name="the parent")

    asyncio.run(both())
    (task,) = cli.objects("tasks", "--plugin", "parent")
    for name in (task["id"], task["id"][:8], "the parent"):
        assert [found["plugin"] for found in cli.objects("tasks", "--parent", name)] == ["child"]
    assert cli("tasks", "--parent", "nosuchtask").returncode == 1


def test_what_is_not_there_is_said(cli: Cli) -> None:
    """An unknown or ambiguous task and a bad filter end with 1 or 2 and one sentence."""
    run_here(cli, *map(str, range(33)))
    ids = [task["id"] for task in cli.objects("tasks", "-n", "0")]
    twice = next(i[0] for i in ids if sum(other.startswith(i[0]) for other in ids) > 1)  # 33 ids, 32 letters
    for arguments, code, words in (
        (("tail", "nosuchtask"), 1, "there is no task"),
        (("export", twice), 2, "type more of it"),
        (("tail", "last", "--level", "loud"), 2, "not a level"),
        (("tail", "last", "--metadata", "x"), 2, "KEY=VALUE"),
        (("tasks", "--status", "odd"), 2, "status"),
    ):
        done = cli(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_an_export_into_a_file_is_whole_or_not_there(cli: Cli) -> None:
    """-o writes beside the file and moves it into place; a failed export leaves the former file as it was."""
    cli.ok("run", "--", "echo", "one")
    target = cli.folder / "out.ndjson"
    cli.ok("export", "last", "-o", str(target))
    assert [json.loads(line)["task_id"] for line in target.read_text().splitlines()]
    before = target.read_bytes()
    assert cli("export", "nosuchtask", "-o", str(target)).returncode == 1
    for nowhere in (cli.folder / "no" / "where", cli.folder):
        done = cli("export", "last", "-o", str(nowhere))
        assert done.returncode == 1
        assert f"{nowhere} cannot be written" in done.stderr
    assert target.read_bytes() == before
    assert [path.name for path in cli.folder.iterdir() if ".part" in path.name] == []


def test_reading_makes_no_data_directory(cli: Cli) -> None:
    """A command that only reads does not create a data directory that is not there; it says which one is missing."""
    for command in (("tasks",), ("schedules", "list"), ("keys", "list")):
        done = cli(*command)
        assert done.returncode == 1
        assert "there is no data directory 'data'" in done.stderr
    assert "replay" in [plugin["name"] for plugin in cli.objects("plugins")]
    assert json.loads(cli.ok("settings", ASYNCLOG_TASK_LOG_LEVEL="DEBUG"))["task_log_level"] == "DEBUG"
    assert list(cli.folder.iterdir()) == []


def test_a_reader_that_goes_is_no_error(cli: Cli) -> None:
    """`asynclog export | head` ends in silence."""
    cli.ok("run", "--", "seq", "20000")
    for arguments in (("export", "last"), ("tail", "--all", "last")):
        with cli.running(*arguments) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.wait(30) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_two_commands_at_once_wait_for_each_other(cli: Cli, tmp_path: Path) -> None:
    """Without a service, commands on one directory take turns instead of failing."""
    cli.ok("run", "--", "true")
    processes = [
        subprocess.Popen(cli.command("tasks"), cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert len(out.splitlines()) == 1


def test_lines_are_those_of_the_activity_log(either: Cli) -> None:
    """tail --lines gives the last lines of the run's activity log, head included, as the route does."""
    assert either("run", "--name", "writer", "--", "sh", "-c", SCRIPT).returncode == 0
    entries = either.ok("tail", "last").splitlines()
    assert either.ok("tail", "last", "--lines", "2").splitlines() == entries[-2:]
    whole = either.ok("tail", "last", "-n", "100000").splitlines()
    assert whole[-len(entries) :] == entries
    assert any("writer" in line for line in whole[: -len(entries)])
    assert either("tail", "nosuchtask", "-n", "2").returncode == 1


def test_what_the_database_cannot_say_is_not_guessed(cli: Cli) -> None:
    """While the database is locked the list says that tasks may be missing, and `last` is nobody: a command that was
    meant for the newest task would be carried out on another one.
    """
    cli.ok("run", "--name", "stored", "--", "true")
    with cli.service() as service:
        other = sqlite3.connect(cli.data / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert cli("run", "--name", "newest", "--", "true").returncode == 0
        listed = cli("tasks")
        assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["stored"]
        assert "the newest tasks, and how the others are now, may be missing" in listed.stderr
        for command in ("delete", "cancel", "tail"):
            refused = cli(command, "last")
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "name it by its id" in refused.stderr
        unsure = cli("delete", "stored")
        assert (unsure.returncode, "name it by its whole id" in unsure.stderr) == (1, True)
        started = cli("start", "command", "-p", 'argv=["true"]').stdout.strip()
        for asked in ((), ("--all",), ("-n", "5")):
            shown = cli("tail", started, *asked)
            assert (shown.returncode, "the newest entries may be missing" in shown.stderr) == (0, True), shown
        other.execute("ROLLBACK")
        other.close()
        service.kill()  # it has said on stderr what was wrong
        service.wait()
    names = [task["name"] for task in cli.objects("tasks")]
    assert names == ["command", "newest", "stored"]
