"""When those come last who make something for later use: while the writer is behind, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""How long a writer that is behind comes first."""


class Patience:
    """Asked before a round and before each reading in it, and told the end of the round, also of one not begun.

    Args:
        behind: whether the writer is.
        monotonic: seconds that never go back.
    """

    def __init__(self, behind: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._behind = behind
        self._monotonic = monotonic
        self._since: float | None = None
        """When something was put off first; None when nothing is."""
        self._over = False

    def may_go_on(self) -> bool:
        """Whether to go on now, or to leave it for another round."""
        if self._over or not self._behind():
            return True
        now = self._monotonic()
        if self._since is None:
            self._since = now
        self._over = now - self._since >= PATIENCE_SECONDS  # for the rest of this round
        return self._over

    def end_round(self) -> bool:
        """Whether something was left for another round."""
        left = self._since is not None and not self._over
        if not left or not self._behind():
            self._since, self._over = None, False
        return left
