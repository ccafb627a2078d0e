"""Who calls: a role, and the account and site that are seen. Words only; `tasks.keyring` keeps the keys."""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

from asynclog.model import EVERYTHING, AccessScope, Value

PREFIX: Final = "asynclog_"
"""How every key begins, so that scanners for leaked secrets know one."""
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

_KEY: Final = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")


class Role(enum.IntEnum):
    """What a caller may do; each role may do what the ones before it may."""

    VIEWER = 1
    """Reads."""
    OPERATOR = 2
    """Starts, cancels and deletes tasks, sends entries, changes schedules."""
    ADMIN = 3
    """Changes settings and keys, and starts plugins that need it."""

    @property
    def label(self) -> str:
        """The role as JSON and people write it."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Role:
        """The role of this label. Raises ValueError."""
        for role in cls:
            if role.label == label:
                return role
        raise ValueError(f"{label!r} is not a role; there are {', '.join(role.label for role in cls)}")


class Principal(Value, frozen=True):
    """Somebody whom the service knows: by a key, or, while there is none, because they are on this machine."""

    key_id: str | None
    name: str
    role: Role
    access: AccessScope

    @property
    def sees_all(self) -> bool:
        """Whether no account and no site is hidden."""
        return self.access.everywhere

    def may(self, role: Role, *, everywhere: bool = False) -> bool:
        """Whether this role's doings are allowed; ``everywhere`` says that they reach beyond one account or site."""
        return self.role >= role and (self.sees_all or not everywhere)


SERVICE_NAME: Final = "asynclog"
"""Who does what nobody asked for, in the audit."""

LOCAL: Final = Principal(None, "local", Role.ADMIN, EVERYTHING)
"""Everybody, while the service listens on loopback alone and has no key; and whoever opened the data directory."""


class ApiKey(Value, frozen=True, kw_only=True):
    """A key as it is kept: all but its secret, of which there is only the hash."""

    id: str
    name: str
    role: Role
    account: str | None = None
    site: str | None = None
    secret_hash: bytes
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    @property
    def access(self) -> AccessScope:
        """What its holder sees; the audit is for admins of all accounts and sites."""
        everywhere = self.account is None and self.site is None
        return AccessScope(self.account, self.site, audit=everywhere and self.role == Role.ADMIN)

    @property
    def principal(self) -> Principal:
        """Its holder."""
        return Principal(self.id, self.name, self.role, self.access)

    def is_valid(self, now: int) -> bool:
        """Whether it opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def fits(self, secret: str) -> bool:
        """Whether this is its secret; takes equally long for every wrong one."""
        return hmac.compare_digest(secret_hash(secret), self.secret_hash)


class Credentials(Value, frozen=True):
    """Everything that is kept about who may speak to the service."""

    keys: list[ApiKey]
    session_secret: bytes
    ended_sessions: dict[str, int]
    """Sessions that were signed out of, with when they would have ended by themselves."""


class KeyText(NamedTuple):
    """The two parts of a key as its holder has it: ``asynclog_<id>_<secret>``."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The whole of it."""
        return f"{PREFIX}{self.id}_{self.secret}"


def new_key() -> KeyText:
    """A key that nobody has: 256 random bits, so that a fast hash of it keeps it."""
    return KeyText(secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))


def parse_key(text: str) -> KeyText | None:
    """The parts of a key; None for anything else."""
    found = _KEY.fullmatch(text)
    return None if found is None else KeyText(found[1], found[2])


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
