"""The load harness, against a real service and against one that is not to be trusted."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asynclog.queries import TaskQuery
from asynclog.server.limits import Limits
from asynclog.server.listening import listening
from asynclog.tasks.opening import open_tasks
from bench.load import main
from tests.server.running import Running, running

ROOT = Path(__file__).resolve().parents[2]
Tamper = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


async def load(url: str, out: Path, *more: str) -> tuple[int, str, dict[str, Any]]:
    """Run the command: its exit code, what it said, and its JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "load", "--url", url, "--out", str(out), *more),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    result = json.loads(out.read_text()) if out.is_file() else {}
    assert process.returncode is not None
    return process.returncode, said.decode(), result


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "data") as found:
        yield found


async def test_a_load_is_counted_and_checked(service: Running, tmp_path: Path) -> None:
    """Two seconds of load on a real service: every entry is acknowledged, reaches whoever asked for it, and is there
    afterwards; the report has percentiles and the tasks are finished.
    """
    amount = ("--rate", "500", "--tasks", "2", "--subscribers", "20", "--duration", "2")
    code, said, result = await load(service.url, tmp_path / "out.json", *amount)
    assert code == 0, said
    assert "nothing lost" in said
    assert result["ok"]
    assert result["problems"] == []
    assert result["told"]["acknowledged"] == result["told"]["offered"] == 1000
    seen = result["seen"]
    assert (seen["lost"], seen["disordered"], seen["unended"]) == (0, 0, 0)
    # Two tasks of 500 entries, each seen whole, by source (five times a fifth) and by four sparser filters.
    assert seen["received"] == 2 * (500 + 500 + 50 + 25 + 10 + 20)
    assert seen["closes"] == {"1000": 20}
    for name in ("emit_to_acknowledged", "emit_to_subscriber"):
        assert set(result[name]) == {"p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "longest_ms"}
        assert 0 < result[name]["p50_ms"] <= result[name]["longest_ms"]
    tasks = (await service.client.get("/api/tasks")).json()["tasks"]
    assert [task["status"] for task in tasks] == ["success", "success"]
    assert all(task["last_seq"] >= 500 for task in tasks)


async def test_what_was_loaded_can_be_deleted(service: Running, tmp_path: Path) -> None:
    """With --delete the load leaves no task behind; without subscribers it measures the acknowledgement alone."""
    amount = ("--rate", "200", "--tasks", "3", "--subscribers", "0", "--duration", "0.5", "--delete")
    code, said, result = await load(service.url, tmp_path / "out.json", *amount)
    assert code == 0, said
    assert result["told"]["acknowledged"] == result["told"]["offered"] > 0
    assert (await service.client.get("/api/tasks")).json()["tasks"] == []


async def test_a_service_that_cannot_be_loaded_is_named(service: Running, tmp_path: Path) -> None:
    """No service, and a wrong address, are told in a sentence each, with an exit code of their own."""
    short = ("--duration", "0.2", "--subscribers", "1")
    code, said, _ = await load("http://127.0.0.1:9", tmp_path / "out.json", *short)
    assert code == 2
    assert "no service answers at http://127.0.0.1:9" in said.replace("\n", " ")
    code, said, _ = await load(f"{service.url}/elsewhere", tmp_path / "out.json", *short)
    assert code == 2
    assert "not as asynclog does" in said.replace("\n", " ")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "more",
    [
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--duration", "nan"),
        ("--duration", "inf"),
        ("--url", "http://"),
        ("--url", "http://127.0.0.1:99999"),
        ("--url", "ftp://127.0.0.1"),
        ("--out", "no/such/folder/out.json"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused_before_the_load(
    more: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that is none, an address that is none and a result that cannot be kept end in a sentence, at once."""
    with pytest.raises(SystemExit) as ended:
        main(["--url", "http://127.0.0.1:9", "--out", str(tmp_path / "out.json"), *more])
    assert ended.value.code == 2
    assert more[0] in capsys.readouterr().err.splitlines()[-1]


class Fake:
    """Something that speaks as the service does, and tampers with what it passes on."""

    def __init__(self, tamper: Tamper, status: int = 201) -> None:
        self._tamper = tamper
        self._status = status
        self._entries: list[dict[str, Any]] = []
        self._ended = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/api/tasks", self._begin, methods=["POST"]),
                Route("/api/tasks/t/logs", self._take, methods=["POST"]),
                Route("/api/tasks/t/finish", self._finish, methods=["POST"]),
                Route("/api/tasks/t/logs/stats", self._count),
                WebSocketRoute("/ws/tasks/t/logs", self._tell),
            ]
        )

    async def _begin(self, _: Request) -> Response:
        return JSONResponse({"id": "t", "detail": "who are you?"}, self._status)

    async def _take(self, request: Request) -> Response:
        lines = [json.loads(line) for line in (await request.body()).split(b"\n")]
        self._entries += [{"seq": line["metadata"]["n"] + 1, **line} for line in lines]
        return JSONResponse({"accepted": len(lines)})

    async def _finish(self, _: Request) -> Response:
        self._ended.set()
        return JSONResponse({})

    async def _count(self, _: Request) -> Response:
        return JSONResponse({"total": len(self._entries)})

    async def _tell(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "task"})
        await self._ended.wait()
        for entry in self._tamper(self._entries):
            await websocket.send_json({"type": "entries", "entries": [entry]})
        await websocket.send_json({"type": "end", "last_seq": len(self._entries)})
        await websocket.close()


@contextlib.asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    """A fake on a free port."""
    server = uvicorn.Server(uvicorn.Config(fake.app, port=0, log_config=None, lifespan="off", ws="websockets-sansio"))
    work = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await work


@pytest.mark.parametrize(
    ("tamper", "lost", "disordered"),
    [
        (lambda entries: entries, 0, 0),
        (lambda entries: [*entries[:7], *entries[8:]], 1, 0),
        (lambda entries: entries[:-1], 1, 0),
        (lambda entries: [*entries[:7], *entries[6:]], 0, 2),
        (lambda entries: [*entries[:5], entries[6], entries[5], *entries[7:]], 1, 2),
    ],
    ids=["honest", "one dropped", "the last dropped", "one twice", "two exchanged"],
)
async def test_a_dishonest_service_is_noticed(tamper: Tamper, lost: int, disordered: int, tmp_path: Path) -> None:
    """One entry lost, repeated or overtaken among all of them is seen, counted, and told by the exit code."""
    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "1", "--duration", "0.3")
    async with serving(Fake(tamper)) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    assert result["seen"]["lost"] == lost, said
    assert result["seen"]["disordered"] == disordered, said
    assert code == (1 if lost or disordered else 0)
    assert ("nothing lost" in said) == (code == 0)


async def test_subscribers_that_are_turned_away_are_no_loss(tmp_path: Path) -> None:
    """Where the service takes fewer subscribers than asked for, the load says so, and leaves nothing behind."""
    limits = Limits(subscriptions_per_key=3)
    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "5", "--duration", "0.3")
    async with open_tasks(tmp_path / "data") as tasks, listening(tasks, limits=limits) as url:
        code, said, _ = await load(url, tmp_path / "out.json", *amount)
        assert code == 2
        assert "only 3 of 5 subscribers could connect: 2 times 4429" in " ".join(said.split())
        assert not (await tasks.reader.tasks(TaskQuery())).tasks


async def test_a_caller_who_is_not_let_in_is_told(tmp_path: Path) -> None:
    """A 401 names the option that helps."""
    async with serving(Fake(lambda entries: entries, status=401)) as url:
        code, said, _ = await load(url, tmp_path / "out.json", "--duration", "0.2")
    assert code == 2
    assert "--api-key-file" in said
