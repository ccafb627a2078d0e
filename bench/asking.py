"""A client that costs next to nothing: GET requests over one connection that stays open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

LIMIT: Final = 64 << 20
"""Bytes of an answer that are buffered."""


class Asker:
    """One connection. Not for several requests at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    async def get(self, path: str) -> bytes:
        """The body of a 200.

        Raises:
            RuntimeError: it is another status; with the answer.
        """
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: */*\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        body = await self._reader.readexactly(int(fields[b"content-length"]))
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"GET {path}: {head.decode()}{body.decode()}")
        return body

    async def milliseconds(self, path: str) -> float:
        """How long a `get` takes."""
        start = time.perf_counter()
        await self.get(path)
        return (time.perf_counter() - start) * 1000


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Asker]:
    """A connection to a service."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=LIMIT)
    try:
        yield Asker(reader, writer, parts.netloc)
    finally:
        writer.close()
        await writer.wait_closed()
