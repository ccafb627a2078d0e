"""Any Python value -> JSON as `orjson` writes it, that SQLite can query: normalised, redacted, bounded.

Nothing here raises, whatever it is given (`texts` says how); nothing is consumed (a generator stays what it is) and
nothing is kept: the result is the value as it was at the call. Safe from any thread.

What becomes of what: NaN, infinity, integers beyond 64 bits, bytes, sets, dates, decimals, paths, exceptions and
unknown objects are strings; enums their value; dataclasses and msgspec Structs objects; keys strings. Cycles, more
than `MAX_DEPTH` levels and more than `MAX_NODES` items are markers.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Mapping
from itertools import islice
from types import NoneType
from typing import Any, Final

import msgspec
import orjson

from asynclog.redaction import REDACTED, REDACTOR, Redactor, redact
from asynclog.texts import clean, cut, exact, format_message, integer, text, unprintable

__all__ = [
    "REDACTOR",
    "Redactor",
    "capture",
    "clean",
    "cut",
    "format_message",
    "metadata_json",
    "normalise",
    "redact",
    "text",
]

MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
"""Items of one value, in all."""
MAX_CHARACTERS: Final = 16 * 1024 * 1024
"""Characters of one value's strings, in all."""
MAX_STRING: Final = 1024 * 1024
"""Bytes of one string."""
MAX_KEY: Final = 1024
METADATA_LIMIT: Final = 1024 * 1024
"""Bytes of an entry's metadata, unless the caller says otherwise."""
PREVIEW: Final = 1000
"""Characters of the JSON text shown of a value that was cut."""

CYCLE: Final = "[cycle]"
DEEPER: Final = f"[deeper than {MAX_DEPTH} levels]"
MORE: Final = "…"
LEFT_OUT: Final = "[left out: too much text]"

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_SHORT: Final = 4096
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_EXACT: Final = frozenset({int, bool, NoneType})


def normalise(value: object, depth: int = MAX_DEPTH, redactor: Redactor = REDACTOR) -> Any:
    """The value as plain JSON: None, bool, int, float, str, and lists and dicts with str keys of those."""
    return _Walk(redactor).value(value, depth)


def metadata_json(mapping: object, limit: int = METADATA_LIMIT, redactor: Redactor = REDACTOR) -> str | None:
    """A mapping as JSON text of an object, cut as `capture` does; None when there is nothing in it.

    Something that is no mapping is kept under the key ``value``.
    """
    if mapping is None:
        return None
    if type(mapping) is dict:
        if not mapping:
            return None
        plain = _plain_json(mapping, redactor)
        if plain is not None and (limit <= 0 or len(plain) <= limit):
            return plain.decode()
    walk = _Walk(redactor)
    value = walk.value(mapping, MAX_DEPTH)
    if value == {}:
        return None
    return walk.json(value if isinstance(value, dict) else {"value": value}, limit)


def capture(value: object, limit: int, redactor: Redactor = REDACTOR) -> str:
    """Any value as JSON text; above ``limit`` bytes (0: none) an object with a preview of it.

    That is ``{"_truncated": true, "_originalSize": bytes, "_preview": its first characters + "..."}``. The size is
    that of the whole JSON text, at least: items beyond `MAX_NODES` are not looked at.
    """
    if type(value) is dict:
        plain = _plain_json(value, redactor)
        if plain is not None and (limit <= 0 or len(plain) <= limit):
            return plain.decode()
    walk = _Walk(redactor)
    return walk.json(walk.value(value, MAX_DEPTH), limit)


def _plain_json(mapping: dict[Any, Any], redactor: Redactor) -> bytes | None:
    """The JSON of a flat dict in which nothing needs a change; None when something may. The common case, so fast."""
    known = redactor.known
    suspects = redactor.suspects
    try:
        for key, value in mapping.items():
            if type(key) is not str or known[key] is not False:
                return None
            kind = type(value)
            if kind is str:
                if len(value) > _SHORT or suspects(value):
                    return None
            elif kind is float:
                if value - value != 0.0:  # NaN and the infinities
                    return None
            elif kind not in _EXACT:
                return None
        data = orjson.dumps(mapping, None, _OPTIONS)
    except Exception:  # noqa: BLE001  # a lone surrogate, an integer beyond 64 bits, another thread that changes the dict
        return None
    return None if b"\\u0000" in data else data


