"""Whether the wall clock may be believed by what removes things for their age. Decides without I/O.

A clock that was set years ahead makes everything old. From one process alone that cannot be told from a service that
nobody ran for years; so whoever removes waits for a day in both cases, and says so: time enough to set the clock right.
"""

from __future__ import annotations

from typing import Final

from asynclog.model import Value

DAY: Final = 86_400_000_000
"""Microseconds."""
DOUBT: Final = DAY
"""How long a clock that has jumped is doubted."""


class Seen(Value, frozen=True):
    """What is known of the clock, in microseconds since the epoch."""

    at: int
    """The latest time at which it was believed."""
    doubted_at: int | None = None
    """When it was looked at first since then and had jumped; None where it is believed."""


def look(seen: Seen | None, now: int, retained: int) -> Seen:
    """What is known of the clock after another look.

    Args:
        seen: what was known before, perhaps by another process; None for nothing.
        now: what the clock says.
        retained: for how long things are kept, microseconds. A jump over half of that, or a day, is none.
    """
    if seen is None:
        return Seen(now)
    if now - seen.at <= max(DAY, retained // 2):
        return Seen(max(now, seen.at))  # machines without a clock of their own begin in 1970 each time
    if seen.doubted_at is None or now < seen.doubted_at:
        return Seen(seen.at, now)
    return Seen(now) if now - seen.doubted_at >= DOUBT else seen
