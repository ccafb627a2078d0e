"""What the journal says of guarantees that do not hold now."""

from asynclog.trouble import Trouble

FAILURE = OSError(28, "no space")


def test_without_trouble_nothing_is_said() -> None:
    """As long as nothing fails, everything is certain and there is no sentence."""
    trouble = Trouble()
    assert trouble.certain(0)
    assert trouble.sentence(0, full=False) is None


def test_a_failed_write_is_told_until_one_succeeds() -> None:
    """While writes fail nothing is certain, whatever is stored; each failure is tried again a while later only."""
    trouble = Trouble()
    before = trouble.may_retry
    assert not trouble.failed(FAILURE)
    assert (before, trouble.may_retry) == (True, False)
    assert not trouble.certain(1 << 60)
    said = trouble.sentence(1 << 60, full=True) or ""
    assert "cannot be written: [Errno 28] no space" in said
    assert "new entries are only in memory" in said
    assert trouble.over()
    assert trouble.certain(0)
    assert trouble.sentence(0, full=False) is None


def test_records_in_memory_are_told_until_they_are_stored() -> None:
    """Whichever way records came to be in memory only, it is said why, until the store has the last of them."""
    trouble = Trouble()
    trouble.volatile(7)
    assert "memory until they are stored: the journal's quota is used up" in (trouble.sentence(6, full=False) or "")
    trouble.failed(FAILURE)
    trouble.volatile(9)
    trouble.over()
    assert "memory until they are stored: the journal cannot be written" in (trouble.sentence(8, full=False) or "")
    assert [trouble.certain(stored) for stored in (8, 9, 10)] == [False, True, True]
    assert trouble.sentence(9, full=False) is None


def test_what_the_disk_did_not_confirm_is_told_until_it_is_stored() -> None:
    """After a failed sync a power cut may cost the records up to then, until the store has them."""
    trouble = Trouble()
    trouble.unconfirmed(5)
    assert "did not confirm" in (trouble.sentence(4, full=False) or "")
    assert [trouble.certain(stored) for stored in (4, 5)] == [False, True]
    assert trouble.sentence(5, full=False) is None


def test_a_full_quota_is_told() -> None:
    """While the quota has no room it is said that entries are in memory only, though those before are certain."""
    trouble = Trouble()
    assert "quota is used up" in (trouble.sentence(5, full=True) or "")
    assert trouble.certain(5)
