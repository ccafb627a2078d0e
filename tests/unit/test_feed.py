"""The emitting state of a task, as those read it who do not hold the journal's lock."""

from asynclog.feed import Feed
from asynclog.model import Task


class Moving(Feed):
    """One whose growing range ends, in another thread, right after its last seq was read."""

    @property
    def last_seq(self) -> int:
        """The number of the newest entry."""
        last = self.next_seq - 1
        if self.dropping:
            self.dropping = 0
            self.next_seq += 1
        return last


def test_the_range_that_grows() -> None:
    """It is from its first to its newest entry; there is none before and after."""
    feed = Feed("t", next_seq=5)
    assert feed.growing() is None
    feed.drop(2, "full")
    feed.drop(1, "full")
    assert feed.growing() == feed.gap()
    assert (feed.gap().from_seq, feed.gap().to_seq) == (5, 7)
    feed.dropping = 0
    assert feed.growing() is None


def test_a_range_that_ends_meanwhile() -> None:
    """What came behind a range that has just ended is never told as dropped, nor what came before it."""
    feed = Moving("t", next_seq=5)
    feed.drop(3, "full")
    assert feed.growing() is None


def test_a_stored_task_goes_on() -> None:
    """A task that outlives a restart goes on behind its last entry, and counts on from what was stored and dropped."""
    counts = {"DEBUG": 1, "INFO": 2, "WARNING": 3, "ERROR": 4}
    stored = Task(id="t", name="t", plugin="p", created_at=1, last_seq=15, counts=counts, dropped=5)
    feed = Feed.of(stored)
    assert (feed.task_id, feed.next_seq, feed.dropped, feed.by_level()) == ("t", 16, 5, counts)
    feed.count([0, 10, 0, 0, 1])
    assert feed.by_level() == {**counts, "DEBUG": 11, "ERROR": 5}
    sealed = feed.seal()
    assert (sealed.count, sealed.last_seq) == (10, 15)
