"""Functions in threads, with the task's context."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(ThreadPoolExecutor):
    """Runs each function in a copy of the context it was submitted from, as `asyncio.to_thread` does.

    As a loop's default executor it makes the current task follow ``loop.run_in_executor(None, …)``.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Schedule a call."""
        context = contextvars.copy_context()
        return super().submit(context.run, fn, *args, **kwargs)


def wrap(function: Callable[P, T]) -> Callable[P, T]:
    """The function bound to the context of this call, for executors and threads of one's own."""
    context = contextvars.copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(function, *args, **kwargs)

    return call


Outcome = tuple[Any, BaseException | None]
"""What a call returned, or what it raised."""


async def outcome_of(call: Callable[[], Awaitable[Any]]) -> Outcome:
    """Call and await something. What it raises is handed back: `SystemExit` and the like would end the event loop."""
    try:
        return await call(), None
    except BaseException as error:  # noqa: BLE001  # whatever a plugin raises is its task's failure
        return None, error


def run_in_thread(function: Callable[[], Any], name: str) -> asyncio.Future[Outcome]:
    """Start a function in a thread of its own, in a copy of this context.

    The thread is a daemon: a plugin that never returns cannot keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Outcome] = loop.create_future()
    context = contextvars.copy_context()

    def settle(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    def run() -> None:
        outcome: Outcome
        try:
            outcome = context.run(function), None
        except BaseException as error:  # noqa: BLE001  # whatever a plugin raises is its task's failure
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
