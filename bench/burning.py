"""A plugin that runs Python code in a thread without pause, for ``asynclog serve --plugins bench.burning``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asynclog import TaskContext


def burn(params: Mapping[str, Any], context: TaskContext) -> dict[str, int]:
    """Compute until the file ``until`` appears, giving the interpreter away only when it is taken; a plain function."""
    until, number, turns = Path(params["until"]), 1, 0
    while not until.exists():
        turns += 1
        for step in range(1_000_000):
            number = (number * 31 + step) & 0xFFFFFF
    return {"turns": turns}


PLUGINS: Mapping[str, object] = {"burn": burn}
