"""What is told of a stage or step of an external task, as the value it becomes; and how any of them ends. Without I/O.

What is given is checked by the caller for its types; names are those of the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from asynclog import values
from asynclog.errors import InvalidError, NotFoundError
from asynclog.identity import new_id
from asynclog.logger import label
from asynclog.model import Stage, Step, end_of
from asynclog.redaction import Redactor
from asynclog.settings import Dials

LONGEST: Final = 10_000
"""Characters of an error message."""

Given = Mapping[str, Any]
Part = TypeVar("Part", Stage, Step)


def stage_of(task_id: str, given: Given, known: Sequence[Stage], now: int, dials: Dials) -> Stage:
    """The stage as it is now: the one with the ``id`` that is given, changed, or a new one.

    Args:
        task_id: whose.
        given: ``id``, or ``name``; ``number``, ``status``, ``pending``, ``processed``, ``credits_used``, ``result``,
            ``error_message``.
        known: the task's stages.
        now: microseconds.
        dials: how much is kept, and without which secrets.

    Raises:
        NotFoundError: no stage has the id.
        InvalidError: a new one has no name.
    """
    stage = next((stage for stage in known if stage.id == given.get("id")), None)
    if stage is None:
        stage = _new_stage(task_id, given, known, now, dials.redactor)
    plain = ("status", "pending", "processed", "credits_used")
    changes = {name: given[name] for name in plain if given.get(name) is not None}
    stage = msgspec.structs.replace(stage, **changes, **_told(given, dials, result="result_json"))
    return _ended(stage, now)


def _new_stage(task_id: str, given: Given, known: Sequence[Stage], now: int, redactor: Redactor) -> Stage:
    if given.get("id") is not None:
        raise NotFoundError("stage", str(given["id"]))
    name = label(given.get("name"), redactor=redactor)
    if name is None:
        raise InvalidError("name", "a new stage needs a name; an id changes one that was begun")
    number = given.get("number")
    if number is None:
        number = max((stage.number for stage in known), default=0) + 1
    return Stage(id=new_id(), task_id=task_id, number=number, name=name, started_at=now)


def step_of(task_id: str, given: Given, known: Step | None, index: int, now: int, dials: Dials) -> Step:
    """The step as it is now: the known one, changed, or a new one, which has this place among the task's.

    Args:
        task_id: whose.
        given: ``node_id``, ``node_type``, ``node_name``, ``parent_id``, ``stage``, ``unit`` of a new one; ``status``,
            ``input_data``, ``output_data``, ``error_message``.
        known: the one that is meant.
        index: the place.
        now: microseconds.
        dials: how much is kept, and without which secrets.

    Raises:
        InvalidError: a new one has no node id.
    """
    step = _new_step(task_id, given, index, now, dials.redactor) if known is None else known
    changes = _told(given, dials, input_data="input_json", output_data="output_json")
    if given.get("status") is not None:
        changes["status"] = given["status"]
    step = msgspec.structs.replace(step, **changes)
    return _ended(step, now)


def _new_step(task_id: str, given: Given, index: int, now: int, redactor: Redactor) -> Step:
    named = ("node_id", "node_name", "node_type", "parent_id", "stage", "unit")
    labels = {name: label(given.get(name), redactor=redactor) for name in named}
    name = labels["node_name"] or labels["node_id"]
    if name is None:
        raise InvalidError("node_id", "a new step needs a node_id; an id changes one that was begun")
    return Step(
        id=new_id(),
        task_id=task_id,
        parent_id=labels["parent_id"],
        step_index=index,
        stage=labels["stage"],
        unit=labels["unit"],
        node_id=labels["node_id"] or name,
        node_type=labels["node_type"] or "step",
        node_name=name,
        started_at=now,
    )


def interrupted(part: Part, now: int) -> Part:
    """The stage or step, ended because its task has ended."""
    return msgspec.structs.replace(part, status="interrupted", finished_at=end_of(part.started_at, now))


def _ended(part: Part, now: int) -> Part:
    ended = part.finished_at or end_of(part.started_at, now)
    return msgspec.structs.replace(part, finished_at=None if part.status == "running" else ended)


def _told(given: Given, dials: Dials, **fields: str) -> dict[str, Any]:
    """What came of it, by field: data by the names they are given under, and what went wrong."""
    found: dict[str, Any] = {
        field: values.capture(given[name], dials.max_data_size, dials.redactor)
        for name, field in fields.items()
        if given.get(name) is not None
    }
    if given.get("error_message") is not None:
        found["error_message"] = error_kept(given["error_message"], dials.redactor)
    return found


def error_kept(message: object, redactor: Redactor) -> str:
    """What went wrong, as it is kept."""
    return redactor.redact(values.text(message))[:LONGEST]
