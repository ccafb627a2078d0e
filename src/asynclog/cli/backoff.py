"""Pauses between attempts to reach a service: longer and longer, with jitter."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_SECONDS: Final = 0.1
LONG_SECONDS: Final = 0.4
"""Somebody who waits is told once the pauses are longer."""


class Backoff:
    """The pauses of one endeavour.

    Args:
        longest: seconds that no pause exceeds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._seconds = FIRST_SECONDS
        self._told = False

    def is_news(self) -> bool:
        """Whether to say now that it takes long: once."""
        told, self._told = self._told, self._told or self._seconds > LONG_SECONDS
        return self._told and not told

    async def pause(self) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter keeps no secret
        self._seconds = min(2 * self._seconds, self._longest)

    def over(self) -> None:
        """An attempt has succeeded: begin anew."""
        self._seconds, self._told = FIRST_SECONDS, False
