"""LogFilter: which entries somebody wants to see. One immutable value, compiled to SQL and to a Python predicate.

Both compilers mean exactly the same (a property test says so), so a page read from the store and the live entries
that follow it fit together. Different conditions are ANDed, repeated ones ORed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Protocol

import msgspec
import orjson

from asynclog.errors import InvalidError
from asynclog.metadata_condition import MetadataCondition, SqlTerm, any_of
from asynclog.model import Level, parse_timestamp, timestamp_text
from asynclog.search_condition import search_check, search_term

MAX_SEARCH: Final = 1000
"""Characters of one search at most."""

MAX_CONDITIONS: Final = 200
"""Conditions of one filter at most: SQLite bounds the depth of an expression, at 1,000."""

FILTER_PARAMETERS: Final = {
    "level": "Only entries of exactly this level: DEBUG, INFO, WARNING or ERROR.",
    "min_level": "Only entries of this level or a more severe one.",
    "source": "Only entries of this source.",
    "exclude_source": "No entries of this source.",
    "stage": "Only entries of the stage with this name.",
    "unit": "Only entries about the unit with this id.",
    "step_id": "Only entries of the step with this id.",
    "search": "Only entries whose message contains this text; A-Z and a-z are the same, every character is plain.",
    "metadata.KEY": "Only entries with this value in the metadata under KEY, a key or else a dotted path of keys;"
    " strings as they are, numbers, true, false and null as in JSON.",
    "since": "Only entries of this time or later, ISO-8601; without an offset it is UTC.",
    "until": "Only entries before this time, ISO-8601; without an offset it is UTC.",
}
"""Every filter parameter, the same in REST, WebSocket and CLI, and what it does. Each may be repeated."""

_METADATA: Final = "metadata."


class Filterable(Protocol):
    """What a filter looks at: `records.EntryRecord` and `model.Entry` are such."""

    @property
    def timestamp(self) -> int:
        """Microseconds since the epoch."""

    @property
    def level(self) -> int:
        """The number of its `Level`."""

    @property
    def source(self) -> str:
        """Who spoke."""

    @property
    def stage(self) -> str | None:
        """The stage's name."""

    @property
    def unit(self) -> str | None:
        """The unit's id."""

    @property
    def step_id(self) -> str | None:
        """The step's id."""

    @property
    def message(self) -> str:
        """The text."""

    @property
    def metadata_json(self) -> str | None:
        """A JSON object as orjson writes it, or None."""


Predicate = Callable[[Filterable], bool]


class LogFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """Conditions on entries. Equal filters compare equal and hash alike when they come from `parse`.

    ``metadata`` holds (KEY, value) pairs; times are microseconds since the epoch, ``until`` is exclusive.
    """

    levels: tuple[Level, ...] = ()
    min_level: Level | None = None
    sources: tuple[str, ...] = ()
    exclude_sources: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    step_ids: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    since: int | None = None
    until: int | None = None

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> LogFilter:
        """Read a filter from (name, value) pairs, as they come in a query string.

        Raises:
            InvalidError: a name is unknown or a value is bad; names the parameter as it was written.
        """
        found: dict[str, list[Any]] = {}
        for number, (name, value) in enumerate(pairs, 1):
            if number > MAX_CONDITIONS:
                raise InvalidError(name, f"a filter may have at most {MAX_CONDITIONS} conditions")
            field, parsed = _parse_pair(name, value)
            found.setdefault(field, []).append(parsed)
        if "" in found.get("searches", ()):
            del found["searches"]  # the empty text is in every message, so ORed with anything it asks for nothing
        fields: dict[str, Any] = {field: tuple(sorted(set(values))) for field, values in found.items()}
        fields.update((field, widest(found[field])) for field, widest in _BOUNDS if field in found)
        return cls(**fields)

    @classmethod
    def parse_mapping(cls, mapping: object) -> LogFilter:
        """Read a filter from a decoded JSON object: same names, repeated ones as arrays, numbers as numbers or text.

        Raises:
            InvalidError: as `parse` does; names "filter" when it is no object.
        """
        if not isinstance(mapping, Mapping):
            raise InvalidError("filter", "a filter is a JSON object of parameter names and values")
        return cls.parse(
            (str(name), _scalar_text(str(name), item))
            for name, value in mapping.items()
            for item in (value if isinstance(value, list | tuple) else (value,))
        )

    def pairs(self) -> list[tuple[str, str]]:
        """The (name, value) pairs that `parse` reads back to an equal filter."""
        pairs = [("level", level.name) for level in self.levels]
        if self.min_level is not None:
            pairs.append(("min_level", self.min_level.name))
        for name, field in _TEXT_FIELDS.items():
            pairs.extend((name, text) for text in getattr(self, field))
        pairs.extend((_METADATA + key, value) for key, value in self.metadata)
        if self.since is not None:
            pairs.append(("since", timestamp_text(self.since)))
        if self.until is not None:
            pairs.append(("until", timestamp_text(self.until)))
        return pairs

    @property
    def accepted_levels(self) -> tuple[Level, ...]:
        """The levels that ``levels`` and ``min_level`` together let through, in order of severity."""
        return tuple(
            level
            for level in Level
            if (not self.levels or level in self.levels) and (self.min_level is None or level >= self.min_level)
        )

    @property
    def metadata_conditions(self) -> list[MetadataCondition]:
        """One condition for each KEY, its repeated values ORed."""
        values: dict[str, list[str]] = {}
        for key, value in self.metadata:
            values.setdefault(key, []).append(value)
        return [MetadataCondition(key, tuple(texts)) for key, texts in values.items()]

    def where(self) -> tuple[str, list[str | int]]:
        """The SQL condition on the columns of ``task_logs`` and its parameters; ``1`` when everything matches."""
        terms: list[str] = []
        params: list[str | int] = []
        for sql, values in _sql_terms(self):
            terms.append(sql)
            params.extend(values)
        return " AND ".join(terms) or "1", params

    def matches(self, record: Filterable) -> bool:
        """Whether the entry passes: what `where` says in SQL. Never raises for an entry as stored."""
        return self.predicate(record)

    @cached_property
    def predicate(self) -> Predicate:
        """`matches` as a bare function, compiled once: what loops over many entries should hold on to."""
        checks = tuple(_checks(self))
        if not checks:
            return _everything
        return checks[0] if len(checks) == 1 else _every(checks)


NO_FILTER: Final = LogFilter()
"""Lets everything through."""

_TEXT_FIELDS: Final = {
    "source": "sources",
    "exclude_source": "exclude_sources",
    "stage": "stages",
    "unit": "units",
    "step_id": "step_ids",
    "search": "searches",
}

_BOUNDS: Final[tuple[tuple[str, Callable[[list[Any]], Any]], ...]] = (
    ("min_level", min),
    ("since", min),
    ("until", max),
)
"""Repeated bounds are ORed too, so the widest one decides."""


def is_filter_parameter(name: str) -> bool:
    """Whether `LogFilter.parse` knows the name: how a door tells filter parameters from its own."""
    return name.startswith(_METADATA) or (name in FILTER_PARAMETERS and "." not in name)


# Parsing


def _parse_pair(name: str, value: str) -> tuple[str, Any]:
    """The field a pair belongs to and its value there."""
    if not is_filter_parameter(name):
        raise InvalidError(name, f"{name!r} is no filter parameter; there are {', '.join(FILTER_PARAMETERS)}")
    _check_text(name, name)
    _check_text(name, value)
    if name.startswith(_METADATA):
        return "metadata", (name[len(_METADATA) :], value)
    if name in _TEXT_FIELDS:
        if name == "search" and len(value) > MAX_SEARCH:
            raise InvalidError(name, f"a search has at most {MAX_SEARCH:,} characters, this one {len(value):,}")
        return _TEXT_FIELDS[name], value
    try:
        if name in ("since", "until"):
            return name, parse_timestamp(value)
        return ("levels" if name == "level" else name), Level.parse(value)
    except (ValueError, OverflowError) as error:
        hint = "" if "level" in name else "; give an ISO-8601 time such as 2026-02-07T12:00:00Z"
        raise InvalidError(name, f"{name}: {error}{hint}") from error


