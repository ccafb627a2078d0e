"""A log file is replayed with its own levels, components and times."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from asynclog import InvalidError
from asynclog.plugins.logformats import MAX_JOINED, entries, recognise

HADOOP = "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapred.Task: "


def write(folder: Path, *lines: str, ending: str = "\n") -> Path:
    path = folder / "app.log"
    path.write_bytes("".join(line + ending for line in lines).encode())
    return path


@pytest.mark.parametrize(
    ("name", "format", "levels", "source", "first"),
    [
        ("Hadoop", "hadoop", {"INFO": 1040, "WARNING": 808, "ERROR": 152}, "org.apache.hadoop.ipc.Client",
         {"line": 1, "timestamp": "2015-10-18T18:01:47.978", "thread": "main"}),
        ("OpenStack", "openstack", {"INFO": 1969, "WARNING": 31}, "nova.compute.manager",
         {"line": 1, "timestamp": "2017-05-16T00:00:00.008", "process": "25746"}),
        ("Spark", "spark", {"INFO": 2000}, "storage.BlockManager", {"line": 1, "timestamp": "2017-06-09T20:10:40"}),
        ("Zookeeper", "zookeeper", {"INFO": 669, "WARNING": 1318, "ERROR": 13}, "FastLeaderElection",
         {"line": 1, "timestamp": "2015-07-29T17:41:44.747", "at": "774"}),
    ],
)  # fmt: skip
async def test_real_logs(
    runner: Any, sample_data: Path, name: str, format: str, levels: dict[str, int], source: str, first: dict[str, Any]
) -> None:
    """Real logs of four systems: the format is recognised, each line is an entry with its level, component and time."""
    path = sample_data / "loghub" / f"{name}_2k.log"
    task, logged = await runner.run("replay", path=str(path))
    assert task.status == "success"
    assert task.result == {"format": format, "entries": 2000, "lines": 2000, "levels": task.result["levels"]}
    assert task.result["levels"] == levels
    replayed = [entry for entry in logged if entry.stage == "replay" and entry.metadata and "line" in entry.metadata]
    assert [entry.metadata["line"] for entry in replayed] == list(range(1, 2001))
    assert source in {entry.source for entry in replayed}
    assert not {"system", "plugin"} & {entry.source for entry in replayed}
    assert first.items() <= replayed[0].metadata.items()
    raw = path.read_text().splitlines()
    assert all(line.rstrip().endswith(entry.message) for line, entry in zip(raw, replayed, strict=True))


async def test_continuation(runner: Any, work: Path) -> None:
    """A stack trace belongs to the entry above it; lines before the first entry are kept as one of the file's own."""
    failed = HADOOP.replace("INFO", "ERROR") + "failed"
    path = write(work, "a header", failed, "java.io.IOException: x", "\tat A.b(A.java:1)", "", HADOOP + "went on")
    task, logged = await runner.run("replay", path=str(path), format="hadoop")
    replayed = [entry for entry in logged if entry.stage == "replay" and entry.metadata and "line" in entry.metadata]
    assert [(entry.source, entry.level.name, entry.message) for entry in replayed] == [
        ("app.log", "INFO", "a header"),
        ("org.apache.hadoop.mapred.Task", "ERROR", "failed\njava.io.IOException: x\n\tat A.b(A.java:1)"),
        ("org.apache.hadoop.mapred.Task", "INFO", "went on"),
    ]
    assert replayed[1].metadata["lines"] == 4
    assert task.result["lines"] == 6


async def test_own_export(runner: Any, work: Path) -> None:
    """NDJSON, as asynclog itself exports it, is replayed with its levels, sources and metadata."""
    lines = [
        {
            "message": "one",
            "level": "WARNING",
            "source": "api",
            "timestamp": "2026-02-07T12:00:00Z",
            "metadata": {"a": 1},
        },
        {"msg": "two", "severity": "error", "logger": "db"},
    ]
    task, logged = await runner.run("replay", path=str(write(work, *(orjson.dumps(line).decode() for line in lines))))
    assert task.result["format"] == "ndjson"
    found = {entry.message: (entry.level.name, entry.source, entry.metadata) for entry in logged}
    assert found["one"] == ("WARNING", "api", {"a": 1, "line": 1, "timestamp": "2026-02-07T12:00:00Z"})
    assert found["two"] == ("ERROR", "db", {"line": 2})


async def test_any_text(runner: Any, work: Path) -> None:
    """Any other file is replayed line by line under its name, packed or not, whatever bytes are in it."""
    path = work / "odd.log.gz"
    path.write_bytes(gzip.compress(b"first\n  indented\n\xff\x00 bytes\r\nERROR: last"))
    task, logged = await runner.run("replay", path=str(path))
    replayed = [(entry.level.name, entry.message) for entry in logged if entry.source == "odd.log.gz"]
    assert replayed == [("INFO", "first\n  indented"), ("INFO", "\\xff\\x00 bytes"), ("ERROR", "ERROR: last")]
    assert task.result["format"] == "generic"
    task, _ = await runner.run("replay", path=str(write(work)))
    assert task.status == "success"
    assert task.result["entries"] == 0


