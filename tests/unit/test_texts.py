"""Anything becomes text, a message gets its arguments, and text of any size one of a bounded one."""

from __future__ import annotations

import logging
from typing import Any, NoReturn, cast

import pytest

from asynclog.texts import MANY, clean, cut, format_message, text


class Bang(BaseException):
    """As fatal as an exception gets without being about the process."""


class Broken:
    def __str__(self) -> NoReturn:
        raise Bang("no text")

    __repr__ = __str__


class EndlessError(Exception):
    def __str__(self) -> NoReturn:
        raise self


class RaisesEndless:
    def __str__(self) -> NoReturn:
        raise EndlessError


class NotText:
    def __str__(self) -> str:
        return cast("str", 5)


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self


class Mod(str):
    __slots__ = ()

    def __mod__(self, _: object) -> NoReturn:
        raise Bang("mod")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("nul\0 here", "nul\\x00 here"),
        ("lone \udc80", "lone \\udc80"),
        ("\ud800\0é", "\\ud800\\x00é"),
        ("line\nbreak\x1b[31m", "line\nbreak\x1b[31m"),
        (None, "None"),
        (5, "5"),
        ({"a": 1}, "{'a': 1}"),
        (b"raw", "b'raw'"),
        (ValueError("sentence"), "sentence"),
        (Broken(), "<unprintable Broken: Bang: no text>"),
        (RaisesEndless(), "<unprintable RaisesEndless: EndlessError>"),
        (NotText(), "<unprintable NotText: TypeError: __str__ returned non-string (type int)>"),
        (Loud("loud"), "loud"),
    ],
)
def test_text(value: object, expected: str) -> None:
    """Whatever it is, it becomes a str of the very type, encodable and without NUL."""
    result = text(value)
    assert result == expected
    assert type(result) is str
    assert text(result) == result


def test_text_of_large_things() -> None:
    """A large container is shown by its first items and its size, an integer too long for Python's own text in hex."""
    assert text(list(range(10**6))) == f"[{', '.join(map(str, range(20)))}, … 999980 more]"
    assert text(dict.fromkeys(range(10**5), 1)).endswith("19: 1, … 99980 more}")
    assert text(set(range(10**5))).endswith("more}")
    assert text(tuple(range(10**4))).endswith("more)")
    assert text(b"x" * 10**8).endswith("… [100000000 bytes]")
    assert text([list(range(MANY + 1))] * (MANY + 1)).count("981 more") == 21
    assert text(10**10_000).endswith("[integer of 33220 bits]")
    assert text(-(10**800)).startswith("-0x")
    assert text(10**500) == str(10**500)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("plain", ()),
        ("100 % sure", ()),
        ("100 %% sure of %s", ("it",)),
        ("fetched %d charts in %.2f s", (42, 0.315)),
        ("%(a)s and %(b)r", ({"a": 1, "b": "two"},)),
        ("%s", ({"a": 1},)),
        ("%s", ({},)),
        ("%s", (None,)),
        ("%s %s", ([1, 2], (3,))),
        ("%5d|%-8s|%x", (1, "ab", 255)),
        (5, ()),
        (ValueError("x"), ()),
    ],
)
def test_format_message(message: object, args: tuple[Any, ...]) -> None:
    """Arguments are put in exactly as `logging` does it."""
    record = logging.LogRecord("n", 20, "p", 1, message, args, None)
    assert format_message(message, args) == record.getMessage()


@pytest.mark.parametrize(
    ("message", "args", "reason"),
    [
        ("%d items", ("many",), "%d format"),
        ("no place", (1, 2), "not all arguments"),
        ("%s and %s", (1,), "not enough arguments"),
        ("%(name)s", ({"other": 1},), "KeyError"),
        ("%q", (1,), "unsupported format"),
        ("%s", (Broken(),), "Bang: no text"),
        ("%1000000000d", (5,), "too wide"),
        ("%.99999999f", (5.0,), "too wide"),
        ("%*d", (10**9, 5), "too wide"),
        ("%d", (10**100_000,), "integer of 332193 bits"),
        ("bad \ud800 %d", ("x",), "bad \\ud800 %d"),
    ],
)
def test_arguments_that_do_not_fit(message: str, args: tuple[Any, ...], reason: str) -> None:
    """A bad format loses neither the message nor the arguments, and says what is wrong; nothing is raised."""
    result = format_message(message, args)
    assert result.startswith(text(message))
    assert "do not fit" in result
    assert reason in result
    assert len(result) < 30_000


def test_large_arguments() -> None:
    """A huge container as an argument costs what is shown of it, whichever way it is asked for."""
    result = format_message("got %s of %r and %s", ([0] * 10**6, {1} | set(range(5000)), "x"))
    assert result.startswith("got [0, 0, ")
    assert "999980 more" in result
    assert result.endswith("and x")
    assert format_message(Mod("a %s"), (1,)) == "a 1"


def test_cut() -> None:
    """At most the limit in bytes, head and tail kept, the number between them exact, no character split."""
    assert cut("short", 100) == ("short", None)
    assert cut("x" * 1000, 0) == ("x" * 1000, None)
    assert cut("é" * 50, 100) == ("é" * 50, None)
    for limit in range(1, 400):
        for whole in ("abc" * 200, "é" * 301, "😀" * 200, "a😀é" * 120):
            result, size = cut(whole, limit)
            encoded = result.encode()
            assert len(encoded) <= limit
            assert size == len(whole.encode())
            if limit > 64:
                head, _, rest = result.partition("… [")
                number, _, tail = rest.partition(" bytes cut] …")
                assert int(number) == size - len(head.encode()) - len(tail.encode())
                assert whole.startswith(head)
                assert whole.endswith(tail)
                assert len(encoded) > limit - 24
            assert cut(result, limit) == (result, None)
    assert len(cut("\udc80" * 1000, 100)[0]) <= 100


def test_clean() -> None:
    """Secrets go before the text is cut, so none survives by being cut in two; the size is that of the original."""
    secret = "-----BEGIN PRIVATE KEY-----\n" + "SECRETBODY\n" * 200 + "-----END PRIVATE KEY-----"
    whole = "head " + secret + " tail " * 300
    result, size = clean(whole, 1000)
    assert "SECRETBODY" not in result
    assert size is None or size <= len(whole)
    assert len(result.encode()) <= 1000
    huge, size = clean("password=hunter2 " + "x" * 1_000_000 + " password=hunter2", 1000)
    assert "hunter2" not in huge
    assert size == 1_000_034
    assert clean("plain", 100) == ("plain", None)
    assert clean("password=x", 0) == ("password=[redacted]", None)
