"""How much of the service one caller may have, decided without one."""

from __future__ import annotations

from asynclog.server.limits import Seldom


def test_the_same_is_said_now_and_then() -> None:
    """What every request meets is said once in a while, with how often it was not; what is about something else is said
    at once.
    """
    now = 100.0
    seldom = Seldom(lambda: now, 10.0)
    assert seldom.left_out("GET /a") == 0
    assert [seldom.left_out("GET /a") for _ in range(5)] == [None] * 5
    assert seldom.left_out("GET /b") == 0
    now = 109.9
    assert seldom.left_out("GET /a") is None
    now = 110.0
    assert seldom.left_out("GET /a") == 6
    assert seldom.left_out("GET /a") is None
    now = 130.0
    assert [seldom.left_out("GET /a"), seldom.left_out("GET /b")] == [1, 0]
