"""Entries into a running service, as somebody else's program would send them: external tasks, NDJSON batches.

Open loop: what is due is due, and a batch takes all that has become due since the last one. A task's batches follow
each other, for two at a time could overtake; one that was not answered is sent again under its own id, which the
service answers without storing it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from typing import Final

import msgspec

from bench import mix
from bench.caller import Answered, Client
from bench.latency import Latencies
from bench.witness import Bins, Span

LINES: Final = 5000
"""Of one batch."""
PAUSE: Final = 0.25
"""Seconds before a batch is sent again; twice as many each time, up to"""
LONGEST_PAUSE: Final = 2.0
GIVE_UP_SECONDS: Final = 30.0
"""A service that has not taken a batch for so long, whatever it answered, is gone."""
DRAIN_SECONDS: Final = 10.0
"""How long after its end a load goes on sending what was due before; a short one as long as it was, and a second."""


class Told(msgspec.Struct):
    """What the service answered to all of it."""

    due: int
    """Entries that were to be sent."""
    offered: int = 0
    """Entries that were sent, once or more often."""
    acknowledged: int = 0
    refused: int = 0
    """Entries that the service rejected, or whose batch it did not take."""
    filtered: int = 0
    """Entries below the level that the service keeps."""
    unanswered: int = 0
    """Entries whose batch was sent and never answered; they may be stored or not."""
    abandoned: int = 0
    """Entries that were not sent, since their task takes nothing more, or we are not let in any more."""
    batches: int = 0
    again: int = 0
    """Batches that had to be sent more than once."""
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    """What went wrong, and how often."""
    seconds: float = 0.0
    """From the first entry to the last answer."""

    @property
    def unsent(self) -> int:
        """Entries that were due, and for which there was no time."""
        return self.due - self.offered - self.abandoned

    @property
    def rate(self) -> float:
        """Entries a second that were acknowledged."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


class Course:
    """What all feeders of a load share: when it began, what was told, and whether it is over.

    Args:
        seconds: how long entries become due.
        entries: how many, of each task.
        tasks: how many tasks there are.
        patience: seconds after which a service that has not taken a batch is gone.
    """

    def __init__(self, seconds: float, entries: int, tasks: int, patience: float = GIVE_UP_SECONDS) -> None:
        self.told = Told(entries * tasks)
        self.seconds = seconds
        self.drain = min(DRAIN_SECONDS, 1.0 + seconds)
        self.patience = patience
        self.entries = entries
        self.gone = False
        """The service has taken nothing for too long."""
        self.start = time.monotonic_ns()
        self._over = asyncio.Event()
        self._bins = Bins()

    @property
    def over(self) -> bool:
        """No further batch is begun."""
        return self._over.is_set()

    @property
    def latencies(self) -> Latencies:
        """From when entries were due until the service had answered for them."""
        return self._bins.latencies()

    def end(self, *, gone: bool = False) -> None:
        """Stop: somebody wants it, or there is no service any more."""
        self.gone = self.gone or gone
        self._over.set()

    def answered(self, due: list[int]) -> None:
        """What was due at these times is acknowledged."""
        now = time.monotonic_ns()
        self.told.seconds = (now - self.start) / 1e9
        self._bins.add(now, due)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the load is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


class Feeder:
    """Feeds one task at a steady rate. State owned here: what it has sent, and what of that is not certain.

    Args:
        client: who speaks to the service.
        task: which task.
        place: of this feeder among all of them, from 0 to 1, so that they do not go in step.
        tick: seconds between two batches, at least.
        course: of the whole load.
    """

    def __init__(self, client: Client, task: str, place: float, tick: float, course: Course) -> None:
        self.task = task
        self.sent = 0
        self.acknowledged = 0
        self.unsure: list[Span] = []
        """Numbers that the service did not acknowledge."""
        self._client = client
        self._course = course
        self._tick = tick
        self._rate = course.entries / course.seconds
        self._delay = place / self._rate

    async def feed(self) -> None:
        """Send all that becomes due, and stop when there is no more time, or no service."""
        course, total, rate = self._course, self._course.entries, self._rate
        start = course.start + round(self._delay * 1e9)
        await course.pause(min(self._delay, self._tick))
        while self.sent < total and not course.over:
            began = time.monotonic_ns()
            passed = (began - start) / 1e9
            if passed > course.seconds + course.drain:
                break
            ready = min(total, self.sent + LINES, int(passed * rate) + 1)
            if passed >= 0 and ready > self.sent:
                due = [start + round(number / rate * 1e9) for number in range(self.sent, ready)]
                first, self.sent = self.sent, ready
                if not await self._send(first, due):
                    break
            if self.sent - rate * passed > -LINES:  # else it is far behind, and there is no time to gather
                await course.pause(max(self._tick - (time.monotonic_ns() - began) / 1e9, 0.0))

    async def _send(self, first: int, due: list[int]) -> bool:
        """Send a batch until it is answered; whether to go on with the task."""
        lines = [msgspec.json.encode(mix.line(first + place, at)) for place, at in enumerate(due)]
        course, told, count = self._course, self._course.told, len(due)
        told.offered += count
        told.batches += 1
        told.unanswered += count
        self.unsure.append((first, first + count))
        answer = await self._answer(b"\n".join(lines))
        if answer is None:
            return False
        told.unanswered -= count
        accepted, filtered = min(answer.accepted, count), min(answer.filtered, count)
        told.acknowledged += accepted
        told.filtered += filtered
        told.refused += count - accepted - filtered
        self.acknowledged += accepted
        if answer.ok:
            course.answered(due)
        if accepted == count:
            self.unsure.pop()
        if answer.final:
            told.abandoned += course.entries - self.sent
        return not answer.final

    async def _answer(self, body: bytes) -> Answered | None:
        """The answer to a batch, which is sent until there is one; None when the load ends before."""
        course, told, batch_id = self._course, self._course.told, uuid.uuid4().hex
        began, pause = time.monotonic(), PAUSE
        while True:
            answer = await self._client.put(self.task, batch_id, body)
            if not answer.ok:
                told.errors[answer.why] += 1
            if not answer.later:
                return answer
            told.again += pause == PAUSE
            if time.monotonic() - began > course.patience:
                course.end(gone=True)
            if course.over:
                return None
            await course.pause(max(pause, answer.after))
            pause = min(2 * pause, LONGEST_PAUSE)
