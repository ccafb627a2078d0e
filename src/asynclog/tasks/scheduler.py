"""The scheduler: starts plugins when their schedules are due, and keeps the schedules.

State owned here, on the event loop: the schedules, and which of them are still to be written down. A firing is decided
and started first, and written down after; what a kill in between leaves is told from the task that was started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from asynclog.clock import wait_for
from asynclog.engine import Engine
from asynclog.errors import AsynclogError, ConflictError, InvalidError, NotFoundError, StoreError
from asynclog.identity import new_id
from asynclog.logger import label
from asynclog.model import EVERYTHING, AccessScope, Schedule, Task, parse_timestamp
from asynclog.queries import TaskQuery
from asynclog.tasks.plugin import Plugin
from asynclog.tasks.schedule import LONGEST, SECOND, NeverError, check, come, described, following, moment_text

LOOK_SECONDS: Final = 1.0
"""How often the wall time is looked at, so that a jump of it is noticed."""
LATE: Final = 60_000_000
"""Microseconds up to which a due time that has passed is not missed yet."""
BACK: Final = 3_600_000_000
"""Microseconds up to which the clock may go back without due times coming again."""
RETRY_SECONDS: Final = 5.0
"""How long to wait before a schedule that could not be written down is written again."""
TASKS: Final = 20
"""How many of a schedule's newest tasks are asked at the start for the due time they were started at."""

_log = logging.getLogger("asynclog.schedules")

Start = Callable[..., Awaitable[Task]]


