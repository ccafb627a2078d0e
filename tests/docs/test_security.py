"""docs/security.md proves what it says: each test it names exists, and each threat has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
_ROW = re.compile(r"^\| (?!threat|---|found|what stands|headers|URLs|command lines|shapes)(.+) \|$", re.MULTILINE)
_NUMBERS = re.compile(r"\u2013|\d{1,2}\.\d{1,2}\.\d{1,2}(?:, \d{1,2}\.\d{1,2}\.\d{1,2})*")
CHAPTERS = {1: 5, 2: 4, 3: 7, 4: 4, 5: 4, 6: 8, 7: 6, 8: 4, 9: 2, 11: 7, 12: 3, 13: 4, 14: 3, 15: 4, 16: 5}
"""Of ASVS 5.0.0: the sections of each chapter that concerns us."""


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[f"{file}::{test}" for file, test in NAMED])
def test_the_proof_exists(file: str, test: str) -> None:
    """A test that is named as a proof is there, under this very name."""
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test in found


def test_every_threat_is_answered_and_proved() -> None:
    """A threat's row has an answer, at least one test, and requirements of the ASVS, or a dash where there is none."""
    rows = [row.split(" | ") for row in _ROW.findall(TEXT)]
    assert len(rows) > 30
    for row in rows:
        assert len(row) == 4, row[0]
        _, answer, proof, numbers = row
        assert answer
        assert proof.count("`") == 2 * proof.count("::") > 0, row[0]
        assert _NUMBERS.fullmatch(numbers), row[0]
        for number in re.findall(r"(\d+)\.(\d+)\.\d+", numbers):
            assert 1 <= int(number[1]) <= CHAPTERS[int(number[0])], numbers


def test_every_fuzzer_is_named_in_the_document() -> None:
    """What is fuzzed is said, with the way to let it run for longer."""
    assert "ASYNCLOG_FUZZ_EXAMPLES" in TEXT
    assert "make fuzz" in TEXT
    for path in (ROOT / "tests/property").glob("test_fuzz_*.py"):
        assert f"tests/property/{path.name}::" in TEXT, path.name
