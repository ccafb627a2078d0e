"""``WS /ws/tasks/{id}/logs``: a task's entries from a cursor on, its history and what comes, as one sequence."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Final, cast

import msgspec
from starlette.websockets import WebSocket

from asynclog.errors import InvalidError
from asynclog.filters import LogFilter
from asynclog.live import TaskChanged
from asynclog.model import Gap, Stage, Task
from asynclog.protocols import Archive
from asynclog.server.body import read_json
from asynclog.server.connection import (
    NOT_FOUND,
    POLICY,
    ClosedError,
    Connection,
    converse,
    frames_of,
    together,
)
from asynclog.server.limits import Pace
from asynclog.server.parameters import MAX_NUMBER, read_query, whole
from asynclog.server.problems import MalformedError
from asynclog.server.search import numbers
from asynclog.server.service import Service
from asynclog.server.turns import InTurn
from asynclog.subscription import Changed, End, Event, Refiltered, Subscription
from asynclog.tail import Entries
from asynclog.wire import encode, gap_object, stage_object, step_object, task_object

PARAMETERS: Final = (whole("after", "Begin after the entry with this seq; 0 is the whole history.", 0, default=0),)
MAX_FAULTS: Final = 100
"""Bad frames a client may send before it is shown the door."""
MAX_REF: Final = 200
"""Characters of a reference."""


class LogSocket:
    """The WebSocket door to one service's tasks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client."""
        await converse(self._service, "logs", websocket, self._talk)

    async def _talk(self, connection: Connection) -> None:
        query = read_query(connection.query_string, PARAMETERS, filtered=True)
        reader = self._service.tasks.reader
        archive = InTurn(self._service.tasks.engine.store, self._service.turns, connection.who)
        async with reader.follow(
            connection.path["task_id"],
            query.filter,
            query.values["after"],
            connection.access,
            cast("Archive", archive),
        ) as subscription:
            answered = asyncio.Event()
            await together(_tell(connection, subscription, answered), _listen(connection, subscription, answered))


async def _tell(connection: Connection, subscription: Subscription, answered: asyncio.Event) -> None:
    """Send what happens, up to the end."""
    shown: Task | None = None
    async with aclosing(subscription.events()) as events:  # type: ignore[type-var]  # it is an async generator
        async for event in events:
            if isinstance(event, TaskChanged):
                state = _state(event.task)
                if state == shown:
                    continue  # a stage or a step changed, which has a frame of its own
                shown = state
            for frame in frames(event):
                await connection.send(frame)
            if isinstance(event, Refiltered):
                answered.set()
            elif isinstance(event, End):
                if event.reason == "removed":
                    raise ClosedError(NOT_FOUND, "the task was deleted")
                return


def _state(task: Task) -> Task:
    """The task without what changes with every entry."""
    return msgspec.structs.replace(task, last_seq=0, counts={}, dropped=0, lease_until=None)


def frames(event: Event) -> list[str]:
    """What is sent for an event. What several subscriptions share is encoded once."""
    match event:
        case Entries():
            if event.frame is None:
                event.frame = _entries(event)
            return event.frame  # type: ignore[return-value]  # the place is this door's
        case TaskChanged():
            if event.frame is None:
                event.frame = [_frame("task", task=task_object(event.task))]
            return event.frame  # type: ignore[return-value]  # as above
        case Changed(change=change):
            if isinstance(change, Stage):
                return [_frame("stage", stage=stage_object(change, 0, {}))]
            return [_frame("step", step=step_object(change, data=False))]
        case Gap():
            return [_frame("gap", **gap_object(event))]
        case Refiltered(ref=ref):
            return [_frame("filter", ref=ref)]
        case End(last_seq=last_seq, reason=reason):
            return [_frame("end", last_seq=last_seq)] if reason == "ended" else []


def _entries(entries: Entries) -> list[str]:
    lines = entries.lines

    def tail(count: int) -> str:
        through = entries.through if count == len(lines) else numbers(lines[count - 1])[1]
        return f'],"through":{through}}}'

    return frames_of('{"type":"entries","entries":[', lines, tail)


def _frame(kind: str, **fields: Any) -> str:
    return encode({"type": kind, **fields}).decode()


async def _listen(connection: Connection, subscription: Subscription, answered: asyncio.Event) -> None:
    """Take the client's frames, one after the other: the next is read when the former has been answered."""
    faults = 0
    pace = Pace(asyncio.get_running_loop().time)
    while True:
        text = await connection.receive()
        await asyncio.sleep(pace.delay())
        ref: str | None = None
        try:
            given = _decode(text)
            ref = _ref(given)
            log_filter, after = _request(given)
        except InvalidError as error:
            faults += 1
            if faults > MAX_FAULTS:
                raise ClosedError(POLICY, "too many frames that mean nothing") from None
            await connection.send(_frame("error", ref=ref, detail=str(error)))
            continue
        answered.clear()
        subscription.refilter(log_filter, after, ref or "")
        await answered.wait()


def _decode(text: str | None) -> dict[str, Any]:
    try:
        given = None if text is None else read_json(text.encode())
    except MalformedError:
        given = None
    if not isinstance(given, dict):
        raise InvalidError("frame", 'a frame is a JSON object in text, such as {"type": "filter", "ref": "1"}')
    return given


def _ref(given: dict[str, Any]) -> str | None:
    ref = given.get("ref")
    if ref is not None and not (isinstance(ref, str) and len(ref) <= MAX_REF):
        raise InvalidError("ref", f"ref is a text of at most {MAX_REF} characters")
    return ref


def _request(given: dict[str, Any]) -> tuple[LogFilter, int]:
    """The filter and cursor of a filter frame."""
    if given.get("type") != "filter":
        raise InvalidError("type", 'the only frame to send here has "type": "filter"')
    unknown = given.keys() - {"type", "ref", "filter", "after"}
    if unknown:
        raise InvalidError(min(unknown), f"there is no field {min(unknown)!r} but type, ref, filter and after")
    after = given.get("after", 0)
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after <= MAX_NUMBER:
        raise InvalidError("after", "after is the seq of the last entry you have, or 0")
    return LogFilter.parse_mapping(given.get("filter", {})), after
