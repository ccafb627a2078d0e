"""The intake: what it holds of the records that went through it. How it fills holes is in test_writer."""

import sys
from pathlib import Path

import pytest

from asynclog.feed import Feed
from asynclog.intake import Batch, Intake
from asynclog.journal import Journal
from asynclog.records import EntryRecord, encode


async def test_what_is_in_a_batch_is_held_by_it_alone(tmp_path: Path) -> None:
    """However many records came at once, they leave memory with their batch, as they are counted."""
    journal, feed = Journal(tmp_path), Feed("t")
    for number in range(100):
        journal.append(feed, encode(EntryRecord("t", number, 20, "plugin", None, None, None, "x", None)), 20)
    intake = Intake(journal, most=10)
    intake.put(journal.take()[0])
    for number in range(10):
        batch = Batch()
        await intake.fill(batch, journal.last_id)
        assert batch.frames.ids == list(range(10 * number + 1, 10 * number + 11))
        payloads = batch.frames.payloads
        del batch
        held = {sys.getrefcount(payloads[place]) for place in range(10)}
        assert held == {2}, "somebody else than the list, and the call that asks"
    journal.close()


@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize("floor", [0, 1_000_000])
async def test_a_batch_is_filled(tmp_path: Path, floor: int, *, queued: bool) -> None:
    """A batch takes as many records as it may hold, from the queue or the journal, whatever their numbers are."""
    journal, feed = Journal(tmp_path, floor=floor), Feed("t")
    for number in range(1500):
        journal.append(feed, encode(EntryRecord("t", number, 20, "plugin", None, None, None, "x", None)), 20)
    intake, counts = Intake(journal, most=600), []
    frames, _, last = journal.take()
    if queued:
        intake.put(frames)
    while intake.taken < last:
        batch = Batch()
        await intake.fill(batch, last)
        counts.append((len(batch.frames), batch.queued))
    assert counts == [(600, 600 * queued), (600, 600 * queued), (300, 300 * queued)]
    assert intake.missing == 0
    await intake.close()
    journal.close()
