"""API keys over HTTP: an admin lists them, makes one, revokes one."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from asynclog.errors import InvalidError
from asynclog.model import AccessScope
from asynclog.principal import ApiKey, Role
from asynclog.server.accessshapes import NewKey
from asynclog.server.operation import Call, answer
from asynclog.wire import time_or_none


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.label,
        "account": key.account,
        "site": key.site,
        "all_scopes": key.access.everywhere,
        "created_at": time_or_none(key.created_at),
        "created_by": key.created_by,
        "expires_at": time_or_none(key.expires_at),
        "revoked_at": time_or_none(key.revoked_at),
        "last_used_at": time_or_none(key.last_used_at),
    }


def _noted(key: ApiKey) -> dict[str, Any]:
    """What the audit says of a key."""
    shown = _shown(key)
    return {name: shown[name] for name in ("name", "role", "account", "site", "expires_at")}


async def listed(call: Call) -> Response:
    """All keys, revoked and expired ones too."""
    return answer({"keys": [_shown(key) for key in call.tasks.keys.all()]})


async def create(call: Call) -> Response:
    """Make one; its text is in this answer and nowhere else."""
    body: NewKey = call.body
    access = AccessScope(body.account, body.site)
    if body.all_scopes is True and not access.everywhere:
        raise InvalidError("all_scopes", "all_scopes: either all of them, or name an account or a site, not both")
    if body.all_scopes is False and access.everywhere:
        raise InvalidError("all_scopes", "all_scopes: name an account or a site, or say all_scopes: true")
    key, text = await call.tasks.keys.create(
        body.name, Role.parse(body.role), access, days=body.expires_in_days, by=call.principal
    )
    call.note("key.create", key.id, before=None, after=_noted(key))
    return answer({**_shown(key), "key": text}, 201)


async def revoke(call: Call) -> Response:
    """Let one count no more, at once."""
    key_id, keys = call.path["key_id"], call.tasks.keys
    known = next((key for key in keys.all() if key.id == key_id), None)
    try:
        await keys.revoke(key_id)
    finally:
        if known is not None and known.revoked_at is None and keys.valid(key_id) is None:  # kept or not: it is revoked
            call.note("key.revoke", key_id, before=_noted(known), after=None)
    return Response(status_code=204)
