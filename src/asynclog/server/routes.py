"""The one table of what the service does over HTTP. Routing, parsing, /openapi.json and tests are made from it."""

from __future__ import annotations

from typing import Final

from asynclog.queries import MAX_PAGE
from asynclog.server import external, hooks, logs, page, schedules, scheduleshapes, shapes, tasks
from asynclog.server.listing import PARAMETERS as TASK_LIST
from asynclog.server.operation import JSON, NDJSON, Operation
from asynclog.server.parameters import choice, flag, text, whole
from asynclog.server.routeparts import BY_ID, LIMIT, OPERATOR, TOO_LARGE, UNAVAILABLE, VIEWER, order
from asynclog.server.search import search
from asynclog.server.serviceroutes import SERVICE
from asynclog.tasks.reader import MAX_BUCKETS

ENDED: Final = {409: "The task has ended."}
NOT_EXTERNAL: Final = {409: "The task has ended, or is not external."}
PAGE: Final = (
    LIMIT,
    whole("offset", "Matching entries to pass over; not together with after or before.", 0),
    whole("after", "Only entries above this seq.", 0),
    whole("before", "Only entries below this seq.", 0),
    order("asc"),
    flag("total", "Whether to count all matches.", default=True),
)
SEARCH: Final = (
    text("task", "Only entries of the task with this id."),
    text("plugin", "Only entries of this plugin's tasks."),
    *BY_ID,
)
NOT_YOURS: Final = "There is no such task to be its parent, or the account or site is not the caller's."
TASK: Final = "/api/tasks/{task_id}"
LOGS: Final = f"{TASK}/logs"
SCHEDULES: Final = "/api/schedules"
SCHEDULE_BYTES: Final = 256 << 10
"""Of a schedule: they stay in memory, a thousand of a key, and their params are looked through at each start."""
LARGE_SCHEDULE: Final = {413: "The body is larger than 256 KiB."}
SCHEDULE: Final = f"{SCHEDULES}/{{schedule_id}}"

OPERATIONS: Final = (
    Operation("GET", "/", None, page.index, "The dashboard.", media=("text/html",)),
    Operation("GET", "/assets/{name}", None, page.asset, "A file of the dashboard.", media=("*/*",)),
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
        errors={404: NOT_YOURS, 409: "The service is going down.", **TOO_LARGE},
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
        "A task's steps in order, without data.",
        (
            whole("limit", "Steps of the page; all of them without it.", 1, MAX_PAGE),
            text("after", "Only what follows the step with this id."),
        ),
        hard=True,
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
        body_limit=SCHEDULE_BYTES,
        answer=scheduleshapes.Schedule,
        status=201,
        errors={404: "The account or site is not the caller's.", **LARGE_SCHEDULE, **UNAVAILABLE},
    ),
    Operation("GET", SCHEDULE, VIEWER, schedules.show, "One schedule.", answer=scheduleshapes.Schedule),
    Operation(
        "PATCH",
        SCHEDULE,
        OPERATOR,
        schedules.change,
        "Change a schedule, pause it, or let it go on.",
        body=scheduleshapes.ScheduleChange,
        body_limit=SCHEDULE_BYTES,
        answer=scheduleshapes.Schedule,
        errors={**LARGE_SCHEDULE, **UNAVAILABLE},
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
        hooks.hook,
        "A webhook: start the plugin it is for, the request as trigger data."
        f" The header {hooks.SECRET} has to hold its secret, or {hooks.SIGNATURE} or {hooks.TIMED[0]} a signature.",
        body=bytes,
        takes=(JSON, "application/x-www-form-urlencoded", "text/plain"),
        open_query=True,
        admit=hooks.admit,
        answer=shapes.Task,
        status=201,
        errors={
            400: "The body says it is JSON, and is not.",
            403: "The secret, or the signature, is another, or too old.",
            409: "This very signature was used, or the service is going down.",
            **TOO_LARGE,
        },
    ),
    *SERVICE,
)
