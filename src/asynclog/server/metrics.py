"""The service in numbers, for Prometheus: read off plain ints when asked, no label per task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from asynclog.server.operation import Call
from asynclog.server.service import Service

ENDS: Final = ("success", "failed", "cancelled", "interrupted")
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
"""Of HTTP statuses, those nobody was answered with included: an alarm on what has no number never rings."""


class ServiceCollector(Collector):
    """What `/metrics` shows."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Everything, as it is now."""
        service = self._service
        engine = service.tasks.engine
        failing = sum(schedule.last_error is not None for schedule in service.tasks.scheduler.all())
        journal, writer, run_files = engine.journal, engine.writer, service.tasks.run_files
        for name, help, value in (
            ("records", "Records (entries and changes of tasks) numbered so far.", journal.last_id),
            ("records_stored", "Records that are in the database.", journal.stored_id),
            ("entries_dropped", "Entries that were declared dropped since the start.", journal.dropped),
            ("writer_commits", "Transactions of the writer since the start.", writer.commits),
            ("writer_records", "Records written since the start.", writer.written),
            ("run_file_failures", "Failed attempts to write run files since the start.", run_files.failures),
            ("writer_failures", "Failed attempts to write since the start.", writer.failures),
        ):
            yield CounterMetricFamily(f"asynclog_{name}", help, value)
        for name, help, value in (
            ("database_bytes", "Bytes of the database on disk, its write-ahead log included.", _size(engine.folder)),
            ("journal_bytes", "Bytes of the journal on disk.", journal.size),
            ("pending_bytes", "Bytes of records in memory that are not stored yet.", journal.pending_bytes),
            ("run_files_behind", "Tasks whose run files are not finished.", run_files.behind),
            ("search_index_lag", "Stored records that the search index does not cover.", engine.indexer.lag),
            ("tasks_running", "Tasks that run now.", sum(live.runs for live in engine.hub)),
            ("schedules_failing", "Schedules whose plugin could not be started when it was due.", failing),
            ("ready", "1 when everything works as promised.", int(not engine.degraded and not service.closing)),
        ):
            yield GaugeMetricFamily(f"asynclog_{name}", help, value)
        statuses: tuple[tuple[str, str, Mapping[str, int], Sequence[str]], ...] = (
            ("tasks_ended", "Tasks that have ended since the start.", engine.hub.ends, ENDS),
            ("http_requests", "Answered requests.", service.requests, CLASSES),
        )
        for name, help, counts, known in statuses:
            counter = CounterMetricFamily(f"asynclog_{name}", help, labels=["status"])
            for status in known:
                counter.add_metric([status], counts.get(status, 0))
            yield counter
        sockets = GaugeMetricFamily("asynclog_websockets", "Open WebSockets.", labels=["kind"])
        for kind in ("logs", "tasks"):
            sockets.add_metric([kind], service.sockets(kind))
        yield sockets


def _size(folder: Path) -> int:
    size = 0
    for name in ("asynclog.db", "asynclog.db-wal"):
        with contextlib.suppress(OSError):  # it need not be there
            size += (folder / name).stat().st_size
    return size


async def metrics(call: Call) -> Response:
    """Prometheus text; of the process its start, CPU time, memory and open files, too."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(ServiceCollector(call.service))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
