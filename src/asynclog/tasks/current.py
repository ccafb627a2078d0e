"""Which task the running code belongs to: the one global of asynclog."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asynclog.tasks.context import TaskContext

current: Final[ContextVar[TaskContext | None]] = ContextVar("asynclog_context", default=None)
"""Set by the task manager at the start of a task; follows coroutines, gathered tasks and threads."""


def current_context() -> TaskContext | None:
    """The context of the task that the running code belongs to; None outside of one."""
    return current.get()
