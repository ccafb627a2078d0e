"""``asynclog.open``: a data directory with everything that works on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from asynclog.config import Configuration, Hook, Redaction, load, redaction_of
from asynclog.disk import Disk
from asynclog.engine import Limits, open_engine
from asynclog.protocols import Clock
from asynclog.settings import Settings
from asynclog.store.shielding import ended
from asynclog.tasks.hooks import Hooks, hook_of
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.plugin import discover
from asynclog.tasks.recovery import recover, replay
from asynclog.tasks.runfiles import open_run_files
from asynclog.tasks.thread import ContextExecutor
from asynclog.writer import supervise


@asynccontextmanager
async def open_tasks(  # noqa: PLR0913  # what a data directory is opened with, all by name
    folder: str | Path = "data",
    *,
    plugins: Mapping[str, object] | None = None,
    plugin_module: str | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Settings | None = None,
    configuration: Configuration | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
    disk: Disk | None = None,
    run_log_dir: str | Path | None = None,
    shared_log_dir: str | Path | None = None,
    run_disk: Disk | None = None,
    hooks: Mapping[str, Hook | Mapping[str, Any]] | None = None,
    redaction: Redaction | Mapping[str, Sequence[str]] | None = None,
    run_schedules: bool = True,
) -> AsyncIterator[TaskManager]:
    """Own a data directory and run tasks on it, from entry to exit.

    On entry everything a former process left in its journal is stored, and tasks it left running are interrupted. On
    exit running tasks are interrupted and everything is stored. The loop's default executor is replaced by one that
    carries the context, so that ``run_in_executor(None, …)`` stays inside the task.

    Args:
        folder: the data directory; made if missing.
        plugins: name to plugin, beside those of the entry-point group ``asynclog.plugins``.
        plugin_module: an importable module with a dictionary ``PLUGINS``.
        config: name of a plugin to what its ``context.config`` holds, over what ``configuration`` says of it.
        settings: the logging settings with what is pinned; stored ones are added. Those of ``configuration`` without.
        configuration: what counts where nothing else is given; without it, what asynclog.toml and ``ASYNCLOG_*`` say.
        clock: where time comes from.
        limits: bounds of journal and memory.
        disk: the journal's file operations.
        run_log_dir: where each task writes its run directory, relative to the data directory; nowhere when empty.
        shared_log_dir: where run directories are mirrored; it, or at least its parent, has to exist.
        run_disk: the file operations of run files.
        hooks: name of a webhook to what it starts: ``plugin`` and ``secret``; ``params``, ``account``, ``site``.
        redaction: ``keys`` and ``patterns`` that count as secrets beside what always does; see docs/security.md.
        run_schedules: whether schedules start their plugins; a process that soon ends leaves that to the next.

    Raises:
        LockedError: another process owns the directory.
        StoreError, JournalError: it cannot be opened.
        InvalidError: the configuration is wrong, a plugin cannot be loaded, or a hook or a redaction pattern cannot be.
    """
    configuration = configuration or load(environment=os.environ)
    settings = settings or Settings(configuration.pinned, configuration.settings)
    settings.dials.redactor = redaction_of(configuration.redaction if redaction is None else redaction).redactor()
    server = configuration.server
    found = discover(plugins, server.plugins if plugin_module is None else plugin_module)
    hooks = configuration.hooks if hooks is None else hooks
    known = Hooks({name: hook_of(hook) for name, hook in hooks.items()}, found)
    run_log_dir = server.run_log_dir if run_log_dir is None else run_log_dir
    shared_log_dir = server.shared_log_dir if shared_log_dir is None else shared_log_dir
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            open_engine(folder, settings=settings, clock=clock, limits=limits, disk=disk)
        )
        asyncio.get_running_loop().set_default_executor(ContextExecutor(thread_name_prefix="asynclog"))
        await replay(engine)
        run_files = await open_run_files(engine, run_log_dir, shared_log_dir, run_disk)
        manager = TaskManager(engine, found, _over(configuration.plugins, config or {}), run_files, known)
        manager.external.resume(await recover(engine))
        await manager.audit.load()
        await manager.keys.load()
        await manager.scheduler.load()
        await manager.sweeper.load()
        engine.reports += [manager.scheduler.trouble, manager.sweeper.trouble]
        for run, name in (
            (manager.report, "progress reporter"),
            (manager.sweeper.run, "sweeper"),
            (manager.external.expire, "lease keeper"),
            (manager.keys.run, "key keeper"),
            *([(manager.scheduler.run, "scheduler")] if run_schedules else []),
        ):
            stack.push_async_callback(ended, _start(run, name))
        stack.push_async_callback(manager.keys.write_down)
        stack.push_async_callback(run_files.finish)
        for follower in run_files.followers:
            stack.push_async_callback(ended, _start(follower.run, "writer of run files"))
        stack.push_async_callback(manager.close)
        yield manager


def _over(
    under: Mapping[str, Mapping[str, Any]], over: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    return {name: {**under.get(name, {}), **over.get(name, {})} for name in (*under, *over)}


def _start(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(supervise(run, name), name=f"asynclog-{name}")
