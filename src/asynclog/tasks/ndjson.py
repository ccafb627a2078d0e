"""NDJSON lines of a body, read a piece at a time: all at once where nothing is wrong, else one by one. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

PIECE_BYTES: Final = 64 << 10
"""Of a body, up to the end of a line: what is read in one go, in less than a millisecond where nothing is wrong."""


class Given(msgspec.Struct, gc=False):
    """A line, as far as it is used."""

    message: str
    level: Any = None
    source: Any = None
    timestamp: Any = None
    stage: Any = None
    unit: Any = None
    metadata: Any = None


# Without one of these Python's json reads nothing that msgspec does not, and looking twice would take long.
_ODD: Final = re.compile(rb"\\u[dD]|NaN|Infinity|\d[eE]|\d{15}|\xef\xbb\xbf")
_NEWLINE: Final = ord("\n")

_decode_line = msgspec.json.Decoder(Given).decode
_decode_lines = msgspec.json.Decoder(Given).decode_lines


class Piece(NamedTuple):
    """Some lines of a body: the number of the first (from 1), how many there are, and their text."""

    first: int
    lines: int
    text: memoryview


def pieces(body: bytes) -> Iterator[Piece]:
    """The body in pieces that end where a line does."""
    number, start, view = 1, 0, memoryview(body)
    while start < len(body):
        end = body.find(b"\n", start + PIECE_BYTES) + 1 or len(body)
        count = body.count(b"\n", start, end) + (body[end - 1] != _NEWLINE)
        yield Piece(number, count, view[start:end])
        number += count
        start = end


def read(piece: Piece, wrong: dict[int, str]) -> tuple[Sequence[int], list[Given]]:
    """The lines that can be read, by number; of the others that are not empty it is noted why not."""
    try:
        given = _decode_lines(piece.text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    else:
        if len(given) == piece.lines:  # without empty lines, which are passed over
            return range(piece.first, piece.first + piece.lines), given
    numbers, given = [], []
    for number, line in enumerate(bytes(piece.text).split(b"\n"), piece.first):
        if line.strip():
            try:
                given.append(_one(line))
                numbers.append(number)
            except ValueError as error:
                wrong[number] = str(error)
    return numbers, given


def _one(line: bytes) -> Given:
    """One line. What msgspec refuses but Python's json reads (lone surrogates, NaN) is taken.

    Raises ValueError: it is none.
    """
    try:
        return _decode_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error)
    if _ODD.search(line) is None:
        raise ValueError(f"the line is no JSON object: {reason}")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"the line is no JSON object: {reason}") from None
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        raise ValueError("the line is no object with a string message")  # noqa: TRY004  # a bad line
    given: dict[str, Any] = {name: found.get(name) for name in Given.__struct_fields__}
    return Given(**given)
