"""A program of its own: forks children that append to a journal as fast as they can, kills them, reads what is left.

The child puts the number of every append that has returned into memory it shares with its parent: saying it takes no
system call, so it is killed among appends and nowhere else. Prints how many were killed, and how many acknowledged.
"""

import mmap
import os
import random
import select
import signal
import struct
import sys
import time
from pathlib import Path

from asynclog import segments
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.segments import Segment
from asynclog.testing import FaultyDisk

LIVES = 100
SECONDS = 0.01
"""The longest life."""


def live(folder: Path, told: mmap.mmap, ready: int, seed: int, *, mapped: bool) -> None:
    """Append until killed."""
    dice = random.Random(seed)
    journal = Journal(folder, segment_bytes=30_000, budget=0, disk=FaultyDisk(mapped=mapped))
    assert journal.damaged_files <= (not mapped)
    assert journal.last_id >= struct.unpack("<Q", told[0:8])[0]
    told[0:8] = struct.pack("<Q", journal.last_id)
    journal.mark_stored(journal.last_id)
    journal.remove_stored()
    feed = Feed("t", next_seq=journal.last_id + 1)
    sizes = [dice.choice((1, 60, 90, 400, 3_000, 20_000)) for _ in range(100)]
    os.write(ready, b"!")
    while True:
        for size in sizes:
            number = journal.append(feed, b"%d " % feed.next_seq + b"x" * size, 20)
            told[0:8] = struct.pack("<Q", number)


def left(folder: Path, *, mapped: bool) -> int:
    """The last record that can be read; all up to it must be, each with its own payload.

    A system call that was killed may have written a part of its record, a copy leaves nothing.
    """
    last = 0
    for first, path in segments.listed(folder):
        last = last or first - 1
        segment = Segment(path)
        for record_id, seq, _, payload in segment.frames():
            last += 1
            assert (record_id, seq, int(payload.split()[0])) == (last, last, last)
        assert not segment.damaged or not mapped, f"{path.name} is damaged at {segment.offset}"
    return last


def main(folder: Path, *, mapped: bool) -> None:
    """One life after the other, each on what the one before left."""
    dice = random.Random(7)
    told, acknowledged = mmap.mmap(-1, 8), 0
    for _ in range(LIVES):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                live(folder, told, writing, dice.randrange(1 << 30), mapped=mapped)
            finally:
                os._exit(1)
        os.close(writing)
        assert select.select([reading], [], [], 60)[0]
        time.sleep(dice.uniform(0, SECONDS))
        os.kill(child, signal.SIGKILL)
        os.close(reading)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        (acknowledged,) = struct.unpack("<Q", told[0:8])
        assert acknowledged <= left(folder, mapped=mapped) <= acknowledged + 1
    print(LIVES, acknowledged)  # noqa: T201  # for the test to read


main(Path(sys.argv[1]), mapped=sys.argv[2] == "mapped")
