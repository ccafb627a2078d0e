"""``asynclog run``: any command as a task."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from asynclog.cli import options, terminal
from asynclog.cli.acting import start_here
from asynclog.cli.options import Place
from asynclog.cli.recorder import Recorder
from asynclog.cli.service import LostError, Object, RefusedError, Service
from asynclog.cli.signals import interruptible

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext

CANNOT_START: Final = 127
STREAMS: Final = ("stdout", "stderr")


@click.command(
    short_help="Run any command as a task.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--name", metavar="NAME", help="Of the task; the command's own without it.")
@click.option("--account", metavar="NAME", help="The account the task belongs to.")
@click.option("--site", metavar="NAME", help="The site the task belongs to.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@options.place
def run(place: Place, name: str | None, account: str | None, site: str | None, command: tuple[str, ...]) -> int:
    """Run COMMAND as a task: put -- before it.

    What it writes is shown as it comes and logged, as the sources stdout and stderr. Ends with COMMAND's exit code.
    COMMAND reads nothing from the terminal; Ctrl-C ends it and all it has started.
    """
    if not command[0]:
        raise click.UsageError("COMMAND is empty; put the program and its arguments after --")
    named = name or Path(command[0]).name or command[0]
    about = {"name": terminal.written(named), "account": account, "site": site}
    return asyncio.run(_run(place, list(command), {key: value for key, value in about.items() if value}))


async def _run(place: Place, command: list[str], about: Object) -> int:
    here = _Here(command)
    async with place.connect(create=True, plugins={"command": here.plugin}) as service:
        asked = {"plugin": "command", "params": {"argv": [*map(terminal.written, command)]}, **about}
        return await (_beside(service, command, asked) if service.remote else _inside(service, here, asked))


class _Echo:
    """Shows lines on the stream they came from; one that nobody reads, or that is full, is no reason to stop."""

    def __init__(self) -> None:
        self._open: dict[str, TextIO] = {"stdout": sys.stdout, "stderr": sys.stderr}

    def line(self, stream: str, text: str) -> None:
        """Write a line now."""
        file = self._open.get(stream)
        if file is None:
            return
        try:
            file.write((terminal.visible(text) if terminal.interactive(file) else text) + "\n")
            file.flush()
        except OSError as error:
            del self._open[stream]
            terminal.drop_output(file)
            if not isinstance(error, BrokenPipeError) and self._open:
                said = f"{stream} cannot be written ({error.strerror}); the command goes on, and is recorded"
                with contextlib.suppress(OSError):
                    terminal.say(said, "WARNING")


class _Here:
    """The plugin ``command`` in this process, where it can be looked at.

    Args:
        command: the program and its arguments, as they were typed.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.code: int | None = None
        """What the command ended with; None as long as it has not, or when something else has ended it."""
        self.fault: str | None = None
        """Why it could not be started."""

    async def plugin(self, _params: Any, context: TaskContext) -> Any:
        """Run the command, and show each line once it is logged."""
        from asynclog.plugins.command import CommandError, CommandParams, run_shown  # noqa: PLC0415 - as below

        try:
            result = await run_shown(CommandParams(argv=self._command), context, _Echo().line)
        except CommandError as error:
            if error.exit_code is not None:
                self.code = _shell_code(error.exit_code)
            else:
                self.code, self.fault = _start_code(error.__cause__), str(error)
            raise
        self.code = 0
        return result


async def _inside(service: Service, here: _Here, asked: Object) -> int:
    """No service runs: the plugin ``command`` does it in this process, on the opened data directory."""
    task, interruption = await start_here(service, asked, lambda _entries: None)
    _remark_end(task)
    if here.fault is not None:
        terminal.fail(here.fault)
    if interruption.signal is not None:
        return interruption.exit_code
    return 1 if here.code is None else here.code


async def _beside(service: Service, command: list[str], asked: Object) -> int:
    """The command runs here, as an external task of the service."""
    params = {**asked["params"], "cwd": terminal.written(str(Path.cwd()))}
    task: Object = await service.call("POST", "/api/tasks", [], {**asked, "external": True, "params": params})
    terminal.remark(f"task {task['id']}")
    with Recorder(service, task["id"]) as recorder:
        code, ended = await _recorded(command, recorder)
    if recorder.dropped:
        terminal.say(f"{recorder.dropped:,} lines could not be recorded", "WARNING")
    if ended is not None:
        _remark_end(ended)
    return code


