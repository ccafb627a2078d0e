"""Whatever a plugin passes becomes JSON that SQLite can query; nothing raises, nothing is consumed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import sqlite3
import threading
import types
import uuid
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import msgspec
import orjson
import pytest

from asynclog import values
from asynclog.redaction import REDACTED
from asynclog.values import METADATA_LIMIT, capture, metadata_json, normalise

CANARY = "correct-horse-battery-staple"


class Colour(enum.Enum):
    RED = "red"
    NESTED = ({"password": CANARY},)


class Power(enum.IntEnum):
    LOW = 1


class Point(msgspec.Struct):
    x: int
    label: str = "here"
    password: str = CANARY


@dataclasses.dataclass
class Box:
    name: str
    content: Any = None
    broken: int = dataclasses.field(init=False)


Pair = namedtuple("Pair", "left right")  # noqa: PYI024  # the untyped kind is what people pass


class Bang(BaseException):
    """As fatal as an exception gets without being about the process."""


class Hostile:
    """Every method anyone could call raises."""

    def _bang(self, *_: object) -> NoReturn:
        raise Bang("no")

    __str__ = __repr__ = __iter__ = __len__ = __bool__ = __eq__ = __getattr__ = __format__ = _bang

    def __hash__(self) -> int:
        return 7


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise Bang(key)

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        raise Bang("len")


class EndlessMapping(HostileMapping):
    def items(self) -> Any:
        return ((str(number), number) for number in iter(int, 1))


class LyingDict(dict[str, Any]):
    def items(self) -> Any:
        raise Bang("items")

    def __len__(self) -> int:
        return 2**62

    def __iter__(self) -> Any:
        raise Bang("iter")


class LyingList(list[Any]):
    def __iter__(self) -> Any:
        raise Bang("iter")

    def __len__(self) -> int:
        return 10**6


class LyingStr(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise Bang("str")

    def __len__(self) -> int:
        return 0

    def encode(self, *_: Any) -> bytes:
        raise Bang("encode")

    def __contains__(self, _: object) -> bool:
        raise Bang("contains")


class LyingInt(int):
    def __repr__(self) -> str:
        raise Bang("repr")

    def __le__(self, _: object) -> bool:
        raise Bang("compare")

    def __index__(self) -> int:
        raise Bang("index")


class LyingFloat(float):
    def __float__(self) -> float:
        raise Bang("float")

    def __sub__(self, _: object) -> float:
        raise Bang("minus")


class LyingClass:
    @property  # type: ignore[misc]  # the lie is what is tested
    def __class__(self) -> Any:
        raise Bang("class")


class Scalar:
    """As numpy's scalars look from outside."""

    ndim = 0

    def __init__(self, plain: object) -> None:
        self.plain = plain

    def item(self) -> object:
        return self.plain


Scalar.__module__ = "numpy"


