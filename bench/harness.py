"""How things are measured here: the contenders of a scenario take turns in one run, and only their ratios count.

The machines are shared and noisy; an absolute number is worth little, a ratio of two things measured in turn within
seconds is worth something, and its median with its spread over many turns more.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One contender: what it took in each round, in the scenario's unit."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.values) < 4:
            return (max(self.values) - min(self.values)) / 2 / (self.median or 1)
        low, _, high = statistics.quantiles(self.values, n=4)
        return (high - low) / 2 / (self.median or 1)


@dataclass(frozen=True)
class Row:
    """A line of the table: ours against a reference; ``ratio`` is ours / theirs, median of the rounds' ratios."""

    scenario: str
    ours: Sample
    theirs: Sample | None
    target: str
    note: str = ""
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours divided by theirs."""
        if self.theirs is None:
            return None
        return statistics.median(mine / other for mine, other in zip(self.ours.values, self.theirs.values, strict=True))

    def as_dict(self) -> dict[str, object]:
        """For the JSON file."""
        return {
            "scenario": self.scenario,
            "ours": {"name": self.ours.name, "unit": self.ours.unit, "values": list(self.ours.values)},
            "theirs": None
            if self.theirs is None
            else {"name": self.theirs.name, "unit": self.theirs.unit, "values": list(self.theirs.values)},
            "ratio": self.ratio,
            "target": self.target,
            "note": self.note,
            **self.extra,
        }


def time_calls(call: Callable[[], object], number: int) -> float:
    """Nanoseconds of one call, over so many."""
    gc.collect()
    start = time.perf_counter_ns()
    for _ in range(number):
        call()
    return (time.perf_counter_ns() - start) / number


def rounds_of_calls(calls: dict[str, Callable[[], object]], *, rounds: int, number: int) -> dict[str, Sample]:
    """Time several calls in turn, so many rounds."""
    values: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        time_calls(call, number // 10 + 1)
    for _ in range(rounds):
        for name, call in calls.items():
            values[name].append(time_calls(call, number))
    return {name: Sample(name, "ns", found) for name, found in values.items()}


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds an awaited call takes."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start
