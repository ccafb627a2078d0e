"""What run directories are called. Names come from users and clocks; what is made of them stays inside, distinct."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from asynclog.model import MAX_TIMESTAMP, timestamp_text

NONE: Final = "_"
"""The folder of tasks without account, or without site."""
LONGEST: Final = 150
"""Characters of a path component; a longer one is cut and told apart by its hash."""

DAY: Final = 86_400_000_000

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_RUN: Final = re.compile(r"run_(\d{8}_\d{6})_(.+?)(?:_(\d+))?")


@lru_cache(maxsize=1024)
def component(name: str | None) -> str:
    """A name as one path component: never empty, hidden, a way up, or another name's.

    Letters, digits, ``-`` and ``_`` of ASCII stay, and dots inside; every other byte of its UTF-8 becomes ``%XX``.
    """
    if name is None:
        return NONE
    data = name.encode("utf-8", "backslashreplace")
    parts = []
    for place, byte in enumerate(data):
        plain = byte in _PLAIN or (byte == 0x2E and 0 < place < len(data) - 1)
        parts.append(chr(byte) if plain else f"%{byte:02X}")
    text = "".join(parts) or "%"
    if text == NONE:
        return "%5F"
    if len(text) > LONGEST:
        return f"{text[:LONGEST]}~{hashlib.sha256(data).hexdigest()[:16]}"
    return text


def _second(now: int) -> str:
    moment = timestamp_text(min(now, MAX_TIMESTAMP))
    return f"{moment[:10]}_{moment[11:19]}".replace("-", "").replace(":", "")


class RunNames:
    """Gives every task a run id of its own: ``run_YYYYMMDD_HHMMSS_<trigger>``, UTC, with ``_2``, … where needed.

    The time in them does not go back when the clock does, unless by more than a day: so the newest names are all that
    has to be known.

    State owned here: the second of the newest name, and how often each trigger was named in it.

    Args:
        known: run ids given out before, at least all of the newest second among them.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._second = ""
        self._given: Counter[str] = Counter()
        for name in known:
            self._learn(name)

    def _learn(self, name: str) -> None:
        match = _RUN.fullmatch(name)
        if match is None or match[1] < self._second:
            return
        self._at(match[1])
        self._given[match[2]] = max(self._given[match[2]], int(match[3] or 1))

    def _at(self, second: str) -> None:
        if second > self._second:
            self._second = second
            self._given.clear()

    def next(self, now: int, trigger: str) -> str:
        """A name nobody else has.

        Args:
            now: wall time, microseconds since the epoch.
            trigger: what started the task.
        """
        if self._second > _second(now + DAY):
            self._second = ""  # the clock was wrong then
        self._at(_second(now))
        self._given[trigger] += 1
        number = self._given[trigger]
        return f"run_{self._second}_{component(trigger)}" + (f"_{number}" if number > 1 else "")
