"""What came of a load, as sentences, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench.latency import Latencies
from bench.loading import Told
from bench.subscribers import Report

NORMAL: Final = "1000"
"""How a connection ends when all was said."""
OPEN: Final = "open"
BUSY: Final = 0.8
"""Of a core: whoever takes more is at the limit of one."""
LATE_MS: Final = 20.0
"""Whoever's clock is later than that (99th percentile) does not get the processor when it wants it."""


UNCOUNTED: Final = "how many entries are stored could not be found out"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: entries a second in all, over so many tasks, and subscribers in all."""

    url: str
    rate: float
    tasks: int
    subscribers: int
    duration: float
    patience: float
    """Seconds after which a service that answers nothing is gone."""
    tick: float
    """Seconds between two batches of a task, at least."""
    api_key: str | None = None
    delete: bool = False

    def __str__(self) -> str:
        many = f"{counted(self.tasks, 'task')}, {counted(self.subscribers, 'subscriber')}"
        return f"{amount(self.rate)} entries/s over {many}"


class Cost(msgspec.Struct, frozen=True):
    """What the load itself took: when it was at its limit, it has measured itself."""

    cores: float
    """How much of a core."""
    late_ms: float
    """How late its clock was, 99th percentile."""

    def __str__(self) -> str:
        return f"{self.cores:.0%} of a core, {self.late_ms:.0f} ms late (p99)"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load."""

    load: Load
    started: str
    told: Told
    acknowledged: Latencies
    """From when an entry was due until the service had answered for it."""
    seen: Report
    tasks: list[str]
    watched: int
    """Tasks that have a subscriber."""
    stored: int | None
    """Entries that can be read in the end; None when that could not be found out."""
    itself: Cost
    interrupted: bool
    gone: bool
    """The service took no more."""
    cleanup: list[str]
    """What went wrong when the tasks were finished and deleted."""

    @property
    def subscribers(self) -> Cost:
        """What the process of the subscribers took."""
        return Cost(self.seen.cpu / (self.seen.seconds or 1), self.seen.late_ms)

    @property
    def problems(self) -> list[str]:
        """What should not have happened, as sentences."""
        told, seen = self.told, self.seen
        stored = told.acknowledged if self.stored is None else self.stored
        found = {
            "entries were acknowledged and lost on the way to subscribers": seen.lost,
            "entries came again, late or to the wrong subscriber": seen.disordered,
            "entries were declared dropped by the service": seen.declared,
            "entries were acknowledged and are not stored": told.acknowledged - stored,
            "entries are stored more than once": stored - told.acknowledged - told.unanswered - told.refused,
            "entries were refused": told.refused,
            "entries were not sent, since their tasks take no more of us": told.abandoned,
            "entries were not acknowledged: no answer came to their batches": told.unanswered,
            "entries were left out by the service, whose task_log_level is above theirs": told.filtered,
            f"subscribers were not told the end of their task; {seen.unseen:,} entries had not come": seen.unended,
        }
        closes = [
            f"{count:,} connections ended: {why}" for why, count in seen.closes.items() if why not in (NORMAL, OPEN)
        ]
        return [
            *self._pace(),
            *(f"{count:,} {what}" for what, count in found.items() if count > 0),
            *closes,
            *([UNCOUNTED] if self.stored is None and not self.cut_short else []),
            *self.cleanup,
        ]

    @property
    def cut_short(self) -> bool:
        """It ended before its time, so not everything can be told."""
        return self.gone or self.interrupted

    def _pace(self) -> list[str]:
        told = self.told
        if self.gone:
            return [f"the service took no batch for {self.load.patience:g} s; {told.unsent:,} entries were not sent"]
        if not told.unsent or self.interrupted:
            return []
        late = f"{told.unsent:,} entries were due and could not be sent in time"
        return [f"{late}: {told.rate:,.0f} a second were taken, of {amount(self.load.rate)}"]

    @property
    def notes(self) -> list[str]:
        """What whoever reads the numbers has to know."""
        told, seen = self.told, self.seen
        found = [f"{count:,} times: {error}" for error, count in told.errors.items()]
        if seen.again:
            found.append(f"subscribers lost their connections and connected again {seen.again:,} times")
        if seen.unsure:
            found.append(f"{seen.unsure:,} entries that were not acknowledged did not come to subscribers: no loss")
        if self.stored is None and self.cut_short:
            found.append(UNCOUNTED)
        for name, cost in (("load itself", self.itself), ("process of its subscribers", self.subscribers)):
            if cost.cores > BUSY:
                found.append(
                    f"the {name} took {cost.cores:.0%} of a core, and cannot take more than one:"
                    " these numbers are its own as much as the service's; ask for less at a time"
                )
        late_ms = max(self.itself.late_ms, self.subscribers.late_ms)
        if late_ms > LATE_MS:
            found.append(
                f"the load had to wait for a processor, {late_ms:.0f} ms at times (p99), for the service or others:"
                " so much of what is above may be its own"
            )
        return found

    @property
    def verdict(self) -> str:
        """What is known when there are no problems."""
        checked = "everything acknowledged is stored"
        if not self.watched:
            return f"{checked}; without subscribers nothing is known of the order"
        rest = self.load.tasks - self.watched
        few = f" ({counted(rest, 'task')} had none)" if rest else ""
        return f"{checked}; nothing lost, nothing twice, everything in order, at every subscriber{few}"

    def as_dict(self) -> dict[str, Any]:
        """For the JSON."""
        hidden = {"api_key", "histogram"}
        load, seen, told = (
            {name: value for name, value in msgspec.to_builtins(part).items() if name not in hidden}
            for part in (self.load, self.seen, self.told)
        )
        return {
            "started": self.started,
            "load": load,
            "ok": not self.problems and not self.interrupted,
            "interrupted": self.interrupted,
            "problems": self.problems,
            "notes": self.notes,
            "told": {**told, "unsent": self.told.unsent},
            "stored": self.stored,
            "acknowledged_per_second": self.told.rate,
            "emit_to_acknowledged": self.acknowledged.as_dict(),
            "emit_to_subscriber": self.seen.latencies.as_dict(),
            "seen": seen,
            "itself": msgspec.to_builtins(self.itself),
            "tasks": self.tasks,
        }


