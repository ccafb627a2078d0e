"""MetadataCondition: what ``metadata.KEY=VALUE`` asks of an entry, in SQL and in Python.

Strings match as they are, other scalars by their JSON token; objects and arrays never. KEY is a literal key of the
metadata; only where there is none, it is a dotted path of keys.

Metadata is written by orjson alone, so its text is canonical: no blanks, and one way to write each scalar. A scalar
that matches therefore shows in it as ``"key":token``, here called its needle. The needle proposes, cheaply; what
decides is the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import orjson

MAX_PATH: Final = 32
"""Keys in a dotted path at most: stored metadata is not nested deeper, and SQLite joins at most 64 tables."""

SqlTerm = tuple[str, list[str | int]]
"""A condition in SQL and its parameters."""

_SCALAR: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")
"""A JSON scalar that is no string."""

_ABSENT: Final[list[object]] = []
"""Stands for a place that is not there: like any array, it matches nothing."""

_HAS_KEY: Final = "EXISTS (SELECT 1 FROM json_each(metadata_json) WHERE key = ?)"

_Path = tuple[str, ...]


def any_of(terms: Iterable[SqlTerm]) -> SqlTerm:
    """The terms, ORed."""
    alternatives = list(terms)
    return f"({' OR '.join(sql for sql, _ in alternatives)})", [param for _, params in alternatives for param in params]


class MetadataCondition(msgspec.Struct, frozen=True):
    """The scalar under ``key`` is one of ``values``."""

    key: str
    values: tuple[str, ...]

    def sql(self) -> SqlTerm:
        """The condition on the column ``metadata_json``."""
        return any_of(self._at(path) for path in self._paths())

    def check(self) -> Callable[[str | None], bool]:
        """The same condition as a function of the metadata's JSON text, which is decoded only where a needle shows."""
        key, accepted, dotted = self.key, frozenset(self.values), self._paths()[1:]
        needles = self.needles

        def check(text: str | None) -> bool:
            if text is None:
                return False
            for needle in needles:  # any() with a generator takes twice as long
                if needle in text:
                    break
            else:
                return False
            place: Any = orjson.loads(text)
            if key in place or not dotted:
                return _names(accepted, place.get(key, _ABSENT))
            for name in dotted[0]:
                place = place.get(name, _ABSENT) if isinstance(place, dict) else _ABSENT
            return _names(accepted, place)

        return check

    @property
    def needles(self) -> list[str]:
        """Texts of which the metadata's JSON contains at least one where it matches."""
        return [_needle(path, token) for path in self._paths() for token in self._tokens()]

    def _paths(self) -> list[_Path]:
        """The places the key may mean: as a literal one, and as a path."""
        names = tuple(self.key.split("."))
        return [(self.key,), names] if 1 < len(names) <= MAX_PATH else [(self.key,)]

    def _tokens(self) -> list[str]:
        """Every canonical JSON text that the values name: of a string each, and some of another scalar too."""
        strings = [orjson.dumps(value).decode() for value in self.values]
        return strings + [value for value in self.values if _SCALAR.fullmatch(value)]

    def _at(self, path: _Path) -> SqlTerm:
        sql, params = any_of(_sql_scalar(path, token) for token in self._tokens())
        if len(path) == 1:
            return sql, params
        return f"({sql} AND NOT {_HAS_KEY})", [*params, self.key]


def _needle(path: _Path, token: str) -> str:
    return f"{orjson.dumps(path[-1]).decode()}:{token}"


def _names(accepted: frozenset[str], value: object) -> bool:
    """Whether one of the accepted texts names the value."""
    if isinstance(value, str):
        return value in accepted
    return not isinstance(value, dict | list) and orjson.dumps(value).decode() in accepted


def _sql_scalar(path: _Path, token: str) -> SqlTerm:
    """Whether the scalar at ``path`` is written ``token``.

    Patching a scalar in leaves the text as it is only where exactly this one is there already. That is exact where
    SQLite's other ways are not: a JSON path cannot name a key with a quote in it, and json_each turns 1e3 into 1000.0.
    But a patch with null deletes.
    """
    if token == "null":  # noqa: S105 - a JSON token, no password
        sql, params = _sql_null(path)
    else:
        sql, params = "json_patch(metadata_json, ?) = metadata_json", [_patch(path, token)]
    return f"(instr(metadata_json, ?) AND {sql})", [_needle(path, token), *params]


def _patch(path: _Path, token: str) -> str:
    return "".join(f"{{{orjson.dumps(name).decode()}:" for name in path) + token + "}" * len(path)


def _sql_null(path: _Path) -> SqlTerm:
    last = len(path) - 1
    tables = ["json_each(metadata_json) AS at0"]
    tables += [f"json_each(CASE at{i}.type WHEN 'object' THEN at{i}.value END) AS at{i + 1}" for i in range(last)]
    keys = " AND ".join(f"at{i}.key = ?" for i in range(len(path)))
    return f"EXISTS (SELECT 1 FROM {', '.join(tables)} WHERE {keys} AND at{last}.type = 'null')", [*path]  # noqa: S608 - constants and numbers
