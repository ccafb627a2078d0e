"""Wrong sign-ins, counted by address."""

from __future__ import annotations

import logging

import pytest

from asynclog.errors import TooManyError
from asynclog.server import failures
from asynclog.server.failures import FAILURES, Failures
from asynclog.testing import ManualClock


async def test_an_address_is_stopped_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """So many failures in a minute are taken, then none until the oldest is a minute old; the log says it once."""
    clock = ManualClock()
    counted = Failures(clock, "wrong keys")
    with caplog.at_level(logging.WARNING, "asynclog.server"):
        for _ in range(FAILURES):
            counted.add("10.0.0.1")
            await clock.advance(1)
        for _ in range(5):
            with pytest.raises(TooManyError) as raised:
                counted.add("10.0.0.1")
            assert raised.value.seconds == 60 - FAILURES
        counted.add("10.0.0.2")
    assert [record.getMessage() for record in caplog.records] == [
        f"{FAILURES} wrong keys came from 10.0.0.1 within a minute"
    ]
    await clock.advance(60 - FAILURES)
    counted.add("10.0.0.1")
    with pytest.raises(TooManyError):
        counted.add("10.0.0.1")


async def test_the_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses there are, only the latest are remembered."""
    monkeypatch.setattr(failures, "ADDRESSES", 3)
    counted = Failures(ManualClock(), "wrong keys")
    for number in range(1000):
        counted.add(str(number))
    assert list(counted._moments) == ["997", "998", "999"]
