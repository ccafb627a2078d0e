"""The API description, taken at its word and beyond: whatever is asked, the service answers in order."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE: tuple[Any, ...] = (
    "", "0", "-1", "1", "1e9", "NaN", "null", "true", "x" * 3000, "é\u202e\x1b[0m", "%", "_", "'", '"; DROP TABLE x',
    "../../etc/passwd", "2026-02-07T12:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01", "\x00", "9" * 40, "INFO",
    "{", "[]", "a.b.c", "\\", "\n",
)  # fmt: skip
BODIES: tuple[Any, ...] = (None, True, 1, 1.5, -(2**70), "x", "", [], [1], {}, {"a": {"b": [None]}}, "\x00", "é" * 300)
ROUNDS = 12


def _query(dice: random.Random, operation: dict[str, Any]) -> list[tuple[str, Any]]:
    parameters = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
    chosen = dice.sample(parameters, min(len(parameters), dice.randint(0, 3)))
    return [
        (parameter["name"], dice.choice([*HOSTILE, *map(str, parameter["schema"].get("enum", []))]))
        for parameter in chosen
        for _ in range(dice.randint(1, 2))
    ]


def _body(dice: random.Random, operation: dict[str, Any], schemas: dict[str, Any]) -> bytes | None:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return None
    if "application/x-ndjson" in content:
        lines = [json.dumps({"message": dice.choice(BODIES), "level": dice.choice(BODIES)}) for _ in range(3)]
        return "\n".join([*lines, dice.choice(["", "{", "\x00"])]).encode()
    schema = content["application/json"]["schema"]
    if "$ref" not in schema:  # a webhook takes anything
        return json.dumps(dice.choice(BODIES)).encode()
    reference = schema["$ref"].rsplit("/", 1)[1]
    names = list(schemas[reference]["properties"])
    given = {name: dice.choice(BODIES) for name in dice.sample(names, dice.randint(0, len(names)))}
    if reference == "StartTask" and dice.random() < 0.7:
        given["plugin"] = dice.choice(["talk", "numbered", "fail"])
        given.pop("external", None)
    return json.dumps(given).encode()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_asked_is_answered(shared: Running, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Random hostile parameters, ids and bodies on every described route: a described status, errors as problems
    whose parameter is one that was given, never a failure of ours, and the service works afterwards.
    """
    dice = random.Random(seed)
    described = (await shared.client.get("/openapi.json")).json()
    ended = await shared.say("hello")
    external = (await shared.post("/api/tasks", {"external": True, "name": "fuzzed"}, 201))["id"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for _ in range(ROUNDS):
                place = re.sub(r"\{\w+\}", dice.choice([ended, external, "none", "é", "%00", "x" * 300]), path)
                if method == "delete" and ended in place:
                    continue
                body = _body(dice, operation, described["components"]["schemas"])
                query = _query(dice, operation)
                response = await shared.client.request(method, place, params=query, content=body)
                asked = f"{method} {place} {query} {body!r}: {response.status_code} {response.text[:300]}"
                assert str(response.status_code) in operation["responses"], asked
                assert response.status_code != 500, asked
                if response.status_code >= 400:
                    assert response.headers["content-type"] == "application/problem+json", asked
                    assert response.json()["status"] == response.status_code, asked
    assert not [record for record in caplog.records if record.exc_info]
    assert (await shared.client.get("/healthz")).status_code == 200
