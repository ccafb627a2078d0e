"""Latencies in an HDR histogram: every one counts, none is averaged away."""

from __future__ import annotations

from typing import Any, Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has none

LOWEST_US: Final = 1
HIGHEST_US: Final = 600_000_000
"""Ten minutes; what took longer counts as this."""
DIGITS: Final = 3
SHOWN: Final = (50.0, 90.0, 99.0, 99.9)


class Latencies:
    """How long things took, in microseconds."""

    def __init__(self) -> None:
        self._histogram: Any = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    def add(self, microseconds: float, count: int = 1) -> None:
        """So many things took this long."""
        self._histogram.record_value(min(max(int(microseconds), LOWEST_US), HIGHEST_US), count)

    def merge(self, other: Latencies) -> None:
        """Count those of another one too."""
        self._histogram.add(other._histogram)

    @property
    def count(self) -> int:
        """How many were added."""
        return int(self._histogram.get_total_count())

    @property
    def longest_ms(self) -> float:
        """Milliseconds; 0 without any."""
        return float(self._histogram.get_max_value()) / 1000 if self.count else 0.0

    def percentile_ms(self, percentile: float) -> float:
        """Milliseconds that so many percent do not exceed; 0 without any."""
        return float(self._histogram.get_value_at_percentile(percentile)) / 1000 if self.count else 0.0

    def as_dict(self) -> dict[str, float]:
        """The usual percentiles, in milliseconds."""
        shown = {f"p{percentile:g}_ms": self.percentile_ms(percentile) for percentile in SHOWN}
        return {**shown, "longest_ms": self.longest_ms}

    def encode(self) -> str:
        """For another process: what `decode` reads."""
        return bytes(self._histogram.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Latencies:
        """What another process encoded."""
        found = cls()
        found._histogram.decode_and_add(text.encode())
        return found
