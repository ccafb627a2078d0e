"""The logging settings: one table of names, defaults, types and help, and the values that count now.

Precedence, highest first: pinned (a flag or ``ASYNCLOG_*``), stored (by PUT or the command line), the file
asynclog.toml, the default. `Settings` owns the values; the hot path reads `Dials`, which it keeps up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from asynclog.errors import ConflictError, InvalidError
from asynclog.model import Level
from asynclog.redaction import REDACTOR

Scalar = str | int | float | bool


class Setting(NamedTuple):
    """One setting. ``read`` turns what a person or JSON gives into its value, or raises ValueError with a reason."""

    name: str
    kind: str
    default: Scalar
    read: Callable[[object], Scalar]
    help: str


def _level(value: object) -> str:
    return Level.parse(value).name


_FLAGS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return flag


def _number(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number") from None


def _between(least: float, most: float, unit: str) -> Callable[[object], float]:
    def read(value: object) -> float:
        number = _number(value)
        if not least <= number <= most:
            raise ValueError(f"{value!r} is not between {least:g} and {most:,g} {unit}")
        return number

    return read


def _count(largest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = _number(value)
        if not 0 <= number <= largest or number != int(number):
            raise ValueError(f"{value!r} is not a whole number from 0 to {largest:,}")
        return int(number)

    return read


SETTINGS: Final = {
    setting.name: setting
    for setting in (
        Setting("log_level", "level", "INFO", _level, "From which level on the service logs about itself on stderr."),
        Setting("task_log_level", "level", "INFO", _level, "From which level on entries of tasks are kept."),
        Setting("belief_scope_enabled", "flag", True, _flag, "Whether belief_scope logs (at DEBUG)."),
        Setting(
            "flush_interval",
            "seconds",
            2.0,
            _between(0.05, 60, "seconds"),
            "How long an entry waits for its batch at most.",
        ),
        Setting(
            "message_limit", "bytes", 1 << 20, _count(1 << 26), "Longer messages keep head and tail; 0 keeps 64 MiB."
        ),
        Setting("capture_enabled", "flag", True, _flag, "Whether steps are recorded."),
        Setting("capture_inputs", "flag", True, _flag, "Whether a step's input is recorded."),
        Setting("capture_outputs", "flag", True, _flag, "Whether a step's output is recorded."),
        Setting(
            "max_data_size", "bytes", 100_000, _count(1 << 26), "Larger inputs, outputs, params and results are cut."
        ),
        Setting(
            "retention_days",
            "days",
            30.0,
            _between(0, 36_500, "days"),
            "Ended tasks older than this are removed; 0 keeps them.",
        ),
        Setting("retention_max_tasks", "count", 0, _count(1 << 31), "Ended tasks kept of a plugin; 0 for no limit."),
        Setting(
            "search_index", "flag", True, _flag, "Whether an index for searches and filters is kept; off removes it."
        ),
    )
}
"""Every setting by name, in the order they are shown."""

ENVIRONMENT_PREFIX: Final = "ASYNCLOG_"


def read_setting(name: str, value: object) -> Scalar:
    """The value of a setting, as it is kept.

    Raises:
        InvalidError: there is no such setting, or the value is not one of its kind.
    """
    setting = SETTINGS.get(name)
    if setting is None:
        raise InvalidError(name, f"there is no setting {name!r}; there are {', '.join(SETTINGS)}")
    try:
        return setting.read(value)
    except ValueError as error:
        raise InvalidError(name, f"{name}: {error}") from None


def from_environment(environment: Mapping[str, str]) -> dict[str, Scalar]:
    """The settings that ``ASYNCLOG_NAME`` variables pin. Raises InvalidError for a bad value."""
    found = {}
    for name in SETTINGS:
        value = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if value is not None:
            found[name] = read_setting(name, value)
    return found


UNLIMITED_BYTES: Final = 1 << 26
"""Of a message where no limit is set: a journal record has a largest size."""


class Dials:
    """The settings as the hot path wants them: plain attributes, read without a lock."""

    __slots__ = (
        "belief_scope",
        "capture",
        "capture_inputs",
        "capture_outputs",
        "max_data_size",
        "message_limit",
        "redactor",
        "threshold",
    )

    def __init__(self) -> None:
        self.turn({name: setting.default for name, setting in SETTINGS.items()})
        self.redactor = REDACTOR
        """What counts as a secret; not a setting, since nobody may let it count as less while the process runs."""

    def turn(self, values: Mapping[str, Any]) -> None:
        """The settings are like this from now on."""
        self.threshold = int(Level[values["task_log_level"]])
        self.belief_scope: bool = values["belief_scope_enabled"]
        self.message_limit: int = values["message_limit"] or UNLIMITED_BYTES
        self.capture: bool = values["capture_enabled"]
        self.capture_inputs: bool = values["capture_inputs"]
        self.capture_outputs: bool = values["capture_outputs"]
        self.max_data_size: int = values["max_data_size"]


class Settings:
    """The values that count now. Lives on the event loop; the dials may be read from any thread.

    Args:
        pinned: by flag or environment; cannot be changed while the process runs.
        file: from asynclog.toml.

    Raises:
        InvalidError: a name or value in either is wrong.
    """

    def __init__(self, pinned: Mapping[str, object] = {}, file: Mapping[str, object] = {}) -> None:
        self._pinned = {name: read_setting(name, value) for name, value in pinned.items()}
        self._file = {name: read_setting(name, value) for name, value in file.items()}
        self._stored: dict[str, Scalar] = {}
        self._changed: list[Callable[[], None]] = []
        self.dials = Dials()
        self._turn()

    @property
    def pinned(self) -> list[str]:
        """Names that a flag or the environment decides."""
        return [name for name in SETTINGS if name in self._pinned]

    def __getitem__(self, name: str) -> Any:
        return self.values()[name]

    def values(self) -> dict[str, Scalar]:
        """Every setting by name."""
        defaults = {name: setting.default for name, setting in SETTINGS.items()}
        return {**defaults, **self._file, **self._stored, **self._pinned}

    def stored(self) -> dict[str, Scalar]:
        """Those that an admin has changed, as they are to be kept."""
        return dict(self._stored)

    def load(self, stored: Mapping[str, object]) -> None:
        """Take what an earlier process stored; a name or value this version does not know is passed over."""
        for name, value in stored.items():
            try:
                self._stored[name] = read_setting(name, value)
            except InvalidError:
                continue
        self._turn()

    def check(self, values: Mapping[str, object]) -> dict[str, Scalar]:
        """What a change would store.

        Raises:
            InvalidError: a name or value is wrong.
            ConflictError: a setting is pinned.
        """
        checked = {name: read_setting(name, value) for name, value in values.items()}
        for name in checked:
            if name in self._pinned:
                raise ConflictError(
                    f"{name} is pinned to {self._pinned[name]!r} by a flag or {ENVIRONMENT_PREFIX}{name.upper()}; "
                    "restart without that to change it here"
                )
        return checked

    def apply(self, values: Mapping[str, Scalar]) -> None:
        """Let checked values count from the next log call on."""
        self._stored.update(values)
        self._turn()

    def on_change(self, call: Callable[[], None]) -> None:
        """Call this after every change, and now."""
        self._changed.append(call)
        call()

    def _turn(self) -> None:
        self.dials.turn(self.values())
        for call in self._changed:
            call()