def show(result: Result, console: Console) -> None:
    """The table for people."""
    load = result.load
    table = Table(title=f"{load.url}: {load}", title_justify="left")
    for heading in ("", "p50", "p90", "p99", "p99.9", "longest"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, latencies in (("due to acknowledged", result.acknowledged), ("due to subscriber", result.seen.latencies)):
        found = latencies.as_dict().values()
        table.add_row(name, *(f"{milliseconds:,.1f} ms" if latencies.count else "-" for milliseconds in found))
    console.print(table)
    for line in _lines(result):
        console.print(line, highlight=False, markup=False)
    for note in result.notes:
        console.print(note, style="yellow", markup=False, highlight=False)
    for problem in result.problems:
        console.print(problem, style="bold red", markup=False, highlight=False)
    if result.interrupted:
        console.print("interrupted: this is what was measured until then", style="bold yellow")
    elif not result.problems:
        console.print(result.verdict, style="green", markup=False, highlight=False)
    if not load.delete:
        rest = "; ten minutes after it is back it ends those that are open" if result.gone else ""
        names = f"`load 1 of {load.tasks}`" + (" and so on" if load.tasks > 1 else "")
        kept = f"{counted(load.tasks, 'task')} stayed, by the name of {names}; --delete removes what is loaded{rest}"
        console.print(kept, markup=False, highlight=False)


def _lines(result: Result) -> Iterator[str]:
    load, told, seen = result.load, result.told, result.seen
    stored = "" if result.stored is None else f", {result.stored:,} stored"
    entries = f"{told.acknowledged:,} of {told.due:,} entries acknowledged{stored}"
    yield f"{entries}; {told.rate:,.0f}/s in {told.seconds:.1f} s"
    often = f"at most one every {load.tick * 1000:.0f} ms from each task"
    yield f"{told.batches:,} batches, {often}; {told.again:,} sent again"
    if seen.subscribers:
        reached = f"{seen.received:,} entries in {seen.frames:,} frames ({seen.bytes / 1e6:,.1f} MB)"
        yield f"{reached} reached {counted(seen.subscribers, 'subscriber')} of {counted(result.watched, 'task')}"
    itself = f"the load itself took {result.itself}"
    yield f"{itself}; its subscribers {result.subscribers}" if seen.subscribers else itself


def counted(number: int, what: str) -> str:
    """A number of things."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def amount(rate: float) -> str:
    """A rate, as exactly as it is looked at."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:g}"
