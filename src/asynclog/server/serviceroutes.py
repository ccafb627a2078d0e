"""The rows of the route table that are about no task: plugins, settings, retention, the audit, access, the service."""

from __future__ import annotations

from typing import Final

from asynclog.server import accessshapes, keys, metrics, openapi, session, shapes, tasks, upkeep
from asynclog.server.operation import JSON, Operation
from asynclog.server.parameters import flag
from asynclog.server.routeparts import ADMIN, BY_ID, TOO_LARGE, UNAVAILABLE, VIEWER
from asynclog.server.search import audit

KEYS: Final = "/api/keys"

SERVICE: Final = (
    Operation("GET", "/api/plugins", VIEWER, tasks.plugins, "The plugins there are.", answer=shapes.Plugins),
    Operation(
        "GET",
        "/api/plugins/{name}/stats",
        VIEWER,
        tasks.plugin_stats,
        "A plugin's tasks and nodes in numbers.",
        answer=shapes.PluginStats,
        hard=True,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET", "/api/settings/logging", VIEWER, upkeep.settings, "The logging settings.", answer=shapes.LoggingSettings
    ),
    Operation(
        "PUT",
        "/api/settings/logging",
        ADMIN,
        upkeep.change_settings,
        "Change some logging settings: from the next log call on, and for good.",
        body=shapes.LoggingChange,
        answer=shapes.LoggingSettings,
        errors={409: "A setting is pinned by a flag or the environment.", **TOO_LARGE, **UNAVAILABLE},
    ),
    Operation(
        "POST",
        "/api/retention/run",
        ADMIN,
        upkeep.retain,
        "Remove what has outlived the retention settings; never a running task.",
        (flag("dry_run", "Only say what would be removed.", default=False),),
        answer=shapes.Retention,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        "/api/audit",
        ADMIN,
        audit,
        "Who changed what, newest first: settings, keys, schedules, deletions, retention.",
        BY_ID,
        filtered=True,
        hard=True,
        answer=shapes.SearchPage,
        errors=UNAVAILABLE,
    ),
    Operation("GET", "/api/session", VIEWER, session.show, "Who asks, and what they may.", answer=accessshapes.Session),
    Operation(
        "POST",
        "/api/session",
        None,
        session.sign_in,
        "Sign a browser in: the answer's cookie stands for the key, for at most 12 hours.",
        body=accessshapes.SignIn,
        body_limit=16 << 10,
        answer=accessshapes.Session,
        errors={
            401: "It is no key, or counts no more.",
            413: "The body is larger than 16 KiB.",
            429: "Too many wrong keys came from here.",
        },
    ),
    Operation(
        "DELETE", "/api/session", VIEWER, session.sign_out, "Sign a browser out.", status=204, errors=UNAVAILABLE
    ),
    Operation(
        "POST",
        "/api/tickets",
        VIEWER,
        session.ticket,
        "A ticket that lets one WebSocket in within 30 seconds, as `?ticket=`.",
        answer=accessshapes.Ticket,
        status=201,
        errors={429: "Too many tickets wait to be used."},
    ),
    Operation("GET", KEYS, ADMIN, keys.listed, "Every API key there ever was.", answer=accessshapes.Keys),
    Operation(
        "POST",
        KEYS,
        ADMIN,
        keys.create,
        "Make an API key; its text is in this answer and nowhere else.",
        body=accessshapes.NewKey,
        answer=accessshapes.MadeKey,
        status=201,
        errors={409: "It would be the first one, and not an admin's.", **TOO_LARGE, **UNAVAILABLE},
    ),
    Operation(
        "DELETE",
        f"{KEYS}/{{key_id}}",
        ADMIN,
        keys.revoke,
        "Revoke an API key, at once.",
        status=204,
        errors={409: "Nobody could make keys any more.", **UNAVAILABLE},
    ),
    Operation("GET", "/healthz", None, upkeep.healthz, "Whether the process answers.", answer=shapes.Health),
    Operation(
        "GET",
        "/readyz",
        None,
        upkeep.readyz,
        "Whether everything works as promised, and why not.",
        answer=shapes.Readiness,
        errors={503: "Something does not; reasons says what."},
    ),
    Operation(
        "GET", "/metrics", VIEWER, metrics.metrics, "Numbers for Prometheus.", media=("text/plain",), beyond=True
    ),
    Operation("GET", "/openapi.json", VIEWER, openapi.describe, "This description.", media=(JSON,)),
)
