"""A request's body: taken in within limits of size and time, unpacked, and read as JSON.

Nothing that is sent can make it more than `BODY_BYTES` in memory, keep it waiting for ever, or fail otherwise than by
an error that says what was wrong.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from starlette.requests import Request

from asynclog.errors import InvalidError, TooLargeError
from asynclog.server.problems import MalformedError, RefusedError

BODY_BYTES: Final = 8 << 20
"""Of any request's body, as it came and once unpacked."""
BODIES_BYTES: Final = 256 << 20
"""Of all bodies that are being read or worked on."""
UNPROVEN_BYTES: Final = 32 << 20
"""Of all bodies that have to be read to know who sent them."""
BODY_SECONDS: Final = 20.0
"""How long a body may take at least."""
BODY_RATE: Final = 4096
"""Bytes a second that earn it more time, if it is known who sends them."""

RATIO: Final = 200
"""How many times its size a packed body may unpack to, once that is more than `RATIO_FREE`."""
RATIO_FREE: Final = 1 << 20
MEMBERS: Final = 100
"""Gzip files one after the other in one body."""

_BOM: Final = b"\xef\xbb\xbf"
# All up to the next half of a surrogate pair, which is whole pairs, other escapes and plain text; or such a half. One
# match for each escape would take a second and half a gigabyte for 8 MiB of them.
_ESCAPE: Final = re.compile(
    rb"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).)++"
    rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)

_PLACED: Final = re.compile(r"(.*) - at `([^`]*)`", re.DOTALL)
_TOO_LARGE: Final = ("Number out of range", "Integer value out of range")
_NAMED: Final = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)


class Bodies:
    """How much of all bodies is in memory. On the event loop."""

    def __init__(self) -> None:
        self._size = 0
        self._unproven = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Room for one, until the end of the block."""
        held = Held(self)
        try:
            yield held
        finally:
            self._size -= held.size
            if held.unproven:
                self._unproven -= held.size

    def add(self, size: int, *, unproven: bool) -> None:
        """So much more. Raises RefusedError (503) when there is no room."""
        if self._size + size > BODIES_BYTES or (unproven and self._unproven + size > UNPROVEN_BYTES):
            raise RefusedError(
                503, "The service holds as many bodies as it can; send it again in a moment.", {"Retry-After": "1"}
            )
        self._size += size
        if unproven:
            self._unproven += size


class Held:
    """The room one body takes."""

    unproven = False
    """Who sends it is not known before it is read; to be said before."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def grow(self, size: int) -> None:
        """Take so many bytes more. Raises RefusedError (503)."""
        self._bodies.add(size, unproven=self.unproven)
        self.size += size


