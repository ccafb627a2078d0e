"""External tasks: their code runs elsewhere and logs over HTTP. They live as long as their lease is renewed.

State owned here, by task: the answers to batches that may not be stored yet, a lock for its stages and steps, and how
many steps there are. What the tasks are is the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from asynclog import records, values
from asynclog.engine import Engine
from asynclog.errors import ConflictError, InvalidError, NotFoundError, StoreError, TooLargeError
from asynclog.feed import Feed
from asynclog.live import Live
from asynclog.logger import label
from asynclog.model import EVERYTHING, AccessScope, Stage, Step, Task, end_of
from asynclog.records import BatchRecord, TaskRecord
from asynclog.tasks import parts, trace
from asynclog.tasks.answers import Answers
from asynclog.tasks.beginning import new_task
from asynclog.tasks.changes import Changes
from asynclog.tasks.ending import end_parts, finish, interrupt
from asynclog.tasks.ingest import Parsed, parse_in_turns
from asynclog.tasks.runfiles import RunFiles

BODY_BYTES: Final = 8 << 20
"""A batch is one journal record; a larger body is refused."""
MANY_LINES: Final = 1000
"""So many are handed on at once, instead of waiting until the loop looks."""
MAX_LINES: Final = 600_000
"""More than 8 MiB of entries can have. Looking at millions that are none would keep a processor busy for long."""
LEASE_MICROSECONDS: Final = 600_000_000
"""How long an external task may be silent."""
RENEW_MICROSECONDS: Final = 30_000_000
"""A lease renewed less than this long ago is not written down again."""
EXPIRY_SECONDS: Final = 5.0
"""How often leases are looked at."""

JUMP_SECONDS: Final = 60.0
"""How far the wall clock goes off from the steady one, between two looks, when it was set or the machine slept."""


class External:
    """Starts, feeds and ends external tasks."""

    def __init__(self, engine: Engine, run_files: RunFiles) -> None:
        self._engine = engine
        self._run_files = run_files
        self._answers: dict[str, Answers] = {}
        self._changes = Changes(engine)
        self._parts: dict[str, asyncio.Lock] = {}
        self._steps: dict[str, int] = {}
        """How many steps a task has, once it got one since the start: the store is asked once."""

    def resume(self, tasks: Sequence[Task]) -> None:
        """Let the external tasks of a former process go on."""
        for task in tasks:
            self._engine.hub.add(task, Feed.of(task))

    def start(  # noqa: PLR0913  # what a task is
        self,
        name: str | None,
        *,
        plugin: str = "external",
        params: Any = None,
        trigger_type: str = "api",
        trigger_data: Any = None,
        account: str | None = None,
        site: str | None = None,
        parent_id: str | None = None,
        metadata: Any = None,
    ) -> Task:
        """Begin a task whose code runs elsewhere.

        Raises:
            InvalidError: it has no name, or the trigger type is none.
        """
        engine, redactor = self._engine, self._engine.settings.dials.redactor
        title = label(name, redactor=redactor)
        if title is None:
            raise InvalidError("name", "an external task needs a name")
        pending = new_task(
            engine,
            self._run_files,
            plugin=label(plugin, redactor=redactor) or "external",
            name=title,
            params=params,
            trigger_type=trigger_type,
            trigger_data=trigger_data,
            account=account,
            site=site,
            parent_id=parent_id,
            metadata=metadata,
            external=True,
        )
        now = pending.created_at
        task = msgspec.structs.replace(pending, status="running", started_at=now, lease_until=now + LEASE_MICROSECONDS)
        feed = Feed(task.id)
        self._answers[task.id] = Answers(whole=True)
        engine.hub.add(task, feed)
        engine.record(TaskRecord(task.id, task))
        engine.record(trace.run_start(task))
        engine.logger(feed, "system").info("task started: %s, running elsewhere", title)
        return task

    async def ingest(
        self, task_id: str, body: bytes, batch_id: str | None = None, access: AccessScope = EVERYTHING
    ) -> bytes:
        """Take a batch of NDJSON lines; crash-safe on return.

        Args:
            task_id: whose.
            body: see `ingest.parse`.
            batch_id: when it comes again, also after the end or a restart, nothing is taken and the first answer given.

        Returns:
            The answer as JSON.

        Raises:
            TooLargeError: the body is larger than 8 MiB.
            NotFoundError, InvalidError, ConflictError: no such task, a bad batch id, not external or ended.
            StoreError: whether the batch came before cannot be found out now, or it is not crash-safe yet.
        """
        if len(body) > BODY_BYTES:
            raise TooLargeError("a batch of entries", BODY_BYTES)
        if len(body) > MAX_LINES < body.count(b"\n"):
            raise InvalidError("body", f"body: a batch has at most {MAX_LINES:,} lines, and no need for empty ones")
        if batch_id is not None and not 1 <= len(batch_id) <= 200:
            raise InvalidError("batch_id", "batch_id has 1 to 200 characters")
        await self._seen(task_id, access)
        answers = self._answers.setdefault(task_id, Answers(whole=False))
        try:
            async with answers.lock:  # two copies of a batch at once: the second waits for the answer of the first
                answer = await self._answer(task_id, body, batch_id, access, answers)
        finally:
            fed = self._engine.hub.get(task_id)  # there, too, while it runs here, or has ended and is watched
            if fed is None or fed.feed is None or not fed.task.external:
                self._answers.pop(task_id, None)
        if self._engine.journal.is_volatile and not await self._engine.settle():
            raise StoreError("neither journal nor database can be written, so this is only in memory; send it again")
        return answer

    async def _answer(
        self, task_id: str, body: bytes, batch_id: str | None, access: AccessScope, answers: Answers
    ) -> bytes:
        if batch_id is not None:
            known = answers.get(batch_id) or await self._stored_answer(task_id, batch_id, answers, access)
            if known is not None:
                return known
        return await self._take(await self._live(task_id, access), body, batch_id, answers)

    async def _seen(self, task_id: str, access: AccessScope) -> None:
        """Nobody waits for another's task: it is as long in being found missing as one that nobody has."""
        live = self._engine.hub.get(task_id)
        if live is not None and not access.sees(live.task):
            await self._settled_task(task_id, access)

    async def _stored_answer(self, task_id: str, batch_id: str, answers: Answers, access: AccessScope) -> bytes | None:
        if answers.whole:
            return None
        engine = self._engine
        live = engine.hub.get(task_id)
        if live is None or live.feed is None:
            await self._settled_task(task_id, access)
            if not await engine.settle():
                raise StoreError("the database does not say in time whether this batch came before; try again later")
        answer = await engine.store.batch_answer(task_id, batch_id, access)
        return None if answer is None else answer.encode()

    async def _take(self, live: Live, body: bytes, batch_id: str | None, answers: Answers) -> bytes:
        engine, dials = self._engine, self._engine.settings.dials
        parsed = await parse_in_turns(body, engine.clock.now(), dials.threshold, dials.message_limit, dials.redactor)
        feed = live.feed
        if feed is None or feed.sealed:
            raise ConflictError(f"the task {live.task.id} has ended and takes no more entries")
        self._renew(live)
        last_seq = self._append(feed, parsed, batch_id)
        if parsed.accepted >= MANY_LINES:
            engine.collect()
        answer = msgspec.json.encode(parsed.answer(last_seq))
        if batch_id is not None:
            answers.put(batch_id, engine.journal.last_id, answer, engine.journal.stored_id)
        return answer

    def _append(self, feed: Feed, parsed: Parsed, batch_id: str | None) -> int:
        """Append the batch as one record; the task's last seq after it."""
        journal = self._engine.journal
        told = parsed.answer(None if parsed.accepted else feed.last_seq)
        payload = records.encode(BatchRecord(feed.task_id, parsed.parts, batch_id, msgspec.json.encode(told).decode()))
        if not parsed.accepted:
            if batch_id is not None:
                journal.append(None, payload)
            return feed.last_seq
        first = journal.append(feed, payload, span=parsed.accepted, levels=parsed.levels)
        if not first:
            raise StoreError("neither journal nor memory has room for this batch; send it again later")
        return first + parsed.accepted - 1

    async def finish(
        self,
        task_id: str,
        status: str,
        *,
        result: Any = None,
        error_message: str | None = None,
        access: AccessScope = EVERYTHING,
    ) -> Task:
        """End an external task as success, failed or cancelled.

        Raises:
            NotFoundError, InvalidError, ConflictError.
        """
        if status not in ("success", "failed", "cancelled"):
            raise InvalidError("status", "status is success, failed or cancelled")
        live = await self._live(task_id, access)
        async with self._parts.setdefault(task_id, asyncio.Lock()):
            return await self._end(live, status, result, error_message)

    async def _end(self, live: Live, status: str, result: Any, error_message: str | None) -> Task:
        engine, feed, task_id = self._engine, live.feed, live.task.id
        with contextlib.suppress(StoreError):  # the end of the task does not wait for the database
            await end_parts(engine, self._changes.running(task_id), engine.clock.now())
        if feed is None or feed.sealed:
            raise ConflictError(f"the task {task_id} was ended by somebody else meanwhile")
        limit = engine.settings.dials.max_data_size
        message = None if error_message is None else parts.error_kept(error_message, engine.settings.dials.redactor)
        log = engine.logger(feed, "system")
        if status == "success":
            log.info("task finished")
        elif status == "failed":
            log.error("task failed: %s", message or "no reason given")
        else:
            log.warning("task cancelled")
        ended = msgspec.structs.replace(
            live.task,
            status=status,
            finished_at=end_of(live.task.started_at, engine.clock.now()),
            progress=feed.progress or live.task.progress,
            result_json=None if result is None else values.capture(result, limit, engine.settings.dials.redactor),
            error_message=message,
            lease_until=None,
        )
        try:
            return await finish(engine, feed, ended)
        finally:
            self._forget(task_id)

    def _forget(self, task_id: str) -> None:
        self._answers.pop(task_id, None)
        self._parts.pop(task_id, None)
        self._steps.pop(task_id, None)

    async def put_stage(self, task_id: str, given: Mapping[str, Any], access: AccessScope = EVERYTHING) -> Stage:
        """Begin a stage, or with ``id`` change or end one.

        Args:
            task_id: whose.
            given: see `parts.stage_of`, whose errors this raises too.
            access: what the caller may see.

        Raises:
            NotFoundError, ConflictError, StoreError.
        """
        async with self._changing(task_id, access):
            engine, known = self._engine, await self._changes.stages(task_id)
            live, now = await self._live(task_id, access), engine.clock.now()
            stage = parts.stage_of(task_id, given, known, now, engine.settings.dials)
            self._changes.record(stage)
            begun = given.get("id") is None
            if begun:
                engine.record(trace.stage_start(stage, now))
            for event in [] if begun and stage.status == "running" else trace.stage_change(stage, now):
                engine.record(event)
            self._renew(live)
            return stage

    async def put_step(self, task_id: str, given: Mapping[str, Any], access: AccessScope = EVERYTHING) -> Step:
        """Begin a step, or with ``id`` change or end one; arguments (see `parts.step_of`) and errors as above."""
        async with self._changing(task_id, access):
            engine, known_id = self._engine, given.get("id")
            known = None if known_id is None else await self._changes.step(task_id, str(known_id))
            if known_id is not None and known is None:
                raise NotFoundError("step", str(known_id))
            index = self._steps.get(task_id) if known is None else known.step_index
            if index is None:
                index, _ = await engine.store.open_steps(task_id, access)
            live, now = await self._live(task_id, access), engine.clock.now()
            step = parts.step_of(task_id, given, known, index, now, engine.settings.dials)
            self._changes.record(step)
            if known is None:
                self._steps[task_id] = index + 1
            for event in trace.step_error(step, now):
                engine.record(event)
            self._renew(live)
            return step

    @contextlib.asynccontextmanager
    async def _changing(self, task_id: str, access: AccessScope) -> AsyncIterator[None]:
        """There is room for a change of the task's stages and steps, and nobody else changes one meanwhile."""
        await self._live(task_id, access)
        async with self._parts.setdefault(task_id, asyncio.Lock()):
            await self._changes.make_room()
            yield

    async def _live(self, task_id: str, access: AccessScope) -> Live:
        """The running external task."""
        live = self._engine.hub.get(task_id)
        if live is None or live.feed is None or not access.sees(live.task):
            task = await self._settled_task(task_id, access)
            if not task.external:
                raise ConflictError(f"the task {task_id} runs in the service; only external tasks are fed over HTTP")
            raise ConflictError(f"the task {task_id} has ended ({task.status}) and takes nothing more")
        if not live.task.external:
            raise ConflictError(f"the task {task_id} runs in the service; only external tasks are fed over HTTP")
        if live.feed.sealed:
            raise ConflictError(f"the task {task_id} is ending and takes nothing more")
        return live

    async def _settled_task(self, task_id: str, access: AccessScope) -> Task:
        """A task that does not run here, as far as the caller sees. Raises NotFoundError."""
        ended = self._engine.hub.ended(task_id)
        if ended is not None and access.sees(ended):
            return ended
        task = await self._engine.store.task(task_id, access)  # of what is not known here everything is stored
        if task is None:
            raise NotFoundError("task", task_id)
        return task

    def _renew(self, live: Live) -> None:
        until = self._engine.clock.now() + LEASE_MICROSECONDS
        if abs(until - (live.task.lease_until or 0)) >= RENEW_MICROSECONDS:
            task = msgspec.structs.replace(live.task, lease_until=until)
            live.set_task(task)
            self._engine.record(TaskRecord(task.id, task))

    async def expire(self) -> None:
        """Interrupt external tasks whose lease is over, for ever; the manager's owner runs it.

        When the wall clock was set, or the machine slept, leases begin anew: nobody was silent for that long.
        """
        clock = self._engine.clock
        while True:
            wall, steady = clock.now(), clock.monotonic()
            await clock.sleep(EXPIRY_SECONDS)
            jump = (clock.now() - wall) / 1_000_000 - (clock.monotonic() - steady)
            for live in self._engine.hub:
                if abs(jump) > JUMP_SECONDS and self._is_open(live):
                    self._renew(live)
                elif self._is_silent(live):
                    with contextlib.suppress(StoreError):  # it is looked at again, and the writer says what is wrong
                        await self._expire(live)

    def _is_open(self, live: Live) -> bool:
        return live.task.external and live.feed is not None and not live.feed.sealed

    def _is_silent(self, live: Live) -> bool:
        """Whether an external task's lease is over."""
        return self._is_open(live) and (live.task.lease_until or 0) < self._engine.clock.now()

    async def _expire(self, live: Live) -> None:
        task_id = live.task.id
        async with self._parts.setdefault(task_id, asyncio.Lock()):
            if self._is_silent(live):  # else it was heard of, or has ended, meanwhile
                left = self._changes.running(task_id)
                await interrupt(self._engine, live.task, left, "it was silent for longer than its lease", live.feed)
                self._forget(task_id)