class _Walk:
    """One normalisation: what it may still take, and the containers it is inside of."""

    __slots__ = ("characters", "inside", "nodes", "redactor")

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.nodes = MAX_NODES
        self.characters = MAX_CHARACTERS
        self.inside: set[int] = set()

    def json(self, value: Any, limit: int) -> str:
        """A normalised value as JSON text, cut."""
        data = orjson.dumps(value)
        if 0 < limit < len(data):
            preview = data[: PREVIEW * 4].decode("utf-8", "ignore")[:PREVIEW] + "..."
            data = orjson.dumps({"_truncated": True, "_originalSize": len(data), "_preview": preview})
        return data.decode()

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.string(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return value if _MIN_INT <= value <= _MAX_INT else integer(value)
        if kind is float:
            return value if value - value == 0.0 else _no_number(value)
        try:
            return self.other(value, kind, depth)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # the promise: never raise
            return self.string(unprintable(value, error))

    def string(self, value: str) -> str:
        if self.characters <= 0:
            return LEFT_OUT
        result, _ = clean(text(value), MAX_STRING, self.redactor)
        self.characters -= len(result)
        return result

    def other(self, value: Any, kind: type, depth: int) -> Any:
        """What is not exactly a plain scalar. The methods are the builtins' own: a subclass may lie about itself."""
        if issubclass(kind, enum.Enum):
            return self.value(value._value_, depth - 1) if depth > 0 else DEEPER
        if issubclass(kind, str):
            return self.string(exact(value))
        if issubclass(kind, int):
            return self.value(int.__add__(value, 0), depth)
        if issubclass(kind, float):
            return self.value(float.__add__(value, 0.0), depth)
        if issubclass(kind, bytes | bytearray | memoryview):
            return self.string(_bytes_text(value))
        return self.container(value, kind, depth)

    def container(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, dict):
            return self.within(value, depth, lambda: self.pairs(dict.items(value), dict.__len__(value), depth))
        if issubclass(kind, list | tuple):
            real = list if issubclass(kind, list) else tuple
            return self.within(value, depth, lambda: self.items(real.__iter__(value), real.__len__(value), depth))
        if issubclass(kind, set | frozenset):
            return self.within(value, depth, lambda: self.set_text(value, depth))
        return self.object(value, kind, depth)

    def object(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, dt.date | dt.time):
            return self.string(exact(kind.isoformat(value)))
        fields = _field_names(kind)
        if fields is not None:
            return self.within(value, depth, lambda: self.fields(value, fields, depth))
        if issubclass(kind, Mapping):
            return self.within(value, depth, lambda: self.pairs(Mapping.items(value), None, depth))
        if issubclass(kind, BaseException):
            said = text(value)
            return self.string(f"{kind.__name__}: {said}" if said else kind.__name__)
        if kind.__module__ == "numpy" and hasattr(value, "dtype") and value.ndim == 0:
            plain = value.item()
            if type(plain) in (int, float, bool, str):
                return self.value(plain, depth)
        return self.string(text(value))

    def within(self, value: Any, depth: int, walk: Any) -> Any:
        """Walk a container, unless it is too deep or inside itself."""
        if depth <= 0:
            return DEEPER
        if id(value) in self.inside:
            return CYCLE
        self.inside.add(id(value))
        try:
            return walk()
        finally:
            self.inside.discard(id(value))

    def items(self, items: Any, length: int | None, depth: int) -> list[Any]:
        result: list[Any] = []
        for item in list(islice(items, max(self.nodes, 0))):
            if self.nodes <= 0:
                break
            self.nodes -= 1
            result.append(self.value(item, depth - 1))
        if length is None or len(result) < length:
            result.append(_more(length, len(result)))
        return result

    def pairs(self, pairs: Any, length: int | None, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        taken = 0
        # One C call takes the snapshot, so another thread that changes the mapping cannot come in between.
        snapshot = list(islice(pairs, max(self.nodes, 0) + 1))
        for key, item in snapshot:
            if self.nodes <= 0:
                break
            self.nodes -= 1
            taken += 1
            self.pair(result, key, item, depth)
        if taken < (len(snapshot) if length is None else length):
            result[MORE] = _more(length, taken)
        return result

    def pair(self, result: dict[str, Any], key: Any, item: Any, depth: int) -> None:
        raw = key if type(key) is str else self.key(key)
        name = raw if self.redactor.known[raw] is False and raw.isascii() and "\0" not in raw else self.name(raw)
        if name in result:
            name = f"{name} #{len(result)}"
        result[name] = REDACTED if self.redactor.hides(raw, item) else self.value(item, depth - 1)

    def key(self, key: Any) -> str:
        if isinstance(key, enum.Enum):
            key = key._value_
        if isinstance(key, str):
            return exact(key)
        if isinstance(key, bytes):
            return _bytes_text(key)
        return text(key)

    def name(self, key: str) -> str:
        self.characters -= min(len(key), MAX_KEY)
        return clean(text(key), MAX_KEY, self.redactor)[0]

    def fields(self, value: Any, names: tuple[str, ...], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name in islice(names, max(self.nodes, 0)):
            self.nodes -= 1
            try:
                item = getattr(value, name)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001  # the promise: never raise
                item = unprintable(value, error)
            self.pair(result, name, item, depth)
        return result

    def set_text(self, value: Any, depth: int) -> str:
        """Like ``{1,2}``: a set has no order, so its elements come sorted by their text."""
        real = set if isinstance(value, set) else frozenset
        items = self.items(real.__iter__(value), real.__len__(value), depth)
        return self.string("{" + ",".join(sorted(orjson.dumps(item).decode() for item in items)) + "}")


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _more(length: int | None, taken: int) -> str:
    return f"{MORE} more" if length is None else f"{MORE} {length - taken} more"


def _bytes_text(value: bytes | bytearray | memoryview) -> str:
    size = memoryview(value).nbytes
    data = bytes(memoryview(value).cast("B")[: 2 * MAX_STRING])
    shown = data.decode("utf-8", "backslashreplace")
    return shown if size == len(data) else f"{shown}… [{size} bytes]"


def _field_names(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass or msgspec Struct, None for anything else."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return None
