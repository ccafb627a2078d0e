"""The least a server can do: uvicorn, and a loop that sends text frames to everybody connected. Nothing is kept.

``python -m bench.bare GO --rate R --seconds S --tick T`` sends the entries of `bench.mix`, every T seconds one frame
for each filter; ``python -m bench.bare GO --replay FOLDER`` sends recorded frames as fast as they are taken. It begins
once there is a file GO.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

from bench import mix
from bench.emitting import told
from bench.mix import LANES, Lane
from bench.pace import due
from bench.witness import read_frame

_NAMES: Final = {tuple(sorted(lane.filter.items())): lane.name for lane in LANES}


class Broadcast:
    """Who is connected, by the name of the lane."""

    def __init__(self) -> None:
        self._sends: dict[str, list[Send]] = defaultdict(list)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: whoever comes stays."""
        pairs = [pair for pair in parse_qsl(scope["query_string"].decode()) if pair[0] != "after"]
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": '{"type":"task"}'})
        self._sends[_NAMES[tuple(sorted(pairs))]].append(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def tell(self, lane: str, text: str) -> None:
        """Send a frame to all of a lane."""
        message = {"type": "websocket.send", "text": text}
        for send in self._sends[lane]:
            await send(message)

    async def end(self) -> None:
        """Say that this was all."""
        for lane, sends in self._sends.items():
            await self.tell(lane, '{"type":"end","last_seq":0}')
            for send in sends:
                await send({"type": "websocket.close", "code": 1000})


def _entry(number: int, due_ns: int) -> str:
    """As the service shows it."""
    return orjson.dumps(
        {
            "id": number + 3,
            "task_id": "0193f8a2c5d57a91b3f2c0d9e8f70616",
            "seq": number + 2,
            "timestamp": "2026-02-07T12:00:00.123456Z",
            "level": mix.level(number),
            "source": mix.source(number),
            "stage": None,
            "unit": mix.unit(number),
            "step_id": None,
            "message": mix.message(number),
            "metadata": mix.metadata(number, due_ns),
        }
    ).decode()


async def _live(rate: float, seconds: float, tick: float) -> AsyncIterator[tuple[str, str]]:
    """A frame for each lane that has something in it, every tick."""
    async for first, count, at in due(rate, seconds, tick):
        lines = {n: _entry(n, at + round((n - first) / rate * 1e9)) for n in range(first, first + count)}
        for lane in LANES:
            if text := ",".join(_matching(lane, lines)):
                yield lane.name, f'{{"type":"entries","entries":[{text}],"through":{first + count + 1}}}'


def _matching(lane: Lane, lines: dict[int, str]) -> Iterator[str]:
    return (lines[number] for number in range(lane.next(min(lines)), max(lines) + 1, lane.step))


def recorded(folder: Path) -> list[tuple[str, str]]:
    """The frames with entries that were recorded there, in their order, with the names of their lanes."""
    found = []
    for path in folder.glob("*.frames"):
        data, place = path.read_bytes(), 0
        while place < len(data):
            begin = place + 4
            place = begin + int.from_bytes(data[place:begin], "big")
            seen = read_frame(data[begin:place])
            if seen.last_seq:
                found.append((seen.last_seq, path.stem, data[begin:place].decode()))
    return [(lane, text) for _, lane, text in sorted(found)]


async def _replayed(frames: list[tuple[str, str]]) -> AsyncIterator[tuple[str, str]]:
    for frame in frames:
        yield frame


async def _main(asked: argparse.Namespace) -> None:
    broadcast = Broadcast()
    frames = _live(asked.rate, asked.seconds, asked.tick) if asked.replay is None else _replayed(recorded(asked.replay))
    options: dict[str, Any] = {"ws": "websockets-sansio", "http": "httptools", "lifespan": "off", "loop": "uvloop"}
    options |= {"ws_per_message_deflate": False, "access_log": False, "backlog": 512, "interface": "asgi3"}
    server = uvicorn.Server(uvicorn.Config(broadcast.serve, port=0, **options))
    serving = asyncio.create_task(server.serve())
    await told(asked.go)
    async for lane, text in frames:
        await broadcast.tell(lane, text)
    await broadcast.end()
    await serving


def main() -> None:
    """Run what the command line names, until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("go", type=Path)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tick", type=float, default=0.02)
    parser.add_argument("--replay", type=Path)
    asked = parser.parse_args()
    config = uvicorn.Config("", log_config=None, loop="uvloop")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_main(asked))


if __name__ == "__main__":
    main()
