"""A program of its own: logs while a signal handler raises at random moments, and judges what became of the entries."""

import random
import signal
import sys
from pathlib import Path

from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.records import EntryRecord, decode, encode

ENTRIES = 15_000


class AlarmError(Exception):
    """Raised by the handler."""


class Bell:
    """Rings every few hundred microseconds of the main thread, unless it is muffled."""

    def __init__(self) -> None:
        self.dice = random.Random(7)
        self.muffled = True
        self.raised = 0
        signal.signal(signal.SIGALRM, self.ring)
        self.wind()

    def wind(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.dice.uniform(0.00003, 0.0003))

    def ring(self, *_: object) -> None:
        self.wind()
        if not self.muffled:
            self.raised += 1
            raise AlarmError


def message(payload: bytes) -> str:
    """Of a record that is an entry."""
    record = decode(payload)
    assert isinstance(record, EntryRecord)
    return record.message


def main(folder: Path) -> None:
    """Log, being interrupted; then read everything back."""
    sys.unraisablehook = lambda _: None  # some ring inside a finaliser, where nobody hears them
    journal = Journal(folder, segment_bytes=8_000, budget=1 << 30)
    feed, bell = Feed("t"), Bell()
    acknowledged: dict[int, int] = {}
    for number in range(1, ENTRIES + 1):
        payload = encode(EntryRecord("t", number, 20, "plugin", None, None, None, f"{number}", None))
        try:
            bell.muffled = False
            seq = journal.append(feed, payload, 20)
            bell.muffled = True
            acknowledged[seq] = number
        except AlarmError:
            bell.muffled = True
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    journal.append(feed, encode(EntryRecord("t", 0, 20, "plugin", None, None, None, "0", None)), 20)
    frames = list(journal.read(0, 1 << 60))
    numbers = {frame[1]: int(message(frame[3])) for frame in frames}
    assert [frame[0] for frame in frames] == list(range(1, journal.last_id + 1)), "ids are not dense"
    assert [frame[1] for frame in frames] == list(range(1, feed.last_seq + 1)), "seqs are not dense"
    assert all(numbers[seq] == number for seq, number in acknowledged.items()), "an acknowledged entry is not there"
    order = list(numbers.values())[:-1]
    assert order == sorted(set(order)), "an entry is there twice, or out of order"
    taken, _, _ = journal.take()
    assert list(taken) == sorted(set(frames).intersection(taken)), "what was handed on is not what is written"
    journal.release(len(taken), taken.size)
    assert journal.pending_bytes == 0, f"{journal.pending_bytes} bytes are counted as in memory, and nothing is"
    journal.close()
    print(bell.raised, len(acknowledged))  # noqa: T201  # for the test to read


main(Path(sys.argv[1]))
