"""What users add to the redaction, checked at the start so that it can neither fail nor stall a log call later.

Python's `re` backtracks and holds the GIL meanwhile: one pattern of the kind ``(a+)+b`` on one hostile message would
stop every thread for hours. So a pattern is taken only if the number of steps it can need from any place of any text
is small, whatever the text: repeats have an upper bound, unless the last thing in the pattern is one (it then always
succeeds), nothing variable is repeated, and there are no references to groups. See docs/decisions.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

MOST_PATTERNS: Final = 32
MOST_KEYS: Final = 256
LONGEST_PATTERN: Final = 1000
"""Characters."""
MOST_STEPS: Final = 1000
"""Steps that a pattern may need from one place of a text before it fails there."""

_parser: Final[Any] = importlib.import_module("re._parser")
_UNBOUNDED: Final = int(_parser.MAXREPEAT)
_ADVICE: Final = "write an upper bound, as in \\w{1,64}, or make it possessive as well, as in \\w{1,64}+"


class _Effort(NamedTuple):
    """What a part of a pattern can cost from one place: the steps to try all of it, and in how many ways it can end."""

    steps: int
    ways: int


def checked_keys(keys: Iterable[object]) -> tuple[str, ...]:
    """The words of users for keys. Raises ValueError for what is none, or would hide nearly everything."""
    found = []
    for key in keys:
        if not isinstance(key, str) or not 3 <= len(key.strip()) == len(key) <= 64 or not key.isprintable():
            raise ValueError(f"the key {key!r} is not a word of 3 to 64 printable characters")
        found.append(key)
    if len(found) > MOST_KEYS:
        raise ValueError(f"there are {len(found)} keys; at most {MOST_KEYS} are taken")
    return tuple(found)


def compiled_patterns(patterns: Iterable[object]) -> tuple[re.Pattern[str], ...]:
    """The patterns of users. Raises ValueError for one that is none, or may take too long."""
    found = tuple(patterns)
    if len(found) > MOST_PATTERNS:
        raise ValueError(f"there are {len(found)} patterns; each is tried on every text, so at most {MOST_PATTERNS}")
    return tuple(_compiled(pattern) for pattern in found)


def _compiled(pattern: object) -> re.Pattern[str]:
    if not isinstance(pattern, str) or not 0 < len(pattern) <= LONGEST_PATTERN:
        raise ValueError(f"the pattern {str(pattern)[:60]!r} is not text of 1 to {LONGEST_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python warns of is about to mean something else
            compiled = re.compile(pattern)
            parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"the pattern {pattern!r} is no regular expression: {error}") from None
    if parsed.getwidth()[0] == 0:
        raise ValueError(f"the pattern {pattern!r} matches nothing at all, and so between any two characters")
    try:
        steps = _sequence(list(parsed), last=True).steps
    except ValueError as error:
        raise ValueError(f"the pattern {pattern!r} could stop the service: {error}") from None
    if steps > MOST_STEPS:
        raise ValueError(
            f"the pattern {pattern!r} could stop the service: it may take {steps:,} steps from each place of a text, "
            f"and {MOST_STEPS:,} are allowed; let it repeat less, or possessively, as in \\w{{1,64}}+"
        )
    return compiled


def _sequence(nodes: list[Any], *, last: bool) -> _Effort:
    """Parts one after the other: each is tried for every way in which those before it can end."""
    steps, ways = 0, 1
    for place, node in enumerate(nodes):
        effort = _node(node, last=last and place == len(nodes) - 1)
        steps += ways * effort.steps
        ways *= effort.ways
    return _Effort(steps, ways)


def _node(node: Any, *, last: bool) -> _Effort:
    kind, what = str(node[0]), node[1]
    if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
        return _Effort(1, 1)
    if kind == "SUBPATTERN":
        return _sequence(list(what[3]), last=last)
    if kind == "BRANCH":
        branches = [_sequence(list(branch), last=last) for branch in what[1]]
        return _Effort(sum(branch.steps for branch in branches), sum(branch.ways for branch in branches))
    if kind in ("ASSERT", "ASSERT_NOT"):
        return _Effort(_sequence(list(what[1]), last=False).steps, 1)
    if kind == "ATOMIC_GROUP":
        return _Effort(_sequence(list(what), last=last).steps, 1)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _repeat(kind, *what, last=last)
    raise ValueError("a reference to a group makes the time it takes unforeseeable; do without")


def _repeat(kind: str, least: int, most: int, inner: Any, *, last: bool) -> _Effort:
    effort = _sequence(list(inner), last=False)
    if effort.ways > 1 and most > 1:
        raise ValueError(f"it repeats something that can itself match in several ways ({_ADVICE})")
    if most == _UNBOUNDED:
        if not last or kind == "MIN_REPEAT" or effort.steps > 1:
            raise ValueError(f"it repeats something without end, and not as the last thing ({_ADVICE})")
        most = max(least, 1)  # the rest is matched, and is not looked at again
    return _Effort(max(most * effort.steps, 1), 1 if kind == "POSSESSIVE_REPEAT" else most - least + 1)