def valid_in_sqlite(text: str) -> bool:
    """Whether SQLite stores it, finds it valid and gives it back."""
    connection = sqlite3.connect(":memory:")
    try:
        row = connection.execute("SELECT json_valid(?1), ?1, length(json_type(?1)) > 0", (text,)).fetchone()
    finally:
        connection.close()
    return bool(row == (1, text, 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        ("a\0b", "a\\x00b"),
        ("a\udc80b", "a\\udc80b"),
        ("Ünï 😀", "Ünï 😀"),
        (b"plain", "plain"),
        (b"\xff\0", "\\xff\\x00"),
        (bytearray(b"ba"), "ba"),
        (memoryview(b"mv"), "mv"),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, "{1,2,3}"),
        (frozenset({"b", "a"}), '{"a","b"}'),
        (set(), "{}"),
        ({1: "a", None: "b", 2.5: "c", b"k": "d", Colour.RED: "e", (1, 2): "f"},
         {"1": "a", "None": "b", "2.5": "c", "k": "d", "red": "e", "(1, 2)": "f"}),
        ({1: "a", "1": "b"}, {"1": "a", "1 #1": "b"}),
        ({"1": "a", "1 #2": "b", 1: "c"}, {"1": "a", "1 #2": "b", "1 #4": "c"}),
        ({"n\0": 1, "\udc80": 2}, {"n\\x00": 1, "\\udc80": 2}),
        (dt.datetime(2026, 2, 7, 12, tzinfo=dt.UTC), "2026-02-07T12:00:00+00:00"),
        (dt.date(2026, 2, 7), "2026-02-07"),
        (dt.time(12, 30), "12:30:00"),
        (dt.timedelta(seconds=90), "0:01:30"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Path("x"), "x"),
        (Colour.RED, "red"),
        (Power.LOW, 1),
        (Pair(1, "r"), [1, "r"]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (UserDict({"a": [1]}), {"a": [1]}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (ValueError("bad value"), "ValueError: bad value"),
        (KeyError(), "KeyError"),
        (Scalar(2.5), 2.5),
        (Scalar(7), 7),
        (Scalar(dt.date(2026, 1, 1)), "2026-01-01"),
        (int, "<class 'int'>"),
        (deque([1, 2]), "deque([1, 2])"),
        (orjson.Fragment(b"{broken"), None),
    ],
)  # fmt: skip
def test_shapes(value: object, expected: object) -> None:
    """Every usual kind of value has one readable JSON form, the same in metadata, and valid for SQLite."""
    result = normalise(value)
    if not isinstance(value, orjson.Fragment):
        assert result == expected
        assert type(result) is type(expected)
    stored = metadata_json({"k": value})
    assert stored is not None
    assert orjson.loads(stored) == {"k": result}
    assert valid_in_sqlite(stored)


def test_objects() -> None:
    """Structs and dataclasses are objects with their fields, a field that cannot be had says so, secrets stay out."""
    assert normalise(Point(x=1)) == {"x": 1, "label": "here", "password": REDACTED}
    box = normalise(Box("b", content=Point(x=2)))
    assert box["name"] == "b"
    assert box["content"]["x"] == 2
    assert box["broken"].startswith("<unprintable Box: AttributeError")
    assert CANARY not in capture(Colour.NESTED, 0)


HOSTILE: dict[str, Any] = {
    "alone": Hostile(),
    "in a list": [Hostile()],
    "under a key": {"k": Hostile()},
    "as a key": {Hostile(): 1},
    "in a set": {Hostile()},
    "a mapping": HostileMapping(),
    "an endless mapping": EndlessMapping(),
    "a dict that lies": LyingDict(a=1),
    "a list that lies": LyingList([1, 2]),
    "a str that lies": LyingStr("real"),
    "an int that lies": LyingInt(5),
    "a float that lies": LyingFloat(2.5),
    "a class that lies": LyingClass(),
    "a lying class as a key": {LyingClass(): 1},
    "a lying str as a key": {LyingStr("key"): 1},
    "a type": Hostile,
    "a scalar": Scalar(Hostile()),
    "fields": Box(name=LyingStr("n"), content=Hostile()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    """A value that raises at every touch, or lies about itself, still becomes valid JSON, and nothing escapes."""
    value = HOSTILE[name]
    for stored in (capture(value, 0), metadata_json({"k": value}), metadata_json(value)):
        assert stored is not None
        assert valid_in_sqlite(stored)


def test_lies() -> None:
    """What counts of a subclass of a builtin is what it holds, not what it says."""
    assert normalise(LyingDict(a=1)) == {"a": 1}
    assert normalise(LyingList([1, 2])) == [1, 2]
    assert normalise(LyingStr("real")) == "real"
    assert normalise(LyingInt(5)) == 5
    assert normalise(LyingFloat(2.5)) == 2.5
    assert type(normalise(LyingInt(5))) is int
    assert type(normalise({LyingStr("k"): 1}).popitem()[0]) is str


def test_about_the_process() -> None:
    """KeyboardInterrupt and SystemExit are about the process: they go on to whom they concern."""
    for error in (KeyboardInterrupt, SystemExit):

        class Ends:
            def __str__(self) -> str:
                raise error  # noqa: B023  # used up within the turn

        with pytest.raises(error):
            normalise([Ends()])


def test_snapshot() -> None:
    """Nothing is consumed, and what changes after the call does not change what was stored."""
    generator = (number for number in range(3))
    live: dict[str, Any] = {"list": [1], "generator": generator}
    stored = normalise(live)
    live["list"].append(2)
    live["more"] = 1
    assert stored["list"] == [1]
    assert "more" not in stored
    assert stored["generator"].startswith("<generator object")
    assert list(generator) == [0, 1, 2]


def test_cycles_and_depth() -> None:
    """A cycle and everything below 32 levels are markers; the same value twice side by side is no cycle."""
    loop: list[Any] = [1]
    loop.append({"again": loop})
    assert normalise(loop) == [1, {"again": values.CYCLE}]
    shared = [1]
    assert normalise([shared, shared]) == [[1], [1]]
    assert metadata_json({"a": {"b": loop}}) is not None
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    result, levels = normalise(deep), 0
    while isinstance(result, list):
        result, levels = result[0], levels + 1
    assert (result, levels) == (values.DEEPER, values.MAX_DEPTH)
    while deep != "bottom":  # taken apart by hand: releasing it all at once is a recursion of its own
        deep = deep.pop()


def test_width() -> None:
    """Items beyond the bound are counted, not walked; shared containers that would unfold for ever stop there too."""
    wide = normalise(dict.fromkeys(range(values.MAX_NODES + 10), 0))
    assert len(wide) == values.MAX_NODES + 1
    assert wide[values.MORE] == "… 10 more"
    long = normalise([0] * (values.MAX_NODES + 10))
    assert len(long) == values.MAX_NODES + 1
    assert long[-1] == "… 10 more"
    bomb: Any = [0] * 10
    for _ in range(20):
        bomb = [bomb] * 10
    assert len(capture(bomb, 0)) < 3 * 1024 * 1024
    assert len(capture(["x" * 1_000_000] * 100, 0)) < 20 * 1024 * 1024


def test_long_strings() -> None:
    """One huge string keeps head and tail, a huge integer or bytes object its head and its size."""
    text = normalise("a" * 5_000_000 + "end")
    assert len(text.encode()) <= values.MAX_STRING
    assert text.endswith("end")
    assert "bytes cut" in text
    assert "integer of" in normalise(10**100_000)
    assert len(normalise(b"\xff" * 50_000_000)) < 3_000_000
    big = capture({"n": 10**10_000}, 0)
    assert valid_in_sqlite(big)


def test_metadata() -> None:
    """Nothing to say is None, what is no mapping has a key made for it, and above the limit comes a preview."""
    assert metadata_json(None) is None
    assert metadata_json({}) is None
    assert metadata_json(UserDict()) is None
    assert metadata_json("text") == '{"value":"text"}'
    assert metadata_json({"a": 1, "b": None}) == '{"a":1,"b":null}'
    big = metadata_json({"text": "x" * (METADATA_LIMIT + 1)})
    assert big is not None
    assert len(big) < METADATA_LIMIT + 100
    small = metadata_json({"text": "x" * 500}, 100)
    assert (
        small
        == orjson.dumps(
            {"_truncated": True, "_originalSize": 511, "_preview": '{"text":"' + "x" * 500 + '"}...'}
        ).decode()
    )
    assert metadata_json({"text": "x" * 500}, 0) == '{"text":"' + "x" * 500 + '"}'


def test_capture() -> None:
    """Any value is JSON text; above the limit an object with its size and first thousand characters."""
    assert capture(None, 100) == "null"
    assert capture("é", 100) == '"é"'
    assert capture([1, {"a": "b"}], 100) == '[1,{"a":"b"}]'
    cut = orjson.loads(capture(["é" * 10] * 1000, 5000))
    assert cut == {"_truncated": True, "_originalSize": 23_001, "_preview": cut["_preview"]}
    assert len(cut["_preview"]) == values.PREVIEW + 3
    assert cut["_preview"].startswith('["ééé')
    assert cut["_preview"].endswith("...")


def test_secrets() -> None:
    """A value under a secret key, at any depth and of any kind, and a secret's shape in any text, are not stored."""
    secrets = {
        "password": CANARY,
        "Api-Key": [CANARY],
        "nested": [{"db": {"DB_PASSWORD": CANARY}, "headers": {"Authorization": f"Bearer {CANARY}"}}],
        "url": f"postgres://bob:{CANARY}@db/x",
        f"password={CANARY}": 1,
        "set": {f"token={CANARY}"},
        "error": ValueError(f"login failed: password={CANARY}"),
        "bytes": f"secret: {CANARY}".encode(),
        "client_secret": {"deep": CANARY},
        "pin_password": 12345678,
    }
    for stored in (metadata_json(secrets), capture(secrets, 0), capture([secrets], 0), capture(secrets, 200)):
        assert stored is not None
        assert CANARY not in stored
        assert "12345678" not in stored
        assert REDACTED in stored
    for key, secret in secrets.items():
        assert CANARY not in str(metadata_json({key: secret}))


def test_no_secrets() -> None:
    """Flags, nothing and counts under such keys stay: they say something and give nothing away."""
    plain = {"password": None, "has_password": True, "secret": "", "max_tokens": 4096, "cookies": 3}
    assert orjson.loads(metadata_json(plain) or "") == plain


class LyingKey(str):
    """Says it is another key, or fails when it is asked."""

    __slots__ = ("answer",)
    answer: object

    def __hash__(self) -> int:
        return hash("count")

    def __eq__(self, other: object) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return bool(self.answer)


@pytest.mark.parametrize("answer", [True, False, ValueError("no")])
def test_keys_that_lie(answer: object) -> None:
    """A key that says it is one known to be harmless is taken for what it is."""
    assert metadata_json({"count": 1}) == '{"count":1}'
    key = LyingKey("password")
    key.answer = answer
    assert metadata_json({key: CANARY}) == capture({key: CANARY}, 0) == f'{{"password":"{REDACTED}"}}'
    assert "count" in values.REDACTOR.harmless
    assert all(values.REDACTOR.known[name] is False for name in values.REDACTOR.harmless)


def test_redactor() -> None:
    """Patterns and keys of one's own add to those that come along, in metadata as in captured values."""
    redactor = values.REDACTOR.extended(patterns=[r"\bEMP-\d{1,9}\b"], keys=["salary"])
    stored = capture({"salary_eur": 100, "note": "see EMP-4711", "password": "x"}, 0, redactor)
    assert orjson.loads(stored) == {"salary_eur": REDACTED, "note": f"see {REDACTED}", "password": REDACTED}
    assert metadata_json({"salary": 5}, redactor=redactor) == f'{{"salary":"{REDACTED}"}}'
    assert metadata_json({"salary": 5}) == '{"salary":5}'


def test_changed_meanwhile() -> None:
    """A dict that another thread changes all the time is stored without an error, each time as valid JSON."""
    shared: dict[str, Any] = {f"k{number}": {"n": number} for number in range(50)}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared[f"n{number % 100}"] = number
            shared.pop(f"n{(number + 50) % 100}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            stored = metadata_json(shared)
            assert stored is not None
            assert "unprintable" not in stored
            orjson.loads(stored)
    finally:
        stop.set()
        thread.join()
