"""``asynclog serve`` and ``asynclog demo``: the service itself."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asynclog import config
from asynclog.cli import options, terminal
from asynclog.config import Configuration
from asynclog.settings import Scalar

if TYPE_CHECKING:
    from asynclog.tasks.manager import TaskManager

_SHOWN: Final = 6
"""Demo tasks that are named when it begins."""


def _service(function: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands take: everything of ``[server]`` and every setting, as the argument ``configuration``."""

    @options.logging_settings
    @functools.wraps(function)
    def call(*, config_file: str | None, settings: dict[str, Scalar], **given: Any) -> Any:
        server = {name: given.pop(name) or None for name in ("hosts", "origins", "proxies")}
        server |= {name: given.pop(name) for name in config.Server.__struct_fields__ if name in given}
        return function(configuration=config.load({**server, **settings}, os.environ, config_file), **given)

    return options.stack(
        call,
        [
            click.option("--host", metavar="HOST", help="Where to listen.  [default: 127.0.0.1]"),
            click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: 8700]"),
            click.option("--data", metavar="DIR", help="The data directory.  [default: data]"),
            click.option("--plugins", metavar="MODULE", help="An importable module with a dictionary PLUGINS."),
            click.option(
                "--run-log-dir", metavar="DIR", help="Run directories, relative to data; '' for none.  [default: runs]"
            ),
            click.option("--shared-log-dir", metavar="DIR", help="Mirror the run directories there."),
            click.option("--config", "config_file", metavar="FILE", help="[default: asynclog.toml, if there is one]"),
            click.option("--log-format", type=click.Choice(["text", "json"]), help="Of the service's own log."),
            click.option(
                "--allow-host",
                "hosts",
                multiple=True,
                metavar="NAME",
                help="A name the service is called by, such as a reverse proxy's; may be repeated.",
            ),
            click.option(
                "--allow-origin",
                "origins",
                multiple=True,
                metavar="URL",
                help="Whose pages may change something, such as https://logs.example.org; may be repeated.",
            ),
            click.option(
                "--trust-proxy",
                "proxies",
                multiple=True,
                metavar="ADDRESS",
                help="A reverse proxy, or a network of them, that says who asks (X-Forwarded-For); may be repeated.",
            ),
        ],
    )


@click.command()
@_service
def serve(configuration: Configuration) -> None:
    """Serve the data directory: dashboard, API and tasks.

    Flags count before ASYNCLOG_* variables, these before asynclog.toml. A logging setting given as flag or variable
    cannot be changed while the service runs.
    """

    async def started(_tasks: TaskManager, url: str) -> None:
        terminal.remark(f"Open {url} in a browser; Ctrl-C ends the service.")

    _serve(configuration, started)


@click.command()
@_service
@click.option("--replay", multiple=True, metavar="FILE", help="A log file to replay, instead of the project's texts.")
def demo(configuration: Configuration, replay: tuple[str, ...]) -> None:
    """Serve, with tasks to look at that do real work on real files.

    They measure, copy, back up and migrate the program's own files (under DATA/demo), look at the git repository in the
    current directory, and replay log files.
    """
    files = [Path(name) for name in replay]
    for path in files:
        if not path.is_file():
            raise click.BadParameter(f"there is no file {path}", param_hint="--replay")

    async def started(tasks: TaskManager, url: str) -> None:
        from asynclog.cli.demo import begin  # noqa: PLC0415 - `serve` does without it

        begun = await begin(tasks, configuration.folder / "demo", files)
        data = "" if configuration.server.data == "data" else f" --data {configuration.server.data}"
        terminal.say(f"\nOpen {url} in a browser, or in another terminal:\n", "bold")
        for task in begun[:_SHOWN]:
            terminal.say(f"  asynclog tail{data} -f {task.id}    {task.name}")
        terminal.say(f"  asynclog tasks{data}\n\nCtrl-C ends the demo.\n")

    _serve(configuration, started)


def _serve(configuration: Configuration, started: Callable[[TaskManager, str], Awaitable[None]]) -> None:
    from asynclog.server.serve import serve as run  # noqa: PLC0415 - --help does without uvicorn

    server = configuration.server
    run(
        configuration.folder,
        host=server.host,
        port=server.port,
        configuration=configuration,
        log_format=server.log_format,
        hosts=server.hosts,
        origins=server.origins,
        proxies=server.proxies,
        started=started,
    )
