"""A log call with one % argument and one keyword, crash-safe, against the standard library writing to a file."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import tempfile
import threading
import time
from pathlib import Path

from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.logger import TaskLogger
from asynclog.settings import Dials
from bench.harness import Row, Sample, rounds_of_calls

ROUNDS = 9
CALLS = 20_000


def run() -> list[Row]:
    """Ours, FileHandler and QueueHandler in turn; then the disabled level; then four threads at once."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", quota=1 << 40, budget=1 << 20)
        try:
            return _rows(Path(folder), journal)
        finally:
            journal.close()


def _rows(folder: Path, journal: Journal) -> list[Row]:
    ours = TaskLogger(journal, Feed("bench"), Dials(), lambda: time.time_ns() // 1000)
    files = _std("file", logging.FileHandler(folder / "std.log"))
    queued = _std("queue", logging.handlers.QueueHandler(queue.SimpleQueue()))
    found = rounds_of_calls(
        {
            "asynclog": lambda: ours.info("fetched %d charts", 42, dashboard_id=7),
            "FileHandler": lambda: files.info("fetched %d charts", 42),
            "QueueHandler": lambda: queued.info("fetched %d charts", 42),
        },
        rounds=ROUNDS,
        number=CALLS,
    )
    disabled = rounds_of_calls(
        {"asynclog": lambda: ours.debug("no %d", 1), "stdlib": lambda: files.debug("no %d", 1)},
        rounds=ROUNDS,
        number=CALLS * 5,
    )
    p99 = _threads(ours)
    return [
        Row("log call / FileHandler", found["asynclog"], found["FileHandler"], "<= 0.3"),
        Row("log call / QueueHandler", found["asynclog"], found["QueueHandler"], "< 1"),
        Row("disabled level / stdlib", disabled["asynclog"], disabled["stdlib"], "<= 1"),
        Row("log call, four threads, p99", Sample("asynclog", "us", p99), None, "shown"),
    ]


def _std(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"bench.{name}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    return logger


def _threads(logger: TaskLogger) -> list[float]:
    """The 99th percentile of a call, in microseconds, in each of four threads logging at once."""
    results: list[float] = []

    def work() -> None:
        times = []
        for number in range(CALLS):
            start = time.perf_counter_ns()
            logger.info("fetched %d charts", number, dashboard_id=7)
            times.append(time.perf_counter_ns() - start)
        times.sort()
        results.append(times[len(times) * 99 // 100] / 1000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
