"""`python -m bench` measures every scenario, `python -m bench NAME …` some: one table, and bench-results.json.

The exit code is 0 when all were measured, whether or not they reach what they are to; 1 when one failed, 2 when the
command makes no sense, 130 on Ctrl-C, which shows what was measured until then.

`python -m bench load --url URL` loads a running service of yours instead; `python -m bench load --help` says how.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.catalogue import scenarios
from bench.harness import loudly
from bench.load import main as load
from bench.machine import machine
from bench.report import as_json, new_file, show
from bench.single import INTERRUPTED, STOPPING, Outcome, measure_apart


def _parser(known: dict[str, str]) -> argparse.ArgumentParser:
    width = max(map(len, known))
    names = "\n".join(f"  {name:{width}}  {line}" for name, line in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"scenarios:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="the scenarios to measure; all of them without one")
    parser.add_argument("--quick", action="store_true", help="a short look: smaller, fewer rounds, not to be relied on")
    parser.add_argument("--list", action="store_true", help="list the scenarios and leave")
    parser.add_argument("--out", type=new_file, default=Path("bench-results.json"), help="where the JSON goes")
    return parser


def main() -> int:
    """Run what the command line names; its exit code."""
    if sys.argv[1:2] == ["load"]:
        return load(sys.argv[2:])
    known = scenarios()
    parser = _parser(known)
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        several = "load stands alone; " if "load" in unknown else ""
        parser.error(f"{several}there is no scenario {', '.join(unknown)}; there are {', '.join(known)}")
    if asked.list:
        print("\n".join(f"{name:12} {line}" for name, line in known.items()))
        return 0
    return _measure(asked.names or list(known), asked.out, quick=asked.quick)


def _measure(names: list[str], out: Path, *, quick: bool) -> int:
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    measured_on = machine()
    outcomes: list[Outcome] = []
    interrupted = False
    for signal_number in STOPPING:
        if signal.getsignal(signal_number) != signal.SIG_IGN:  # nohup
            signal.signal(signal_number, signal.default_int_handler)
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}", file=sys.stderr, flush=True)
        try:
            outcomes.append(measure_apart(name, quick=quick))
        except KeyboardInterrupt:
            missing = ", ".join(names[number - 1 :])
            loudly(f"interrupted: what was measured until now is shown, and nothing of {missing}")
            interrupted = True
            break
    results = as_json(outcomes, started=started, quick=quick, machine=measured_on)
    failed = any(outcome.status == "failed" for outcome in outcomes)
    failed |= not _written(out, {**results, "interrupted": interrupted})  # first: who reads the table may go away
    show(outcomes, Console(width=None if sys.stdout.isatty() else 200), quick=quick)
    return INTERRUPTED if interrupted else 1 if failed else 0


def _written(out: Path, results: dict[str, Any]) -> bool:
    """Keep the results; whether that worked."""
    try:
        out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        loudly(f"the results could not be written: {error}")
        return False
    print(f"every round of it: {out}", file=sys.stderr)
    return True
