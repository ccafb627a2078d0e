"""Ask whether a version in our lock files has a known vulnerability: `make audit`, which CI runs.

Ends with 1 when one has. What nobody could be asked about is never counted as sound: it is said in a line that begins
with COULD NOT BE CHECKED, and ends with 0, or with 1 where ``ASYNCLOG_REQUIRE_AUDIT=1`` says that it has to be known.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = tuple(sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "requirements").glob("*.txt")))
SECONDS: Final = 300
"""How long either auditor may take before it counts as out of reach."""
NAMED: Final = 8
"""Packages named in a line."""


class Verdict(NamedTuple):
    """What an audit of one lock file gave: vulnerable packages, those nobody knows about, and how many there are."""

    lock: str
    vulnerable: list[str]
    unknown: list[str]
    total: int


def python_verdict(lock: str, answer: str) -> Verdict:
    """What pip-audit's JSON says."""
    found = _parsed(answer).get("dependencies")
    if not isinstance(found, list) or not found:
        return Verdict(lock, [], ["all packages"], 0)
    vulnerable = [_finding(package) for package in found if package.get("vulns")]
    unknown = [package["name"] for package in found if "skip_reason" in package]
    return Verdict(lock, vulnerable, unknown, len(found))


def _finding(package: Any) -> str:
    known = [f"{vuln['id']} (fixed in {', '.join(vuln['fix_versions']) or 'none'})" for vuln in package["vulns"]]
    return f"{package['name']} {package['version']}: {', '.join(known)}"


def node_verdict(lock: str, answer: str) -> Verdict:
    """What npm's JSON says."""
    found = _parsed(answer)
    counted = found.get("metadata")
    if not isinstance(counted, dict) or "vulnerabilities" not in found:
        return Verdict(lock, [], ["all packages"], 0)
    vulnerable = [f"{name}: {about.get('severity', 'vulnerable')}" for name, about in found["vulnerabilities"].items()]
    total = counted.get("dependencies", {}).get("total", 0)
    return Verdict(lock, vulnerable, [], total)


def _parsed(answer: str) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def report(verdicts: list[Verdict], *, required: bool) -> tuple[list[str], int]:
    """The lines to show, and the exit code."""
    lines, code = [], 0
    for verdict in verdicts:
        for finding in verdict.vulnerable:
            lines.append(f"VULNERABLE: {verdict.lock}: {finding}")
            code = 1
        if verdict.unknown:
            names = ", ".join(verdict.unknown[:NAMED]) + (", …" if len(verdict.unknown) > NAMED else "")
            how_many = f"{len(verdict.unknown)} of {verdict.total} packages" if verdict.total else "nothing"
            reason = f"{how_many} ({names})" if verdict.total else "the advisory service is out of reach"
            lines.append(f"COULD NOT BE CHECKED: {verdict.lock}: {reason}; audit it where that service can be reached")
            code = code or int(required)
        if not verdict.vulnerable and not verdict.unknown:
            lines.append(f"no known vulnerability: {verdict.lock}: {verdict.total} packages")
    return lines, code


def _ask(command: list[str], folder: Path) -> str:
    # Both auditors answer on standard output, whatever they end with; without an answer nothing is known.
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def main() -> int:
    """Audit every lock file."""
    auditor = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json"]
    quietly = [*auditor, "--progress-spinner", "off", "--requirement"]
    verdicts = [python_verdict(lock, _ask([*quietly, lock], ROOT)) for lock in LOCKS]
    verdicts.append(
        node_verdict("web/package-lock.json", _ask(["npm", "audit", "--json", "--package-lock-only"], ROOT / "web"))
    )
    lines, code = report(verdicts, required=os.environ.get("ASYNCLOG_REQUIRE_AUDIT") == "1")
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
