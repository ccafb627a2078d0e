"""Which scenarios there are: modules of this folder with a function `run`, read without importing them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
ORDER: Final = (
    "log_call",
    "redaction",
    "sustained",
    "ingest",
    "overhead",
    "fan_out",
    "pages",
    "search",
    "filters",
    "busy_reads",
    "burst",
    "deleting",
    "start",
    "disk",
    "scroll",
)
"""Of the table; others come last."""


def scenarios() -> dict[str, str]:
    """What each scenario measures, in a line, by name and in the order of the table."""
    found = {}
    for path in FOLDER.glob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in module.body):
            found[path.stem] = (ast.get_docstring(module) or "").split("\n", 1)[0]
    ranks = {name: rank for rank, name in enumerate(ORDER)}
    return {name: found[name] for name in sorted(found, key=lambda name: (ranks.get(name, len(ranks)), name))}
