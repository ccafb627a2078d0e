"""Reading what was logged over HTTP: pages, filters, numbers, search, tail and export."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from asynclog.server import shapes
from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
SOURCES = ("api", "db", "fs")
COUNT = 60


def _entry(number: int) -> dict[str, Any]:
    return {
        "message": f"Item {number} of {COUNT}",
        "source": SOURCES[number % 3],
        "level": "ERROR" if number % 20 == 0 else "WARNING" if number % 10 == 0 else "INFO",
        "unit": f"u{number % 7}",
        "metadata": {"n": number, "deep": {"even": number % 2 == 0}, "a.b": "dotted"},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def task_id(shared: Running) -> str:
    """A task with sixty entries between its first (1) and its last (62)."""
    return await shared.say(*(_entry(number) for number in range(1, COUNT + 1)))


async def _page(shared: Running, task_id: str, **query: Any) -> shapes.LogPage:
    return await shared.get(f"/api/tasks/{task_id}/logs", shapes.LogPage, **query)


async def test_a_page_is_the_task_in_order(shared: Running, task_id: str) -> None:
    """Without parameters a page holds the first 200 entries in order, all of them counted, complete, without gaps."""
    page = await _page(shared, task_id)
    assert [entry.seq for entry in page.entries] == list(range(1, COUNT + 3))
    assert {entry.task_id for entry in page.entries} == {task_id}
    assert (page.total, page.next_after, page.next_before) == (COUNT + 2, None, None)
    assert page.complete
    assert page.gaps == []
    assert page.entries[1].metadata == {"n": 1, "deep": {"even": False}, "a.b": "dotted"}


@pytest.mark.parametrize("limit", [1, 7, 61, 62])
async def test_pages_by_cursor_fit_together(shared: Running, task_id: str, limit: int) -> None:
    """Following next_after gives each entry once in order; descending is the exact reverse by next_before."""
    forward: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await _page(shared, task_id, limit=limit, after=after)
        forward += [entry.seq for entry in page.entries]
        after = page.next_after
        assert page.next_before is None
    backward: list[int] = []
    query: dict[str, Any] = {}
    while True:
        page = await _page(shared, task_id, limit=limit, order="desc", **query)
        backward += [entry.seq for entry in page.entries]
        if page.next_before is None:
            break
        query = {"before": page.next_before}
    assert forward == backward[::-1] == list(range(1, COUNT + 3))


async def test_cursors_are_exclusive(shared: Running, task_id: str) -> None:
    """after and before leave their own entry out, alone and together, in both orders."""
    page = await _page(shared, task_id, after=10, before=14)
    assert [entry.seq for entry in page.entries] == [11, 12, 13]
    page = await _page(shared, task_id, after=10, before=14, order="desc")
    assert [entry.seq for entry in page.entries] == [13, 12, 11]
    assert (await _page(shared, task_id, after=1000)).entries == []


async def test_an_offset_passes_over_matches(shared: Running, task_id: str) -> None:
    """offset counts matching entries, in the order asked for."""
    page = await _page(shared, task_id, offset=2, limit=2, source="api")
    assert [entry.message for entry in page.entries] == ["Item 9 of 60", "Item 12 of 60"]
    page = await _page(shared, task_id, offset=1, limit=1, order="desc")
    assert [entry.seq for entry in page.entries] == [COUNT + 1]


async def test_the_total_ignores_paging(shared: Running, task_id: str) -> None:
    """total counts what the filter lets through whatever the page, and is null when it is not wanted."""
    assert (await _page(shared, task_id, source="api", limit=1, after=30)).total == 20
    assert (await _page(shared, task_id, total="false")).total is None


async def test_every_filter_means_what_it_says(shared: Running, task_id: str) -> None:
    """Each filter parameter narrows the page; repeated ones are ORed, different ones ANDed."""
    entries = {number: _entry(number) for number in range(1, COUNT + 1)}
    asked: dict[str, Any] = {
        "level=error": lambda e: e["level"] == "ERROR",
        "min_level=WARNING": lambda e: e["level"] != "INFO",
        "source=api&source=db": lambda e: e["source"] in ("api", "db"),
        "exclude_source=api&exclude_source=system": lambda e: e["source"] != "api",
        "unit=u3&source=db": lambda e: (e["unit"], e["source"]) == ("u3", "db"),
        "search=ITEM 1 ": lambda e: e["message"].startswith("Item 1 "),
        "search=_": lambda _: False,
        "metadata.n=7": lambda e: e["metadata"]["n"] == 7,
        "metadata.deep.even=true&exclude_source=db": lambda e: e["metadata"]["deep"]["even"] and e["source"] != "db",
        "metadata.a.b=dotted&level=WARNING": lambda e: e["level"] == "WARNING",
        "since=2999-01-01T00:00:00Z": lambda _: False,
        "until=1999-01-01T00:00:00Z": lambda _: False,
        "stage=none": lambda _: False,
        "step_id=none": lambda _: False,
    }
    for query, matches in asked.items():
        response = await shared.client.get(f"/api/tasks/{task_id}/logs?{query}")
        assert response.status_code == 200, response.text
        page = msgspec.json.decode(response.content, type=shapes.LogPage)
        expected = [f"Item {number} of {COUNT}" for number, entry in entries.items() if matches(entry)]
        assert [entry.message for entry in page.entries] == expected, query
        assert page.total == len(expected), query


async def test_numbers_follow_the_filter(shared: Running, task_id: str) -> None:
    """Statistics count by level, source and stage what the filter lets through; sources are sorted."""
    path = f"/api/tasks/{task_id}/logs"
    stats = await shared.get(f"{path}/stats", shapes.LogStats)
    assert stats.total == sum(stats.by_level.values()) == sum(stats.by_source.values()) == COUNT + 2
    assert stats.by_source == {"api": 20, "db": 20, "fs": 20, "system": 2}
    stats = await shared.get(f"{path}/stats", shapes.LogStats, min_level="WARNING")
    assert (stats.total, stats.by_level["ERROR"], stats.by_level["WARNING"]) == (6, 3, 3)
    assert (await shared.get(f"{path}/sources", shapes.Sources)).sources == ["api", "db", "fs", "system"]


async def test_a_histogram_counts_every_match_once(shared: Running, task_id: str) -> None:
    """The spans follow each other without holes and hold all matches."""
    path = f"/api/tasks/{task_id}/logs/histogram"
    buckets = (await shared.get(path, shapes.Histogram, buckets=5, exclude_source="system")).buckets
    assert 1 <= len(buckets) <= 5
    assert sum(sum(bucket.counts.values()) for bucket in buckets) == COUNT
    assert all(first.end == second.start for first, second in itertools.pairwise(buckets))


async def test_the_tail_is_text(shared: Running, task_id: str) -> None:
    """The tail is the last entries as lines of text, oldest first."""
    response = await shared.client.get(f"/api/tasks/{task_id}/tail", params={"lines": 3})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    lines = response.text.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith('INFO  [fs] u3: Item 59 of 60 {"n":59,"deep":{"even":false},"a.b":"dotted"}')
    assert "[system] task finished" in lines[2]


async def test_an_export_is_a_file_of_all_matches(shared: Running, task_id: str) -> None:
    """Each format is a download with all matching entries: NDJSON as on a page, CSV rows, lines of text."""
    path = f"/api/tasks/{task_id}/logs/export"
    page = await shared.client.get(f"/api/tasks/{task_id}/logs", params={"source": "db"})
    ndjson = await shared.client.get(path, params={"source": "db"})
    assert ndjson.headers["content-type"] == "application/x-ndjson"
    assert ndjson.headers["content-disposition"] == f'attachment; filename="asynclog-{task_id}.ndjson"'
    assert [msgspec.json.decode(line) for line in ndjson.content.splitlines()] == page.json()["entries"]
    as_csv = await shared.client.get(path, params={"source": "db", "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(as_csv.text, newline="")))
    assert [row["message"] for row in rows] == [entry["message"] for entry in page.json()["entries"]]
    assert rows[0]["seq"] == str(page.json()["entries"][0]["seq"])
    text = await shared.client.get(path, params={"format": "text"})
    assert len(text.text.splitlines()) == COUNT + 2
    assert text.headers["content-disposition"].endswith('.log"')


async def test_an_export_harms_nobody(shared: Running) -> None:
    """Formulas reach no spreadsheet, control characters no terminal; a traceback stands below its entry."""
    evil = ["=cmd()", "+1", "-1", "@x", 'two\nlines, "quoted"', "\x1b[31mred\u202e"]
    entries = [{"message": message} for message in evil]
    traced = {"message": "broken", "metadata": {"traceback": "Traceback:\n  File x\nValueError: \x07"}}
    task_id = await shared.say(*entries, traced)
    path = f"/api/tasks/{task_id}/logs/export?source=plugin&format="
    rows = list(csv.DictReader(io.StringIO((await shared.client.get(f"{path}csv")).text, newline="")))
    assert [row["message"] for row in rows[:4]] == ["'=cmd()", "'+1", "'-1", "'@x"]
    assert rows[4]["message"] == evil[4]
    lines = (await shared.client.get(f"{path}text")).text.splitlines()
    assert lines[4].endswith('two\\nlines, "quoted"')
    assert lines[5].endswith("\\x1b[31mred\\u202e")
    assert lines[6].endswith("broken")
    assert lines[7:] == ["    Traceback:", "      File x", "    ValueError: \\x07"]


async def test_a_page_ends_at_eight_mebibytes(shared: Running) -> None:
    """A page stops before it grows beyond 8 MiB, says where to go on, and the rest follows."""
    task_id = await shared.say(*({"message": "x", "times": 1_000_000} for _ in range(12)))
    response = await shared.client.get(f"/api/tasks/{task_id}/logs")
    assert 7_000_000 < len(response.content) <= 8 << 20
    page = msgspec.json.decode(response.content, type=shapes.LogPage)
    assert page.next_after == page.entries[-1].seq
    rest = await _page(shared, task_id, after=page.next_after)
    assert [entry.seq for entry in page.entries + rest.entries] == list(range(1, 15))


async def test_a_search_goes_across_tasks(shared: Running) -> None:
    """Entries of all tasks come newest first, are narrowed by filter, task and plugin, and page by id both ways."""
    tasks = [await shared.say(*({"message": "needle", "unit": "candidate-17"} for _ in range(4))) for _ in range(2)]
    query: dict[str, Any] = {"unit": "candidate-17", "limit": 3}
    found: list[shapes.Entry] = []
    before: dict[str, int] = {}
    while True:
        page = await shared.get("/api/logs", shapes.SearchPage, **query, **before)
        found += page.entries
        assert page.complete
        if page.next_before is None:
            break
        before = {"before_id": page.next_before}
    ids = [entry.id for entry in found]
    assert ids == sorted(ids, reverse=True)
    assert [entry.task_id for entry in found] == [tasks[1]] * 4 + [tasks[0]] * 4
    upward = await shared.get("/api/logs", shapes.SearchPage, **query, order="asc", after_id=ids[5])
    assert [entry.id for entry in upward.entries] == ids[2:5][::-1]
    assert upward.next_after == ids[2]
    assert (await shared.get("/api/logs", shapes.SearchPage, unit="candidate-17", plugin="hold")).entries == []


async def test_a_search_within_a_task_pages_by_id_too(shared: Running) -> None:
    """With task= the cursors are ids all the same, though other tasks' entries lie between."""
    external = [await shared.post("/api/tasks", {"external": True, "name": f"x{n}"}, 201) for n in range(2)]
    for _ in range(5):
        for task in external:
            await shared.client.post(f"/api/tasks/{task['id']}/logs", content=b'{"message":"a"}\n{"message":"b"}\n')
    task_id = external[0]["id"]
    everything = await shared.get("/api/logs", shapes.SearchPage, task=task_id, limit=100)
    ids = [entry.id for entry in everything.entries]
    assert len(ids) == 11
    assert {entry.task_id for entry in everything.entries} == {task_id}
    for place in range(len(ids)):
        page = await shared.get("/api/logs", shapes.SearchPage, task=task_id, before_id=ids[place])
        assert [entry.id for entry in page.entries] == ids[place + 1 :]
        page = await shared.get("/api/logs", shapes.SearchPage, task=task_id, after_id=ids[place])
        assert [entry.id for entry in page.entries] == ids[:place]
    assert (await shared.client.get("/api/logs?task=none")).status_code == 404
