"""The queue of lines that `asynclog run` keeps for a service that is slow or away."""

import random
import resource

import pytest

from asynclog.cli import spool
from asynclog.cli.spool import Spool


def test_lines_come_out_as_they_went_in() -> None:
    """However it is put and taken, every line comes out once, whole and in order, from memory or file."""
    chance = random.Random(7)
    queue = Spool()
    given: list[bytes] = []
    taken = b""
    for _ in range(300):
        for _ in range(chance.randrange(20)):
            line = b"x" * chance.randrange(1, 20_000) + b"%d\n" % len(given)
            assert queue.put(line)
            given.append(line)
        got = queue.take(chance.choice((1, 1000, 50_000)))
        assert got.endswith(b"\n") or not queue.size
        taken += got
    while queue.size:
        taken += queue.take(spool.MEMORY_BYTES)
    assert taken == b"".join(given)
    assert (queue.size, queue.lines, queue.take(10)) == (0, 0, b"")
    assert len(taken) > spool.MEMORY_BYTES
    queue.close()


def test_a_full_disk_costs_only_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that the disk does not take whole is not taken, and said so; those before it and after it come out."""
    monkeypatch.setattr(spool, "MEMORY_BYTES", 10)
    queue = Spool()
    assert queue.put(b"in memory\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, before[1]))
    try:
        taken = [queue.put(line) for line in (b"in file\n", b"half of it\n", b"too\n", b"no more\n")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert taken == [True, False, True, False]
    assert (queue.take(100), queue.take(100), queue.take(100)) == (b"in memory\n", b"in file\ntoo\n", b"")
    assert (queue.size, queue.lines) == (0, 0)


def test_a_queue_has_a_bound() -> None:
    """A line that would make the queue larger than its bound is not taken, and said so."""
    queue = Spool()
    assert not queue.put(b"x" * (spool.SPOOL_BYTES + 1))
    assert (queue.size, queue.lines) == (0, 0)
    queue.close()
