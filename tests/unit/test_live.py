"""Those who wait for a task are woken together, each on its own account, and spared what they need not ask for."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from asynclog.engine import open_engine
from asynclog.feed import Feed
from asynclog.filters import LogFilter
from asynclog.live import Live
from asynclog.model import Task
from asynclog.settings import Settings
from asynclog.subscription import End, Subscription
from asynclog.tail import Entries, TailBudget

DEADLINE = 30.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def a_live(feed: Feed | None = None) -> Live:
    return Live(Task(id="t", name="t", plugin="p", status="running", created_at=1), feed, TailBudget())


async def test_many_readers_are_woken_together_a_little_later() -> None:
    """New entries wake a lone reader at once, and a crowd a moment later, so that more entries come to it at once."""
    live = a_live()
    lone = asyncio.ensure_future(live.changed())
    await asyncio.sleep(0)
    live.grew()
    await asyncio.sleep(0)
    assert lone.done()
    crowd = [asyncio.ensure_future(live.changed()) for _ in range(500)]
    await asyncio.sleep(0)
    live.grew()
    await asyncio.sleep(0)
    assert not any(each.done() for each in crowd)
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*crowd) == [True] * 500


async def test_a_change_of_state_wakes_a_crowd_at_once() -> None:
    """Who waits is not kept waiting by entries that gather when the task itself changes."""
    live = a_live()
    crowd = [asyncio.ensure_future(live.changed()) for _ in range(500)]
    await asyncio.sleep(0)
    live.grew()
    live.set_task(live.task)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(each.done() for each in crowd)


async def test_a_reader_that_leaves_wakes_nobody() -> None:
    """One reader's cancellation is its own; one whose time is over is told that nothing changed."""
    live = a_live()
    leaving, waiting = (asyncio.ensure_future(live.changed()) for _ in range(2))
    impatient = asyncio.ensure_future(live.changed(0.0))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(DEADLINE):
        assert not await impatient
    assert not waiting.done()
    live.wake()
    async with asyncio.timeout(DEADLINE):
        assert await waiting


async def test_the_news_of_a_moment_are_one_object() -> None:
    """Readers that ask before anything changes get the very same news, so that a door makes one frame of them."""
    feed = Feed("t")
    live = a_live(feed)
    first = live.news
    assert live.news is first
    feed.next_seq += 1
    second = live.news
    assert second is not first
    assert second.task.last_seq == 1
    live.set_task(live.task)
    assert live.news is not second


async def test_a_reader_at_the_head_asks_nothing_of_the_store() -> None:
    """Who has caught up follows the tail: the store is not made to commit for entries that are about to come.

    And entries that do not match are told by the end, not one by one.
    """
    settled = 0
    with TemporaryDirectory(dir=MEMORY) as folder:
        async with open_engine(folder, settings=Settings(pinned={"flush_interval": 60.0})) as engine:
            feed = Feed("t")
            live = engine.hub.add(Task(id="t", name="t", plugin="p", status="running", created_at=1), feed)
            logger = engine.logger(feed)

            async def settle(seconds: float) -> bool:
                nonlocal settled
                settled += 1
                return await engine.settle(seconds)

            with engine.hub.watching(live.task):
                everything = Subscription(live, engine.store, settle, LogFilter())
                nothing = Subscription(live, engine.store, settle, LogFilter.parse([("source", "nobody")]))
                seen: dict[Subscription, list[Entries]] = {everything: [], nothing: []}

                async def follow(subscription: Subscription) -> None:
                    async for event in subscription.events():
                        if isinstance(event, Entries):
                            seen[subscription].append(event)
                        if isinstance(event, End):
                            return

                following = [asyncio.ensure_future(follow(each)) for each in seen]
                logger.info("the first")
                async with asyncio.timeout(DEADLINE):
                    while everything.cursor < 1:
                        await asyncio.sleep(0.001)
                    before = settled
                    for number in range(300):
                        logger.info("entry %d", number)
                        if number % 3 == 0:  # the others are logged while the reader is at the tail's end
                            engine.collect()
                        await asyncio.sleep(0)
                    while everything.cursor < 301 or nothing.cursor < 301:
                        await asyncio.sleep(0.001)
                    assert settled == before
                    live.remove()
                    await asyncio.gather(*following)
    assert sum(len(event.lines) for event in seen[everything]) == 301
    assert sum(len(event.lines) for event in seen[nothing]) == 0
    assert len(seen[nothing]) < 50
