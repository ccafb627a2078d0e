"""The options that several commands share, each set of them one argument of the command."""

from __future__ import annotations

import functools
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import click
import msgspec

from asynclog import config
from asynclog.cli import terminal
from asynclog.cli.connecting import connect
from asynclog.cli.credentials import api_key
from asynclog.cli.service import RefusedError, Service
from asynclog.config import Configuration
from asynclog.errors import InvalidError
from asynclog.filters import FILTER_PARAMETERS, LogFilter
from asynclog.model import TASK_STATUSES, TRIGGER_TYPES, parse_timestamp, timestamp_text
from asynclog.settings import SETTINGS, Scalar, read_setting

Command = Callable[..., Any]
Pairs = list[tuple[str, str]]

_AGO: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TIMES: Final = "ISO-8601, or how long ago: 90s, 10m, 2h, 7d"

_TASK_FILTERS: Final = {
    "status": "Only tasks in this state: " + ", ".join(TASK_STATUSES) + ".",
    "plugin": "Only tasks of this plugin.",
    "trigger_type": "Only tasks started like this: " + ", ".join(TRIGGER_TYPES) + ".",
    "account": "Only tasks of this account.",
    "site": "Only tasks of this site.",
    "parent": "Only children of this task: its id, the beginning of it, its name, or `last`.",
    "schedule": "Only tasks of this schedule.",
    "text": "Only tasks in whose name or error this text occurs.",
    "started_after": f"Only tasks started then or later ({_TIMES}).",
    "started_before": f"Only tasks started before ({_TIMES}).",
    "finished_after": f"Only tasks finished then or later ({_TIMES}).",
    "min_duration": "Only tasks that took so many seconds or more.",
    "max_duration": "Only tasks that took so many seconds at most.",
}
_REPEATED: Final = {"status", "plugin", "trigger_type"}


class Place(msgspec.Struct, frozen=True):
    """Where a command works: the configuration; and if they were named, a service, the file of a key, a module."""

    configuration: Configuration
    url: str | None
    key_file: str | None = None
    module: str | None = None

    @asynccontextmanager
    async def connect(
        self, *, create: bool = False, plugins: Mapping[str, object] | None = None
    ) -> AsyncIterator[Service]:
        """See `connecting.connect`; what a service refuses is told with the module it does not know of."""
        key = functools.partial(api_key, os.environ, self.key_file)
        async with connect(self.configuration, self.url, create=create, plugins=plugins, key=key) as service:
            try:
                yield service
            except RefusedError as error:
                if not (self.module and service.remote and error.status == 422):
                    raise
                raise RefusedError(422, f"{error}; {self.elsewhere}") from None

    @property
    def elsewhere(self) -> str:
        """Why a module that was named does not count."""
        return f"a service runs here, and its plugins count: start it with `--plugins {self.module}`"

    @contextmanager
    def even_without(self) -> Iterator[Place]:
        """The same place; where there is no directory yet, one for the moment, for what can be said without."""
        server = self.configuration.server
        if self.url is not None or self.configuration.folder.exists():
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="asynclog-") as folder:
            moment = msgspec.structs.replace(server, data=folder, shared_log_dir="")
            yield msgspec.structs.replace(
                self, configuration=msgspec.structs.replace(self.configuration, server=moment)
            )

    def with_plugins(self, module: str | None) -> Place:
        """The same place, with the plugins of a module too when it is opened here."""
        if module is None:
            return self
        server = msgspec.structs.replace(self.configuration.server, plugins=module)
        configuration = msgspec.structs.replace(self.configuration, server=server)
        return Place(configuration, self.url, self.key_file, module)


