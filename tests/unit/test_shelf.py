"""An append that a signal handler interrupts at any of its copies; more of the shelf in the journal's own tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asynclog.disk import Disk, Memory
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.records import ENTRY, encode


class Interrupting(Disk):
    """Raises, once, before or after one of the copies to come."""

    def __init__(self, *, mapped: bool) -> None:
        self.mapped = mapped
        self.copies = -1
        """How many go well before that one; none is counted below 0."""
        self.done = False
        """Whether that one is done first."""
        self.half = False
        """Whether half of it is."""
        self.meanwhile: Callable[[], object] = int
        """Called, once, during the next copy, as a finaliser may be."""

    def allocate(self, fd: int, size: int) -> Memory | None:
        memory = super().allocate(fd, size) if self.mapped else None
        return None if memory is None else Copies(self, memory)

    def write(self, fd: int, data: bytes) -> int:  # type: ignore[override]  # a static method in the parent
        due = self.count()
        if due and not self.done:
            os.write(fd, data[: len(data) // 2 * self.half])
            raise KeyboardInterrupt
        written = os.write(fd, data)
        if due:
            raise KeyboardInterrupt
        return written

    def count(self) -> bool:
        """Whether this is the one."""
        self.copies -= 1
        return self.copies == -1


class Copies:
    """Its room in a file."""

    def __init__(self, disk: Interrupting, memory: Memory) -> None:
        self.disk = disk
        self.memory = memory

    def __setitem__(self, place: slice, data: bytes, /) -> None:
        due = self.disk.count()
        if due and not self.disk.done:
            raise KeyboardInterrupt
        meanwhile, self.disk.meanwhile = self.disk.meanwhile, int
        meanwhile()
        self.memory[place] = data
        if due:
            raise KeyboardInterrupt


def entry(number: int, size: int) -> bytes:
    return encode((ENTRY, encode(("t", 20, "plugin", None, None, None)), number, "x" * size, None))


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize(
    ("mapped", "copies", "done", "kept"),
    [
        (True, 0, False, False),
        (True, 0, True, False),
        (True, 1, False, False),
        (True, 1, True, True),
        (False, 0, False, False),
        (False, 0, None, False),
        (False, 0, True, True),
    ],
)
def test_an_interrupted_append(
    tmp_path: Path, *, mapped: bool, copies: int, done: bool | None, kept: bool, closing: bool
) -> None:
    """Its record is there wholly or not at all, those before and behind it are, and nothing counts as damaged."""
    disk, feed = Interrupting(mapped=mapped), Feed("t")
    journal = Journal(tmp_path, disk=disk)
    for number in (1, 2):
        assert journal.append(feed, entry(number, 100), 20) == number
    disk.copies, disk.done, disk.half = copies, bool(done), done is None
    with pytest.raises(KeyboardInterrupt):
        journal.append(feed, entry(3, 3000), 20)
    expected = [1, 2, 3] if kept else [1, 2]
    if not closing:
        for number in (4, 5):
            assert journal.append(feed, entry(number, 10), 20) == len(expected) + 1
            expected.append(number)
    journal.close()
    again = Journal(tmp_path)
    frames = list(again.read(0, again.last_id))
    again.close()
    payloads = [entry(number, 3000 if number == 3 else 100 if number < 3 else 10) for number in expected]
    assert [frame[3] for frame in frames] == payloads
    assert [frame[:2] for frame in frames] == [(number, number) for number in range(1, len(expected) + 1)]
    assert (journal.damaged_files, again.damaged_files) == (0, 0)


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("copies", [2, 3, 4])
def test_what_was_put_off_is_kept(tmp_path: Path, *, copies: int, done: bool, closing: bool) -> None:
    """An entry that a finaliser logs inside of a call is there once, although that call is interrupted behind its own.

    Also when nothing follows but the end, and beside each entry taken from the inbox is its task.
    """
    disk, feed, other = Interrupting(mapped=True), Feed("t"), Feed("other")
    journal = Journal(tmp_path, disk=disk)
    disk.meanwhile = lambda: [journal.append(other, entry(number, 50), 20) for number in (1, 2)]
    disk.copies, disk.done = copies, done
    with pytest.raises(KeyboardInterrupt):
        journal.append(feed, entry(0, 100), 20)
    if not closing:
        frames, feeds, _ = journal.take()
        assert [owner for owner, frame in zip(feeds, frames, strict=True) if frame[0] > 1] == [other] * (
            len(frames) - 1
        )
        assert journal.append(feed, entry(3, 10), 20) == 2
        assert (feed.last_seq, other.last_seq) == (2, 2)
    journal.close()
    again = Journal(tmp_path)
    payloads = [frame[3] for frame in again.read(0, again.last_id)]
    again.close()
    assert payloads == [entry(0, 100), entry(1, 50), entry(2, 50), entry(3, 10)][: 3 if closing else 4]


def test_what_comes_while_the_journal_closes_is_kept(tmp_path: Path) -> None:
    """An entry that a finaliser logs while the last segment is begun is written, as if it had come before."""
    disk, feed = Interrupting(mapped=True), Feed("t")
    journal = Journal(tmp_path, disk=disk)
    assert journal.append(feed, entry(0, 10), 20) == 1
    journal.mark_stored(1)
    disk.meanwhile = lambda: journal.append(feed, entry(1, 10), 20)
    journal.close()
    again = Journal(tmp_path)
    found = list(again.read(again.stored_id, again.last_id))
    again.close()
    assert [(frame[1], frame[3]) for frame in found] == [(2, entry(1, 10))]
