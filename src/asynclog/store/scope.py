"""What a caller may see, as SQL: the one place where an access scope becomes part of a statement.

Every statement that reads for a caller holds one of these, so that no check before it can be forgotten or outlived.
"""

from __future__ import annotations

from typing import Final

from asynclog.model import AUDIT_PLUGIN, AccessScope

Param = str | int

_NOT_THE_AUDIT: Final = f"plugin <> '{AUDIT_PLUGIN}'"
_DELETED: Final = "SELECT id FROM tasks WHERE deleted_at IS NOT NULL"
_THE_AUDIT: Final = f"SELECT id FROM tasks WHERE plugin = '{AUDIT_PLUGIN}'"


def visible(access: AccessScope) -> tuple[str, list[Param]]:
    """The condition on ``tasks`` for what this scope may see; tasks that are being deleted are not there."""
    terms, params = ["deleted_at IS NULL"], list[Param]()
    for column, value in (("account", access.account), ("site", access.site)):
        if value is not None:
            terms.append(f"{column} = ?")
            params.append(value)
    if not access.audit:
        terms.append(_NOT_THE_AUDIT)
    return " AND ".join(terms), params


def hidden(access: AccessScope) -> str | None:
    """The few tasks that a scope over all accounts and sites does not see, as a statement; None for another scope."""
    if not access.everywhere:
        return None
    return _DELETED if access.audit else f"{_DELETED} UNION ALL {_THE_AUDIT}"


def seen_task(task_id: str | None, access: AccessScope) -> tuple[str, list[Param]]:
    """The task's id as an expression: NULL, which nothing equals, where the scope does not see the task.

    It is looked up once for a statement, and indexes are read by it as by the id itself.
    """
    condition, params = visible(access)
    return f"(SELECT id FROM tasks WHERE id = ? AND {condition})", [task_id or "", *params]
