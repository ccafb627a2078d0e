"""The search index through the doors: it builds itself, says how far it is, can be turned off, changes no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from asynclog.store.blocks import SEGMENT_BITS
from tests.server.running import Running, eventually, running

ENTRIES = 24_000
"""Two segments and the beginning of a third: more than are read without asking the index."""
PART = 8000
"""Of one request."""
ASKED = (
    {"search": "entry 1234 of"},
    {"search": "NO SUCH TEXT"},
    {"search": "y 77"},
    {"source": "rare"},
    {"metadata.n": "23999"},
    {"min_level": "WARNING", "search": "entry"},
    {"level": "DEBUG"},
    {"stage": "nowhere"},
    {"since": "2026-02-07T12:00:10Z", "until": "2026-02-07T12:00:12Z"},
    {"since": "2026-02-07T12:00:10Z", "until": "2026-02-07T12:00:12Z", "exclude_source": "plugin"},
)


def line(number: int) -> str:
    """An entry as it is sent."""
    level = "WARNING" if number % 1000 == 5 else "INFO"
    source = "rare" if number in (3, 9000, 23_000) else "plugin"
    second, rest = divmod(number, 1000)
    return (
        f'{{"message":"Entry {number} of many","level":"{level}","source":"{source}",'
        f'"timestamp":"2026-02-07T12:00:{second:02d}.{rest:03d}Z","metadata":{{"n":{number}}}}}'
    )


async def lag(service: Running) -> float:
    """What /metrics says."""
    text = (await service.client.get("/metrics")).text
    [found] = [f for f in text_string_to_metric_families(text) if f.name == "asynclog_search_index_lag"]
    return float(found.samples[0].value)


async def answers(service: Running, task: str) -> list[Any]:
    """Pages, totals, numbers and histograms for everything that is asked, upwards and downwards."""
    found = []
    for asked in ASKED:
        for order in ("asc", "desc"):
            page = await service.client.get(f"/api/tasks/{task}/logs", params={**asked, "order": order, "limit": 50})
            found.append(page.json())
        for place in (f"/api/tasks/{task}/logs/stats", f"/api/tasks/{task}/logs/histogram", "/api/logs"):
            found += [(await service.client.get(place, params=asked)).json()]
    found.append((await service.client.get(f"/api/tasks/{task}/logs/histogram")).json())
    return found


async def test_answers_are_the_same_with_and_without_it(tmp_path: Path) -> None:
    """Whatever is asked, the answer is one without the index, with it, and after it was turned off again."""
    async with running(tmp_path) as service:
        await service.client.put("/api/settings/logging", json={"search_index": False})
        made = await service.client.post("/api/tasks", json={"external": True, "name": "many"})
        task = made.json()["id"]
        for start in range(0, ENTRIES, PART):
            body = "\n".join(line(number) for number in range(start, start + PART))
            sent = await service.client.post(f"/api/tasks/{task}/logs", content=body)
            assert sent.json()["accepted"] == PART
        read = await answers(service, task)
        assert [page["total"] for page in read[0:2]] == [1, 1]
        assert await lag(service) > ENTRIES

        indexer = service.tasks.engine.indexer
        await service.client.put("/api/settings/logging", json={"search_index": True})
        await eventually(lambda: indexer.lag <= 1 << SEGMENT_BITS)
        assert await lag(service) == indexer.lag
        assert await answers(service, task) == read

        await service.client.put("/api/settings/logging", json={"search_index": False})
        await eventually(lambda: indexer.lag > ENTRIES)
        assert await answers(service, task) == read
