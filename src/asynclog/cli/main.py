"""The command ``asynclog``: its subcommands, and how each of them ends."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, Final

import click
from click.exceptions import NoArgsIsHelpError

from asynclog.cli import terminal
from asynclog.cli.service import RefusedError
from asynclog.errors import AsynclogError, InvalidError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
"""As shells say it: 128 and the number of SIGINT."""

COMMANDS: Final = {
    "serve": "serving",
    "demo": "serving",
    "run": "run",
    "start": "acting",
    "tasks": "reading",
    "tail": "reading",
    "export": "export",
    "cancel": "acting",
    "delete": "acting",
    "plugins": "acting",
    "schedules": "schedules",
    "keys": "keys",
    "settings": "upkeep",
    "cleanup": "upkeep",
}
"""Command to the module that has it, in the order of the help."""


class _Commands(click.Group):
    """Imports a command's module when it is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # before click takes it for an error
            terminal.drop_output()
            return OK
        except KeyboardInterrupt:  # before click writes an empty line
            return INTERRUPTED

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(importlib.import_module(f"asynclog.cli.{module}"), cmd_name)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="asynclog", prog_name="asynclog", message="%(prog)s %(version)s")
def group() -> None:
    """Per-task logging: run commands and plugins as tasks, and see what they log.

    A command works on a data directory: through the service that runs on it, or without one by itself.
    """


def main() -> None:
    """Run the command line and exit: 0 done, 1 the task failed or is not there, 2 wrong usage, 130 interrupted."""
    terminal.prepare()
    sys.exit(_run())


def _run() -> int:
    try:
        code = group.main(prog_name="asynclog", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except BrokenPipeError:
        terminal.drop_output()
        return OK
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads a sentence
        return _failed(error)


def _failed(error: Exception) -> int:
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        known = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "asynclog"
        terminal.fail(f"{error.format_message().rstrip('.')}; see `{known} --help`")
        return USAGE
    if isinstance(error, AsynclogError):
        terminal.fail(str(error))
        wrong = isinstance(error, InvalidError) or (isinstance(error, RefusedError) and error.status == 422)
        return USAGE if wrong else FAILED
    if isinstance(error, UnicodeEncodeError) and error.encoding == "utf-8":
        terminal.fail(f"'{terminal.written(error.object)}' is no text in UTF-8, and nothing else is stored")
        return USAGE
    if os.environ.get("ASYNCLOG_TRACEBACK"):
        traceback.print_exception(error)
    elif isinstance(error, OSError):
        terminal.fail(str(error))
    else:
        terminal.fail(f"a mistake in asynclog itself: {error!r}; ASYNCLOG_TRACEBACK=1 shows where")
    return FAILED
