"""What the routes about sessions, tickets and keys take and answer, as structs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from asynclog.server.shapes import Shape, Time
from asynclog.tasks.keyring import MAX_DAYS, MAX_NAME

RoleName = Literal["viewer", "operator", "admin"]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class SignIn(Shape):
    """What a browser signs in with."""

    key: Annotated[str, Meta(max_length=1000, description="An API key.")]


class Session(Shape):
    """Who asks, and what they may."""

    name: str
    key_id: Annotated[str | None, Meta(description="Null while nobody is asked for a key.")]
    role: RoleName
    account: Annotated[str | None, Meta(description="The one account that is seen; null for all.")]
    site: Annotated[str | None, Meta(description="The one site that is seen; null for all.")]
    all_scopes: Annotated[bool, Meta(description="Whether no account and no site is hidden.")]
    open: Annotated[bool, Meta(description="Whether the service has no key, so that nobody is asked for one.")]
    expires_at: Annotated[Time | None, Meta(description="When the session or the key ends; null for never.")]


class Ticket(Shape):
    """Lets one WebSocket in, once, as ``?ticket=``."""

    ticket: str
    expires_at: Time


class NewKey(Shape):
    """A key to be made. Without account and site it is for all of them."""

    name: Annotated[Name, Meta(description="Whose it is, or what it is for.")]
    role: RoleName
    account: Name | None = None
    site: Name | None = None
    all_scopes: Annotated[
        bool | None, Meta(description="True says that leaving account and site out was meant; false refuses that.")
    ] = None
    expires_in_days: Annotated[float, Meta(gt=0, le=MAX_DAYS)] | None = None


class Key(Shape):
    """A key, without what would let its holder in."""

    id: str
    name: str
    role: RoleName
    account: str | None
    site: str | None
    all_scopes: bool
    created_at: Time
    created_by: str
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, Meta(description="To the minute.")]


class MadeKey(Key):
    """A key that was made just now."""

    key: Annotated[str, Meta(description="What its holder sends. It is shown here and never again.")]


class Keys(Shape):
    """Every key there ever was, oldest first."""

    keys: list[Key]
