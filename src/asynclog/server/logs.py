"""What one task logged: pages, numbers, the tail and the export. Lines from the store are passed on as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import msgspec
from starlette.responses import PlainTextResponse, Response

from asynclog.filters import NO_FILTER
from asynclog.model import timestamp_text
from asynclog.rendering import csv_header, csv_rows, text_lines
from asynclog.server.endpoint import Stream, next_page
from asynclog.server.operation import JSON, NDJSON, Call, answer
from asynclog.tasks import activity
from asynclog.tasks.pages import LogPage
from asynclog.wire import encode, gap_object


async def page(call: Call) -> Response:
    """A page of a task's entries."""
    query = call.query
    found = await call.tasks.reader.logs(
        call.task_id,
        access=call.access,
        entry_filter=call.filter,
        limit=query["limit"],
        offset=query["offset"],
        after=query["after"],
        before=query["before"],
        order=query["order"],
        total=query["total"],
    )
    return Response(page_body(found), media_type=JSON)


def page_body(found: LogPage) -> bytes:
    """The JSON of a page, its entries spliced in."""
    head = encode({"task_id": found.task_id})[:-1]
    rest = {
        "total": found.total,
        "next_after": found.next_after,
        "next_before": found.next_before,
        "complete": found.complete,
        "gaps": [gap_object(gap) for gap in found.gaps],
    }
    return b"".join((head, b',"entries":[', b",".join(found.lines), b"],", encode(rest)[1:]))


async def stats(call: Call) -> Response:
    """Matching entries by level, source and stage."""
    return answer(msgspec.structs.asdict(await call.tasks.reader.stats(call.task_id, call.filter, call.access)))


async def sources(call: Call) -> Response:
    """The sources that occur."""
    found = await call.tasks.reader.stats(call.task_id, NO_FILTER, call.access)
    return answer({"sources": list(found.by_source), "complete": found.complete})


async def histogram(call: Call) -> Response:
    """Matching entries over time."""
    found = await call.tasks.reader.histogram(call.task_id, call.filter, call.query["buckets"], call.access)
    buckets = [
        {"start": timestamp_text(b.start), "end": timestamp_text(b.end), "counts": b.counts} for b in found.buckets
    ]
    return answer({"buckets": buckets, "complete": found.complete})


async def tail(call: Call) -> Response:
    """The last lines of the activity log."""
    tasks = call.tasks
    return PlainTextResponse(
        await activity.tail(tasks.reader, tasks.run_files, call.task_id, call.query["lines"], call.access)
    )


def _ndjson(lines: Iterable[bytes]) -> bytes:
    return b"".join((b"\n".join(lines), b"\n"))


Render = Callable[[Iterable[bytes]], str | bytes]
FORMATS: Final[dict[str, tuple[str, str, str, Render]]] = {
    "ndjson": (NDJSON, "ndjson", "", _ndjson),
    "text": ("text/plain; charset=utf-8", "log", "", text_lines),
    "csv": ("text/csv; charset=utf-8; header=present", "csv", csv_header(), csv_rows),
}
"""By name: media type, ending of the file's name, what comes first, and how lines become text."""


async def export(call: Call) -> Response:
    """All matching entries as a file, page by page."""
    media, ending, first, render = FORMATS[call.query["format"]]
    pages = call.tasks.reader.export(call.task_id, call.filter, call.access)
    begun = await anext(pages, None)  # what can be refused is refused before the answer begins
    name = f"asynclog-{call.task_id}.{ending}"
    return Stream(
        _pieces(call, begun, pages, first, render),
        call.service.exports.taken(call.who),
        media_type=media,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _pieces(
    call: Call, begun: list[bytes] | None, pages: AsyncIterator[list[bytes]], first: str, render: Render
) -> AsyncIterator[Any]:
    if first:
        yield first
    if begun is not None:
        yield await asyncio.to_thread(render, begun)
        while (lines := await next_page(call, pages)) is not None:
            yield await asyncio.to_thread(render, lines)
