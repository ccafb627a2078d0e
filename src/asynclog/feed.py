"""The emitting state of one task. Owner: the ledger, under the lock of the journal."""

from __future__ import annotations

from asynclog.model import Gap, Level, Progress, Sealed, Task


class Feed:
    """Where the entries of one task get their numbers.

    Everything here changes only under the journal's lock; others may read single fields at any time.
    """

    __slots__ = (
        "counts",
        "dropped",
        "dropping",
        "late",
        "next_seq",
        "progress",
        "reason",
        "sealed",
        "shut",
        "task_id",
        "watched",
    )

    def __init__(
        self, task_id: str, *, next_seq: int = 1, counts: dict[str, int] | None = None, dropped: int = 0
    ) -> None:
        self.task_id = task_id
        self.next_seq = next_seq
        self.counts = [0] * (Level.ERROR + 1)
        """Entries by level."""
        for name, count in (counts or {}).items():
            self.counts[Level[name]] = count
        self.dropped = dropped
        self.dropping = 0
        """The first seq of the range being dropped now, 0 for none."""
        self.reason = ""
        self.sealed = False
        self.shut = False
        """Whether entries cannot simply be taken: it is sealed, or they are being dropped."""
        self.late = 0
        """Calls that came after the seal."""
        self.progress: Progress | None = None
        """The newest progress; set by the logger from any thread, as one assignment."""
        self.watched = False
        """Whether a live reader wants the entries; set by the hub, on the loop."""

    @classmethod
    def of(cls, task: Task) -> Feed:
        """That of a stored task that goes on."""
        return cls(task.id, next_seq=task.last_seq + 1, counts=task.counts, dropped=task.dropped)

    @property
    def last_seq(self) -> int:
        """The number of the newest entry, dropped ones included."""
        return self.next_seq - 1

    @property
    def head(self) -> int:
        """The newest seq that a reader can be given: all but a range still being dropped, which has no end yet."""
        dropping = self.dropping
        return dropping - 1 if dropping else self.next_seq - 1

    def drop(self, span: int, reason: str) -> None:
        """Number so many entries and let them go."""
        if not self.dropping:
            self.dropping = self.next_seq
            self.reason = reason
            self.shut = True
        self.next_seq += span
        self.dropped += span

    def count(self, levels: list[int]) -> None:
        """Count the entries of a batch, given by ``level // 10``."""
        for level in Level:
            self.counts[level] += levels[level // 10]

    def growing(self) -> Gap | None:
        """The range that is being dropped now. For those who do not hold the lock: it may end meanwhile."""
        last, first = self.last_seq, self.dropping  # in this order: what came after the range is not taken for it
        return Gap(task_id=self.task_id, from_seq=first, to_seq=last, reason=self.reason) if 0 < first <= last else None

    def gap(self) -> Gap:
        """The range dropped up to now."""
        return Gap(task_id=self.task_id, from_seq=self.dropping, to_seq=self.last_seq, reason=self.reason)

    def reopen(self) -> None:
        """That range is named: the next entry is not one of it."""
        self.dropping = 0
        self.shut = self.sealed

    def seal(self) -> Sealed:
        """Take no more entries."""
        self.sealed = self.shut = True
        return Sealed(count=self.last_seq - self.dropped, last_seq=self.last_seq)

    def by_level(self) -> dict[str, int]:
        """Entries by level name, dropped ones not counted."""
        return {level.name: self.counts[level] for level in Level}
