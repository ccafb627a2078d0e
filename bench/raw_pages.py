"""The least a page can cost: rows by sqlite3, JSON by orjson; as a call, and behind uvicorn and Starlette.

``python -m bench.raw_pages DATABASE`` serves ``/page?after=SEQ`` and ``/page?before=SEQ`` on a free port, which it
tells on stderr. An entry has the shape that ours has, but for its time, which stays a number.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.filled import TASK

LIMIT: Final = 1000
_COLUMNS: Final = "id, task_id, seq, timestamp, level, source, stage, unit, step_id, message, metadata_json"


def connect(database: Path) -> sqlite3.Connection:
    """A connection that only reads, for one call at a time."""
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, check_same_thread=False)


def all_rows(connection: sqlite3.Connection, statement: str, params: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """What a statement finds."""
    return connection.execute(statement, params).fetchall()


def raw_page(connection: sqlite3.Connection, *, after: int | None = None, before: int | None = None) -> bytes:
    """A page of the task as JSON, by seq from ``after`` on, or downwards from ``before``."""
    operator, order, seq = (">", "ASC", after) if before is None else ("<", "DESC", before)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM task_logs WHERE task_id = ? AND seq {operator} ? ORDER BY seq {order} LIMIT {LIMIT}",
        (TASK, seq),
    ).fetchall()
    return orjson.dumps({"task_id": TASK, "entries": [_entry(row) for row in rows]})


def _entry(row: tuple[Any, ...]) -> dict[str, object]:
    return {
        "id": row[0],
        "task_id": row[1],
        "seq": row[2],
        "timestamp": row[3],
        "level": row[4],
        "source": row[5],
        "stage": row[6],
        "unit": row[7],
        "step_id": row[8],
        "message": row[9],
        "metadata": None if row[10] is None else orjson.loads(row[10]),
    }


async def _serve(database: Path) -> None:
    connection = connect(database)

    async def page(request: Request) -> Response:
        cursors = {name: int(value) for name, value in request.query_params.items()}
        body = await asyncio.to_thread(raw_page, connection, **cursors)
        return Response(body, media_type="application/json")

    config = uvicorn.Config(
        Starlette(routes=[Route("/page", page)]), port=0, lifespan="off", log_level="critical", access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"raw pages at http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
