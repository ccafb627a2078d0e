"""When a clock is believed."""

from __future__ import annotations

import pytest

from asynclog.tasks.lookout import DAY, Seen, look

NOW = 20_000 * DAY
MONTH = 30 * DAY


@pytest.mark.parametrize(
    ("retained", "days", "doubted"),
    [
        (MONTH, [0, 14, 28], []),
        (MONTH, [0, 16, 16.5, 17, 17.5], [1, 2]),
        (MONTH, [0, 1000, 1000.5, 1, 2], [1, 2]),
        (MONTH, [0, 1000, 1001, 1002], [1]),
        (MONTH, [0, 1000, 500, 500.5, 501.5], [1, 2, 3]),
        (MONTH, [0, 40, 80, 120], [1, 3]),
        (MONTH, [0, -20_000, 0.1, -20_000, 0.2], []),
        (DAY // 100, [0, 0.9, 1.8, 3], [3]),
    ],
    ids=["goes on", "jumps", "is set right", "stays ahead", "jumps about", "runs seldom", "has no battery", "is short"],
)
def test_a_jump_is_doubted_for_a_day(retained: int, days: list[float], doubted: list[int]) -> None:
    """A jump over half of the time that things are kept, and over a day, is doubted until a day has passed since."""
    seen: Seen | None = None
    found = []
    for number, day in enumerate(days):
        seen = look(seen, NOW + round(day * DAY), retained)
        if seen.doubted_at is not None:
            found.append(number)
    assert found == doubted
