"""The ASGI application over a task manager: for our own server, and to be mounted into somebody else's."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from asynclog.principal import Principal
from asynclog.server import problems
from asynclog.server.endpoint import Endpoint
from asynclog.server.guard import Guard
from asynclog.server.logsocket import LogSocket
from asynclog.server.names import Names
from asynclog.server.openapi import description
from asynclog.server.operation import Operation
from asynclog.server.routes import OPERATIONS
from asynclog.server.service import Service
from asynclog.server.tasksocket import TaskSocket
from asynclog.tasks.manager import TaskManager

LOG_SOCKET = "/ws/tasks/{task_id}/logs"
TASK_SOCKET = "/ws/tasks"


def create_app(
    tasks: TaskManager,
    *,
    hosts: Collection[str] | None = None,
    origins: Collection[str] = (),
    everybody: Principal | None = None,
) -> ASGIApp:
    """The whole service as an ASGI application. It needs no lifespan: whoever opened ``tasks`` closes them.

    The setting ``log_level`` becomes the level of the logger ``asynclog``.

    Args:
        tasks: from `asynclog.open`, on the same event loop.
        hosts: names the service answers to; None, as for a mounted application, answers to every name.
        origins: whose pages may change something, besides those of the address that is called.
        everybody: whom to take every caller for, without asking for a key: for whoever asks them already. Without it
            callers need a key as soon as the data directory has one.
    """
    names = Names(None if hosts is None else frozenset(host.lower() for host in hosts), frozenset(origins))
    return build(Service(tasks, everybody), names)


def build(service: Service, names: Names) -> ASGIApp:
    """The application over a service that its owner keeps, to close it in time."""
    settings = service.tasks.engine.settings
    settings.on_change(lambda: logging.getLogger("asynclog").setLevel(settings["log_level"]))
    service.description = description(OPERATIONS)
    app = Starlette(
        routes=[*_routes(service), *_socket_routes(service)],
        middleware=[Middleware(Guard, service=service, names=names)],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


def _routes(service: Service) -> list[BaseRoute]:
    """One route for each path, so that Allow names all methods of it."""
    paths: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, []).append(operation)
    routes: list[BaseRoute] = []
    for path, operations in paths.items():
        endpoint = Endpoint(service, operations)
        routes.append(Route(path, endpoint.answer, methods=endpoint.methods))
    return routes


def _socket_routes(service: Service) -> list[BaseRoute]:
    return [
        WebSocketRoute(TASK_SOCKET, TaskSocket(service).serve),
        WebSocketRoute(LOG_SOCKET, LogSocket(service).serve),
    ]


async def _refused(request: Request, error: Exception) -> Response:
    return problems.of_http_error(cast("HTTPException", error), request.method)
