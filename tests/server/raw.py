"""A client that says exactly what it is told to say, byte by byte, and reads what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.server.running import DEADLINE


class Answer(msgspec.Struct):
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem it holds."""
        assert self.headers["content-type"] == "application/problem+json", self
        found: dict[str, Any] = msgspec.json.decode(self.body)
        assert found["status"] == self.status
        assert len(found["detail"]) > 10
        return found


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *pieces: bytes | str) -> None:
        """Send, sooner or later."""
        self.writer.write(b"".join(piece.encode("latin-1") if isinstance(piece, str) else piece for piece in pieces))

    async def answer(self, *, head: bool = False) -> Answer:
        """The next response."""
        async with asyncio.timeout(DEADLINE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            status = int(lines[0].split()[1])
            body = b"" if head or status in (101, 204, 304) else await self._body(headers)
        return Answer(status, headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await self.reader.readline(), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readline()
            await self.reader.readline()
            return b"".join(parts)
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        return await self.reader.read()

    async def closed(self) -> None:
        """Return once the other side has hung up; what it still said is passed over."""
        async with asyncio.timeout(DEADLINE):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                pass


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection to a running service."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def head(line: str, *headers: str) -> str:
    """The head of a request for this machine."""
    return "\r\n".join((f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""))