class Gunzip:
    """Unpacks gzip as it comes in. Decides without I/O."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._given = 0
        self._members = 1
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> bytes:
        """What the next bytes unpack to.

        Raises:
            TooLargeError: that would be more than the limit, or out of proportion.
            MalformedError: it is no gzip.
        """
        self._taken += len(data)
        allowed = min(self._limit, max(RATIO_FREE, RATIO * self._taken))
        pieces = []
        while data:
            if self._inflate.eof:
                self._next_member()
            try:
                piece = self._inflate.decompress(data, allowed - self._given + 1)
            except zlib.error as error:
                raise MalformedError(f"The body says it is gzip, and is broken: {error}.") from None
            self._given += len(piece)
            if self._given > allowed:
                raise self._too_large(allowed)
            pieces.append(piece)
            data = self._inflate.unused_data
        return b"".join(pieces)

    def end(self) -> None:
        """Everything came. Raises MalformedError when there should have been more."""
        if not self._inflate.eof:
            raise MalformedError("The body says it is gzip, and ends in the middle; was it cut off?")

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MEMBERS:
            raise MalformedError(f"The body holds more than {MEMBERS} gzip files; pack it as one.")
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def _too_large(self, allowed: int) -> Exception:
        if allowed == self._limit:
            return TooLargeError("the unpacked body", self._limit)
        return RefusedError(413, f"The body unpacks to more than {RATIO} times its size; send it in smaller parts.")


async def read_body(request: Request, room: Held, limit: int = BODY_BYTES) -> bytes:
    """The whole body, unpacked, which takes the room it needs.

    Raises:
        TooLargeError, RefusedError (413): it is, or says that it is, larger than the limit.
        MalformedError: it is broken gzip.
        RefusedError: it is packed in another way (415), comes too slowly (408), or there is no room now (503).
        ClientDisconnect: nobody sends it any more.
    """
    unpack = _unpacking(request, limit)
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > 15 or int(said) > limit):
        raise TooLargeError("the body", limit)
    parts: list[bytes] = []
    size = 0
    async for part in _in_time(request, earning=not room.unproven):
        size += len(part)
        if size > limit:
            raise TooLargeError("the body", limit)
        piece = part if unpack is None else unpack.feed(part)
        room.grow(len(piece))
        parts.append(piece)
    if unpack is not None and size:
        unpack.end()
    return b"".join(parts)


def _unpacking(request: Request, limit: int) -> Gunzip | None:
    given = ",".join(request.headers.getlist("content-encoding"))
    encodings = [name for part in given.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not encodings:
        return None
    if encodings in (["gzip"], ["x-gzip"]):
        return Gunzip(limit)
    sentence = f"A body packed as {given[:100]!r} cannot be read; send it as gzip or as it is."
    raise RefusedError(415, sentence, {"Accept-Encoding": "gzip"})


async def _in_time(request: Request, *, earning: bool) -> AsyncIterator[bytes]:
    """The body's parts; each that comes earns the next ones time. A stranger's does not: a few that were almost whole
    would keep the room from everybody for half an hour.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + BODY_SECONDS
    parts = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RefusedError(
                408, "The body came too slowly; send it again, or in smaller parts.", {"Connection": "close"}
            ) from None
        if earning:
            deadline += len(part) / BODY_RATE
        yield part


def parse_body(body: bytes, kind: type) -> Any:
    """The body as a struct.

    Raises:
        MalformedError: it is not JSON, or JSON beyond what can be read.
        InvalidError: it is JSON of another shape; names the field.
    """
    try:
        return read_json(body or b"{}", kind)
    except msgspec.ValidationError as error:
        raise InvalidError(*_fault(str(error))) from None


def read_json(body: bytes, kind: Any = Any) -> Any:
    """Read JSON as it is sent in practice: a byte-order mark is passed over, and half of a surrogate pair (a text that
    was cut in JavaScript) becomes its escape as text, as in everything that is stored.

    Raises:
        MalformedError: it is not JSON, is nested too deeply, or holds a number that no machine calculates with.
        msgspec.ValidationError: it is not of the kind.
    """
    text = body.removeprefix(_BOM)
    try:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = _ESCAPE.sub(_mend, text)
            if mended == text:
                raise
            return msgspec.json.decode(mended, type=kind)
    except msgspec.ValidationError as error:
        if str(error).startswith(_TOO_LARGE):
            raise MalformedError("The body holds a number that is too large; send it as text.") from None
        raise
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedError(f"The body is not JSON: {error}. Send one JSON object, encoded as UTF-8.") from None
    except RecursionError:
        raise MalformedError("The body is nested too deeply to be read; flatten it.") from None


def _mend(escape: re.Match[bytes]) -> bytes:
    half: bytes | None = escape[1]
    return escape[0] if half is None else rb"\\u" + half


def _fault(said: str) -> tuple[str, str]:
    """What msgspec said as (field, sentence). It says what was sent, too, which may look like words of its own."""
    placed = _PLACED.fullmatch(said)
    sentence, path = (said, "") if placed is None else placed.groups()
    named = _NAMED.fullmatch(sentence)
    name = (path.removeprefix("$").removeprefix(".") or "body") if named is None else named[1]
    return name, f"{name}: {sentence[:1].lower()}{sentence[1:]}"
