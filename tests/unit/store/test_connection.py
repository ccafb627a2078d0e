"""A connection's thread: it has told all it has to tell when the call is over."""

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from asynclog.store.connection import Connection

DEADLINE_SECONDS = 20.0


class Slow:
    """Connects, or fails to, once it is let go; remembers the thread it did so on."""

    def __init__(self, *, fails: bool = False) -> None:
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.fails = fails

    def __call__(self) -> sqlite3.Connection:
        self.thread = threading.current_thread()
        self.inside.set()
        assert self.go_on.wait(DEADLINE_SECONDS)
        return sqlite3.connect("file:missing?mode=ro" if self.fails else ":memory:", uri=True, check_same_thread=False)


async def cancelled_again_and_again(call: Coroutine[Any, Any, object], slow: Slow) -> None:
    """Cancel a call a few times while it waits for what is slow, then let that go on."""
    work = asyncio.ensure_future(call)
    assert await asyncio.to_thread(slow.inside.wait, DEADLINE_SECONDS)
    for _ in range(5):
        work.cancel()
        await asyncio.sleep(0)
    assert not work.done()
    slow.go_on.set()
    with pytest.raises((asyncio.CancelledError, sqlite3.OperationalError)):
        await work


@pytest.mark.parametrize("fails", [False, True])
async def test_cancelled_while_it_is_opened(*, fails: bool) -> None:
    """Whoever is cancelled while a connection is opened leaves none behind, nor its thread: that would tell its result
    to a loop that is closed by then.
    """
    slow = Slow(fails=fails)
    connection = Connection(slow)
    await cancelled_again_and_again(connection.opened(), slow)
    await asyncio.to_thread(slow.thread.join, DEADLINE_SECONDS)
    assert not slow.thread.is_alive()
    with pytest.raises(ValueError, match="no active connection"):
        _ = connection.submit(lambda _: None)


async def test_it_cannot_be_opened() -> None:
    """What connecting raises comes out, when the thread has said its last word."""
    slow = Slow(fails=True)
    slow.go_on.set()
    with pytest.raises(sqlite3.OperationalError):
        _ = await Connection(slow).opened()
    await asyncio.to_thread(slow.thread.join, DEADLINE_SECONDS)
    assert not slow.thread.is_alive()


async def test_cancelled_while_it_is_closed() -> None:
    """Whoever is cancelled while a connection is closed, behind what still runs there, waits until it is."""
    slow = Slow()
    connection = await Connection(lambda: sqlite3.connect(":memory:", check_same_thread=False)).opened()
    running = connection.submit(lambda _: slow())
    await cancelled_again_and_again(connection.close(), slow)
    assert running.done()
    await asyncio.to_thread(slow.thread.join, DEADLINE_SECONDS)
    assert not slow.thread.is_alive()
    running.result().close()
