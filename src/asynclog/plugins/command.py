"""The plugin ``command``: any command as a task, its output live, its exit code the result."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from asynclog import TaskContext, requires
from asynclog.plugins.child import Outcome, run_child
from asynclog.plugins.lines import KeyCover, Line, claimed_level

PASSING_SECONDS: Final = 1.0
"""How often a line that is shown in the place of the one before (a progress bar) becomes an entry."""


class CommandError(Exception):
    """The command could not be started, or did not exit with 0. ``exit_code`` is None when it never ran."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run: either ``argv`` or ``shell``."""

    argv: Annotated[
        list[str] | None, Meta(description="The program and its arguments, one by one; no shell looks at them.")
    ] = None
    shell: Annotated[str | None, Meta(description="One line for /bin/sh, with its pipes, quotes and variables.")] = None
    cwd: Annotated[str | None, Meta(description="The folder to run in; without one that of the service.")] = None
    env: Annotated[dict[str, str], Meta(description="Environment variables beside those of the service.")] = (
        msgspec.field(default_factory=dict)
    )
    levels: Annotated[
        bool, Meta(description="Give a line the level it claims (ERROR, warning: …); without, all are INFO.")
    ] = True
    grace_seconds: Annotated[
        float, Meta(ge=0, le=60, description="When cancelled: seconds between SIGTERM and SIGKILL.")
    ] = 2.0

    def __post_init__(self) -> None:
        if (self.argv is None) == (self.shell is None):
            raise ValueError("give either argv (a list) or shell (a string)")
        if self.argv is not None and not (self.argv and self.argv[0]):
            raise ValueError("argv needs at least the program")

    @property
    def shown(self) -> str:
        """The command as one would type it."""
        return self.shell if self.shell is not None else shlex.join(self.argv or [])


@requires("admin")
async def run(params: CommandParams, context: TaskContext) -> dict[str, Any]:
    """Runs any command: its output is logged live as stdout and stderr, its exit code decides.

    Returns exit code, seconds and the number of lines of either stream. A cancelled task ends the command's whole
    process group.

    Raises:
        CommandError: it cannot be started, or its exit code is not 0.
    """
    return await run_shown(params, context, lambda _stream, _text: None)


async def run_shown(params: CommandParams, context: TaskContext, show: Callable[[str, str], None]) -> dict[str, Any]:
    """As `run`; each line is handed over once it is logged, with the stream it came from, whatever its level."""
    log = context.logger
    output = _Output(params, context, show)
    log.info("running %s", params.shown, cwd=params.cwd, env=sorted(params.env))
    try:
        outcome = await run_child(
            params.shell if params.shell is not None else params.argv or [],
            output.take,
            cwd=params.cwd,
            env=params.env,
            grace_seconds=params.grace_seconds,
            started=lambda pid: log.debug("process %d has started", pid, pid=pid),
        )
    except OSError as error:
        raise CommandError(_cannot_start(params, error)) from error
    return _result(params, context, outcome, output)


def _result(params: CommandParams, context: TaskContext, outcome: Outcome, output: _Output) -> dict[str, Any]:
    if outcome.held_open:
        context.logger.warning(
            "a process that it started still holds its output open; what that one writes from now on is not logged"
        )
    result = {"exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 3), "lines": output.lines}
    said = f"{params.shown} {outcome.sentence} after {outcome.seconds:.2f} s"
    if outcome.exit_code != 0:
        context.logger.error("%s", said, **result)
        raise CommandError(said, outcome.exit_code)
    context.logger.info("%s", said, **result)
    return result


class _Output:
    """Turns the lines of a child into entries."""

    def __init__(self, params: CommandParams, context: TaskContext, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._levels = params.levels
        self._loggers = {name: context.logger.with_source(name) for name in ("stdout", "stderr")}
        self._covers = {name: KeyCover() for name in self._loggers}
        self._passed = dict.fromkeys(self._loggers, -PASSING_SECONDS)
        self.lines = dict.fromkeys(self._loggers, 0)

    def take(self, stream: str, line: Line) -> None:
        """Log a line, then show it: no line that was shown is lost."""
        self.lines[stream] += 1
        self._log(stream, line)
        self._show(stream, line.text)

    def _log(self, stream: str, line: Line) -> None:
        if line.passing:
            now = time.monotonic()
            if not line.text or now - self._passed[stream] < PASSING_SECONDS:
                return
            self._passed[stream] = now
        level = (claimed_level(line.text) if self._levels else None) or "INFO"
        self._loggers[stream].log(level, self._covers[stream].cover(line.text))


def _cannot_start(params: CommandParams, error: OSError) -> str:
    program = params.argv[0] if params.argv else "/bin/sh"
    if params.cwd is not None and not Path(params.cwd).is_dir():
        return f"the folder {params.cwd} does not exist, so nothing can run in it"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {program!r}; check the name, or give its full path"
    if isinstance(error, PermissionError):
        return f"{program!r} must not be executed: {error.strerror}"
    return f"{program!r} could not be started: {error}"
