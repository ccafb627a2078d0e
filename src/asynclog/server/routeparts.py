"""What rows of the route table share: roles, parameters, errors."""

from __future__ import annotations

from typing import Final

from asynclog.principal import Role
from asynclog.queries import MAX_PAGE
from asynclog.server.parameters import Parameter, choice, whole

VIEWER: Final = Role.VIEWER
OPERATOR: Final = Role.OPERATOR
ADMIN: Final = Role.ADMIN
UNAVAILABLE: Final = {503: "The database does not answer now."}
TOO_LARGE: Final = {413: "The body is larger than 8 MiB."}


def order(default: str) -> Parameter:
    """The parameter that says in which direction a page goes."""
    return choice("order", "desc is the exact reverse of asc.", ("asc", "desc"), default)


LIMIT: Final = whole("limit", "Entries of the page; it also ends at 8 MiB.", 1, MAX_PAGE, 200)
BY_ID: Final = (
    LIMIT,
    whole("after_id", "Only entries above this id.", 0),
    whole("before_id", "Only entries below this id.", 0),
    order("desc"),
)
