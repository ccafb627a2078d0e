"""What the journal cannot promise now, and how it says so. Owner: the ledger, under the lock of the journal."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from typing import Final, Literal

RETRY_SECONDS: Final = 0.25
"""How long after a failed write the next one is tried."""

_log = logging.getLogger("asynclog.journal")


class Trouble:
    """The last failure, and up to which record ids a guarantee does not hold."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        """Why the last write failed; None when it did not."""
        self._retry_at = 0.0
        self.volatile_id = 0
        """Records up to this one are partly in memory only, as long as they are not stored."""
        self._volatile_reason = ""
        self._unconfirmed_id = 0
        self.untold: deque[tuple[int, str]] = deque()
        """What happened and is to be logged, by level."""

    def failed(self, error: OSError) -> Literal[False]:
        """A write failed: False."""
        if self.error is None:
            self.untold.append((logging.ERROR, f"the journal cannot be written: {error}"))
        self.error = error
        self._retry_at = time.monotonic() + RETRY_SECONDS
        return False

    def over(self) -> Literal[True]:
        """A write succeeded after one that failed: True."""
        self.error = None
        self.untold.append((logging.WARNING, "the journal can be written again"))
        return True

    @property
    def may_retry(self) -> bool:
        """Whether the last failure is long enough ago."""
        return time.monotonic() >= self._retry_at

    @property
    def reason(self) -> str:
        """Why a record is not written."""
        return "the journal's quota is used up" if self.error is None else "the journal cannot be written"

    def volatile(self, record_id: int) -> None:
        """Records up to this one are partly in memory only."""
        self.volatile_id = record_id
        self._volatile_reason = self.reason

    def unconfirmed(self, record_id: int) -> None:
        """The disk did not confirm records up to this one."""
        self._unconfirmed_id = record_id

    def certain(self, stored_id: int) -> bool:
        """Whether there is none, with everything up to an id in the store."""
        return self.error is None and stored_id >= self.volatile_id and stored_id >= self._unconfirmed_id

    def sentence(self, stored_id: int, *, full: bool) -> str | None:
        """What does not hold now, with everything up to an id in the store; None when all does.

        Args:
            stored_id: the last record that is in the store.
            full: whether the quota has no room for another record.
        """
        if self.error is not None:
            return f"the journal cannot be written: {self.error}; new entries are only in memory until it can"
        if full:
            return "the journal's quota is used up; new entries are only in memory until the database takes older ones"
        if stored_id < self.volatile_id:
            return f"some entries are only in memory until they are stored: {self._volatile_reason}"
        if stored_id < self._unconfirmed_id:
            return "the disk did not confirm a write; entries since then survive a crash but perhaps not a power cut"
        return None

    def tell(self) -> None:
        """Log what happened since the last call. Not under the journal's lock: a handler may wait for another one."""
        while self.untold:
            with contextlib.suppress(Exception):  # another thread was faster, or a handler fails: a log call does not
                _log.log(*self.untold.popleft())
