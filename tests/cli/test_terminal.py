"""What a person sees: colours, tables and escaped text in a terminal, plain text in a pipe."""

import asyncio
import json
from pathlib import Path

from asynclog.tasks.opening import open_tasks
from tests.cli.commands import COLOUR, Cli

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\x9b31m\u202eevil\u200f\u2066\x00\x08\u2028\u200b\ufeff\U000e0041\x85"


async def _hostile_task(folder: Path) -> None:
    def misbehave(_params: object, context: object) -> None:
        log = context.logger  # type: ignore[attr-defined]  # a TaskContext; the annotation is left out on purpose
        log.with_source(f"s{HOSTILE}").error(HOSTILE, trick=HOSTILE, traceback=HOSTILE)
        log.bind_stage(HOSTILE).bind_unit(HOSTILE).info("%s", HOSTILE)

    async with open_tasks(folder) as tasks:
        await tasks.run(misbehave, name=f"name {HOSTILE}")


def _harmless(shown: str) -> bool:
    """Whether nothing but colours, line ends and visible characters is left."""
    return all(character == "\n" or character.isprintable() for character in COLOUR.sub("", shown))


def test_nothing_a_task_logs_acts_on_the_terminal(cli: Cli) -> None:
    """Control characters and bidi marks in messages, sources, names and metadata are shown as escapes."""
    asyncio.run(_hostile_task(cli.data))
    exports = [("export", "last", "--format", form) for form in ("ndjson", "text", "csv")]
    lists = [("tasks", "--format", "ndjson"), ("tail", "last", "--format", "ndjson"), ("tail", "last", "--all")]
    for command in (
        ("tail", "last"),
        ("tail", "last", "-n", "9"),
        ("tasks",),
        *exports,
        *lists,
        ("delete", "last", "-y"),
    ):
        code, shown = cli.in_terminal(*command)
        assert code == 0
        assert _harmless(shown), ascii(shown)
        assert "\\x1b" in shown or "\\u001b" in shown or command == ("tasks",)


def test_a_pipe_gets_what_was_logged(cli: Cli) -> None:
    """An export into a pipe or a file is not changed by what a terminal must not see."""
    asyncio.run(_hostile_task(cli.data))
    entries = [json.loads(line) for line in cli.ok("export", "last").split("\n") if line]
    assert HOSTILE.replace("\0", "\\x00") in [entry["message"] for entry in entries]


def test_what_a_command_writes_does_not_act_on_the_terminal(cli: Cli) -> None:
    """asynclog run shows a command's lines escaped in a terminal, and as they are in a pipe."""
    script = ("run", "--", "printf", "a\\033[2Jb\\n")
    code, shown = cli.in_terminal(*script)
    assert (code, _harmless(shown)) == (0, True)
    assert "a\\x1b[2Jb" in shown
    assert cli.ok(*script) == "a\x1b[2Jb\n"


def test_colours_are_for_terminals(cli: Cli) -> None:
    """A terminal gets colours unless NO_COLOR is set; a pipe never does."""
    cli("run", "--", "sh", "-c", "echo ERROR: red; exit 1")
    _, coloured = cli.in_terminal("tail", "last")
    assert "\x1b[31m" in coloured
    _, plain = cli.in_terminal("tail", "last", NO_COLOR="1")
    assert "\x1b[" not in plain
    assert COLOUR.sub("", coloured) == plain == cli.ok("tail", "last")
    _, table = cli.in_terminal("tasks", NO_COLOR="1")
    assert "\x1b[" not in table


def test_lists_are_tables_for_people_and_json_for_programs(cli: Cli) -> None:
    """tasks, plugins and settings are tables in a terminal and JSON in a pipe; --format decides otherwise."""
    cli.ok("run", "--name", "listed", "--", "true")
    _, shown = cli.in_terminal("tasks")
    assert "ENTRIES" in shown
    assert "listed" in shown
    assert json.loads(cli.ok("tasks"))["name"] == "listed"
    assert "ENTRIES" in cli.ok("tasks", "--format", "table")
    _, shown = cli.in_terminal("settings", ASYNCLOG_TASK_LOG_LEVEL="DEBUG")
    assert "pinned by ASYNCLOG_TASK_LOG_LEVEL" in COLOUR.sub("", " ".join(shown.split()))
    _, shown = cli.in_terminal("plugins")
    assert "replay" in shown


def test_a_narrow_terminal_cuts_no_number(cli: Cli) -> None:
    """Where a list does not fit, names are cut and lines go on below: ids, states and numbers stay whole."""
    cli.ok("run", "--name", "a name that is long enough to be cut", "--", "true")
    _, shown = cli.in_terminal("tasks", COLUMNS="40")
    title, row = (line.split() for line in COLOUR.sub("", shown).splitlines())
    assert title == ["ID", "NAME", "PLUGIN", "STATUS", "AGE", "SECONDS", "ENTRIES", "WARN", "ERROR"]
    assert row[0] == cli.last()["id"]
    assert {"success", "4", "0"} <= set(row)
    _, shown = cli.in_terminal("settings", COLUMNS="50")
    assert "belief_scope_enabled" in shown


def test_a_question_can_be_interrupted(either: Cli) -> None:
    """Ctrl-C at the question of delete ends the command and deletes nothing."""
    either.ok("run", "--", "true")
    code, shown = either.in_terminal("delete", "last", ctrl_c_at="[y/N]")
    assert (code, "deleted" in shown) == (130, False)
    assert either.last()["status"] == "success"


def test_a_terminal_is_told_the_task_and_a_pipe_is_not(cli: Cli) -> None:
    """What is only for people (the task's id and its end) appears in a terminal, never in a pipe."""
    _, shown = cli.in_terminal("run", "--", "echo", "hello")
    task = cli.last()
    assert f"task {task['id']}: success" in shown
    assert cli.ok("run", "--", "echo", "hello") == "hello\n"


def test_a_long_export_shows_how_far_it_is(cli: Cli) -> None:
    """An export into a file has a progress bar in a terminal, which is gone at the end."""
    cli.ok("run", "--", "seq", "5000")
    code, shown = cli.in_terminal("export", "last", "-o", "out.csv", "--format", "csv")
    assert code == 0
    assert "bytes in out.csv" in shown
    assert (cli.folder / "out.csv").read_bytes().count(b"\r\n") >= 5000
