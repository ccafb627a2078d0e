"""Named places off the hot path where a test may make the process stop, fail or wait.

Nothing is armed unless a test arms it; `hit` is then a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Do what is armed at this point, if anything."""
    action = _armed.get(name)
    if action is not None:
        action()


def arm(name: str, action: Callable[[], None] | None) -> None:
    """Do this whenever the point is hit; None disarms it."""
    if action is None:
        _armed.pop(name, None)
    else:
        _armed[name] = action
