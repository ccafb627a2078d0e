"""Bodies of every size, shape and speed: taken within limits, refused with a sentence, never a failure of ours."""

from __future__ import annotations

import gc
import gzip
import json
import random
import re
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.errors import TooLargeError
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.server import body
from asynclog.server.body import Gunzip, read_json
from asynclog.server.problems import MalformedError, RefusedError
from asynclog.server.service import Service
from tests.server.raw import head, wire
from tests.server.running import Running, eventually
from tests.server.test_problems import check

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1 << 20
JSON = "Content-Type: application/json"
START = b'{"external": true, "name": "packed", "params": {"text": "%s"}}'


async def _external(shared: Running) -> str:
    return str((await shared.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"])


# --- size ------------------------------------------------------------------------------------------------------------


async def test_an_endless_body_is_cut_off_while_it_comes(shared: Running) -> None:
    """A chunked body without end is 413 once 8 MiB have come, long before anybody knows where it would end."""
    async with wire(shared.url) as client:
        client.say(head("POST /api/tasks", "Transfer-Encoding: chunked", JSON))
        for _ in range(9):
            client.say(b"100000\r\n", b" " * MIB, b"\r\n")
        assert "8,388,608" in (await client.answer()).problem()["detail"]


@pytest.mark.parametrize("length", ["8388609", "99999999999999999", "1" + "0" * 18])
async def test_a_body_announced_as_too_large_is_not_waited_for(shared: Running, length: str) -> None:
    """A Content-Length beyond the limit is 413 before a byte of the body came."""
    async with wire(shared.url) as client:
        client.say(head("POST /api/tasks", f"Content-Length: {length}", JSON))
        assert (await client.answer()).status == 413


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: +2",),
        ("Content-Length: 0x2",),
        ("Content-Length: 2, 2",),
        ("Content-Length: 99999999999999999999999999",),
        ("Transfer-Encoding: chunked, identity",),
    ],
)
async def test_a_body_whose_end_is_unclear_is_refused(shared: Running, headers: tuple[str, ...]) -> None:
    """Two lengths, a length beside chunks, or a length that is none: 400 and the connection ends, so that no proxy
    before us and we disagree about where a request begins.
    """
    async with wire(shared.url) as client:
        client.say(head("POST /api/tasks", *headers, JSON), b"{}")
        assert (await client.answer()).status == 400
        await client.closed()


async def test_what_lists_show_whole_is_bounded(shared: Running) -> None:
    """Names and scopes beyond 1,000 characters are 422: a page of 500 tasks stays one that can be held."""
    for field in ("name", "account", "site", "plugin", "trigger_type", "parent_id"):
        sent = {"external": True, "name": "x", field: "é" * 1001}
        check(await shared.client.post("/api/tasks", json=sent), 422, field)
    task_id = await _external(shared)
    for field in ("node_id", "node_type", "node_name"):
        sent = {"node_id": "x", field: "x" * 1001}
        check(await shared.client.post(f"/api/tasks/{task_id}/steps", json=sent), 422, field)
    assert (await shared.client.post("/api/tasks", json={"external": True, "name": "é" * 1000})).status_code == 201


@pytest.mark.parametrize("word", ["unknown field", "required field", "out of range", "x - at `$.y`", "`", "' - at `$"])
async def test_a_bad_value_is_taken_for_no_message(shared: Running, word: str) -> None:
    """A value, or a field's name, that looks like the decoder's own words is 422 like any other."""
    place = f"/api/tasks/{await _external(shared)}"
    check(await shared.client.post(f"{place}/finish", json={"status": word}), 422, "status")
    check(await shared.client.post(f"{place}/steps", json={"node_id": "n", "status": word}), 422, "status")
    assert (await shared.client.post(f"{place}/finish", json={"status": "success", word: 1})).status_code == 422


async def test_a_batch_of_nothing_but_lines_is_refused(shared: Running) -> None:
    """Millions of lines without entries keep no processor busy: more lines than entries could have are 422."""
    place = f"/api/tasks/{await _external(shared)}/logs"
    for line in (b"\n", b"{\n", b"0\n"):
        check(await shared.client.post(place, content=line * 700_000), 422, "body")
    told = (await shared.client.post(place, content=b"{\n" * 5000 + b'{"message": "x"}')).json()
    assert (told["accepted"], told["rejected"], len(told["errors"])) == (1, 5000, 100)


