"""The one table of what the service does over HTTP. Routing, parsing, /openapi.json and tests are made from it."""

from __future__ import annotations

from typing import Final

from asynclog.principal import Role
from asynclog.queries import MAX_PAGE
from asynclog.server import (
    accessshapes,
    external,
    keys,
    logs,
    metrics,
    openapi,
    page,
    schedules,
    scheduleshapes,
    session,
    shapes,
    tasks,
    upkeep,
)
from asynclog.server.listing import PARAMETERS as TASK_LIST
from asynclog.server.operation import JSON, NDJSON, Operation
from asynclog.server.parameters import Parameter, choice, flag, text, whole
from asynclog.server.search import search
from asynclog.tasks.reader import MAX_BUCKETS

VIEWER: Final = Role.VIEWER
OPERATOR: Final = Role.OPERATOR
ADMIN: Final = Role.ADMIN
UNAVAILABLE: Final = {503: "The database does not answer now."}
ENDED: Final = {409: "The task has ended."}
NOT_EXTERNAL: Final = {409: "The task has ended, or is not external."}
TOO_LARGE: Final = {413: "The body is larger than 8 MiB."}


def _order(default: str) -> Parameter:
    return choice("order", "desc is the exact reverse of asc.", ("asc", "desc"), default)


LIMIT: Final = whole("limit", "Entries of the page; it also ends at 8 MiB.", 1, MAX_PAGE, 200)
PAGE: Final = (
    LIMIT,
    whole("offset", "Matching entries to pass over; not together with after or before.", 0),
    whole("after", "Only entries above this seq.", 0),
    whole("before", "Only entries below this seq.", 0),
    _order("asc"),
    flag("total", "Whether to count all matches.", default=True),
)
SEARCH: Final = (
    text("task", "Only entries of the task with this id."),
    text("plugin", "Only entries of this plugin's tasks."),
    LIMIT,
    whole("after_id", "Only entries above this id.", 0),
    whole("before_id", "Only entries below this id.", 0),
    _order("desc"),
)
TASK: Final = "/api/tasks/{task_id}"
LOGS: Final = f"{TASK}/logs"
KEYS: Final = "/api/keys"
SCHEDULES: Final = "/api/schedules"
SCHEDULE: Final = f"{SCHEDULES}/{{schedule_id}}"