def moment(option: str, value: str) -> str:
    """A time as the routes take it: ``10m`` is ten minutes ago, anything else stays as it is.

    Raises:
        InvalidError: it is neither that nor ISO-8601.
    """
    found = _AGO.fullmatch(value.strip())
    if found is None:
        try:
            parse_timestamp(value)
        except (ValueError, OverflowError):
            raise InvalidError(option, f"{option}: {value!r} is no time; give {_TIMES}") from None
        return value
    return timestamp_text(max(0, time.time_ns() // 1000 - int(float(found[1]) * _SECONDS[found[2]] * 1_000_000)))


def stack(function: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Decorate so that the options are shown in their order."""
    for option in reversed(options):
        function = option(function)
    return function


def place(function: Command) -> Command:
    """``--data``, ``--config``, ``--url`` and ``--api-key-file`` as the argument ``place``."""

    @functools.wraps(function)
    def call(*args: Any, data: str | None, config_file: str | None, **rest: Any) -> Any:
        configuration = config.load({"data": data}, os.environ, config_file)
        url = rest.pop("url") or os.environ.get("ASYNCLOG_URL") or None
        return function(*args, place=Place(configuration, url, rest.pop("key_file")), **rest)

    return stack(
        call,
        [
            click.option("--data", metavar="DIR", help="The data directory.  [default: data]"),
            click.option(
                "--config", "config_file", metavar="FILE", help="The configuration.  [default: asynclog.toml]"
            ),
            click.option("--url", metavar="URL", help="A service to ask, instead of the data directory's own."),
            click.option(
                "--api-key-file", "key_file", metavar="FILE", help="The API key for it.  [default: ASYNCLOG_API_KEY]"
            ),
        ],
    )


def entry_filter(function: Command) -> Command:
    """Every filter parameter as an option; the argument ``conditions`` has them as the routes take them."""

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        conditions: Pairs = [
            ("metadata." + key, value) for key, value in _key_values("--metadata", given.pop("metadata"))
        ]
        for name in _filter_names():
            values = given.pop(name)
            conditions += [
                (name, moment(_flag(name), value) if name in ("since", "until") else value) for value in values
            ]
        LogFilter.parse(conditions)
        return function(*args, conditions=conditions, **given)

    options = [
        click.option(_flag(name), name, multiple=True, metavar=_metavar(name), help=_with_ago(FILTER_PARAMETERS[name]))
        for name in _filter_names()
    ]
    options.append(
        click.option(
            "--metadata", multiple=True, metavar="KEY=VALUE", help=_with_ago(FILTER_PARAMETERS["metadata.KEY"])
        )
    )
    return stack(call, options)


def task_filter(function: Command) -> Command:
    """The filters of the task list; the argument ``conditions`` has them as the route takes them."""

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        conditions: Pairs = []
        for name in _TASK_FILTERS:
            values = given.pop(name) or ()
            for value in values if isinstance(values, tuple) else (values,):
                conditions.append((name, moment(_flag(name), value) if name.endswith(("_after", "_before")) else value))
        return function(*args, conditions=conditions, **given)

    return stack(
        call,
        [
            click.option(_flag(name), name, multiple=name in _REPEATED, metavar=_metavar(name), help=help_text)
            for name, help_text in _TASK_FILTERS.items()
        ],
    )


def logging_settings(function: Command) -> Command:
    """One option for each logging setting; the argument ``settings`` has those that were given, checked."""

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        named = {name: given.pop(name) for name in SETTINGS}
        settings: dict[str, Scalar] = {
            name: read_setting(name, value) for name, value in named.items() if value is not None
        }
        return function(*args, settings=settings, **given)

    return stack(
        call,
        [
            click.option(
                _flag(setting.name),
                setting.name,
                metavar=_kind(setting.kind),
                help=f"{setting.help}  [default: {setting_text(setting.default)}]",
            )
            for setting in SETTINGS.values()
        ],
    )


def params(function: Command) -> Command:
    """``--params`` and ``-p`` as the argument ``params``."""

    @functools.wraps(function)
    def call(*args: Any, params_json: str | None, param: tuple[str, ...], **rest: Any) -> Any:
        try:
            found = msgspec.json.decode(params_json) if params_json else {}
        except msgspec.DecodeError as error:
            raise click.UsageError(f"--params is not valid JSON: {error}") from None
        if param and not isinstance(found, dict):
            raise click.UsageError("-p adds to --params, which therefore has to be a JSON object")
        for key, value in _key_values("-p", param):
            found[key] = _json_or_text(value)
        return function(*args, params=found, **rest)

    return stack(
        call,
        [
            click.option("--params", "params_json", metavar="JSON", help="All parameters as a JSON object."),
            click.option(
                "-p",
                "--param",
                multiple=True,
                metavar="KEY=VALUE",
                help="One parameter; read as JSON where it is, else as text.",
            ),
        ],
    )


def table(other: str = "ndjson") -> Callable[[Command], Command]:
    """``--format`` as the argument ``as_table``: whether it is for people, as it is on a terminal, or for programs."""

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def call(*args: Any, form: str | None, **rest: Any) -> Any:
            as_table = terminal.interactive(sys.stdout) if form is None else form == "table"
            return function(*args, as_table=as_table, **rest)

        option = click.option(
            "--format", "form", type=click.Choice(["table", other]), help="[default: a table on a terminal]"
        )
        return option(call)

    return decorate


def _key_values(option: str, texts: tuple[str, ...]) -> Pairs:
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{option} takes KEY=VALUE, not {text!r}")
        pairs.append((key, value))
    return pairs


def _json_or_text(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _filter_names() -> list[str]:
    return [name for name in FILTER_PARAMETERS if "." not in name]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _metavar(name: str) -> str:
    if name in ("level", "min_level"):
        return "LEVEL"
    if name in ("since", "until") or name.endswith(("_after", "_before")):
        return "TIME"
    return {
        "search": "TEXT",
        "text": "TEXT",
        "parent": "TASK",
        "schedule": "ID",
        "status": "STATE",
        "min_duration": "SECONDS",
        "max_duration": "SECONDS",
    }.get(name, "NAME")


def _kind(kind: str) -> str:
    return {"flag": "true|false", "level": "LEVEL"}.get(kind, kind.upper())


def setting_text(value: Scalar) -> str:
    """The value of a setting as one types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_ago(text: str) -> str:
    """The help of a time, which on the command line may also be how long ago it was."""
    return text.replace("ISO-8601; without an offset it is UTC", f"{_TIMES}; without an offset it is UTC")
