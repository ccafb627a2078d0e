"""Settings, retention, health and the API description."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from asynclog.server.operation import Call, answer
from asynclog.settings import Settings
from asynclog.tasks.sweeper import RetentionReport


def _settings(settings: Settings) -> Response:
    return answer({**settings.values(), "pinned": settings.pinned})


async def settings(call: Call) -> Response:
    """The logging settings that count now."""
    return _settings(call.tasks.engine.settings)


async def change_settings(call: Call) -> Response:
    """Change some of them, for good."""
    changes = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not msgspec.UNSET}
    settings = call.tasks.engine.settings
    former = settings.values()
    await call.tasks.engine.change_settings(changes)
    changed = [name for name, value in settings.values().items() if value != former[name] and name in changes]
    if changed:
        before, after = ({name: values[name] for name in changed} for values in (former, settings.values()))
        call.note("settings.change", ", ".join(changed), before=before, after=after)
    return _settings(settings)


async def retain(call: Call) -> Response:
    """Apply the retention now."""

    def told(report: RetentionReport) -> None:
        call.tasks.audit.note_retention(report, call.principal, call.address)

    report = await call.tasks.sweeper.retain(dry_run=call.query["dry_run"], access=call.access, told=told)
    return answer(msgspec.structs.asdict(report))


async def healthz(_call: Call) -> Response:
    """The process answers."""
    return answer({"status": "ok"})


async def readyz(call: Call) -> Response:
    """Whether everything works as promised."""
    engine = call.tasks.engine
    status = "closing" if call.service.closing else "degraded" if engine.degraded else "ready"
    reasons = ["the service is going down"] if call.service.closing else []
    if call.caller is not None and call.caller.principal.sees_all:  # they name paths, and how much there is
        reasons += engine.troubles()
    return answer({"status": status, "reasons": reasons}, 200 if status == "ready" else 503)
