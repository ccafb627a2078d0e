"""Answers that are put together here."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from asynclog.server.operation import AT_ONCE, listed


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, 7 * AT_ONCE + 3])
async def test_a_long_array_is_made_in_turns(count: int) -> None:
    """An array of any length is one JSON object as msgspec writes it, and others go on while it is made."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    response = await listed("numbers", range(count), lambda number: {"is": number})
    beside.cancel()
    assert response.body == msgspec.json.encode({"numbers": [{"is": number} for number in range(count)]})
    assert turns >= count // AT_ONCE