class Scheduler:
    """Keeps the schedules and fires them.

    Args:
        engine: where they are kept, and the time.
        plugins: what can be scheduled.
        start: starts a plugin as a task: `TaskManager.start`.
    """

    def __init__(self, engine: Engine, plugins: Mapping[str, Plugin], start: Start) -> None:
        self._engine = engine
        self._plugins = plugins
        self._start = start
        self._schedules: dict[str, Schedule] = {}
        self._dirty: dict[str, None] = {}
        self._unreadable: set[str] = set()
        """Schedules that this machine cannot read: their time zone is missing here. They wait for a change, or a start
        where it is there."""
        self._refused = False
        """Whether they could not be written down when that was tried."""
        self._retry_at = 0.0
        self._begun = engine.databases
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closing = False
        self.fired = 0
        """Tasks started by schedules since the start."""

    def all(self, access: AccessScope = EVERYTHING) -> list[Schedule]:
        """The schedules a caller may see, oldest first."""
        return [schedule for schedule in self._schedules.values() if access.allows(schedule.account, schedule.site)]

    def get(self, schedule_id: str, access: AccessScope = EVERYTHING) -> Schedule:
        """One schedule. Raises NotFoundError."""
        found = self._schedules.get(schedule_id)
        if found is None or not access.allows(found.account, found.site):
            raise NotFoundError("schedule", schedule_id)
        return found

    def running(self) -> dict[str, str]:
        """The ids of tasks that run now, by their schedule."""
        found = ((schedule.id, self._running(schedule)) for schedule in self._schedules.values())
        return {schedule_id: task_id for schedule_id, task_id in found if task_id is not None}

    def _running(self, schedule: Schedule) -> str | None:
        """The id of its task that runs now: the last one, since there never are two."""
        live = None if schedule.last_task_id is None else self._engine.hub.get(schedule.last_task_id)
        return None if live is None or live.feed is None else schedule.last_task_id

    def trouble(self) -> str | None:
        """What does not work, as a sentence."""
        return f"{len(self._dirty):,} schedules cannot be written down now" if self._refused and self._dirty else None

    async def create(self, given: Mapping[str, Any], access: AccessScope = EVERYTHING) -> Schedule:
        """A new schedule; it is kept on return.

        Args:
            given: ``plugin`` and ``cron`` or ``interval`` (seconds); ``params``, ``name``, ``account``, ``site``,
                ``time_zone``, ``missed``, ``paused``; checked by the caller for their types.
            access: what the caller may see; without an account or a site the schedule gets this one's.

        Raises:
            NotFoundError: the account or the site is not the caller's.
            InvalidError: one of them cannot be.
            StoreError: it cannot be kept now; nothing has changed.
        """
        now = self._engine.clock.now()
        blank = Schedule(id=new_id(), name="", plugin="", created_at=now, updated_at=now)
        async with self._lock:
            return await self._put(self._planned(self._with(blank, given, access), now))

    async def change(
        self,
        schedule_id: str,
        given: Mapping[str, Any],
        access: AccessScope = EVERYTHING,
        permit: Callable[[Schedule], None] = lambda _: None,
    ) -> Schedule:
        """Change some fields; due times count anew from now. As `create`, and NotFoundError.

        ``permit`` is shown the schedule as it is when it is its turn, and raises what forbids the change.
        """
        async with self._lock:
            now = self._engine.clock.now()
            known = self.get(schedule_id, access)
            permit(known)
            changed = msgspec.structs.replace(self._with(known, given, access), updated_at=now)
            return await self._put(self._planned(changed, now))

    async def remove(self, schedule_id: str, access: AccessScope = EVERYTHING) -> None:
        """Remove a schedule; its tasks stay.

        Raises:
            NotFoundError, StoreError.
        """
        async with self._lock:
            self.get(schedule_id, access)
            await self._engine.store.remove_schedule(schedule_id)
            self._schedules.pop(schedule_id, None)
            self._dirty.pop(schedule_id, None)

    async def run_now(
        self,
        schedule_id: str,
        access: AccessScope = EVERYTHING,
        permit: Callable[[Schedule], None] = lambda _: None,
    ) -> Task:
        """Start the plugin now, paused or not; the due times stay as they are. ``permit``: as for `change`.

        Raises:
            NotFoundError: there is no such schedule, or its plugin is gone.
            ConflictError: the task before still runs.
        """
        async with self._lock:  # what is written down meanwhile would be taken for all there is
            schedule = self.get(schedule_id, access)
            permit(schedule)
            running = self._running(schedule)
            if running is not None:
                raise ConflictError(f"the task {running} of this schedule still runs; wait for its end, or cancel it")
            task = await self._begin(schedule, {"scheduled_at": None, "missed": 0})
            self._note(schedule_id, last_task_id=task.id, last_error=None)
            return task

    async def load(self) -> None:
        """Read the schedules, and what a killed process had started but not written down.

        Raises:
            StoreError: they cannot be read now.
        """
        for schedule in await self._engine.store.schedules():
            self._schedules[schedule.id] = schedule
            task, due = await self._last_fired(schedule.id)
            if task is not None and schedule.next_at is not None and due >= schedule.next_at:
                with self._reading(schedule):
                    self._note(schedule.id, last_at=due, last_task_id=task.id, next_at=_next(schedule, task.created_at))

    async def _last_fired(self, schedule_id: str) -> tuple[Task | None, int]:
        query = TaskQuery(schedule=schedule_id, trigger_type=("schedule",), limit=TASKS)
        for task in (await self._engine.store.tasks(query)).tasks:
            data = task.trigger_data
            if isinstance(data, dict) and isinstance(data.get("scheduled_at"), str):
                return task, parse_timestamp(data["scheduled_at"])
        return None, 0

    async def run(self) -> None:
        """Fire for ever. May be cancelled or fail anywhere and be called again."""
        while True:
            await self.look()
            await self._wait()

    async def look(self) -> None:
        """Fire what is due now, and write down what has changed."""
        for schedule_id in list(self._schedules):
            async with self._lock:
                schedule = self._schedules.get(schedule_id)
                if schedule is not None and schedule.next_at is not None and schedule_id not in self._unreadable:
                    with self._reading(schedule):
                        await self._look_at(schedule, schedule.next_at, self._engine.clock.now())
        await self._write_down()

    @contextlib.contextmanager
    def _reading(self, schedule: Schedule) -> Iterator[None]:
        """One schedule that cannot be read keeps no other from firing."""
        try:
            yield
        except InvalidError as error:
            _log.error("the schedule %s (%s) cannot be read: %s", schedule.id, schedule.name, error)
            self._unreadable.add(schedule.id)
            self._note(schedule.id, last_error=str(error))

    async def _look_at(self, schedule: Schedule, next_at: int, now: int) -> None:
        known = max(schedule.updated_at, schedule.last_at or 0)
        if now < known - BACK:
            _log.warning("the clock went back; the schedule %s is planned anew", schedule.id)
            self._note(schedule.id, last_at=None, updated_at=now, next_at=_next(schedule, now))
        elif next_at <= now:
            await self._fire(schedule, next_at, now)
            await asyncio.sleep(0)  # a thousand may be due at midnight

    async def _fire(self, schedule: Schedule, first: int, now: int) -> None:
        try:
            latest, count = come(schedule, first, now)
        except NeverError:
            latest, count = first, 1
        on_time = now - latest <= LATE
        changes: dict[str, Any] = {"last_at": latest, "next_at": _next(schedule, now)}
        if self._running(schedule) is not None:
            _log.warning("the schedule %s (%s) is due, but its last task still runs", schedule.id, schedule.name)
            changes["skipped"] = schedule.skipped + count
        elif not on_time and schedule.missed == "skip":
            _log.warning("the schedule %s (%s) has missed %d due times", schedule.id, schedule.name, count)
            changes["skipped"] = schedule.skipped + count
        else:
            data = {"scheduled_at": moment_text(latest), "missed": count - 1 if on_time else count}
            try:
                changes |= {"last_task_id": (await self._begin(schedule, data)).id, "last_error": None}
            except ConflictError:  # the service is going down: it is due still when it is up again
                self._closing = True
                return
            except AsynclogError as error:
                _log.error("the schedule %s (%s) cannot start its plugin: %s", schedule.id, schedule.name, error)
                changes["last_error"] = self._engine.settings.dials.redactor.redact(str(error))
        self._note(schedule.id, **changes)

    async def _begin(self, schedule: Schedule, data: dict[str, Any]) -> Task:
        task = await self._start(
            schedule.plugin,
            schedule.params,
            name=schedule.name,
            trigger_type="schedule",
            trigger_data={**data, "schedule": schedule.name, "due": described(schedule)},
            account=schedule.account,
            site=schedule.site,
            schedule_id=schedule.id,
        )
        self.fired += 1
        return task

    async def _wait(self) -> None:
        now = self._engine.clock.now()
        waiting = (schedule for schedule in self._schedules.values() if schedule.id not in self._unreadable)
        dues = [schedule.next_at - now for schedule in waiting if schedule.next_at is not None]
        seconds = min([due / 1_000_000 for due in dues] + [LOOK_SECONDS])
        if seconds <= 0 and not self._closing:  # it has become due while others were looked at
            await asyncio.sleep(0)
            return
        await wait_for(self._changed, self._engine.clock.sleep, LOOK_SECONDS if seconds <= 0 else seconds)
        self._changed.clear()

    def _with(self, schedule: Schedule, given: Mapping[str, Any], access: AccessScope) -> Schedule:
        """The schedule with given fields, checked."""
        changes = dict(given)
        if changes.get("interval") is not None:
            seconds = float(changes["interval"])
            changes["interval"] = round(seconds * SECOND) if 0 <= seconds * SECOND <= LONGEST else 0
        for one, other in (("cron", "interval"), ("interval", "cron")):
            if changes.get(one) is not None and other not in changes:
                changes[other] = None
        if "params" in changes:
            changes["params_json"] = _kept(changes.pop("params") or {})
        for name in ("account", "site"):
            if name in changes:
                changes[name] = label(changes[name])
        changed = msgspec.structs.replace(schedule, **changes)
        account, site = access.home(changed.account, changed.site)
        changed = msgspec.structs.replace(changed, account=account, site=site)
        plugin = self._plugins.get(changed.plugin)
        if plugin is None:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise InvalidError("plugin", f"plugin: there is no plugin {changed.plugin!r}; there are: {known}")
        plugin.check(changed.params)
        check(changed)
        redactor = self._engine.settings.dials.redactor
        return msgspec.structs.replace(changed, name=label(changed.name, redactor=redactor) or changed.plugin)

    def _planned(self, schedule: Schedule, now: int) -> Schedule:
        return msgspec.structs.replace(schedule, next_at=None if schedule.paused else _next(schedule, now))

    async def _put(self, schedule: Schedule) -> Schedule:
        await self._engine.store.put_schedule(schedule)
        self._schedules[schedule.id] = schedule
        self._unreadable.discard(schedule.id)
        self._dirty.pop(schedule.id, None)
        self._changed.set()
        return schedule

    def _note(self, schedule_id: str, **changes: Any) -> None:
        """The schedule has moved on; it is written down soon."""
        known = self._schedules.get(schedule_id)
        if known is not None:
            self._schedules[schedule_id] = msgspec.structs.replace(known, **changes)
            self._dirty[schedule_id] = None
            self._changed.set()

    async def _write_down(self) -> None:
        if self._begun != self._engine.databases:  # the database was lost, and a new one begun
            self._begun = self._engine.databases
            self._dirty.update(dict.fromkeys(self._schedules))
        if not self._dirty or self._engine.clock.monotonic() < self._retry_at:
            return
        async with self._lock:
            for schedule_id in list(self._dirty):
                try:
                    await self._engine.store.put_schedule(self._schedules[schedule_id])
                except StoreError as error:
                    _log.warning("a schedule cannot be written down now: %s", error)
                    self._refused = True
                    self._retry_at = self._engine.clock.monotonic() + RETRY_SECONDS
                    return
                self._dirty.pop(schedule_id, None)
            self._refused = False


def _kept(params: Any) -> str:
    try:
        return msgspec.json.encode(params).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError("params", f"params: they cannot be kept as JSON: {error}") from None


def _next(schedule: Schedule, now: int) -> int | None:
    """The due time after now; None when there is none any more."""
    try:
        return following(schedule, now)
    except NeverError:
        return None
