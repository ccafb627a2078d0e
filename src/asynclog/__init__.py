"""asynclog: per-task logging for asyncio programs.

A plugin runs as a task and logs through its `TaskContext`; every entry is crash-safe before the call returns, stored
in batches, searchable, and visible live. `open` is where to begin.
"""

from asynclog.bridges.emitter import LogCapturingEmitter, PlainEmitter, ProgressEmitter
from asynclog.errors import (
    AsynclogError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    JournalError,
    LockedError,
    NotFoundError,
    RequestError,
    StoreError,
    TooLargeError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
)
from asynclog.filters import LogFilter
from asynclog.logger import TaskLogger, belief_scope
from asynclog.model import AccessScope, Entry, Gap, Level, Progress, Schedule, Stage, Step, Task
from asynclog.queries import EntryQuery, TaskQuery
from asynclog.settings import Settings
from asynclog.tasks.context import TaskContext
from asynclog.tasks.current import current_context
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks as open  # noqa: A004  # the contract's word: asynclog.open(…)
from asynclog.tasks.pages import LogPage
from asynclog.tasks.plugin import requires
from asynclog.tasks.step import step
from asynclog.tasks.workflow import Node, Workflow

__all__ = [
    "AccessScope",
    "AsynclogError",
    "ConflictError",
    "Entry",
    "EntryQuery",
    "ForbiddenError",
    "Gap",
    "InvalidError",
    "JournalError",
    "Level",
    "LockedError",
    "LogCapturingEmitter",
    "LogFilter",
    "LogPage",
    "Node",
    "NotFoundError",
    "PlainEmitter",
    "Progress",
    "ProgressEmitter",
    "RequestError",
    "Schedule",
    "Settings",
    "Stage",
    "Step",
    "StoreError",
    "Task",
    "TaskContext",
    "TaskLogger",
    "TaskManager",
    "TaskQuery",
    "TooLargeError",
    "TooManyError",
    "UnauthenticatedError",
    "UnavailableError",
    "Workflow",
    "belief_scope",
    "current_context",
    "open",
    "requires",
    "step",
]
