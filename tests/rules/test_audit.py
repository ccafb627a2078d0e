"""What an audit of the lock files may claim."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.rules.sources import ROOT


def _audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


AUDIT = _audit()


CLEAN = {"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": []}]}
BAD = {"name": "c", "version": "3", "vulns": [{"id": "X-1", "fix_versions": ["4"]}]}
SKIPPED = {"name": "d", "skip_reason": "Dependency not found and could not be audited: d (1)"}
NPM = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 7}}}


def _said(verdict: Any, *, required: bool = False) -> tuple[str, int]:
    lines, code = AUDIT.report([verdict], required=required)
    return "\n".join(lines), code


def test_an_audit_says_what_is_vulnerable_and_fails() -> None:
    """A known vulnerability ends the audit with 1 and names the package, the advisory and the version without it."""
    bad = json.dumps({"dependencies": [*CLEAN["dependencies"], BAD]})
    assert _said(AUDIT.python_verdict("l", bad)) == ("VULNERABLE: l: c 3: X-1 (fixed in 4)", 1)
    found = json.dumps({**NPM, "vulnerabilities": {"e": {"severity": "high"}}})
    assert _said(AUDIT.node_verdict("l", found)) == ("VULNERABLE: l: e: high", 1)


def test_an_audit_says_when_all_is_sound() -> None:
    """Only when every package was looked up is there a line that says that nothing is known against any."""
    assert _said(AUDIT.python_verdict("l", json.dumps(CLEAN))) == ("no known vulnerability: l: 2 packages", 0)
    assert _said(AUDIT.node_verdict("l", json.dumps(NPM))) == ("no known vulnerability: l: 7 packages", 0)


@pytest.mark.parametrize(
    "verdict",
    [
        AUDIT.python_verdict("l", json.dumps({"dependencies": [SKIPPED]})),
        AUDIT.python_verdict("l", json.dumps({"dependencies": [*CLEAN["dependencies"], SKIPPED]})),
        AUDIT.python_verdict("l", ""),
        AUDIT.python_verdict("l", "{}"),
        AUDIT.python_verdict("l", "Traceback"),
        AUDIT.node_verdict("l", ""),
        AUDIT.node_verdict("l", "[]"),
        AUDIT.node_verdict("l", json.dumps({"message": "405 Method Not Allowed", "error": {"summary": ""}})),
    ],
)
def test_what_was_not_checked_is_not_called_sound(verdict: Any) -> None:
    """Where the advisory service is out of reach or knows no package, that is said, and fails where it must be."""
    said, code = _said(verdict)
    assert said.startswith("COULD NOT BE CHECKED: l: ")
    assert "no known" not in said
    assert code == 0
    assert _said(verdict, required=True)[1] == 1


def test_ci_runs_the_audit() -> None:
    """`make audit` audits, and what CI runs includes it."""
    assert ".ci/audit.py" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"make .*\baudit\b", (ROOT / ".ci/run").read_text(encoding="utf-8"))
