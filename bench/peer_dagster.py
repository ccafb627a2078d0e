"""Dagster's event log on SQLite, in its own virtual environment: for each COUNT on stdin, seconds to store so many.

``python peer_dagster.py FOLDER``; the events are log lines of one run, as `context.log.info` makes them.
"""

from __future__ import annotations

import logging
import sys
import time
import uuid

from dagster import EventLogEntry  # type: ignore[import-not-found]  # it lives in .venv-peers
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (  # type: ignore[import-not-found]  # as above
    SqliteEventLogStorage,
)

MESSAGE = "fetched %d charts from the dashboard and stored them where they belong, as they were found today"


def main() -> None:
    """Answer one line for each line."""
    storage = SqliteEventLogStorage(sys.argv[1])
    for line in sys.stdin:
        run_id = str(uuid.uuid4())
        events = [
            EventLogEntry(
                error_info=None,
                level=logging.INFO,
                user_message=MESSAGE % number,
                run_id=run_id,
                timestamp=time.time(),
            )
            for number in range(int(line))
        ]
        start = time.perf_counter()
        storage.store_event_batch(events)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
