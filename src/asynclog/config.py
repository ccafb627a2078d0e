r"""How asynclog is configured: flags, over ``ASYNCLOG_*`` variables, over ``asynclog.toml``, over the defaults.

The file::

    [server]                    # how `asynclog serve` listens and where its data is
    host = "127.0.0.1"
    port = 8700
    data = "data"
    plugins = "my_plugins"      # a module with a dictionary PLUGINS
    log_format = "text"         # the service's own log: text or json
    hosts = ["logs.example.org"]             # names it is called by, besides this machine's own; needs API keys
    origins = ["https://logs.example.org"]   # whose pages may change something, where a proxy changes the Host
    proxies = ["127.0.0.1"]     # whose X-Forwarded-For is believed: addresses or networks
    run_log_dir = "runs"        # each task's run directory, relative to data; "" for none
    shared_log_dir = "/mnt/x"   # where run directories are mirrored
    connections = 2000          # open at a time; half of them from one address
    subscriptions = 1000        # open WebSockets, and how many of them of one key
    subscriptions_per_key = 100
    requests_per_second = 1000  # of one key; twice as many at once
    tasks_per_key = 1000        # open ones that it began
    schedules_per_key = 1000    # that it sees

    [logging]                   # any of the logging settings
    task_log_level = "DEBUG"

    [redaction]                 # what counts as a secret in logs, beside what always does
    keys = ["salary"]           # what stands under such a key or name is hidden
    patterns = ['EMP-\d{1,9}']  # and what matches, too

    [plugins.reindex]           # what the context.config of a plugin of yours holds
    batch = 500

    [hooks.nightly]             # POST /api/hooks/nightly starts a plugin
    plugin = "backup"
    secret = "sha256:9f86d0…"   # of its secret; or the secret itself
    params = { folder = "/srv", target = "/var/backups" }

A logging setting from a flag or a variable is pinned; one from the file yields to what was stored at run time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from asynclog.errors import InvalidError
from asynclog.redaction import REDACTOR, Redactor
from asynclog.settings import ENVIRONMENT_PREFIX, SETTINGS, Scalar, from_environment, read_setting

FILE: Final = "asynclog.toml"
"""Read from the current directory when no other file is named; it may be missing."""

_MAY_BE_EMPTY: Final = ENVIRONMENT_PREFIX + "RUN_LOG_DIR"
"""Empty it means something; every other variable that is empty was not given."""

_LISTS: Final = frozenset({"hosts", "origins", "proxies"})
"""In a variable, separated by commas."""

_KEY: Final = re.compile(r"unknown field `([^`]*)`")
_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`")


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: where the service listens and where its data is."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8700
    data: str = "data"
    plugins: str | None = None
    log_format: Literal["text", "json"] = "text"
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    run_log_dir: str = "runs"
    shared_log_dir: str | None = None
    connections: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 2000
    subscriptions: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1000
    subscriptions_per_key: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 100
    requests_per_second: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    tasks_per_key: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1000
    schedules_per_key: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1000


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[hooks.NAME]``: what a webhook starts, and the secret its caller has to know (or ``sha256:`` and its hash)."""

    plugin: str
    secret: Annotated[str, msgspec.Meta(min_length=8)]
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    account: str | None = None
    site: str | None = None


class Redaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[redaction]``: what counts as a secret beside what always does; see `asynclog.redaction.Redactor`."""

    keys: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def redactor(self) -> Redactor:
        """What it says. Raises InvalidError."""
        try:
            return REDACTOR.extended(self.patterns, self.keys) if self.patterns or self.keys else REDACTOR
        except ValueError as error:
            raise InvalidError("redaction", f"[redaction] {error}") from None


def redaction_of(given: Redaction | Mapping[str, Any]) -> Redaction:
    """A redaction given as a mapping. Raises InvalidError."""
    try:
        return given if isinstance(given, Redaction) else msgspec.convert(given, Redaction)
    except msgspec.ValidationError as error:
        raise InvalidError("redaction", f"redaction takes keys and patterns, lists of texts: {error}") from None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: dict[str, Any] = msgspec.field(default_factory=dict)
    logging: dict[str, Any] = msgspec.field(default_factory=dict)
    redaction: Redaction = Redaction()
    plugins: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    hooks: dict[str, Hook] = msgspec.field(default_factory=dict)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a process is started with. ``pinned_by`` says which flag or variable decides a setting."""

    server: Server = Server()
    settings: dict[str, Scalar] = msgspec.field(default_factory=dict)
    pinned: dict[str, Scalar] = msgspec.field(default_factory=dict)
    pinned_by: dict[str, str] = msgspec.field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    hooks: dict[str, Hook] = msgspec.field(default_factory=dict)
    redaction: Redaction = Redaction()

    @property
    def folder(self) -> Path:
        """The data directory."""
        return Path(self.server.data)


