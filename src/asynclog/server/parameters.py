"""Query parameters: what each may be, and how a query string becomes values and a filter. Decides without I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from asynclog.errors import InvalidError
from asynclog.filters import LogFilter, is_filter_parameter
from asynclog.model import parse_timestamp

MAX_NUMBER: Final = 1 << 53
"""What JavaScript counts exactly."""
MAX_TEXT: Final = 1000
"""Characters of a text parameter."""
MAX_PAIRS: Final = 1000
"""Parameters of one request, repeated ones counted."""


_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
"""What `float` reads is more: other scripts' digits, underscores, blanks."""


class Parameter(NamedTuple):
    """One query parameter. ``read`` gives its value or raises ValueError with a reason."""

    name: str
    help: str
    schema: dict[str, Any]
    read: Callable[[str], Any]
    default: Any = None
    repeated: bool = False


class Query(NamedTuple):
    """A query string, read: a value for every parameter (lists for repeated ones), and the filter."""

    values: dict[str, Any]
    filter: LogFilter


def whole(name: str, help: str, low: int, high: int = MAX_NUMBER, default: int | None = None) -> Parameter:
    """A whole number from ``low`` to ``high``."""

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 17 or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low:,} to {high:,}")
        return int(text)

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, help, _with_default(schema, default), read, default)


def seconds(name: str, help: str) -> Parameter:
    """A duration."""

    def read(text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else -1.0
        if not 0 <= number <= 1e12:
            raise ValueError(f"{text!r} is not a number of seconds, 0 or more")
        return number

    return Parameter(name, help, {"type": "number", "minimum": 0}, read)


def flag(name: str, help: str, *, default: bool) -> Parameter:
    """True or false."""
    words = {"true": True, "1": True, "false": False, "0": False}

    def read(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError(f"{text!r} is neither true nor false")
        return words[text.lower()]

    return Parameter(name, help, {"type": "boolean", "default": default}, read, default)


def choice(
    name: str, help: str, options: Sequence[str], default: str | None = None, *, repeated: bool = False
) -> Parameter:
    """One of a few words; ``repeated`` ones are ORed."""

    def read(text: str) -> str:
        if text not in options:
            raise ValueError(f"{text!r} is none of {', '.join(options)}")
        return text

    schema = _with_default({"type": "string", "enum": list(options)}, default)
    return Parameter(name, help, schema, read, default, repeated)


def text(name: str, help: str, *, repeated: bool = False) -> Parameter:
    """Any text but an endless one."""

    def read(value: str) -> str:
        if len(value) > MAX_TEXT:
            raise ValueError(f"it has {len(value):,} characters, at most {MAX_TEXT:,} are allowed")
        if "\0" in value:
            raise ValueError("it contains NUL, which nothing that is stored does")
        return value

    return Parameter(name, help, {"type": "string", "maxLength": MAX_TEXT}, read, None, repeated)


def time(name: str, help: str) -> Parameter:
    """An ISO-8601 time, as microseconds."""

    def read(value: str) -> int:
        try:
            return parse_timestamp(value)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{error}; give an ISO-8601 time such as 2026-02-07T12:00:00Z") from None

    return Parameter(name, help, {"type": "string", "format": "date-time"}, read)


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    return schema if default is None else {**schema, "default": default}


def pairs_of(query_string: bytes) -> list[tuple[str, str]]:
    """The (name, value) pairs of a query string.

    Raises:
        InvalidError: it is not UTF-8, or has too many of them.
    """
    try:
        return parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS
        )
    except UnicodeDecodeError:
        raise InvalidError("query", "the query string is not UTF-8; percent-encode the bytes of each value") from None
    except ValueError:
        raise InvalidError("query", f"a query string has at most {MAX_PAIRS:,} parameters") from None


def read_query(query_string: bytes, parameters: Sequence[Parameter], *, filtered: bool) -> Query:
    """Read a query string.

    Args:
        query_string: as it came.
        parameters: those the route takes.
        filtered: whether it takes the filter's too.

    Raises:
        InvalidError: names the parameter that is unknown, bad, or given twice.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {name: [] if p.repeated else p.default for name, p in known.items()}
    seen: set[str] = set()
    filters: list[tuple[str, str]] = []
    for name, value in pairs_of(query_string):
        parameter = known.get(name)
        if parameter is not None:
            _take(parameter, value, values, seen)
        elif filtered and is_filter_parameter(name):
            filters.append((name, value))
        else:
            raise InvalidError(name, _unknown(name, known, filtered=filtered))
    return Query(values, LogFilter.parse(filters))


def _take(parameter: Parameter, value: str, values: dict[str, Any], seen: set[str]) -> None:
    name = parameter.name
    try:
        read = parameter.read(value)
    except ValueError as error:
        raise InvalidError(name, f"{name}: {error}") from None
    if parameter.repeated:
        values[name].append(read)
    elif name in seen:
        raise InvalidError(name, f"{name} is given more than once; give it once")
    else:
        values[name] = read
    seen.add(name)


def _unknown(name: str, known: dict[str, Parameter], *, filtered: bool) -> str:
    takes = ", ".join(known) or "none of its own"
    more = " and the filter parameters (level, min_level, source, search, …)" if filtered else ""
    return f"there is no parameter {name!r} here; this route takes {takes}{more}"
