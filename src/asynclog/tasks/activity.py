"""The end of a run's activity log: from the run's file, or made from the store in the same form."""

from __future__ import annotations

import asyncio

from asynclog.model import EVERYTHING, AccessScope, Task
from asynclog.queries import MAX_PAGE
from asynclog.rendering import run_head, text_lines
from asynclog.tasks.reader import Reader
from asynclog.tasks.rundir import TAIL_BYTES, cut_lines
from asynclog.tasks.runfiles import RunFiles


async def tail(
    reader: Reader, run_files: RunFiles, task_id: str, lines: int, access: AccessScope = EVERYTHING
) -> bytes:
    """The last lines of a task's activity log, at most `TAIL_BYTES`, with everything logged before the call.

    The file is read when it is up to date; it and the store give the same.

    Raises:
        NotFoundError, StoreError.
    """
    task = await reader.task(task_id, access)
    found = await run_files.tail(task, lines)
    return await _from_store(reader, task, lines, access) if found is None else found


async def _from_store(reader: Reader, task: Task, lines: int, access: AccessScope) -> bytes:
    parts: list[bytes] = []
    have = size = 0
    before: int | None = None
    while have < lines and size < TAIL_BYTES:
        limit = min(lines - have, MAX_PAGE)
        page = await reader.logs(task.id, access=access, limit=limit, before=before, order="desc", total=False)
        text = (await asyncio.to_thread(text_lines, page.lines[::-1])).encode()
        parts.append(text)
        have += text.count(b"\n")
        size += len(text)
        before = page.next_before
        if before is None:
            parts.append(run_head(task).encode())
            break
    data = b"".join(reversed(parts))
    kept = data[-TAIL_BYTES:]
    return cut_lines(kept, lines, whole=len(kept) == len(data))
