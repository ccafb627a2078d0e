"""NDJSON lines of a body, read a piece at a time: all at once where nothing is wrong, else one by one. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

FIRST_BYTES: Final = 8 << 10
PIECE_BYTES: Final = 64 << 10
"""Of a body, each up to the end of a line: the first piece, which tells whether the others may take long, and the
largest, each twice as large as the one before. One in which nothing is wrong takes less than a millisecond."""


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
_ODD_BYTES: Final = 16
"""As long is none of them."""

_decode_line = msgspec.json.Decoder(Given).decode
_decode_lines = msgspec.json.Decoder(Given).decode_lines


class Piece(NamedTuple):
    """Some lines of a body."""

    first: int
    """The number of the first, from 1."""
    lines: int
    text: memoryview
    apart: bool
    """Between two of them nothing stands but the end of an object and the beginning of one. Read at one go, so many
    values as lines are then one a line: within a value no brace follows on a brace like that, and in a string no end of
    a line stands at all."""


def pieces(body: bytes) -> Iterator[Piece]:
    """The body in pieces that end where a line does."""
    number, start, size, view = 1, 0, FIRST_BYTES, memoryview(body)
    while start < len(body):
        end = body.find(b"\n", start + size) + 1 or len(body)
        ends = body.count(b"\n", start, end - 1)
        apart = not ends or ends == body.count(b"}\n{", start, end) or ends == body.count(b"}\r\n{", start, end)
        yield Piece(number, ends + 1, view[start:end], apart)
        number += ends + 1
        start, size = end, min(2 * size, PIECE_BYTES)


def read(piece: Piece, wrong: dict[int, str]) -> tuple[Sequence[int], list[Given]]:
    """The lines that can be read, by number; of the others that are not empty it is noted why not."""
    if piece.apart:
        try:
            given = _decode_lines(piece.text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        else:
            if len(given) == piece.lines:
                return range(piece.first, piece.first + piece.lines), given
    numbers, given = [], []
    for number, line in enumerate(bytes(piece.text).split(b"\n"), piece.first):
        if line.strip():
            one = _one(line)
            if isinstance(one, str):
                wrong[number] = one
            else:
                given.append(one)
                numbers.append(number)
    return numbers, given


def _one(line: bytes) -> Given | str:
    """One line, or why it is none. What msgspec refuses but Python's json reads (lone surrogates, NaN) is taken."""
    try:
        return _decode_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error)
    if not _is_odd(line):
        return f"the line is no JSON object: {reason}"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return f"the line is no JSON object: {reason}"
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return "the line is no object with a string message"
    given: dict[str, Any] = {name: found.get(name) for name in Given.__struct_fields__}
    return Given(**given)


def _is_odd(line: bytes) -> bool:
    """Whether there is something odd in it; a search holds the interpreter, so a long line takes several."""
    if len(line) <= PIECE_BYTES:
        return _ODD.search(line) is not None
    return any(_ODD.search(line, at, at + PIECE_BYTES + _ODD_BYTES) for at in range(0, len(line), PIECE_BYTES))
