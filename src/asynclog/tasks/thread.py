"""Functions in threads, with the task's context."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
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


def run_in_thread(function: Callable[[], Any], name: str) -> asyncio.Future[Any]:
    """Start a function in a thread of its own; what it returns or raises.

    The thread is a daemon: a plugin that never returns cannot keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):  # a future refuses it
            future.set_exception(RuntimeError(f"StopIteration: {error}"))
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001  # whatever a plugin raises is its task's failure
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
