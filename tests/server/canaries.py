"""Secrets put everywhere a user can put one, each its own word, and a search for them in whatever is there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import sqlite3
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asynclog.tasks.context import TaskContext

CONTROL = "cntrlq7harmless"
"""No secret: proves that what is searched would be found."""


class Canaries:
    """Gives each place a secret of its own, and finds which of them got out."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def __getitem__(self, place: str) -> str:
        """The secret of this place; letters and digits only, so that nothing escapes it."""
        return self.places.setdefault(place, "Cn" + hashlib.sha256(place.encode()).hexdigest()[:22])

    def add(self, place: str, secret: str) -> None:
        """A secret that somebody else has made."""
        self.places[place] = secret

    def found(self, data: bytes) -> set[str]:
        """The places whose secrets are in there, as they are or packed as base64."""
        return {place for place, secret in self.places.items() if any(form in data for form in _forms(secret))}


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [raw, base64.b64encode(raw)[:-4], raw.hex().encode(), raw[::-1]]


def files_in(folder: Path) -> list[bytes]:
    """The raw bytes of every file of a data directory, which may be in use."""
    found = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # renamed or removed by those whose it is
            found.append(path.read_bytes())
    return found


def everything_in(folder: Path) -> bytes:
    """The raw bytes of every file of a data directory, and every cell of its database whatever its encoding there."""
    parts = files_in(folder)
    names = [str(path).encode() for path in folder.rglob("*")]
    database = folder / "asynclog.db"
    if database.exists():
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            for table in tables:
                rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                parts += [cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row]
        finally:
            connection.close()
    return b"\n".join([*parts, *names])


async def leak(params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """A plugin that is careless wherever it can be."""
    secret = params["canaries"]
    log = context.logger
    log.info("started, %s", CONTROL)
    log.info("login of %s with password=%s", "bob", secret["argument"])
    log.info(f"GET /x?token={secret['query string']}&page=2")
    log.info(f"export DB_PASSWORD={secret['environment text']}")
    log.info(json.dumps({"user": "bob", "api_key": secret["JSON in a message"]}))
    log.info(f"> Authorization: Basic {base64.b64encode(('bob:' + secret['basic']).encode()).decode()}")
    log.info(f"> Cookie: sid={secret['cookie']}; a=1")
    log.info(f"retrying postgres://bob:{secret['URL in a message']}@db/x")
    log.info(f"-----BEGIN PRIVATE KEY-----\n{secret['PEM']}\n-----END PRIVATE KEY-----")
    log.info("environment %s", {"PGPASSWORD": secret["mapping as argument"]})
    log.info("x" * 3_000_000 + f" password={secret['long message']} " + "y" * 3_000_000)
    log.info("metadata", password=secret["metadata"], nested={"a": [{"client_secret": secret["nested metadata"]}]})
    log.info("key", metadata={f"Bearer {secret['metadata key']}": 1})
    log.info("headers", headers=[("Cookie", secret["pair"])], env=[{"name": "TOKEN", "value": secret["named value"]}])
    log.info("object", value=Exception(f"secret={secret['object in metadata']}"), raw=f"pwd={secret['bytes']}".encode())
    log.bind(token=secret["bound"]).info("bound")
    log.with_source(f"token={secret['source']}").info("source")
    log.progress(1, 2, f"password={secret['progress']}")
    context.append_trace(f"token={secret['trace event']}", password=secret["trace"])
    try:
        raise ValueError(f"cannot reach https://u:{secret['exception']}@host")
    except ValueError:
        log.exception("caught %s", "it", stack_info=True)
    with context.unit(f"https://u:{secret['unit']}@host"):
        await _parts(context, secret)
    threading.Thread(target=_late, args=(log, secret["after the end"], params["ended"]), daemon=True).start()
    return {"access_token": secret["result"], "url": f"https://u:{secret['result URL']}@host"}


async def _parts(context: TaskContext, secret: dict[str, str]) -> None:
    async with context.stage(f"token={secret['stage']}") as stage:
        stage.result = {"secret": secret["stage result"]}
        async with stage.step(f"pwd={secret['step']}", input={"password": secret["step input"]}) as step:
            step.output = {"headers": {"Authorization": secret["step output"]}}
        async with stage.step("skipped") as step:
            step.skip(f"token={secret['skipped']}")
    try:
        async with context.stage("broken"):
            raise RuntimeError(f"Authorization: Bearer {secret['stage error']}")
    except RuntimeError:
        pass


def _late(log: Any, secret: str, ended: threading.Event) -> None:
    ended.wait(30)
    log.warning("too late: password=%s", secret)


async def fail(params: dict[str, Any], _context: TaskContext) -> None:
    """A plugin that fails with a secret in what it says."""
    try:
        raise KeyError(f"token={params['canaries']['cause']}")
    except KeyError as cause:
        raise ValueError(f"login failed: password={params['canaries']['failure']}") from cause


CHILD = """
import os, sys
print("DB_PASSWORD=" + os.environ["SECRET_TOKEN"])
print('{"token": "' + os.environ["SECRET_TOKEN"] + '"}', file=sys.stderr)
print(os.environ["CONTROL"])
"""


def command(secret: str, option: str) -> dict[str, Any]:
    """Params of the plugin ``command``: a secret in its environment, in its arguments and in what it writes."""
    env = {"SECRET_TOKEN": secret, "CONTROL": CONTROL}
    return {"argv": [sys.executable, "-c", CHILD, "--password", option, f"--token={option}"], "env": env}


async def read_all(ask: Any, paths: Iterable[str]) -> bytes:
    """The answers to many GETs."""
    answers = await asyncio.gather(*[ask("GET", path) for path in paths])
    return b"\n".join(answer.content + repr(answer.headers).encode() for answer in answers)
