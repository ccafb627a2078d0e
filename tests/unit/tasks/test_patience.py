"""Who makes something for later use lets a writer that is behind go first."""

from __future__ import annotations

from asynclog.tasks.patience import PATIENCE_SECONDS, Patience
from asynclog.testing import ManualClock


async def test_a_writer_that_is_behind_comes_first_for_some_time() -> None:
    """Nothing is done while it is behind; after the patience one whole round is, then it comes first again."""
    clock, behind = ManualClock(), [True]
    patience = Patience(lambda: behind[0], clock.monotonic)
    for _ in range(2):
        assert not patience.may_go_on()
        assert patience.end_round()
        await clock.advance(PATIENCE_SECONDS)
        assert patience.may_go_on()
        assert patience.may_go_on()
        assert not patience.end_round()
    behind[0] = False
    assert patience.may_go_on()
    assert not patience.end_round()


async def test_what_was_left_is_not_forgotten() -> None:
    """A round in which something was left says so, also when the writer has caught up meanwhile; then all is done."""
    clock, behind = ManualClock(), [True]
    patience = Patience(lambda: behind[0], clock.monotonic)
    assert not patience.may_go_on()
    behind[0] = False
    assert patience.may_go_on()
    assert patience.end_round()
    assert patience.may_go_on()
    assert not patience.end_round()
