"""How a task begins: what is kept of what it was started with."""

from __future__ import annotations

from typing import Any, cast

from asynclog import values
from asynclog.engine import Engine
from asynclog.errors import InvalidError
from asynclog.identity import new_id
from asynclog.logger import label
from asynclog.model import TRIGGER_TYPES, Task, TriggerType
from asynclog.tasks.plugin import refuse_reserved
from asynclog.tasks.runfiles import RunFiles


def new_task(  # noqa: PLR0913  # what a task is
    engine: Engine,
    run_files: RunFiles,
    *,
    plugin: str,
    name: str,
    params: Any,
    trigger_type: str,
    trigger_data: Any,
    account: str | None,
    site: str | None,
    parent_id: str | None,
    metadata: Any,
    schedule_id: str | None = None,
    external: bool = False,
) -> Task:
    """A task that nobody has yet, pending, with what it was given: normalised, cut, without secrets.

    Raises:
        InvalidError: the trigger type is none, or the plugin's name is the service's own.
    """
    if trigger_type not in TRIGGER_TYPES:
        raise InvalidError("trigger_type", f"trigger_type is one of {', '.join(TRIGGER_TYPES)}")
    refuse_reserved(plugin)
    dials, now = engine.settings.dials, engine.clock.now()

    def kept(value: Any) -> str:
        return values.capture(value, dials.max_data_size, dials.redactor)

    return Task(
        id=new_id(),
        name=name,
        plugin=plugin,
        account=label(account),
        site=label(site),
        parent_id=label(parent_id),
        schedule_id=label(schedule_id),
        run_id=run_files.name(now, trigger_type),
        external=external,
        trigger_type=cast("TriggerType", trigger_type),
        trigger_data_json=None if trigger_data is None else kept(trigger_data),
        params_json=kept({} if params is None else params),
        metadata_json=None if metadata is None else kept(metadata),
        created_at=now,
    )