OPERATIONS: Final = (
    Operation("GET", "/", None, page.index, "The dashboard.", media=("text/html",)),
    Operation("GET", "/assets/{name}", None, page.asset, "A file of the dashboard.", media=("*/*",)),
    # --- tasks ---
    Operation(
        "GET",
        "/api/tasks",
        VIEWER,
        tasks.page,
        "Tasks, newest first.",
        TASK_LIST,
        hard=True,
        answer=shapes.TaskPage,
        errors=UNAVAILABLE,
    ),
    Operation(
        "POST",
        "/api/tasks",
        OPERATOR,
        tasks.start,
        "Start a plugin as a task in the background, or begin a task whose code runs elsewhere (external).",
        body=shapes.StartTask,
        answer=shapes.Task,
        status=201,
        errors={409: "The service is going down.", **TOO_LARGE},
    ),
    Operation("GET", TASK, VIEWER, tasks.show, "One task.", answer=shapes.Task, errors=UNAVAILABLE),
    Operation(
        "DELETE",
        TASK,
        OPERATOR,
        tasks.delete,
        "Delete an ended task with its entries, stages and steps.",
        status=204,
        errors={409: "The task runs; cancel it first.", **UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{TASK}/cancel",
        OPERATOR,
        tasks.cancel,
        "Ask a task to stop.",
        answer=shapes.Task,
        status=202,
        errors=ENDED,
    ),
    Operation(
        "GET",
        f"{TASK}/stages",
        VIEWER,
        tasks.stages,
        "A task's stages.",
        hard=True,
        answer=shapes.Stages,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{TASK}/steps",
        VIEWER,
        tasks.steps,
        "A task's steps, without data.",
        answer=shapes.Steps,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{TASK}/steps/{{step_id}}",
        VIEWER,
        tasks.step,
        "One step, with data.",
        answer=shapes.Step,
        errors=UNAVAILABLE,
    ),
    # --- tasks whose code runs elsewhere ---
    Operation(
        "POST",
        LOGS,
        OPERATOR,
        external.ingest,
        "Take lines of JSON as entries of an external task; crash-safe when it answers.",
        (text("batch_id", "1 to 200 characters; a batch that comes again gets its first answer, and adds nothing."),),
        body=bytes,
        answer=shapes.Ingested,
        errors={**NOT_EXTERNAL, **TOO_LARGE, **UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{TASK}/finish",
        OPERATOR,
        external.finish,
        "End an external task.",
        body=shapes.FinishTask,
        answer=shapes.Task,
        errors={**NOT_EXTERNAL, **TOO_LARGE},
    ),
    Operation(
        "POST",
        f"{TASK}/stages",
        OPERATOR,
        external.put_stage,
        "Begin a stage of an external task, or with an id change or end one.",
        body=shapes.PutStage,
        answer=shapes.Stage,
        errors={**NOT_EXTERNAL, **TOO_LARGE, **UNAVAILABLE},
    ),
    Operation(
        "POST",
        f"{TASK}/steps",
        OPERATOR,
        external.put_step,
        "Begin a step of an external task, or with an id change or end one.",
        body=shapes.PutStep,
        answer=shapes.Step,
        errors={**NOT_EXTERNAL, **TOO_LARGE, **UNAVAILABLE},
    ),
    # --- what tasks logged ---
    Operation(
        "GET",
        LOGS,
        VIEWER,
        logs.page,
        "A page of a task's entries.",
        PAGE,
        filtered=True,
        hard=True,
        answer=shapes.LogPage,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{LOGS}/stats",
        VIEWER,
        logs.stats,
        "Matching entries by level, source and stage.",
        filtered=True,
        hard=True,
        answer=shapes.LogStats,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{LOGS}/sources",
        VIEWER,
        logs.sources,
        "The sources that occur.",
        answer=shapes.Sources,
        hard=True,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{LOGS}/histogram",
        VIEWER,
        logs.histogram,
        "Matching entries over time, in equal spans.",
        (whole("buckets", "Spans at most.", 1, MAX_BUCKETS, 60),),
        filtered=True,
        hard=True,
        answer=shapes.Histogram,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{LOGS}/export",
        VIEWER,
        logs.export,
        "All matching entries as a file of any size.",
        (choice("format", "Of the file.", tuple(logs.FORMATS), "ndjson"),),
        filtered=True,
        hard=True,
        media=(NDJSON, "text/plain", "text/csv"),
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        f"{TASK}/tail",
        VIEWER,
        logs.tail,
        "The last lines of the activity log: its head, then entries as text.",
        (whole("lines", "How many; the answer ends at 8 MiB.", 1, 1_000_000, 100),),
        media=("text/plain",),
        hard=True,
        errors=UNAVAILABLE,
    ),
    Operation(
        "GET",
        "/api/logs",
        VIEWER,
        search,
        "Entries across tasks, newest first.",
        SEARCH,
        filtered=True,
        hard=True,
        answer=shapes.SearchPage,
        errors={404: "There is no such task.", **UNAVAILABLE},
    ),
    # --- what starts tasks by itself ---
    Operation(
        "GET", SCHEDULES, VIEWER, schedules.listed, "The schedules, oldest first.", answer=scheduleshapes.Schedules
    ),
    Operation(
        "POST",
        SCHEDULES,
        OPERATOR,
        schedules.create,
        "Let a plugin be started by itself: by cron or at an interval.",
        body=scheduleshapes.NewSchedule,
        answer=scheduleshapes.Schedule,
        status=201,
        errors={**TOO_LARGE, **UNAVAILABLE},
    ),
    Operation("GET", SCHEDULE, VIEWER, schedules.show, "One schedule.", answer=scheduleshapes.Schedule),
    Operation(
        "PATCH",
        SCHEDULE,
        OPERATOR,
        schedules.change,
        "Change a schedule, pause it, or let it go on.",
        body=scheduleshapes.ScheduleChange,
        answer=scheduleshapes.Schedule,
        errors={**TOO_LARGE, **UNAVAILABLE},
    ),
    Operation(
        "DELETE",
        SCHEDULE,
        OPERATOR,
        schedules.remove,
        "Remove a schedule; its tasks stay.",
        status=204,
        errors=UNAVAILABLE,
    ),
    Operation(
        "POST",
        f"{SCHEDULE}/run",
        OPERATOR,
        schedules.run,
        "Start a schedule's plugin now, paused or not.",
        answer=shapes.Task,
        status=201,
        errors={409: "Its last task still runs, or the service is going down."},
    ),
    Operation(
        "POST",
        "/api/hooks/{name}",
        None,
        schedules.hook,
        "A webhook: start the plugin it is for, the request as trigger data."
        f" The header {schedules.SECRET} has to hold its secret.",
        body=bytes,
        takes=(JSON, "application/x-www-form-urlencoded", "text/plain"),
        open_query=True,
        answer=shapes.Task,
        status=201,
        errors={
            400: "The body says it is JSON, and is not.",
            403: "The secret is another.",
            409: "The service is going down.",
            **TOO_LARGE,
        },
    ),
    # --- plugins, settings, retention ---
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
    # --- who may ---
    Operation("GET", "/api/session", VIEWER, session.show, "Who asks, and what they may.", answer=accessshapes.Session),
    Operation(
        "POST",
        "/api/session",
        None,
        session.sign_in,
        "Sign a browser in: the answer's cookie stands for the key, for at most 12 hours.",
        body=accessshapes.SignIn,
        answer=accessshapes.Session,
        errors={401: "It is no key, or counts no more.", 429: "Too many wrong keys came from here.", **TOO_LARGE},
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
    # --- the service itself ---
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
