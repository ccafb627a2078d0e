"""The load harness in straits: a service that hangs or is not to be trusted, subscribers that are killed."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.bench.test_load import ROOT, Fake, load, service, serving
from tests.bench.test_loading import DEADLINE, process, under_way, until
from tests.server.running import Running

__all__ = ["service"]


@pytest.mark.parametrize(("interrupts", "code"), [(0, 1), (1, 130), (2, 130)])
async def test_a_service_that_hangs_keeps_nobody(interrupts: int, code: int, tmp_path: Path) -> None:
    """A service that takes connections and answers nothing is left when patience is over, or when somebody wants it;
    not after the half minute that an answer may take otherwise, for each question.
    """
    command = (sys.executable, "-m", "bench", "load", "--duration", "600", "--tasks", "2", "--subscribers", "4")
    async with process(tmp_path / "data") as (hanging, url):
        loading = await asyncio.create_subprocess_exec(
            *(*command, "--url", url, "--patience", "30" if interrupts else "1"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert loading.stdout is not None
        await until(lambda: under_way(url))
        hanging.send_signal(signal.SIGSTOP)
        said = b""
        async with asyncio.timeout(DEADLINE):
            for _ in range(interrupts):
                loading.send_signal(signal.SIGINT)
                while b"once more ends it" not in said:
                    said += await loading.stdout.readline()
            said += (await loading.communicate())[0]
        assert loading.returncode == code, said.decode()
        assert b"tasks could not be finished" in said
        assert b"Traceback" not in said


async def test_what_cannot_be_counted_is_no_success(tmp_path: Path) -> None:
    """Where nobody can say how many entries are stored, nobody claims that all of them are."""

    class Silent(Fake):
        async def _count(self, _: Request) -> Response:
            return JSONResponse({"detail": "not for you"}, 403)

    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "1", "--duration", "0.3")
    async with serving(Silent(lambda entries: entries)) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    assert code == 1
    assert result["problems"] == ["how many entries are stored could not be found out"]
    assert "everything acknowledged is stored" not in said


async def test_a_count_is_asked_for_again(tmp_path: Path) -> None:
    """A service that cannot tell for a moment what it has stored is asked again."""

    class Busy(Fake):
        asked = 0

        async def _count(self, request: Request) -> Response:
            self.asked += 1
            return JSONResponse({"detail": "later"}, 503) if self.asked == 1 else await super()._count(request)

    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "1", "--duration", "0.3")
    async with serving(Busy(lambda entries: entries)) as url:
        code, said, result = await load(url, tmp_path / "out.json", *amount)
    assert code == 0, said
    assert result["stored"] == result["told"]["acknowledged"]


async def test_subscribers_that_are_killed_are_told(service: Running, tmp_path: Path) -> None:
    """When the process of the subscribers dies, as of too little memory, a sentence says that nothing is known."""
    out = tmp_path / "out.json"
    loading = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", "load", "--url", service.url, "--duration", "3", "--out", str(out)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await until(lambda: under_way(service.url))
    for child in Path(f"/proc/{loading.pid}/task/{loading.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    said = (await loading.communicate())[0].decode()
    assert loading.returncode == 1, said
    assert "the process of the subscribers ended with -9" in said
    assert "Traceback" not in said
    assert "ended with -9" in out.read_text()
    tasks = (await service.client.get("/api/tasks")).json()["tasks"]
    assert {task["status"] for task in tasks} == {"success"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
async def test_a_certificate_is_believed_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody has signed is refused, with a word on what helps; that helps."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *names)
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    amount = ("--rate", "100", "--tasks", "1", "--subscribers", "1", "--duration", "0.3")
    options: dict[str, Any] = {"log_config": None, "lifespan": "off", "ws": "websockets-sansio"}
    app = Fake(lambda entries: entries).app
    server = uvicorn.Server(uvicorn.Config(app, port=0, ssl_keyfile=key, ssl_certfile=certificate, **options))
    work = asyncio.create_task(server.serve())
    await until(lambda: asyncio.sleep(0, server.started))
    url = f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        code, said, _ = await load(url, tmp_path / "out.json", *amount)
        assert code == 2
        assert "in SSL_CERT_FILE" in said
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, certificate)
        code, said, _ = await load(url, tmp_path / "out.json", *amount)
        assert code == 0, said
    finally:
        server.should_exit = True
        await work
