"""A lock whose `with` costs half, for what every log call does."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager


def quick(lock: threading.RLock) -> AbstractContextManager[object]:
    """The same lock, for `with`: its methods are bound once and not each time."""
    methods = {"__slots__": (), "__enter__": lock.acquire, "__exit__": lock.__exit__}
    held: AbstractContextManager[object] = type("Quick", (), methods)()
    return held
