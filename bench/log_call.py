"""A log call with one % argument and one keyword, crash-safe and redacted, against five loggers that write to a file.

The peers get what their users write: the standard library and picologging know no keywords, so theirs is in the text.
FileHandler, picologging, loguru and structlog flush every line to the page cache, so `kill -9` does not lose it either;
QueueHandler keeps it in memory, for a thread that would write it and is not measured. None redacts, numbers, checksums
or has synced what it has written. Of ours the template alone is searched for secrets, once: numbers are filled in.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import loguru
import orjson
import picologging
import structlog

from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.logger import TaskLogger
from asynclog.settings import Dials
from bench.harness import Bench, Row, Sample, at_most
from bench.latency import Latencies

ROUNDS = 301
CALLS = 300
"""Of a round: some two milliseconds."""
THREAD_ROUNDS = 9
THREAD_CALLS = 10_000
THREADS = 4
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

Call = Callable[[], object]


def run(bench: Bench) -> list[Row]:
    """Ours and the peers in turn; the disabled level; then four threads at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        journal = Journal(path / "journal", quota=1 << 40)
        try:
            ours = TaskLogger(journal, Feed("bench"), Dials(), time.time_ns)
            rows = [*_calls(bench, path, ours, partial(_take, journal)), *_disabled(bench, path, ours)]
            rows.append(_threads(bench, path, ours, partial(_take, journal)))
            assert not journal.spilled, "the memory for entries was full, as it is not while somebody takes them"
            return rows
        finally:
            journal.close()


def _take(journal: Journal) -> None:
    """Empty the inbox, as the writer does many times a second: a call into a full one has less to do."""
    frames, _, _ = journal.take()
    journal.release(len(frames), sum(len(payload) for _, _, _, payload in frames))


def _calls(bench: Bench, folder: Path, ours: TaskLogger, take: Callable[[], None]) -> list[Row]:
    queued: queue.SimpleQueue[object] = queue.SimpleQueue()
    peers = _peers(folder, queued)

    def empty() -> None:
        take()
        while not queued.empty():
            queued.get()

    found = bench.calls(
        {"asynclog": lambda: ours.info("fetched %d charts", 42, dashboard_id=7), **peers},
        rounds=bench.rounds(ROUNDS),
        number=CALLS,
        before=empty,
    )
    mine = found["asynclog"]
    targets = {"FileHandler": at_most(0.3)}
    return [Row(f"log call / {name}", mine, found[name], targets.get(name, at_most(1))) for name in peers]


def _peers(folder: Path, queued_records: queue.SimpleQueue[object]) -> dict[str, Call]:
    files = _std("file", logging.FileHandler(folder / "std.log"))
    queued = _std("queue", logging.handlers.QueueHandler(queued_records))
    guru = _guru(folder / "loguru.log")
    struct = _struct(folder / "structlog.log")
    pico = picologging.Logger("pico", picologging.INFO)
    handler = picologging.FileHandler(str(folder / "pico.log"))
    handler.setFormatter(picologging.Formatter(FORMAT))
    pico.addHandler(handler)
    return {
        "FileHandler": lambda: files.info("fetched %d charts dashboard_id=%d", 42, 7),
        "QueueHandler": lambda: queued.info("fetched %d charts dashboard_id=%d", 42, 7),
        "loguru": lambda: guru.info("fetched {} charts", 42, dashboard_id=7),
        "structlog + orjson": lambda: struct.info("fetched %d charts", 42, dashboard_id=7),
        "picologging": lambda: pico.info("fetched %d charts dashboard_id=%d", 42, 7),
    }


def _std(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"bench.{name}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)
    return logger


def _guru(path: Path) -> Any:
    """Loguru's logger, writing to a file alone, with the keyword in the line."""
    loguru.logger.remove()
    loguru.logger.add(path, format="{time} {level} {name} {message} {extra}", level="INFO")
    return loguru.logger


def _struct(path: Path) -> Any:
    """Structlog as its documentation tunes it: orjson, bytes, no filtering but the level."""
    return structlog.wrap_logger(
        structlog.BytesLogger(path.open("wb")),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    ).bind()


def _disabled(bench: Bench, folder: Path, ours: TaskLogger) -> list[Row]:
    files = _std("disabled", logging.FileHandler(folder / "disabled.log"))
    found = bench.calls(
        {"asynclog": lambda: ours.debug("no %d", 1), "stdlib": lambda: files.debug("no %d", 1)},
        rounds=bench.rounds(ROUNDS),
        number=CALLS * 10,
    )
    return [Row("disabled level / stdlib's", found["asynclog"], found["stdlib"], at_most(1))]


def _threads(bench: Bench, folder: Path, ours: TaskLogger, take: Callable[[], None]) -> Row:
    """The 99th percentile of a call, in microseconds, with four threads logging at once."""
    files = _std("threads", logging.FileHandler(folder / "threads.log"))
    number = bench.amount(THREAD_CALLS, 2000)
    values = bench.turns(
        {
            "asynclog": lambda: _p99(lambda: ours.info("fetched %d charts", 42, dashboard_id=7), number, take),
            "FileHandler": lambda: _p99(lambda: files.info("fetched %d charts dashboard_id=%d", 42, 7), number, take),
        },
        bench.rounds(THREAD_ROUNDS),
    )
    mine, theirs = (Sample(name, "us", found) for name, found in values.items())
    note = f"the GIL changes hands every {sys.getswitchinterval() * 1000:g} ms: that is the tail"
    return Row(f"log call, {THREADS} threads, p99 / FileHandler", mine, theirs, at_most(1), note)


def _p99(call: Call, number: int, before: Callable[[], None]) -> float:
    before()
    latencies = Latencies()
    lock = threading.Lock()

    def work() -> None:
        times = []
        for _ in range(number):
            start = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - start)
        with lock:
            for nanoseconds in times:
                latencies.add(nanoseconds / 1000)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies.percentile_ms(99) * 1000