async def test_rate_and_limit(runner: Any, work: Path) -> None:
    """At a rate, entries come no faster than it; the limit ends the replay."""
    path = write(work, *(f"line {number}" for number in range(100)))
    began = time.monotonic()
    task, logged = await runner.run("replay", path=str(path), rate=100, limit=20)
    assert time.monotonic() - began >= 19 / 100 - 0.021  # what is due within a tick goes out together
    assert task.result["entries"] == 20
    assert [entry.message for entry in logged if entry.source == "app.log"] == [
        f"line {number}" for number in range(20)
    ]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"rate": 200}, "replayed 100 of 100 entries (100%)"),
        ({"rate": 200, "limit": 30}, "replayed 30 of 30 entries (100%)"),
        ({"limit": 30}, "replayed 30 of 30 entries (100%)"),
        ({"limit": 1000}, "replayed 100 of 100 entries (100%)"),
        ({}, "replayed 400 of 400 lines (100%)"),
    ],
    ids=str,
)
async def test_how_much_is_left(runner: Any, work: Path, params: dict[str, Any], told: str) -> None:
    """What is left is counted in what takes the time: entries where they come at a rate or are limited, and not the
    lines of the whole file, of which several can be one entry.
    """
    path = write(work, *([HADOOP + "failed", "java.io.IOException: x", "\tat A.b(A.java:1)", ""] * 100))
    task, logged = await runner.run("replay", path=str(path), **params)
    progress = [entry.metadata["progress"] for entry in logged if entry.metadata and "progress" in entry.metadata]
    assert {step["total"] for step in progress} == {progress[-1]["current"]}
    assert any(entry.message.startswith(told) for entry in logged), [entry.message for entry in logged][-3:]
    assert task.progress.current == task.progress.total


async def test_cancel(runner: Any, work: Path) -> None:
    """A slow replay can be cancelled."""
    path = write(work, *(f"line {number}" for number in range(1000)))
    task = await runner.tasks.start("replay", {"path": str(path), "rate": 1})
    await runner.until_logged(task, "line 0", source="app.log")
    await runner.tasks.cancel(task.id)
    assert (await runner.tasks.wait(task.id)).status == "cancelled"


async def test_what_cannot_be_read(runner: Any, work: Path) -> None:
    """A missing file, a folder and a broken archive fail with a sentence that says so."""
    (work / "none.gz").write_bytes(b"no gzip at all")
    packed = gzip.compress(b"line\n" * 1000)
    (work / "broken.gz").write_bytes(packed[:10] + b"\xff\xff\xff\xff" + packed[14:])
    for path, sentence in [
        (work / "missing.log", "there is no file"),
        (work, "is a folder"),
        (work / "none.gz", "cannot be read"),
        (work / "broken.gz", "cannot be read"),
    ]:
        task, _ = await runner.run("replay", path=str(path))
        assert task.status == "failed"
        assert sentence in task.error_message
    with pytest.raises(InvalidError):
        await runner.tasks.start("replay", {"path": "x", "rate": -1})
    with pytest.raises(InvalidError):
        await runner.tasks.start("replay", {"path": "x", "format": "apache"})


def test_generic_times() -> None:
    """In a file whose lines begin with a time, a line without one continues; the level is the one a line claims."""
    lines = ["2026-02-07T12:00:00Z ERROR no disk", "caused by:", "  a full one", "2026-02-07T12:00:01Z went on"]
    found = list(entries(enumerate(lines, 1), "generic", "x"))
    assert [(entry.level, entry.message.count("\n"), entry.metadata["line"]) for entry in found] == [
        ("ERROR", 2, 1),
        ("INFO", 0, 4),
    ]
    assert found[0].metadata["timestamp"] == "2026-02-07T12:00:00Z"


def test_bounded() -> None:
    """Continuation lines without end make several entries, not one without a bound."""
    lines = [HADOOP + "begin", *(["x" * 1000] * 2000)]
    found = list(entries(enumerate(lines, 1), "hadoop", "x"))
    assert max(len(entry.message) for entry in found) <= MAX_JOINED + 2000
    assert sum(entry.message.count("x" * 1000) for entry in found) == 2000


def test_recognise() -> None:
    """What is half or less of a format, or nothing at all, is generic."""
    assert recognise([]) == "generic"
    assert recognise(["", " "]) == "generic"
    assert recognise([HADOOP + "a", "b", "c"]) == "generic"
    assert recognise([HADOOP + "a", HADOOP + "b", "\tat c"]) == "hadoop"
    assert recognise(["[" * 5000, '{"a": 1}']) == "generic"
