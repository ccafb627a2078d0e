"""Many texts or mappings at once: what `texts`, `redaction` and `values` make of each, found out at one look at all.

Most of what is logged can be kept as it is, and asking that of a thousand together costs little more than asking it of
one. Where something cannot, it is asked of ever smaller parts. Nothing here raises, and all of it is safe from any
thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

import orjson

from asynclog import values
from asynclog.redaction import Redactor
from asynclog.texts import text

PARTS: Final = 8
"""Into how many parts is divided what cannot be kept as it is."""
FEW: Final = 16
"""So many are looked at one by one."""
SHORT: Final = 4096
"""Characters of a string, and `ITEMS` of a mapping, up to which it is looked at here."""
ITEMS: Final = 64

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_SEPARATOR: Final = "\n"
_BETWEEN: Final = ',"\\n",'
"""How the separator stands between two flat objects: inside of one no string follows a comma but a name, with a colon
behind it."""

T = TypeVar("T")
R = TypeVar("R")


def texts(found: list[str], redactor: Redactor) -> list[str]:
    """Each text as `texts.text` and `Redactor.redact` give it."""
    return _by_parts(
        found, lambda some: some if _clears(some, redactor) else None, lambda one: redactor.redact(text(one))
    )


def metadata_texts(mappings: list[dict[str, Any]], redactor: Redactor) -> list[str | None]:
    """Each mapping, as a JSON reader makes them, as `values.metadata_json` gives it."""

    def each(mapping: dict[str, Any]) -> str | None:
        return values.metadata_json(mapping, redactor=redactor)

    def whole(some: list[dict[str, Any]]) -> list[str | None] | None:
        found = list(chain.from_iterable(map(dict.values, some)))
        kinds = set(map(type, found))
        if not kinds <= _SCALARS:  # most of the others hold something too
            return list(map(each, some))
        return _flat_texts(some) if _are_plain(found, kinds, redactor) else None

    if not mappings or not all(mappings) or _names_secret(mappings, redactor):
        return list(map(each, mappings))
    return _by_parts(mappings, whole, each)


def _by_parts(found: list[T], whole: Callable[[list[T]], list[R] | None], each: Callable[[T], R]) -> list[R]:
    """What ``whole`` gives for all of them, where that is None for parts of them; for a few what ``each`` gives."""
    made = whole(found)
    if made is not None:
        return made
    if len(found) <= FEW:
        return list(map(each, found))
    size = max(FEW, -(-len(found) // PARTS))
    parts = (found[start : start + size] for start in range(0, len(found), size))
    return list(chain.from_iterable(_by_parts(part, whole, each) for part in parts))


def _clears(found: Sequence[str], redactor: Redactor) -> bool:
    """Whether all these can be kept as they are; False when one perhaps cannot.

    What is suspicious alone is suspicious among others: the end of a line beside it is to every rule what the end of
    the text is.
    """
    together = "\n".join(found)
    return text(together) is together and not redactor.suspects(together)


def _names_secret(mappings: list[dict[str, Any]], redactor: Redactor) -> bool:
    """Whether one has so many keys, or such a one, that what stands under it has to be looked at closely."""
    if max(map(len, mappings)) > ITEMS:
        return True
    unknown = set(chain.from_iterable(mappings)) - redactor.harmless
    return not all(redactor.known[key] is False for key in unknown)


def _are_plain(found: list[Any], kinds: set[type], redactor: Redactor) -> bool:
    """Whether all these scalars can be kept as they are; False when one perhaps cannot."""
    if str in kinds:
        strings = [value for value in found if type(value) is str]
        if max(map(len, strings)) > SHORT or not _clears(strings, redactor):
            return False
    return float not in kinds or all(map(math.isfinite, [value for value in found if type(value) is float]))


def _flat_texts(mappings: list[dict[str, Any]]) -> list[str | None] | None:
    """The JSON texts of mappings of scalars; None when one of them perhaps is too large, or holds such a number."""
    listed: list[object] = [_SEPARATOR] * (2 * len(mappings) - 1)
    listed[::2] = mappings
    try:
        data = orjson.dumps(listed)
    except TypeError:  # an integer beyond 64 bits
        return None
    return None if len(data) > values.METADATA_LIMIT else list(data[1:-1].decode().split(_BETWEEN))
