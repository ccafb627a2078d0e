"""`python -m bench` runs every scenario, `python -m bench NAME …` some; a table, and bench-results.json."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.harness import Row

SCENARIOS = ("log_call", "overhead", "sustained", "pages", "scroll")


def _show(rows: list[Row]) -> None:
    table = Table(title="asynclog, side by side")
    for title in ("scenario", "ours", "reference", "ratio", "spread", "to reach", "note"):
        table.add_column(title, justify="left" if title in ("scenario", "to reach", "note") else "right")
    for row in rows:
        theirs = row.theirs
        table.add_row(
            row.scenario,
            f"{row.ours.median:,.{0 if row.ours.median >= 100 else 2}f} {row.ours.unit}",
            "" if theirs is None else f"{theirs.median:,.{0 if theirs.median >= 100 else 2}f} {theirs.unit}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            f"±{row.ours.spread:.0%}",
            row.target,
            row.note,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SCENARIOS)}")
    parser.add_argument("--out", type=Path, default=Path("bench-results.json"), help="where the JSON goes")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    rows: list[Row] = []
    for name in asked.names or SCENARIOS:
        print(f"running {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").run()
    _show(rows)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    asked.out.write_text(json.dumps({"machine": machine, "rows": [row.as_dict() for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
