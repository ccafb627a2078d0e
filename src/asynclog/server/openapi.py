"""/openapi.json (3.1), made from the route table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import msgspec
from starlette.responses import Response

from asynclog.filters import FILTER_PARAMETERS
from asynclog.model import Level
from asynclog.server import problems, shapes
from asynclog.server.access import MARK
from asynclog.server.operation import JSON, NDJSON, Call, Operation, answer
from asynclog.server.sessions import COOKIE

_REF: Final = "#/components/schemas/{name}"
_TIMES: Final = ("since", "until")
_LEVELS: Final = ("level", "min_level")
_SCHEMES: Final = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "keyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"From POST /api/session; what changes something takes the header {MARK}: 1 besides.",
    },
}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"key": []}, {"keyHeader": []}, {"session": []}, {}]
"""One of them; none while the service has no key."""
_COMMON: Final = {
    400: "The body is not JSON, or is broken gzip.",
    401: "There is no key with the request, or one that does not count.",
    403: "The caller's role may not do this; or the request comes from a page of another site, or by a foreign name.",
    404: "There is no such thing, or the caller may not see it.",
    408: "The body came too slowly.",
    413: "The body is larger than 8 MiB, as it came or unpacked; or it unpacks to more than 200 times its size.",
    414: "The address is longer than 32 KiB.",
    415: "The body is packed in another way than gzip, or is of a type that pages of other sites can send.",
    422: "A parameter or a field is unknown or has a bad value; parameter names it.",
    429: "The caller has asked too often, or has as much as one may have at a time.",
    431: "The head of the request is larger than 64 KiB, or has more than 100 lines.",
    500: "The service failed.",
    503: "The service holds as many bodies as it can, or as many questions were asked; try again.",
}


def description(operations: Sequence[Operation]) -> dict[str, Any]:
    """The API description of these operations."""
    used: list[type] = [shapes.Problem]
    for operation in operations:
        used += [kind for kind in (operation.body, operation.answer) if kind not in (None, bytes)]
    unique = list(dict.fromkeys(used))
    references, components = msgspec.json.schema_components(unique, ref_template=_REF)
    schemas = dict(zip(unique, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "asynclog",
            "version": version("asynclog"),
            "description": "Per-task logging. Errors are application/problem+json; times are ISO-8601 in UTC."
            " Bodies may be packed (Content-Encoding: gzip). What is no HTTP, comes too slowly, or on too many"
            " connections is 400, 408, 429 or 503 whatever it asks for, and ends the connection."
            " The WebSockets /ws/tasks/{task_id}/logs and /ws/tasks take the filter parameters of the routes of the"
            " same name.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _operation(operation: Operation, schemas: dict[type, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}{_camel(operation.path)}",
        "description": _taken(operation),
        "security": [] if operation.role is None else _SECURITY,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": _responses(operation, schemas),
    }
    if operation.body is bytes:
        shown["requestBody"] = {"required": True, "content": {media: _body(media) for media in operation.takes}}
    elif operation.body is not None:
        shown["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[operation.body]}}}
    return shown


def _taken(operation: Operation) -> str:
    """Who may."""
    if operation.role is None:
        return "Nobody is asked for a key."
    scope = ", for all accounts and sites" if operation.everywhere else ""
    return f"Takes the role {operation.role.label}{scope}."


def _body(media: str) -> dict[str, Any]:
    """What a body is that the operation reads itself."""
    if media == NDJSON:
        return {"schema": {"type": "string", "description": "One JSON object in each line."}}
    return {"schema": {}}


def _camel(path: str) -> str:
    return "".join(part.title() for part in re.split(r"[^A-Za-z]+", path) if part) or "Index"


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for parameter in operation.parameters:
        yield _parameter(parameter.name, parameter.help, parameter.schema, repeated=parameter.repeated)
    if operation.filtered:
        for name, help in FILTER_PARAMETERS.items():
            yield _parameter(name, help, _filter_schema(name), repeated=True)


def _filter_schema(name: str) -> dict[str, Any]:
    if name in _LEVELS:
        return {"type": "string", "examples": [level.name for level in Level]}
    return {"type": "string", "format": "date-time"} if name in _TIMES else {"type": "string"}


def _parameter(name: str, help: str, schema: dict[str, Any], *, repeated: bool) -> dict[str, Any]:
    if repeated:
        schema = {"type": "array", "items": schema}
    return {"name": name, "in": "query", "description": help, "required": False, "schema": schema}


def _responses(operation: Operation, schemas: dict[type, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None:
        success["content"] = {JSON: {"schema": schemas[operation.answer]}}
    elif operation.status != 204:
        success["content"] = {media: {} for media in operation.media}
    errors = {status: text for status, text in _COMMON.items() if _can(operation, status)} | dict(operation.errors)
    found = {str(operation.status): success}
    for status, text in sorted(errors.items()):
        problem = {problems.MEDIA_TYPE: {"schema": schemas[shapes.Problem]}}
        found[str(status)] = {"description": text, "content": problem}
    if operation.path == "/readyz":
        found["503"]["content"] = success["content"]
    return found


def _can(operation: Operation, status: int) -> bool:
    if status == 401:
        return operation.role is not None
    if status in (400, 408, 413):
        return operation.body is not None
    if status == 503:
        return operation.body is not None or operation.hard
    if status == 404:
        return "{" in operation.path
    if status == 415:
        return operation.method != "GET"
    if status == 429:
        return operation.counted
    return True  # an unknown query parameter is 422 everywhere


async def describe(call: Call) -> Response:
    """The description of this service."""
    return answer(call.service.description)