async def test_all_bodies_together_are_bounded(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many large bodies at once get no more memory than there is for all of them: the next one is 503, and when some
    are answered there is room again.
    """
    monkeypatch.setattr(body, "BODIES_BYTES", 3 * MIB)
    begun = head("POST /api/tasks", f"Content-Length: {2 * MIB}", JSON)
    async with wire(shared.url) as first, wire(shared.url) as second:
        first.say(begun, b" " * (2 * MIB - 1))
        await eventually(lambda: _held(shared) == 2 * MIB - 1)
        second.say(begun, b" " * (2 * MIB))
        answer = await second.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        answer.problem()
        first.say(b" ")
        assert (await first.answer()).status == 400
        await eventually(lambda: _held(shared) == 0)
    packed = {"content-encoding": "gzip"}
    check(await shared.client.post("/api/tasks", content=gzip.compress(random_text(4 * MIB)), headers=packed), 503)
    assert _held(shared) == 0
    assert (await shared.client.post("/api/tasks", content=START % b"hi")).status_code == 201


def random_text(size: int) -> bytes:
    """What does not pack well."""
    return random.Random(1).randbytes(size // 2).hex().encode()


def _held(shared: Running) -> int:
    (service,) = (found for found in gc.get_objects() if type(found) is Service and found.tasks is shared.tasks)
    return service.bodies._size


@pytest.mark.asyncio(loop_scope="function")
async def test_a_strangers_body_is_not_read(service: Running) -> None:
    """Where a key, or a hook's secret, is asked for, nobody's body is read before: the answer comes at once. To sign in
    takes few bytes, and more are 413.
    """
    async with wire(service.url) as client:
        client.say(head("POST /api/session", f"Content-Length: {1 << 20}", JSON))
        assert (await client.answer()).status == 413
    await service.tasks.keys.create("admin", Role.ADMIN, EVERYTHING)
    for path, status in (("/api/tasks", 401), ("/api/hooks/none", 404)):
        async with wire(service.url) as client:
            client.say(head(f"POST {path}", "Content-Length: 100000", JSON))
            assert (await client.answer()).status == status, path


# --- speed -----------------------------------------------------------------------------------------------------------


async def test_a_body_that_drips_is_not_waited_for(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes too slowly is 408 and the connection ends, however many bytes were announced."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)
    for lines in (("Content-Length: 100",), ("Transfer-Encoding: chunked",)):
        async with wire(shared.url) as client:
            client.say(head("POST /api/tasks", *lines, JSON), b"1\r\n{\r\n")
            answer = await client.answer()
            assert answer.status == 408
            answer.problem()
            await client.closed()


# --- gzip ------------------------------------------------------------------------------------------------------------


async def test_packed_bodies_are_taken(shared: Running) -> None:
    """JSON and NDJSON may come as gzip, in one piece or chunked, as one file or several."""
    packed = {"content-encoding": "gzip"}
    made = await shared.client.post("/api/tasks", content=gzip.compress(START % b"hi"), headers=packed)
    assert made.status_code == 201
    assert made.json()["params"] == {"text": "hi"}

    async def pieces() -> Any:
        lines = gzip.compress(b'{"message": "one"}\n') + gzip.compress(b'{"message": "two"}\n')
        for at in range(len(lines)):
            yield lines[at : at + 1]

    place = f"/api/tasks/{made.json()['id']}/logs"
    for encoding in ("gzip", "X-GZIP", "identity, gzip"):
        told = await shared.client.post(place, content=pieces(), headers={"content-encoding": encoding})
        assert told.json()["accepted"] == 2, encoding
    page = (await shared.client.get(place)).json()
    assert [entry["message"] for entry in page["entries"] if entry["source"] == "plugin"] == ["one", "two"] * 3


BOMBS = [gzip.compress(bomb, 1) for bomb in (b" " * (9 * MIB), b" " * (2 * MIB), bytes(range(256)) * (40 * 1024))]


@pytest.mark.parametrize("route", ["/api/tasks", "/api/tasks/{id}/logs", "/api/tasks/{id}/finish"])
async def test_a_zip_bomb_does_not_go_off(shared: Running, route: str) -> None:
    """What unpacks to more than 8 MiB, or to more than 200 times its size, is 413; no more than that is unpacked."""
    route = route.replace("{id}", await _external(shared))
    for packed in BOMBS:
        check(await shared.client.post(route, content=packed, headers={"content-encoding": "gzip"}), 413)


@pytest.mark.parametrize(
    "packed",
    [b"no gzip", gzip.compress(START)[:-9], gzip.compress(START)[:20], b"\x1f\x8b"],
    ids=["no gzip", "without its end", "its beginning", "two bytes"],
)
async def test_broken_gzip_is_refused(shared: Running, packed: bytes) -> None:
    """What says it is gzip and is not, or ends in its middle, is 400, and nothing of it is taken."""
    for route in ("/api/tasks", f"/api/tasks/{await _external(shared)}/logs"):
        check(await shared.client.post(route, content=packed, headers={"content-encoding": "gzip"}), 400)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "x" * 3000, "gzip;q=1"])
async def test_other_ways_of_packing_are_refused(shared: Running, encoding: str) -> None:
    """Another Content-Encoding is 415 and says which one there is."""
    answer = await shared.client.post("/api/tasks", content=b"{}", headers={"content-encoding": encoding})
    check(answer, 415)
    assert answer.headers["accept-encoding"] == "gzip"


async def test_unpacking_is_bounded_piece_by_piece() -> None:
    """However the bytes are cut, the unpacker gives back the text, and never more than it allows."""
    text = json.dumps(list(range(20_000))).encode()
    packed = gzip.compress(text)
    for step in (1, 7, 1000, len(packed)):
        unpack = Gunzip(len(text))
        assert b"".join(unpack.feed(packed[at : at + step]) for at in range(0, len(packed), step)) == text
        unpack.end()
        small = Gunzip(len(text) - 1)
        with pytest.raises(TooLargeError):
            _ = [small.feed(packed[at : at + step]) for at in range(0, len(packed), step)]
    with pytest.raises(RefusedError, match="200 times"):
        Gunzip(1 << 30).feed(gzip.compress(bytes(4 * MIB)))
    with pytest.raises(MalformedError, match="more than 100"):
        Gunzip(1 << 30).feed(gzip.compress(b"") * 101)
    with pytest.raises(MalformedError):
        Gunzip(1 << 30).feed(gzip.compress(b"x") + b"garbage")
    with pytest.raises(MalformedError):
        Gunzip(1 << 30).feed(zlib.compress(b"x"))


# --- JSON ------------------------------------------------------------------------------------------------------------

BAD_VALUES = {
    "a number beyond floats": b"1e400",
    "a negative one": b"-1e400",
    "ten thousand digits": b"1" * 10_000,
    "nan": b"NaN",
    "infinity": b"-Infinity",
    "hexadecimal": b"0x10",
    "too deep": b"[" * 5000 + b"]" * 5000,
    "too deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "invalid utf-8": b'"\xff"',
    "an overlong form": b'"\xc0\x80"',
    "a surrogate as utf-8": b'"\xed\xa0\x80"',
    "a raw NUL": b'"\x00"',
    "a comment": b"1 /* one */",
    "a trailing comma": b"[1,]",
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
async def test_json_beyond_what_can_be_read_is_400(shared: Running, value: bytes) -> None:
    """Whatever in a body is no JSON, or JSON no machine can hold, is 400, wherever it stands and whoever is asked."""
    task_id = await _external(shared)
    for route, text in (
        ("/api/tasks", b'{"external": true, "name": "x", "params": {"x": %s}}'),
        (f"/api/tasks/{task_id}/finish", b'{"status": "success", "result": %s}'),
        (f"/api/tasks/{task_id}/stages", b'{"name": "x", "result": %s}'),
        (f"/api/tasks/{task_id}/steps", b'{"node_id": "x", "input_data": [%s]}'),
        ("/api/schedules", b'{"name": "x", "plugin": "talk", "interval": 60, "params": {"x": %s}}'),
    ):
        check(await shared.client.post(route, content=text.replace(b"%s", value)), 400)


@pytest.mark.parametrize("depth", [30, 33, 100, 500, 900, 950, 980, 990, 995, 1000, 2000])
async def test_every_depth_is_kept_or_refused(shared: Running, depth: int) -> None:
    """There is no depth of nesting at which the service fails: it keeps the value, cut, or says 400."""
    task_id = await _external(shared)
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        nested = opened * depth + b"1" + closed * depth
        for route, text in (
            ("/api/tasks", b'{"plugin": "talk", "params": {"x": %s}}'),
            ("/api/tasks", b'{"plugin": "numbered", "params": {"number": %s}}'),
            ("/api/tasks", b'{"external": true, "name": "x", "metadata": %s, "trigger_data": %s}'),
            (f"/api/tasks/{task_id}/stages", b'{"name": "x", "result": %s}'),
            (f"/api/tasks/{task_id}/steps", b'{"node_id": "x", "input_data": %s}'),
        ):
            answer = await shared.client.post(route, content=text.replace(b"%s", nested))
            assert answer.status_code in (200, 201, 400, 422), answer.text
        lines = b'{"message": "x", "metadata": {"x": %s}}\n' % nested
        assert (await shared.client.post(f"/api/tasks/{task_id}/logs", content=lines)).status_code == 200


async def test_half_a_surrogate_pair_is_kept_as_its_escape(shared: Running) -> None:
    """A text that JavaScript cut in the middle of a character is taken, and shown as the escape of what is left; whole
    pairs and backslashes stay what they are.
    """
    sent = rb'{"external": true, "name": "x\ud83d", "params": {"\udc00": "\ud83d\ude00 \ud83d\ud83d\ude00 \\ud83d"}}'
    made = await shared.client.post("/api/tasks", content=sent)
    assert made.status_code == 201, made.text
    assert made.json()["name"] == r"x\ud83d"
    assert made.json()["params"] == {r"\udc00": "😀 \\ud83d😀 \\ud83d"}
    assert read_json(rb'["\\\ud83d", "\\\\ud83d", "\"\ud83d\""]') == ["\\\\ud83d", "\\\\ud83d", '"\\ud83d"']


@given(
    st.lists(
        st.sampled_from([r"\ud83d", r"\ude00", r"\uDBFF", r"\udc00", r"\u0041", r"\n", r"\\", r"\"", "x", "ud83d", "é"])
    )
)
async def test_halves_are_found_among_other_escapes(pieces: list[str]) -> None:
    """Whatever escapes stand beside each other, whole pairs are characters and halves their own escapes."""
    text = "".join(pieces)
    told = re.sub(r"[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", json.loads(f'"{text}"'))
    assert read_json(f'"{text}"'.encode()).lower() == told.lower()


async def test_escapes_without_end_take_no_memory() -> None:
    """A text of many lines that was cut in the middle of a character is read in a few times its size."""
    sent = b'"' + b"x\\n" * (MIB // 3) + b'\\ud83d"'
    gc.collect()
    tracemalloc.start()
    try:
        assert read_json(sent).endswith("\n\\ud83d")
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


async def test_a_byte_order_mark_is_passed_over(shared: Running) -> None:
    """A body that begins with a byte-order mark, as some shells send it, is read like any other."""
    sent = b"\xef\xbb\xbf" + START % b"hi"
    assert (await shared.client.post("/api/tasks", content=sent)).status_code == 201
    check(await shared.client.post("/api/tasks", content=START.decode().encode("utf-16")), 400)


async def test_the_last_of_two_keys_counts(shared: Running) -> None:
    """A key that comes twice counts once, the last time; checks and uses see the same one."""
    sent = b'{"external": true, "name": "a", "name": "b", "params": {"x": 1, "x": 2}}'
    made = (await shared.client.post("/api/tasks", content=sent)).json()
    assert (made["name"], made["params"]) == ("b", {"x": 2})
    check(await shared.client.post("/api/tasks", content=b'{"plugin": "talk", "plugin": 1}'), 422, "plugin")


async def test_large_but_honest_numbers_are_kept(shared: Running) -> None:
    """Integers of any size that fits a float, and digits beyond its precision, are no reason to refuse a body."""
    for number in (b"9" * 30, b"-" + b"9" * 300, b"0." + b"1" * 10_000, b"1e-400", b"1e308"):
        sent = b'{"external": true, "name": "x", "params": {"x": %s}}' % number
        assert (await shared.client.post("/api/tasks", content=sent)).status_code == 201