def load(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: str | Path | None = None,
) -> Configuration:
    """Put a configuration together.

    Args:
        flags: by the names of the ``[server]`` keys and the settings; those that are None were not given.
        environment: usually `os.environ`; ``ASYNCLOG_CONFIG`` names the file when the argument does not.
        file: the configuration file, which then has to exist.

    Raises:
        InvalidError: the file cannot be read, a key in it is unknown, or a value anywhere is bad; names the key.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    variables = {name: value for name, value in (environment or {}).items() if value or name == _MAY_BE_EMPTY}
    parsed = _read(file or variables.get(ENVIRONMENT_PREFIX + "CONFIG") or None)
    pinned = from_environment(variables)
    pinned_by = {name: ENVIRONMENT_PREFIX + name.upper() for name in pinned}
    for name in SETTINGS.keys() & given.keys():
        pinned[name] = read_setting(name, given[name])
        pinned_by[name] = "--" + name.replace("_", "-")
    parsed.redaction.redactor()  # what is wrong with it is said before anything is opened
    return Configuration(
        server=_server(parsed.server, variables, given),
        settings={name: _setting(name, value) for name, value in parsed.logging.items()},
        pinned=pinned,
        pinned_by=pinned_by,
        plugins=parsed.plugins,
        hooks=parsed.hooks,
        redaction=parsed.redaction,
    )


def _read(file: str | Path | None) -> _File:
    path = Path(file or FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if file is None:
            return _File()
        raise InvalidError("config", f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError("config", f"the configuration file {path} cannot be read: {error}") from None
    try:
        return msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError("config", f"{path} is not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise _invalid(str(path), "", error, _File) from None


def _setting(name: str, value: object) -> Scalar:
    try:
        return read_setting(name, value)
    except InvalidError as error:
        raise InvalidError(f"logging.{name}", f"[logging] {error}") from None


def _server(table: Mapping[str, Any], variables: Mapping[str, str], flags: Mapping[str, object]) -> Server:
    """The ``[server]`` values that count, each checked under the name its author knows."""
    names = Server.__struct_fields__
    from_variables: dict[str, Any] = {
        name: [part.strip() for part in value.split(",")] if name in _LISTS else value
        for name in names
        if (value := variables.get(ENVIRONMENT_PREFIX + name.upper())) is not None
    }
    _check("the configuration file", "server", table, strict=True)
    _check("the environment", ENVIRONMENT_PREFIX, from_variables, strict=False)
    merged = {**table, **from_variables, **{name: flags[name] for name in names if name in flags}}
    return _check("the command line", "server", merged, strict=False)


def _check(where: str, table: str, values: Mapping[str, Any], *, strict: bool) -> Server:
    try:
        return msgspec.convert(values, Server, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(where, table, error, Server) from None


def _invalid(where: str, table: str, error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> InvalidError:
    """Msgspec's message as a sentence that names the key as its author wrote it."""
    said = str(error)
    unknown, path = _KEY.search(said), _PATH.search(said)
    inner = path[1] if path else ""
    if unknown is not None:
        key = ".".join(part for part in (table, inner, unknown[1]) if part)
        known = ", ".join(kind.__struct_fields__)
        return InvalidError(key, f"{where}: there is no key {key!r}; there are {known}")
    environment = table == ENVIRONMENT_PREFIX
    key = table + inner.upper() if environment else ".".join(part for part in (table, inner) if part)
    return InvalidError(key, f"{where}: {key}: {_PATH.sub('', said)}")
