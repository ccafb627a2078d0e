"""``asynclog settings`` and ``asynclog cleanup``: how logging works, and what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import click

from asynclog.cli import options, terminal
from asynclog.cli.options import Place
from asynclog.cli.service import Object
from asynclog.settings import ENVIRONMENT_PREFIX, SETTINGS, Scalar


@click.command(short_help="Show the logging settings, or change them.")
@options.logging_settings
@options.table("json")
@options.place
def settings(place: Place, settings: dict[str, Scalar], *, as_table: bool) -> None:
    """Show the logging settings, or change those that are given: at once, and for good."""
    values, remote = asyncio.run(_settings(place, settings))
    if not as_table:
        terminal.write_object(values)
        return
    rows = [
        (name, options.setting_text(values[name]), _origin(place, name, values, remote=remote), setting.help)
        for name, setting in SETTINGS.items()
    ]
    terminal.show_table(("SETTING", "VALUE", "", "MEANING"), rows)


async def _settings(place: Place, changes: dict[str, Scalar]) -> tuple[Object, bool]:
    with contextlib.nullcontext(place) if changes else place.even_without() as here:
        async with here.connect(create=True) as service:
            if changes:
                values: Any = await service.call("PUT", "/api/settings/logging", [], changes)
            else:
                values = await service.call("GET", "/api/settings/logging")
            return values, service.remote


def _origin(place: Place, name: str, values: Object, *, remote: bool) -> str:
    """Why a setting is what it is, as far as one must know to change it."""
    if name not in values["pinned"]:
        return "default" if values[name] == SETTINGS[name].default else ""
    if not remote:
        return f"pinned by {place.configuration.pinned_by[name]}"
    flag = "--" + name.replace("_", "-")
    return f"pinned by {flag} or {ENVIRONMENT_PREFIX}{name.upper()} of the service"


@click.command(short_help="Apply the retention now.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@options.place
def cleanup(place: Place, *, dry_run: bool) -> None:
    """Apply the retention now: remove the tasks that are too old or too many.

    How old and how many is for the settings retention_days and retention_max_tasks to say. A running task stays.
    """
    report = asyncio.run(_cleanup(place, dry_run=dry_run))
    if not terminal.interactive(sys.stdout):
        terminal.write_object(report)
        return
    done = "would be removed" if dry_run else "removed"
    terminal.write(f"{report['tasks']:,} tasks with {report['entries']:,} entries {done}")
    for plugin, count in report["by_plugin"].items():
        terminal.write(f"  {terminal.visible(plugin)}: {count:,}")


async def _cleanup(place: Place, *, dry_run: bool) -> Object:
    async with place.connect() as service:
        query = [("dry_run", "true")] if dry_run else []
        report: Object = await service.call("POST", "/api/retention/run", query)
        return report
