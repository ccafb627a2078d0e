"""The emitting state of a task, as those read it who do not hold the journal's lock."""

from asynclog.feed import Feed


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
