"""Every error asynclog raises, with what to do about it.

::

    AsynclogError
    ├── RequestError              you did: the call cannot be met as it was made
    │   ├── InvalidError            a value is wrong; names the parameter            (HTTP 422)
    │   ├── NotFoundError           no such thing, or not in your access scope       (HTTP 404)
    │   ├── UnauthenticatedError    nobody the service knows: no key, or a wrong one (HTTP 401)
    │   ├── ForbiddenError          somebody it knows, who may not do this           (HTTP 403)
    │   ├── ConflictError           not in the state the thing is in now             (HTTP 409)
    │   ├── TooLargeError           more bytes than a limit allows                   (HTTP 413)
    │   └── TooManyError            more, or more often, than a limit allows         (HTTP 429)
    └── UnavailableError          the world did: try again, or mend the machine      (HTTP 503)
        ├── LockedError             another process owns the data directory
        ├── StoreError              the database cannot be read or written now
        └── JournalError            the journal cannot be written now

A log call raises none of them, ever.
"""

from __future__ import annotations


class AsynclogError(Exception):
    """The root. ``str(error)`` is a sentence a person can act on."""


class RequestError(AsynclogError):
    """The caller asked for something that cannot be met as it was asked."""


class InvalidError(RequestError):
    """A value is wrong. ``parameter`` names it as the caller wrote it."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class NotFoundError(RequestError):
    """There is no such thing, or the caller may not see it; the two are not told apart."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        self.name = name


class UnauthenticatedError(RequestError):
    """The caller is nobody the service knows."""


class ForbiddenError(RequestError):
    """The caller has not shown what would let it."""


class ConflictError(RequestError):
    """The thing is not in a state in which this can be done."""


class TooLargeError(RequestError):
    """More bytes than the limit allows."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} is larger than {limit:,} bytes; send it in smaller parts")
        self.limit = limit


class TooManyError(RequestError):
    """More of something, or something more often, than a limit allows; ``seconds`` says when to try again."""

    def __init__(self, message: str, seconds: int = 60) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnavailableError(AsynclogError):
    """Something outside the caller's reach is missing now; the same call may succeed later."""


class LockedError(UnavailableError):
    """Another process owns the data directory."""


class StoreError(UnavailableError):
    """The database cannot be read or written now."""


class JournalError(UnavailableError):
    """The journal cannot be written or is damaged."""
