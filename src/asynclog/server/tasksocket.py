"""``WS /ws/tasks``: the list of tasks as it changes.

A client holds the tasks it was not sent yet, and no more than `PENDING` of them: beyond that it is sent the current
page anew, and which of those it shows are gone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import msgspec
from starlette.websockets import WebSocket

from asynclog.model import Task
from asynclog.queries import TaskQuery
from asynclog.server.connection import POLICY, ClosedError, Connection, converse, frames_of, together
from asynclog.server.listing import FILTERS, listed, task_query
from asynclog.server.parameters import read_query
from asynclog.server.service import Service
from asynclog.wire import encode, task_object

GATHER_SECONDS: Final = 0.2
"""How long changes gather before they are sent."""
PENDING: Final = 2000
"""Changed tasks that are kept for a client that reads slowly."""
SHOWN: Final = 10_000
"""Tasks a client is known to show, so that it is told when one leaves its filter."""
SHARED: Final = 200
"""Tasks whose JSON is kept for the next client: they are told to all within moments."""
RECENT: Final = 100
RUNNING: Final = 500


class TaskSocket:
    """The WebSocket door to one service's list of tasks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lines = Lines()

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client."""
        await converse(self._service, "tasks", websocket, self._talk)

    async def _talk(self, connection: Connection) -> None:
        query = task_query(read_query(connection.query_string, FILTERS, filtered=False).values, connection.access)
        changes = _Changes(query)
        with self._service.tasks.engine.hub.listening(changes.changed, changes.removed):
            await together(self._tell(connection, query, changes), _listen(connection))

    async def _tell(self, connection: Connection, query: TaskQuery, changes: _Changes) -> None:
        while True:
            if changes.overflowed:
                changes.reset()
                async with self._service.turns.turn(connection.who, patient=True):
                    current = await self._current(query)
                await self._send(connection, changes.begin(current))
            await changes.due.wait()
            await asyncio.sleep(GATHER_SECONDS)
            tasks, gone = changes.take()
            if gone:
                await connection.send(encode({"type": "removed", "ids": gone}).decode())
            if tasks:
                await self._send(connection, tasks)

    async def _send(self, connection: Connection, tasks: list[Task]) -> None:
        lines = [self._lines.line(task) for task in tasks]
        for frame in frames_of('{"type":"tasks","tasks":[', lines, lambda _: "]}"):
            await connection.send(frame)

    async def _current(self, query: TaskQuery) -> list[Task]:
        """The newest tasks, and all that run now: as they are, whatever the store knows of these yet."""
        tasks = self._service.tasks
        newest = (await tasks.reader.tasks(msgspec.structs.replace(query, limit=RECENT))).tasks
        running = [task for live in tasks.engine.hub if live.feed is not None and listed(task := live.task, query)]
        known = {task.id: task for task in newest} | {task.id: task for task in running[-RUNNING:]}
        return list(known.values())


class Lines:
    """Tasks as JSON: one state of a task is encoded once, for however many clients. The newest ones are kept."""

    def __init__(self, limit: int = SHARED) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[Task, bytes]] = OrderedDict()

    def line(self, task: Task) -> bytes:
        """The JSON of a task."""
        known = self._known.get(task.id)
        if known is not None and known[0] is task:
            return known[1]
        line = encode(task_object(task))
        self._known[task.id] = task, line
        self._known.move_to_end(task.id)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return line


class _Changes:
    """What one client is still to be told, and what it was shown."""

    def __init__(self, query: TaskQuery) -> None:
        self._query = query
        self._tasks: dict[str, Task] = {}
        self._gone: dict[str, None] = {}
        self._shown: OrderedDict[str, None] = OrderedDict()
        self.due = asyncio.Event()
        self.overflowed = True
        """The client has to be sent the current page."""
        self._reading = False
        """That page is being read, as of any moment since `reset`."""

    def changed(self, task: Task) -> None:
        """A task is like this now."""
        if listed(task, self._query):
            self._tasks[task.id] = task
            self._gone.pop(task.id, None)
            self._bound()
        else:
            self.removed(task.id)

    def removed(self, task_id: str) -> None:
        """A task is gone, or no longer in the filter."""
        waiting = self._tasks.pop(task_id, None)
        if task_id in self._shown or waiting is not None or self._reading:
            self._gone[task_id] = None
            self._bound()

    def _bound(self) -> None:
        if len(self._tasks) > PENDING:  # a page tells these, but not who is gone
            self._tasks.clear()
            self.overflowed = True
        if len(self._gone) > PENDING + SHOWN:
            self._forget_unseen()
            self.overflowed = True
        self.due.set()

    def _forget_unseen(self) -> None:
        """Nobody has to be told that something is gone which they were not shown."""
        self._gone = {task_id: None for task_id in self._gone if task_id in self._shown}

    def reset(self) -> None:
        """Begin anew: what happens from now on comes after the page that is read next; what is gone is told then."""
        self.overflowed = False
        self._reading = True
        self._tasks.clear()

    def begin(self, page: list[Task]) -> list[Task]:
        """The client is sent this page. What it shows and has gone, also while that was read, is told next."""
        shown = self.show(page)
        self._reading = False
        self._forget_unseen()
        if not self._gone and not self._tasks:
            self.due.clear()
        return shown

    def take(self) -> tuple[list[Task], list[str]]:
        """What to tell now."""
        tasks, gone = self._tasks, self._gone
        self._tasks, self._gone = {}, {}
        self.due.clear()
        for task_id in gone:
            self._shown.pop(task_id, None)
        return self.show(list(tasks.values())), list(gone)

    def show(self, tasks: list[Task]) -> list[Task]:
        """The client is sent these."""
        for task in tasks:
            self._shown[task.id] = None
        while len(self._shown) > SHOWN:
            self._shown.popitem(last=False)
        return tasks


async def _listen(connection: Connection) -> None:
    """Nothing is to be said here; a client that says something else than goodbye is shown the door."""
    await connection.receive()
    raise ClosedError(POLICY, "this WebSocket only sends")
