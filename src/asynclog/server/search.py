"""Entries across tasks, newest first, by record number."""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response

from asynclog.errors import NotFoundError
from asynclog.model import AUDIT_TASK, Task
from asynclog.protocols import Archive
from asynclog.queries import EntryPage, EntryQuery
from asynclog.server.operation import JSON, Call
from asynclog.wire import encode

# How every entry's JSON begins; a task's id holds no quote.
_NUMBERS: Final = re.compile(rb'\{"id":(\d+),"task_id":"[^"]*","seq":(\d+)')


def numbers(line: bytes) -> tuple[int, int]:
    """The id and the seq of an entry's JSON, without decoding it."""
    found = _NUMBERS.match(line)
    if found is None:
        raise ValueError(f"no entry: {line[:80]!r}")
    return int(found[1]), int(found[2])


async def search(call: Call) -> Response:
    """Entries of all tasks, of a plugin's or of one task."""
    tasks, asked = call.tasks, call.query["task"]
    task = None if asked is None else await tasks.task(asked, call.access)
    complete = await tasks.reader.settled(asked, call.access, call.query["before_id"])
    archive: Archive = tasks.engine.store
    return _page(
        call, await (_across(call, archive) if task is None else _within(call, archive, task)), complete=complete
    )


async def audit(call: Call) -> Response:
    """Who changed what: the entries of the audit's task, none before there is one."""
    tasks = call.tasks
    complete = await tasks.reader.settled(None, call.access, call.query["before_id"])
    archive: Archive = tasks.engine.store
    try:
        task = await tasks.task(AUDIT_TASK, call.access)
    except NotFoundError:
        return _page(call, EntryPage(lines=[], cursors=[], more=False), complete=complete)
    return _page(call, await _within(call, archive, task), complete=complete)


def _page(call: Call, found: EntryPage, *, complete: bool) -> Response:
    more = numbers(found.lines[-1])[0] if found.more else None
    descending = call.query["order"] == "desc"
    rest = {
        "next_before": more if descending else None,
        "next_after": None if descending else more,
        "complete": complete,
    }
    return Response(b"".join((b'{"entries":[', b",".join(found.lines), b"],", encode(rest)[1:])), media_type=JSON)


async def _across(call: Call, archive: Archive) -> EntryPage:
    query = call.query
    return await archive.entries(
        EntryQuery(
            plugin=query["plugin"],
            filter=call.filter,
            access=call.access,
            limit=query["limit"],
            after=query["after_id"],
            before=query["before_id"],
            descending=query["order"] == "desc",
        )
    )


async def _within(call: Call, archive: Archive, task: Task) -> EntryPage:
    """Within a task the store pages by seq, so the ids are turned into those."""
    query = call.query
    after, before = query["after_id"], query["before_id"]
    return await archive.entries(
        EntryQuery(
            task_id=task.id,
            plugin=query.get("plugin"),
            filter=call.filter,
            access=call.access,
            limit=query["limit"],
            after=None if after is None else await _seq_at(call, archive, task, after + 1) - 1,
            before=None if before is None else await _seq_at(call, archive, task, before),
            descending=query["order"] == "desc",
        )
    )


async def _seq_at(call: Call, archive: Archive, task: Task, record_id: int) -> int:
    """The lowest seq of a task whose entry has this id or a higher one: both grow together, so halving finds it."""
    low, high = 1, task.last_seq + 1
    while low < high:
        middle = (low + high) // 2
        page = await archive.entries(EntryQuery(task_id=task.id, access=call.access, after=middle - 1, limit=1))
        entry_id, seq = numbers(page.lines[0]) if page.lines else (record_id, high)
        if entry_id >= record_id:
            high = middle
        else:
            low = seq + 1
    return low
