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
from typing import Any, Final, NamedTuple

import msgspec
from orjson import dumps

from asynclog.redaction import NAMED, NAMING, REDACTED, REDACTOR, Redactor, redact
from asynclog.texts import clean, compose, cut, exact, format_message, integer, text, unprintable

__all__ = [
    "REDACTOR",
    "Captured",
    "Redactor",
    "capture",
    "clean",
    "compose",
    "cut",
    "format_message",
    "metadata_json",
    "normalise",
    "plain_json",
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

_NUMBERS: Final = (bool, int, float)
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_SHORT: Final = 4096
"""Characters of a string that is looked at as it is."""
_PAIR: Final = 2
_FLAT: Final = 2
_FEW: Final = 64
"""Levels below the top, and items of each container (but for one of scalars under known keys), up to which `plain_json`
looks."""
_PLACES: Final = frozenset(range(_FEW))
"""Of the items of a list: harmless as the keys of a dict may be."""


class Captured(NamedTuple):
    """A value that was captured before it is handed on: of a large one that takes too long for an event loop."""

    value: Any
    json: str


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
        plain = plain_json(mapping, limit, redactor) if mapping else ""
        if plain is not None:
            return plain or None
    walk = _Walk(redactor)
    value = walk.value(mapping, MAX_DEPTH)
    if value == {}:
        return None
    return walk.json(value if isinstance(value, dict) else {"value": value}, limit)


def capture(value: object, limit: int, redactor: Redactor = REDACTOR) -> str:
    """Any value as JSON text; above ``limit`` bytes (0: none) an object with a preview of it. Of a `Captured`: its own.

    That is ``{"_truncated": true, "_originalSize": bytes, "_preview": its first characters + "..."}``. The size is
    that of the whole JSON text, at least: items beyond `MAX_NODES` are not looked at.
    """
    plain = plain_json(value, limit, redactor)
    if plain is not None:
        return plain
    if type(value) is Captured:
        return value.json
    walk = _Walk(redactor)
    return walk.json(walk.value(value, MAX_DEPTH), limit)


def plain_json(  # noqa: C901, PLR0912  # the hot path: flat
    container: Any, limit: int, redactor: Redactor, depth: int = 0
) -> str | None:
    """What `capture` gives for a dict or list of the usual kind, in which nothing needs a change; else perhaps None.

    ``depth``: how deep it lies in the one that was asked for. Inside, only whether there is an answer counts.
    """
    try:
        if type(container) is dict and (not depth or len(container) <= _FEW):
            keys: Any = container
            harmless: Any = redactor.harmless
        elif type(container) is list and len(container) <= _FEW and not _names(container, redactor):
            keys, harmless = range(len(container)), _PLACES
        else:
            return None
        for key in keys:
            if key not in harmless and not _is_harmless(key, container, redactor):
                return None
            item = container[key]
            kind = type(item)
            if kind is int or kind is bool or item is None:
                continue
            if kind is str:
                if len(item) > _SHORT or "\0" in item or redactor.suspects(item):
                    return None
            elif kind is float:
                if item - item != 0.0:  # neither NaN nor an infinity
                    return None
            elif depth >= _FLAT or len(container) > _FEW or plain_json(item, limit, redactor, depth + 1) is None:
                return None
        if depth:
            return ""
        data = dumps(container)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  # not plain after all; the promise: never raise
        return None
    return data.decode() if len(data) <= limit or (limit <= 0 and len(data) <= MAX_CHARACTERS) else None


def _is_harmless(key: Any, container: Any, redactor: Redactor) -> bool:
    """Whether nothing is hidden under a key that was not met before, of a dict of few."""
    return len(container) <= _FEW and type(key) is str and redactor.known[key] is False


def _names(container: Any, redactor: Redactor) -> bool:
    """Whether a list is the name of a secret and the secret."""
    return len(container) == _PAIR and type(container[0]) is str and redactor.known[container[0]] is True


class _Walk:
    """One normalisation: what it may still take, and the containers it is inside of."""

    __slots__ = ("characters", "inside", "lost", "nodes", "redactor")

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.nodes = MAX_NODES
        self.characters = MAX_CHARACTERS
        self.lost = 0
        """Bytes of strings that were too long to be kept."""
        self.inside: set[int] = set()

    def json(self, value: Any, limit: int) -> str:
        """A normalised value as JSON text, cut."""
        data = dumps(value)
        if 0 < limit < len(data):
            preview = data[: PREVIEW * 4].decode("utf-8", "ignore")[:PREVIEW] + "..."
            data = dumps({"_truncated": True, "_originalSize": len(data) + self.lost, "_preview": preview})
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
            if kind is dict or kind is list or kind is tuple:
                return self.within(value, kind, depth)
            return self.other(value, kind, depth)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # the promise: never raise
            return self.string(unprintable(value, error))

    def string(self, value: str) -> str:
        size = len(value)
        if self.characters <= 0:
            self.lost += size
            return LEFT_OUT
        self.characters -= size
        if size <= _SHORT and value.isascii() and "\0" not in value and not self.redactor.suspects(value):
            return value
        kept, original = clean(text(value), MAX_STRING, self.redactor)
        if original is not None:
            self.lost += max(original - len(kept.encode()), 0)
        return kept

    def other(self, value: Any, kind: type, depth: int) -> Any:
        """What is not exactly a plain scalar. The methods are the builtins' own: a subclass may lie about itself."""
        if issubclass(kind, enum.Enum):
            return self.value(value._value_, depth - 1) if depth > 0 else DEEPER
        if issubclass(kind, str):
            return self.string(exact(value))
        if issubclass(kind, int | float):
            return self.value(int.__add__(value, 0) if issubclass(kind, int) else float.__add__(value, 0.0), depth)
        if issubclass(kind, bytes | bytearray | memoryview):
            return self.string(_bytes_text(value))
        for builtin in (dict, list, tuple, set, frozenset, msgspec.Struct, Mapping):
            if issubclass(kind, builtin):
                return self.within(value, builtin, depth)
        if dataclasses.is_dataclass(kind):
            return self.within(value, object, depth)
        return self.object(value, kind, depth)

    def object(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, dt.date | dt.time):
            return self.string(exact(kind.isoformat(value)))
        if issubclass(kind, BaseException):
            said = text(value)
            return self.string(f"{kind.__name__}: {said}" if said else kind.__name__)
        if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            plain = value.item()
            return self.value(plain if type(plain) in _NUMBERS else text(plain), depth)
        return self.string(text(value))

    def within(self, value: Any, kind: type, depth: int, *, paired: bool = False) -> Any:
        """Walk a container, unless it is too deep or inside itself. The kind is that of which it is a subclass.

        ``paired``: it is one of several lists and has two items, perhaps a name and what that stands for.
        """
        if depth <= 0:
            return DEEPER
        if id(value) in self.inside:
            return CYCLE
        self.inside.add(id(value))
        try:
            if kind is dict:
                return self.pairs(dict.items(value), dict.__len__(value), depth - 1)
            if kind is list or kind is tuple:
                return self.items(kind.__iter__(value), kind.__len__(value), depth - 1, paired=paired)
            if kind is set or kind is frozenset:
                return self.set_text(self.items(kind.__iter__(value), kind.__len__(value), depth - 1))
            if kind is Mapping:
                return self.pairs(value.items(), None, depth - 1)
            return self.fields(value, depth - 1)
        finally:
            self.inside.discard(id(value))

    def items(self, items: Any, length: int, depth: int, *, paired: bool = False) -> list[Any]:
        result: list[Any] = []
        # One C call takes the snapshot, so another thread that changes the container cannot come in between.
        for item in list(islice(items, max(self.nodes, 0))):
            if self.nodes <= 0:
                break
            self.nodes -= 1
            kind = type(item)
            if paired and result and self.names(result[0], item):
                kept: Any = REDACTED
            elif kind is tuple or kind is list:
                kept = self.within(item, kind, depth, paired=len(item) == _PAIR)
            else:
                kept = self.value(item, depth)
                if type(kept) is str and result:
                    kept = self.redactor.argument(result[-1], kept)  # the list may be a command
            result.append(kept)
        if len(result) < length:
            result.append(_more(length - len(result)))
        return result

    def names(self, name: Any, item: Any) -> bool:
        """Whether the first of two things in a list of such says that the second is a secret: a list of headers."""
        return type(name) is str and len(name) <= MAX_KEY and "{" not in name and self.redactor.hides(name, item)

    def pairs(self, pairs: Any, length: int | None, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        taken = 0
        snapshot = list(islice(pairs, max(self.nodes, 0) + 1))
        about = next((item for key, item in snapshot if type(key) is str and key in NAMING and type(item) is str), None)
        for key, item in snapshot:
            if self.nodes <= 0:
                break
            self.nodes -= 1
            taken += 1
            self.pair(result, key, item, depth, about)
        if taken < (len(snapshot) if length is None else length):
            result[_free(result, MORE)] = _more(None if length is None else length - taken)
        return result

    def pair(self, result: dict[str, Any], key: Any, item: Any, depth: int, about: str | None = None) -> None:
        raw = key if type(key) is str else _key_text(key)
        subject = about if about is not None and raw in NAMED else raw
        name = raw if self.redactor.known[raw] is False else self.name(raw)
        hidden = self.redactor.hides(subject, item) or (name is not raw and self.redactor.hides(name, item))
        result[_free(result, name)] = REDACTED if hidden else self.value(item, depth)

    def name(self, key: str) -> str:
        self.characters -= min(len(key), MAX_KEY)
        return clean(text(key), MAX_KEY, self.redactor)[0]

    def fields(self, value: Any, depth: int) -> dict[str, Any]:
        """The fields of a Struct or dataclass; one that cannot be had (unset, a failing property) says why."""
        kind: Any = type(value)
        names = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else kind.__dataclass_fields__
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

    def set_text(self, items: list[Any]) -> str:
        """Like ``{1,2}``: a set has no order, so its elements come sorted by their text."""
        return self.string("{" + ",".join(sorted(dumps(item).decode() for item in items)) + "}")


def _free(result: Mapping[str, Any], name: str) -> str:
    """The name, or with a number where another item has it: doubled, for a few steps find one that none has."""
    free, number = name, len(result)
    while free in result:
        free, number = f"{name} #{number}", 2 * number
    return free


def _key_text(key: Any) -> str:
    kind = type(key)  # isinstance would ask the key, and it may raise
    if issubclass(kind, enum.Enum):
        return _key_text(key._value_)
    if issubclass(kind, str):
        return exact(key)
    return _bytes_text(key) if issubclass(kind, bytes) else text(key)


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _more(left: int | None) -> str:
    return f"{MORE} more" if left is None else f"{MORE} {left} more"


def _bytes_text(value: bytes | bytearray | memoryview) -> str:
    size = memoryview(value).nbytes
    data = bytes(memoryview(value).cast("B")[: 2 * MAX_STRING])
    shown = data.decode("utf-8", "backslashreplace")
    return shown if size == len(data) else f"{shown}… [{size} bytes]"
