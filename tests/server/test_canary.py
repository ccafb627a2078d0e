"""A secret that a user puts anywhere is found nowhere: not on disk, not in an answer, not in any log."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynclog.principal import Role
from asynclog.server.ownlog import OURS, SERVER, to_stderr
from asynclog.settings import Settings
from tests.cli.commands import Cli, until
from tests.server import straying
from tests.server.access import Guarded, cookie, guarded
from tests.server.canaries import CONTROL, Canaries, command, everything_in, fail, leak, read_all
from tests.server.running import DEADLINE, eventually

HOOK = {"X-Asynclog-Hook-Secret": "given below"}


@pytest.fixture(autouse=True)
def own_log() -> Iterator[io.StringIO]:
    """The service's own log at its most talkative; other tests find the loggers as they were."""
    loggers = [logging.getLogger(name) for name in (OURS, SERVER)]
    before = [(logger.handlers, logger.propagate, logger.filters, logger.level) for logger in loggers]
    stream = io.StringIO()
    to_stderr("text", stream)
    loggers[0].setLevel(logging.DEBUG)
    yield stream
    for logger, (handlers, propagate, filters, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate, logger.filters = handlers, propagate, filters
        logger.setLevel(level)


class Leaking:
    """A service whose users are careless, and who listens in on all of it."""

    def __init__(self, service: Guarded, canaries: Canaries) -> None:
        self.service = service
        self.canaries = canaries
        self.answers: list[bytes] = []
        self.frames: list[bytes] = []
        self.ids: list[str] = []

    async def ask(self, method: str, path: str, expected: int | None = None, **options: Any) -> Any:
        """A request of the admin; what it answers is searched later."""
        answer = await self.service.ask("admin", method, path, **options)
        assert expected is None or answer.status_code == expected, answer.text
        self.answers.append(answer.content + repr(answer.headers).encode())
        return answer

    async def start(self, body: dict[str, Any]) -> str:
        """Start a task over HTTP; its id."""
        task_id = str((await self.ask("POST", "/api/tasks", 201, json=body)).json()["id"])
        self.ids.append(task_id)
        return task_id

    async def listen(self, path: str) -> None:
        """Keep every frame of a WebSocket, as it came."""
        with contextlib.suppress(Exception):
            async with self.service.socket(path, "admin") as socket:
                async for frame in socket:
                    self.frames.append(frame if isinstance(frame, bytes) else frame.encode())

    def leaked(self, data: bytes) -> set[str]:
        """The places whose secrets are in there; what is harmless has to be, so that a search that fails is seen."""
        assert CONTROL.encode() in data
        return self.canaries.found(data)


async def _library(leaking: Leaking) -> None:
    """A plugin's own carelessness, with its logger, context, stages, steps and result, and in its failure."""
    tasks, secret = leaking.service.service.tasks, leaking.canaries
    ended = threading.Event()
    task = await tasks.start(leak, {"canaries": secret, "ended": ended}, name=f"job password={secret['name']}")
    leaking.ids.append(task.id)
    listening = asyncio.create_task(leaking.listen(f"/ws/tasks/{task.id}/logs"))
    live = tasks.engine.hub.get(task.id)
    assert live is not None
    feed = live.feed
    assert feed is not None
    await tasks.wait(task.id)
    ended.set()
    await eventually(lambda: feed.late > 0)
    await asyncio.wait([listening], timeout=DEADLINE)
    failed = await tasks.run(fail, {"canaries": secret})
    leaking.ids.append(failed.id)


async def _over_http(leaking: Leaking) -> None:
    """Params, trigger data and metadata of a start; commands; webhooks; external tasks with all that they send."""
    secret, tasks = leaking.canaries, leaking.service.service.tasks
    body = {
        "plugin": "talk",
        "name": f"Bearer {secret['name over HTTP']}",
        "params": {
            "token": secret["params"],
            "entries": [{"message": CONTROL}, {"message": f"pwd={secret['nested params']}"}],
            "argv": ["mysql", "--password", secret["argv"], "-u", f"bob:{secret['user option']}"],
        },
        "trigger_data": {"headers": {"Authorization": f"Bearer {secret['trigger data']}"}},
        "metadata": {"url": f"https://u:{secret['metadata of the task']}@host"},
    }
    await tasks.wait(await leaking.start(body))
    child = {"plugin": "command", "params": command(secret["child's output"], secret["child's option"])}
    await tasks.wait(await leaking.start(child))
    hook = await leaking.ask(
        "POST",
        f"/api/hooks/leaky?token={secret['hook query']}",
        201,
        headers={"X-Asynclog-Hook-Secret": secret["hook secret"], "Cookie": f"a={secret['hook cookie']}"},
        json={"password": secret["hook body"], "note": CONTROL},
    )
    leaking.ids.append(hook.json()["id"])
    await tasks.wait(leaking.ids[-1])
    wrong = {"X-Asynclog-Hook-Secret": secret["wrong hook secret"]}
    await leaking.ask("POST", "/api/hooks/leaky", 403, headers=wrong, json={})


async def _external(leaking: Leaking) -> None:
    secret = leaking.canaries
    body = {
        "external": True,
        "name": "outside",
        "plugin": f"token={secret['external plugin']}",
        "params": {"argv": ["x", f"--token={secret['external params']}"]},
    }
    task = await leaking.start(body)
    place = f"/api/tasks/{task}"
    lines = [
        {"message": f"{CONTROL} password={secret['ingest message']}"},
        {"message": "m", "metadata": {"a": {"secret": secret["ingest metadata"]}, f"Bearer {secret['ingest key']}": 1}},
        {"message": "m", "source": f"token={secret['ingest source']}", "unit": f"pwd={secret['ingest unit']}"},
        {"message": "m", "stage": f"token={secret['ingest stage']}"},
    ]
    await leaking.ask("POST", f"{place}/logs?batch_id=b1", 200, content="\n".join(map(json.dumps, lines)))
    stage = {
        "name": "s",
        "result": {"token": secret["external stage"]},
        "status": "error",
        "error_message": f"pwd={secret['external stage error']}",
    }
    await leaking.ask("POST", f"{place}/stages", json=stage)
    step = {
        "node_id": "n",
        "input_data": {"password": secret["external input"]},
        "output_data": [f"token={secret['external output']}"],
        "parent_id": f"token={secret['external parent']}",
    }
    await leaking.ask("POST", f"{place}/steps", json=step)
    end = {
        "status": "failed",
        "result": {"cookie": secret["external result"]},
        "error_message": f"https://u:{secret['external error']}@h",
    }
    await leaking.ask("POST", f"{place}/finish", 200, json=end)


async def _keys(leaking: Leaking) -> None:
    """API keys, sessions and tickets, good and bad, used in every way and mentioned in a log."""
    service, secret = leaking.service, leaking.canaries
    text = await service.make("mentioned", Role.VIEWER)
    for name, key in service.keys.items():
        secret.add(f"API key of {name}", key.rpartition("_")[2] if key.count("_") == 2 else key[22:])
    session = await service.sign_in("mentioned")
    secret.add("session", session.rpartition(".")[2])
    await service.ask(None, "GET", "/api/tasks", headers=cookie(session))
    await service.ask(None, "GET", "/api/tasks", headers={"X-API-Key": text})
    wrong = text[:22] + secret["wrong key"] + "x" * (len(text) - 22 - len(secret["wrong key"]))
    assert (
        await service.ask(None, "GET", "/api/tasks", headers={"Authorization": f"Bearer {wrong}"})
    ).status_code == 401
    await service.service.client.post("/api/session", json={"key": wrong})
    ticket = (await service.ask("admin", "POST", "/api/tickets", headers={"X-Asynclog": "1"})).json()["ticket"]
    secret.add("ticket", ticket)
    with contextlib.suppress(Exception):
        async with service.service.socket(f"/ws/tasks?ticket={ticket}") as socket:
            await socket.recv()
    said = {
        "entries": [
            {"message": f"using {text}, ticket at /ws?ticket={ticket}"},
            {"message": "m", "metadata": {"k": text}},
        ]
    }
    task = await leaking.start({"plugin": "talk", "params": said})
    await service.service.tasks.wait(task)


def _paths(ids: list[str]) -> list[str]:
    """Everything that can be read."""
    of_task = ["", "/logs?limit=5000", "/logs/stats", "/logs/sources", "/logs/histogram", "/tail?lines=1000", "/stages"]
    of_task += ["/steps", *(f"/logs/export?format={form}" for form in ("ndjson", "text", "csv"))]
    paths = [f"/api/tasks/{task_id}{rest}" for task_id in ids for rest in of_task]
    paths += [
        "/api/tasks?limit=200",
        "/api/logs?limit=1000",
        "/api/plugins",
        "/api/plugins/talk/stats",
        "/api/schedules",
    ]
    return [*paths, "/api/settings/logging", "/api/keys", "/api/session", "/healthz", "/readyz", "/metrics"]


async def test_a_secret_is_found_nowhere(tmp_path: Path, own_log: io.StringIO) -> None:
    """Secrets in every place where a user can put one are found in none of these: journal segments, database, WAL, run
    files and their names, REST answers, exports, WebSocket frames, metrics, the service's own log; what is harmless is.
    """
    folder, canaries = tmp_path / "data", Canaries()
    hooks = {"leaky": {"plugin": "talk", "secret": canaries["hook secret"], "params": {"entries": []}}}
    settings = Settings({"flush_interval": 60.0, "task_log_level": "DEBUG"})
    async with guarded(folder, hooks=hooks, settings=settings) as service:
        leaking = Leaking(service, canaries)
        board = asyncio.create_task(leaking.listen("/ws/tasks"))
        for careless in (_library, _over_http, _external, _keys):
            await careless(leaking)
            assert leaking.leaked(everything_in(folder)) == set(), careless.__name__  # journal, WAL
        await service.service.tasks.engine.settle(DEADLINE)
        await service.service.tasks.run_files.finish()
        assert leaking.leaked(everything_in(folder)) == set()
        steps = [
            f"/api/tasks/{task_id}/steps/{step['id']}"
            for task_id in leaking.ids
            for step in (await leaking.ask("GET", f"/api/tasks/{task_id}/steps", 200)).json()["steps"]
        ]
        assert len(steps) >= 3
        read = await read_all(leaking.ask, [*_paths(leaking.ids), *steps])
        await leaking.listen(f"/ws/tasks/{leaking.ids[0]}/logs")
        board.cancel()
    assert leaking.leaked(read) == set()
    assert leaking.leaked(b"\n".join(leaking.answers)) == set()
    assert leaking.leaked(b"\n".join(leaking.frames)) == set()
    assert leaking.leaked(everything_in(folder)) == set()
    said = own_log.getvalue()
    assert "after the end of task" in said
    assert canaries.found(said.encode()) == set()
    assert len(canaries.places) > 60


async def test_what_the_user_adds_is_found_nowhere(tmp_path: Path) -> None:
    """Patterns and keys of the configuration hide in messages, names, progress, params, results and ingested lines,
    in the name of a schedule and what is shown of it, and in the audit.
    """
    async with guarded(tmp_path / "data", redaction={"patterns": [r"EMP-\d+"], "keys": ["salary"]}) as service:
        body = {
            "plugin": "talk",
            "name": "job EMP-471108151971",
            "params": {
                "salary": 987650432198,
                "entries": [{"message": "EMP-471108151971 earns salary: 987650432198", "unit": "EMP-471108151971"}],
            },
        }
        task = (await service.ask("admin", "POST", "/api/tasks", json=body)).json()["id"]
        await service.service.tasks.wait(task)
        outside = (
            await service.ask("admin", "POST", "/api/tasks", json={"external": True, "name": "EMP-471108151971"})
        ).json()["id"]
        line = {"message": "EMP-471108151971", "metadata": {"Salary": 987650432198}, "stage": "EMP-471108151971"}
        await service.ask("admin", "POST", f"/api/tasks/{outside}/logs", content=json.dumps(line))
        end = {"status": "failed", "error_message": "EMP-471108151971", "result": ["EMP-471108151971"]}
        await service.ask("admin", "POST", f"/api/tasks/{outside}/finish", json=end)
        await service.service.tasks.engine.settle(DEADLINE)
        await service.service.tasks.run_files.finish()
        named = {"plugin": "talk", "interval": 3600, "name": "of EMP-471108151971", "paused": True}
        made = (await service.ask("admin", "POST", "/api/schedules", json=named)).json()
        assert made["name"] == "of [redacted]"
        await service.ask("admin", "DELETE", f"/api/schedules/{made['id']}")
        await service.service.tasks.engine.settle(DEADLINE)
        found = everything_in(tmp_path / "data")
        schedule = {"plugin": "talk", "interval": 3600, "params": {"salary": 987650432198, "note": "EMP-471108151971"}}
        shown = await service.ask("admin", "POST", "/api/schedules", json=schedule)  # it is kept whole
        assert shown.json()["params"] == {"salary": "[redacted]", "note": "[redacted]"}
        key = {"name": "key of EMP-471108151971", "role": "viewer"}  # a key is known by its name: that is kept as well
        assert (await service.ask("admin", "POST", "/api/keys", json=key)).status_code == 201
        audit = await service.ask("admin", "GET", "/api/audit", params={"search": "key.create"})
        assert [entry["metadata"]["to"]["name"] for entry in audit.json()["entries"]] == ["key of [redacted]"]
    assert b"471108151971" not in found
    assert b"987650432198" not in found
    assert b"[redacted]" in found


def test_what_nobody_takes_is_redacted_too(tmp_path: Path) -> None:
    """Errors of tasks, threads and finalisers that nobody waits for, warnings, and what plugins log to anybody: all
    of it comes on the stderr of the service, as lines of its own log, without the secret.
    """
    cli, secret = Cli(tmp_path), Canaries()["stray"]
    (tmp_path / "straying.py").write_text(Path(straying.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    with cli.running("serve", "--port", "0", "--plugins", "straying") as process:
        until(cli.url)
        cli("start", "stray", "--follow", "--param", f"password={secret}")
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=DEADLINE)
    assert secret not in out + said
    assert "\x1b" not in said
    for expected in (
        "never retrieved",
        "the thread",
        "nobody could be told",
        "UserWarning",
        "straying: pwd=",
        "root: ",
    ):
        assert expected in said, said
    assert said.count("[redacted]") >= 6
