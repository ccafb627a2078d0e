"""What a load is made of: entries that say which they are, and filters of which it is known what they let through.

Entry ``n`` matches a filter exactly when ``n % step == offset``, so a subscriber's next entry is known beforehand and
a lost, repeated or overtaken one is noticed by whoever counts. No I/O.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

SOURCES: Final = ("superset_api", "git", "storage", "plugin", "db")
NEEDLE: Final = "slow answer"


class Lane(msgspec.Struct, frozen=True):
    """A filter, and which entries match it: those with ``n % step == offset``."""

    name: str
    filter: dict[str, str]
    step: int = 1
    offset: int = 0

    def next(self, number: int) -> int:
        """The first matching entry from this one on."""
        return number + (self.offset - number) % self.step

    def count(self, total: int) -> int:
        """How many of the first so many entries match."""
        return max(0, -(-(total - self.offset) // self.step))


LANES: Final = (
    Lane("everything", {}),
    *(Lane(f"source {name}", {"source": name}, len(SOURCES), rank) for rank, name in enumerate(SOURCES)),
    Lane("warnings", {"min_level": "WARNING"}, 10, 7),
    Lane("search", {"search": NEEDLE.upper()}, 20, 11),
    Lane("unit", {"unit": "dash-13"}, 50, 13),
    Lane("metadata", {"metadata.lane": "4"}, 25, 4),
)
"""Everything, the five sources, a level, a text, a unit and a metadata value: what people watch."""


def lanes(count: int) -> list[Lane]:
    """The filters of so many subscribers, mixed evenly."""
    return [LANES[number % len(LANES)] for number in range(count)]


def level(number: int) -> str:
    """Of an entry."""
    return "WARNING" if number % 10 == 7 else "INFO"


def source(number: int) -> str:
    """Of an entry."""
    return SOURCES[number % len(SOURCES)]


def unit(number: int) -> str | None:
    """Of an entry."""
    return "dash-13" if number % 50 == 13 else None


def message(number: int) -> str:
    """Of an entry."""
    speed = NEEDLE if number % 20 == 11 else "answered in time"
    return f"fetched 42 charts of dashboard {number % 50}, {speed}, {number} in all"


def metadata(number: int, due: int) -> dict[str, int]:
    """Of an entry that was due at this time (``time.monotonic_ns``)."""
    return {"n": number, "due": due, "lane": number % 25}


def line(number: int, due: int) -> dict[str, Any]:
    """The entry as a line for the ingest route."""
    return {
        "message": message(number),
        "level": level(number),
        "source": source(number),
        "unit": unit(number),
        "metadata": metadata(number, due),
    }
