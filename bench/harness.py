"""How things are measured here: the contenders of a scenario take turns in one run, and only their ratios count.

The machines are shared and noisy; an absolute number is worth little, a ratio of two things measured in turn within
seconds is worth something, and its median with its spread over many turns more.

A scenario is a module of this folder with a docstring, whose first line says what it measures, and

    def run(bench: Bench) -> list[Row]

It runs in a process of its own, asks ``bench`` how thorough to be, tells it how far it is, and raises `SkippedError`
where it cannot be measured on this machine.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

Item = TypeVar("Item")


class SkippedError(Exception):
    """The scenario cannot be measured on this machine; the text says why, and what to do about it."""


class Sample(msgspec.Struct, frozen=True):
    """One contender: what it took in each round, in ``unit``."""

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """See `spread`."""
        return spread(self.values)


class Target(msgspec.Struct, frozen=True):
    """What is to be reached; of the ratio, or in ``unit`` of ours."""

    bound: float
    at_most: bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:,.10g} {self.unit}".rstrip()

    def met(self, ratio: float | None, ours: float) -> bool:
        """Whether the median of the ratios, or of ours where the target has a unit, reaches it."""
        value = ours if self.unit or ratio is None else ratio
        return value <= self.bound if self.at_most else value >= self.bound


def at_most(bound: float, unit: str = "") -> Target:
    """Ours / theirs, or with a unit ours alone, is to be no more than this."""
    return Target(bound, at_most=True, unit=unit)


def at_least(bound: float, unit: str = "") -> Target:
    """Ours / theirs, or with a unit ours alone, is to be no less than this."""
    return Target(bound, at_most=False, unit=unit)


class Row(msgspec.Struct, frozen=True):
    """A line of the table: ours against a reference. A target in words is shown and not judged.

    ``extra`` goes into the JSON beside it: percentiles, counts, whatever explains the number.
    """

    scenario: str
    ours: Sample
    theirs: Sample | None
    target: Target | str
    note: str = ""
    extra: dict[str, float | str] = {}

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, round by round; empty without a reference."""
        if self.theirs is None:
            return []
        return [mine / other for mine, other in zip(self.ours.values, self.theirs.values, strict=True)]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.theirs else None

    @property
    def spread(self) -> float:
        """Of the ratios, or of ours where there is no reference."""
        return spread(self.ratios or self.ours.values)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where it is in words."""
        return None if isinstance(self.target, str) else self.target.met(self.ratio, self.ours.median)

    def as_dict(self) -> dict[str, object]:
        """For the JSON file."""
        return {
            "scenario": self.scenario,
            "ours": _sample(self.ours),
            "theirs": None if self.theirs is None else _sample(self.theirs),
            "ratio": self.ratio,
            "spread": self.spread,
            "target": str(self.target),
            "met": self.met,
            "note": self.note,
            **self.extra,
        }


def _sample(sample: Sample) -> dict[str, object]:
    return {"name": sample.name, "unit": sample.unit, "median": sample.median, "values": sample.values}


def spread(values: list[float]) -> float:
    """Half the distance between the quartiles, of three values and fewer between the ends, as a share of the median."""
    middle = abs(statistics.median(values)) or 1.0
    if len(values) < 4:
        return (max(values) - min(values)) / 2 / middle
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle


class Bench:
    """What a scenario is given: how thorough to be, and where to say how far it is.

    Args:
        name: the scenario's.
        quick: a short look instead of a measurement.
    """

    def __init__(self, name: str, *, quick: bool = False) -> None:
        self.name = name
        self.quick = quick
        self.missed: list[str] = []
        """What could not be measured although the rest could; told loudly below the table."""
        self._console = Console(stderr=True)

    def amount(self, usual: int, quick: int) -> int:
        """How many of something: entries, rounds, seconds."""
        return quick if self.quick else usual

    def rounds(self, usual: int) -> int:
        """How many rounds: a third of the usual, and at least two, for a short look."""
        return max(2, usual // 3) if self.quick else usual

    def say(self, text: str) -> None:
        """A line for whoever waits, on stderr."""
        self._console.print(f"{self.name}: {text}", highlight=False, markup=False, soft_wrap=True)

    def miss(self, reason: str) -> None:
        """Part of it cannot be measured on this machine; the text says what, why, and what to do about it."""
        self.missed.append(reason)

    def track(self, items: Iterable[Item], what: str = "rounds", total: int | None = None) -> Iterator[Item]:
        """The items, with a bar on a terminal that says how many are done."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        if not self._console.is_terminal:
            yield from items
            return
        columns = (TextColumn(f"{self.name}: {what}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield from progress.track(items, total=total)

    def turns(self, contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
        """Let several contenders take turns, so many rounds; who begins changes from round to round."""
        values: dict[str, list[float]] = {name: [] for name in contenders}
        for number in self.track(range(rounds)):
            for name in _order(list(contenders), number):
                values[name].append(contenders[name]())
        return values

    async def turns_async(
        self, contenders: Mapping[str, Callable[[], Awaitable[float]]], rounds: int
    ) -> dict[str, list[float]]:
        """As `turns`, of coroutine functions."""
        values: dict[str, list[float]] = {name: [] for name in contenders}
        for number in self.track(range(rounds)):
            for name in _order(list(contenders), number):
                values[name].append(await contenders[name]())
        return values

    def calls(
        self,
        contenders: Mapping[str, Callable[[], object]],
        *,
        rounds: int,
        number: int,
        before: Callable[[], object] | None = None,
    ) -> dict[str, Sample]:
        """Nanoseconds of single calls, taken in turn; each round of each contender is so many calls.

        ``before`` is called before each of them, and is not measured.

        Many short rounds tell more than a few long ones on a machine that others use too: a slice of a millisecond or
        two is nearly always undisturbed or wholly out of line, and the median looks away from the latter.
        """
        for call in contenders.values():
            time_calls(call, number // 10 + 1)
        gc.collect()
        timers = {name: _timer(call, number, before) for name, call in contenders.items()}
        return {name: Sample(name, "ns", found) for name, found in self.turns(timers, rounds).items()}


def _order(names: list[str], turn: int) -> list[str]:
    """Neither is always the first to find warm caches: they rotate."""
    start = turn % len(names)
    return names[start:] + names[:start]


def _timer(call: Callable[[], object], number: int, before: Callable[[], object] | None) -> Callable[[], float]:
    def timer() -> float:
        if before is not None:
            before()
        return time_calls(call, number)

    return timer


def time_calls(call: Callable[[], object], number: int) -> float:
    """Nanoseconds of one call, over so many."""
    start = time.perf_counter_ns()
    for _ in range(number):
        call()
    return (time.perf_counter_ns() - start) / number


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds an awaited call takes."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def loudly(text: str) -> None:
    """Something whoever reads the table has to know, on stderr."""
    Console(stderr=True).print(text, style="bold yellow", highlight=False, markup=False, soft_wrap=True)
    sys.stderr.flush()
