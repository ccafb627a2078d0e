"""Errors as the caller sees them: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from asynclog.errors import (
    AsynclogError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
)
from asynclog.server.shapes import Problem

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1

_STATUSES: Final = (
    (InvalidError, 422),
    (NotFoundError, 404),
    (UnauthenticatedError, 401),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (TooLargeError, 413),
    (TooManyError, 429),
    (UnavailableError, 503),
)
_SENTENCES: Final = {
    404: "There is nothing at this address; /openapi.json lists what there is.",
    405: "This address does not take {method}; it takes {allow}.",
    500: "The service failed at this request; its own log says how. Trying again may help.",
}


class RefusedError(AsynclogError):
    """The request is refused at the edge, whatever it asks for; ``status`` says how."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class MalformedError(RefusedError):
    """The body cannot be read (HTTP 400)."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


def problem(
    status: int, detail: str, parameter: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The response for an error; ``detail`` is a sentence that says what to do."""
    title = HTTPStatus(status).phrase
    body = Problem(type="about:blank", title=title, status=status, detail=detail)
    if parameter is not None:
        body.parameter = parameter
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def of_error(error: AsynclogError) -> Response:
    """The response for one of our errors."""
    if isinstance(error, RefusedError):
        return problem(error.status, str(error), headers=error.headers)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    parameter = error.parameter if isinstance(error, InvalidError) else None
    return problem(status, str(error), parameter, _headers(error))


def _headers(error: AsynclogError) -> dict[str, str]:
    """What an error says in headers."""
    match error:
        case UnavailableError():
            return {"Retry-After": str(RETRY_SECONDS)}
        case TooManyError(seconds=seconds):
            return {"Retry-After": str(seconds)}
        case UnauthenticatedError():
            return {"WWW-Authenticate": "Bearer"}
        case _:
            return {}


def of_http_error(error: HTTPException, method: str) -> Response:
    """The response for what Starlette refuses: an unknown address, a method it does not take."""
    headers = dict(error.headers or {})
    allow = ", ".join(sorted(filter(None, headers.get("Allow", "").split(", "))))
    if allow:
        headers["Allow"] = allow
    sentence = _SENTENCES.get(error.status_code, error.detail)
    return problem(error.status_code, sentence.format(method=method, allow=allow), headers=headers)


def of_failure() -> Response:
    """The response for what should not happen."""
    return problem(500, _SENTENCES[500])