async def _recorded(command: list[str], recorder: Recorder) -> tuple[int, Object | None]:
    """Run the command to its end; the exit code, and the task as it ended if the service could be told."""
    sending = asyncio.create_task(recorder.run())
    here = {"cwd": terminal.written(str(Path.cwd())), "host": socket.gethostname()}
    recorder.add("plugin", f"running {terminal.written(shlex.join(command))}", metadata=here)
    child = asyncio.create_task(_child(command, recorder))
    watching = asyncio.create_task(_cancel_at_end(recorder, child))

    waited_for: list[asyncio.Task[Any]] = [child, sending]

    def interrupt() -> None:
        # The first time the command; once more: do not wait for a service that is away.
        next((work for work in waited_for if not work.done()), child).cancel()

    with interruptible(interrupt) as interruption:
        await asyncio.wait([child])
        watching.cancel()
        verdict, code = _verdict(child, recorder, command, cancelled=interruption.signal is not None)
        await recorder.close(sending)
        finishing = asyncio.create_task(_finish(verdict, recorder))
        waited_for.append(finishing)
        await asyncio.wait([finishing])
    ended = None if finishing.cancelled() else finishing.result()
    return interruption.exit_code if interruption.signal is not None else code, ended


async def _child(command: list[str], recorder: Recorder) -> Any:
    from asynclog.plugins import command as plugin  # noqa: PLC0415 - as below
    from asynclog.plugins.child import run_child  # noqa: PLC0415 - imports the library, which other commands don't need
    from asynclog.plugins.lines import KeyCover, Line, claimed_level  # noqa: PLC0415 - as above

    echo = _Echo()
    lines = dict.fromkeys(STREAMS, 0)
    passed = dict.fromkeys(STREAMS, 0.0)
    covers = {name: KeyCover() for name in STREAMS}

    def take(stream: str, line: Line) -> None:
        lines[stream] += 1
        echo.line(stream, line.text)
        if line.passing:  # of a progress bar one line in a while is enough, as in the plugin
            now = time.monotonic()
            if not line.text or now - passed[stream] < plugin.PASSING_SECONDS:
                return
            passed[stream] = now
        recorder.add(stream, covers[stream].cover(line.text), claimed_level(line.text) or "INFO")

    outcome = await run_child(command, take)
    return outcome, lines


async def _cancel_at_end(recorder: Recorder, child: asyncio.Task[Any]) -> None:
    await recorder.ended.wait()
    terminal.say("the task was ended in the service, so the command is ended too", "WARNING")
    child.cancel()


def _verdict(
    child: asyncio.Task[Any], recorder: Recorder, command: list[str], *, cancelled: bool
) -> tuple[Object, int]:
    """What the service is told about the end, and the exit code."""
    if child.cancelled():
        return {"status": "cancelled", "error_message": None}, 1
    error = child.exception()
    if isinstance(error, OSError):
        message = f"{terminal.written(command[0])!r} cannot be started: {error.strerror}"
        terminal.fail(message)
        return {"status": "failed", "error_message": message}, _start_code(error)
    if error is not None:
        raise error
    outcome, lines = child.result()
    result = {"exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 3), "lines": lines}
    said = f"{terminal.written(shlex.join(command))} {outcome.sentence} after {outcome.seconds:.2f} s"
    recorder.add("plugin", said, "INFO" if outcome.exit_code == 0 else "ERROR", result)
    if outcome.exit_code == 0:
        return {"status": "success", "result": result}, 0
    status = "cancelled" if cancelled else "failed"
    return {"status": status, "result": result, "error_message": said}, _shell_code(outcome.exit_code)


async def _finish(verdict: Object, recorder: Recorder) -> Object | None:
    if recorder.ended.is_set():
        return None
    try:
        return await recorder.finish(verdict)
    except (LostError, RefusedError) as error:
        terminal.say(f"the end of the task could not be recorded: {error}", "WARNING")
        return None


def _remark_end(task: Object) -> None:
    seconds = "" if task["duration"] is None else f" after {task['duration']:.2f} s"
    with contextlib.suppress(BrokenPipeError):
        terminal.remark(f"task {task['id']}: {'cancelling' if task['cancelling'] else task['status']}{seconds}")


def _start_code(error: BaseException | None) -> int:
    """What a shell answers for a command that is not there, or must not be executed."""
    return CANNOT_START - isinstance(error, PermissionError)


def _shell_code(exit_code: int) -> int:
    return exit_code if exit_code >= 0 else 128 - exit_code