def _check_text(name: str, text: str) -> None:
    """Refuse what no stored entry can contain and a database cannot take."""
    if "\0" in text:
        raise InvalidError(name, f"{name!r} contains NUL; entries show it as \\x00, so look for that text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidError(name, f"{name!r} is not valid Unicode: it contains a lone surrogate") from None


def _scalar_text(name: str, value: object) -> str:
    """A value of the JSON form as text: strings as they are, numbers (in metadata true, false, null too) as JSON."""
    if isinstance(value, str):
        return value
    constant = value is None or isinstance(value, bool)
    if name.startswith(_METADATA) if constant else isinstance(value, int | float):
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            return str(value)  # an integer of more than 64 bits: no entry has it as a number
    allowed = "a string, a number, true, false or null" if name.startswith(_METADATA) else "a string or a number"
    raise InvalidError(name, f"{name} must be {allowed}, or an array of them")


# To SQL: conditions of constant text, values bound.


def _sql_terms(log_filter: LogFilter) -> Iterable[SqlTerm]:
    levels = log_filter.accepted_levels
    if len(levels) < len(Level):
        # Constants, not parameters: SQLite uses a partial index only when the text of the condition implies it.
        names = ", ".join(f"'{level.name}'" for level in levels)
        yield f"level IN ({names})" if names else "0", []
    for column, texts in (
        ("source", log_filter.sources),
        ("stage", log_filter.stages),
        ("unit", log_filter.units),
        ("step_id", log_filter.step_ids),
    ):
        if texts:
            yield f"{column} IN ({_marks(texts)})", [*texts]
    if log_filter.exclude_sources:
        yield f"source NOT IN ({_marks(log_filter.exclude_sources)})", [*log_filter.exclude_sources]
    if log_filter.since is not None:
        yield "timestamp >= ?", [log_filter.since]
    if log_filter.until is not None:
        yield "timestamp < ?", [log_filter.until]
    if log_filter.searches:
        yield any_of(search_term(search) for search in log_filter.searches)
    for condition in log_filter.metadata_conditions:
        yield condition.sql()


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))


# To Python: one small function per condition, the cheap ones first.


def _everything(_record: Filterable) -> bool:
    return True


def _every(checks: tuple[Predicate, ...]) -> Predicate:
    def check_all(record: Filterable) -> bool:
        for check in checks:  # noqa: SIM110 - all() over a generator takes three times as long
            if not check(record):
                return False
        return True

    return check_all


def _checks(log_filter: LogFilter) -> Iterable[Predicate]:
    levels = log_filter.accepted_levels
    if len(levels) < len(Level):
        numbers = frozenset(int(level) for level in levels)
        yield lambda record: record.level in numbers
    if log_filter.sources:
        sources = frozenset(log_filter.sources)
        yield lambda record: record.source in sources
    if log_filter.exclude_sources:
        excluded = frozenset(log_filter.exclude_sources)
        yield lambda record: record.source not in excluded
    if log_filter.stages:
        stages = frozenset(log_filter.stages)
        yield lambda record: record.stage in stages
    if log_filter.units:
        units = frozenset(log_filter.units)
        yield lambda record: record.unit in units
    if log_filter.step_ids:
        step_ids = frozenset(log_filter.step_ids)
        yield lambda record: record.step_id in step_ids
    yield from _time_checks(log_filter)
    if log_filter.searches:
        yield search_check(log_filter.searches)
    for condition in log_filter.metadata_conditions:
        yield _metadata_check(condition)


def _time_checks(log_filter: LogFilter) -> Iterable[Predicate]:
    since, until = log_filter.since, log_filter.until
    if since is not None:
        yield lambda record: record.timestamp >= since
    if until is not None:
        yield lambda record: record.timestamp < until


def _metadata_check(condition: MetadataCondition) -> Predicate:
    check = condition.check()
    return lambda record: check(record.metadata_json)
