"""The one table of ratios, and the same as JSON."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.harness import Row, Sample
from bench.machine import commit, versions
from bench.single import Outcome

NOTED: Final = 120
"""Columns of a terminal from which there is room for the notes; they are in the JSON as well."""
SCENARIO: Final = 10
"""Columns of a scenario's name, at least."""


def show(outcomes: Iterable[Outcome], console: Console, *, quick: bool) -> None:
    """Print the table, then what was skipped or failed."""
    outcomes = list(outcomes)
    title = "asynclog, side by side" + (" (a short look: too few rounds to rely on)" if quick else "")
    table = Table(title=title)
    noted = console.width >= NOTED
    for heading in ("scenario", "ours", "reference", "ratio", "spread", "to reach", "", *(["note"] if noted else [])):
        right = heading in ("ours", "reference", "ratio", "spread")
        least = SCENARIO if heading == "scenario" else None
        table.add_column(heading, justify="right" if right else "left", min_width=least, overflow="fold")
    for outcome in outcomes:
        for row in outcome.rows:
            table.add_row(*_cells(row)[: len(table.columns)])
        table.add_section()
    if table.row_count:
        console.print(table)
    for outcome in outcomes:
        if outcome.status != "measured":
            loud = f"{outcome.name} {outcome.status.upper()}: {outcome.reason}"
            console.print(loud, style="bold red" if outcome.status == "failed" else "bold yellow", markup=False)
        for reason in outcome.missed:
            console.print(f"{outcome.name} INCOMPLETE: {reason}", style="bold yellow", markup=False)
    judged = [row.met for outcome in outcomes for row in outcome.rows if row.met is not None]
    if judged:
        console.print(f"{sum(judged)} of {len(judged)} targets met")


def _cells(row: Row) -> tuple[str | Text, ...]:
    verdict = {True: Text("met", "green"), False: Text("NOT MET", "bold red"), None: Text("")}[row.met]
    return (
        row.scenario,
        _value(row.ours),
        "" if row.theirs is None else f"{_value(row.theirs)} ({row.theirs.name})",
        "" if row.ratio is None else f"{row.ratio:,.{0 if row.ratio >= 20 else 2}f}",
        f"±{row.spread:.0%}" if len(row.ours.values) > 1 else "",
        str(row.target),
        verdict,
        row.note,
    )


def _value(sample: Sample) -> str:
    median = sample.median
    return f"{median:,.{0 if abs(median) >= 100 else 2 if abs(median) >= 1 else 3}f} {sample.unit}"


def new_file(text: str) -> Path:
    """Where a result is to go, as an argument: looked at before anything is measured, not after it."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path


def as_json(outcomes: Iterable[Outcome], *, started: str, quick: bool, machine: dict[str, object]) -> dict[str, Any]:
    """Everything that was measured, every round of it, and the machine as it was when that began."""
    outcomes = list(outcomes)
    return {
        "started": started,
        "quick": quick,
        "commit": commit(),
        "machine": machine,
        "versions": versions(),
        "rows": [{"of": outcome.name, **row.as_dict()} for outcome in outcomes for row in outcome.rows],
        "scenarios": [
            {name: value for name, value in msgspec.to_builtins(outcome).items() if name != "rows"}
            for outcome in outcomes
        ],
    }
