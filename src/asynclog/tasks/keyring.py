"""The key ring: who may speak to the service, and since when not any more.

State owned here, on the event loop: the API keys (all of them in memory, in step with the store), what sessions are
signed with, and the sessions that were signed out of.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from asynclog.engine import Engine
from asynclog.errors import ConflictError, InvalidError, NotFoundError, StoreError
from asynclog.model import AccessScope
from asynclog.principal import (
    LOCAL,
    SERVICE_NAME,
    ApiKey,
    Credentials,
    Principal,
    Role,
    new_key,
    parse_key,
    secret_hash,
)

LOOK_SECONDS: Final = 1.0
"""How often keys are looked at for having expired."""
USED: Final = 60_000_000
"""Microseconds: how coarsely it is written down when a key was used last."""
MAX_DAYS: Final = 3650
"""The longest life a key can be given; without one it has no end."""
OURS: Final = frozenset({LOCAL.name, SERVICE_NAME})
"""Names under which the audit knows what no key did."""
MAX_NAME: Final = 200
"""Characters of a key's name, and of the account and site it is for."""
DAY: Final = 86_400_000_000
MARK: Final = "keyed"
"""The file in the data directory that says there are keys, so that a lost database does not open the service."""

_MARKED: Final = "There are API keys: should the database be lost, nobody is let in until new ones are made.\n"

_log = logging.getLogger("asynclog.keys")


class KeyRing:
    """All API keys of a data directory.

    Args:
        engine: where they are kept, and the time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys: dict[str, ApiKey] = {}
        self._dirty: dict[str, None] = {}
        self._ended: dict[str, int] = {}
        self._secret = b""
        self._marked = False
        self._listeners: list[Callable[[], None]] = []
        self._lock = asyncio.Lock()
        self._begun = 0

    async def load(self) -> None:
        """Read what is kept. Raises StoreError."""
        self._take(await self._engine.store.credentials(secrets.token_bytes(32)))
        self._marked = (self._engine.folder / MARK).exists()
        self._begun = self._engine.databases
        if self._keys:
            self._mark()

    def _take(self, kept: Credentials) -> None:
        self._keys = {key.id: key for key in kept.keys}
        self._secret = kept.session_secret
        self._ended = dict(kept.ended_sessions)

    def _mark(self) -> None:
        """Let a lost database be noticed at the next start."""
        if self._marked:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(self._engine.folder / MARK, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(_MARKED)
        except OSError as error:
            _log.warning("the file %s cannot be written: %s; a lost database would open the service", MARK, error)
            return
        self._marked = True

    @property
    def open(self) -> bool:
        """Whether there is no key, and never was one: nobody is asked then. Revoked and expired keys are keys."""
        return not self._keys and not self._marked

    @property
    def lost(self) -> bool:
        """Whether there were keys once and are none any more, because the database was lost: nobody gets in."""
        return not self._keys and self._marked

    def check(self, text: str) -> Principal | None:
        """Who holds this key; None when it is none, or does not count any more."""
        given = parse_key(text)
        key = None if given is None else self._keys.get(given.id)
        if given is None or key is None:
            return None
        return self.holder(key.id) if key.fits(given.secret) else None

    def holder(self, key_id: str) -> Principal | None:
        """Who holds the key of this id, known by other means than its secret; None when it does not count any more."""
        key, now = self.valid(key_id), self._engine.clock.now()
        if key is None:
            return None
        if key.last_used_at is None or now - key.last_used_at >= USED:
            self._keys[key_id] = msgspec.structs.replace(key, last_used_at=now)
            self._dirty[key_id] = None
        return key.principal

    def valid(self, key_id: str) -> ApiKey | None:
        """The key of this id if it counts now."""
        key = self._keys.get(key_id)
        return key if key is not None and key.is_valid(self._engine.clock.now()) else None

    def all(self) -> list[ApiKey]:
        """Every key there ever was, oldest first."""
        return list(self._keys.values())

    def on_change(self, call: Callable[[], None]) -> None:
        """Call this, on the loop, whenever somebody who was let in may have to leave."""
        self._listeners.append(call)

    def _tell(self) -> None:
        for call in self._listeners:
            call()

    async def create(
        self, name: str, role: Role, access: AccessScope, *, days: float | None = None, by: Principal = LOCAL
    ) -> tuple[ApiKey, str]:
        """A new key, kept on return, and its text, which nobody can be told again.

        The first key has to be that of an admin who sees everything: from then on everybody needs one.

        Raises:
            InvalidError: the name or the days cannot be.
            ConflictError: it would be the first key, and nobody could make others.
            StoreError: it cannot be kept now; nothing has changed.
        """
        name = (_named("name", name) or "").strip()
        if not name:
            raise InvalidError("name", "name: say whose key it is, or what it is for")
        if name.casefold() in OURS:
            raise InvalidError("name", f"name: {name!r} is what the audit calls the service itself; take another one")
        account, site = _named("account", access.account), _named("site", access.site)
        if days is not None and not 0 < days <= MAX_DAYS:
            raise InvalidError("expires_in_days", f"expires_in_days: more than 0, and at most {MAX_DAYS:,}")
        async with self._lock:
            now, made = self._engine.clock.now(), new_key()
            key = ApiKey(
                id=made.id,
                name=name,
                role=role,
                account=account,
                site=site,
                secret_hash=secret_hash(made.secret),
                created_at=now,
                created_by=by.name,
                expires_at=None if days is None else now + int(days * DAY),
            )
            if not self._keys and not key.principal.may(Role.ADMIN, everywhere=True):
                raise ConflictError(
                    "the first key has to be an admin's, for all accounts and sites: from then on everybody needs a"
                    " key, and nobody could make another"
                )
            await self._engine.store.put_keys([key])
            self._keys[key.id] = key
            self._mark()  # last: a mark without a key would let nobody in
        _log.info("key %s (%s, %s) was made by %s", key.id, name, role.label, by.name)
        self._tell()
        return key, made.text

    async def revoke(self, key_id: str) -> ApiKey:
        """Let a key count no more, at once; one that counts no more already stays as it is.

        Raises:
            NotFoundError: there is none.
            ConflictError: no admin who sees everything would be left.
            StoreError: it counts no more in this process, but that cannot be kept now; it will be, or try again.
        """
        async with self._lock:
            key = self._keys.get(key_id)
            if key is None:
                raise NotFoundError("key", key_id)
            if key.revoked_at is not None:
                return key
            now = self._engine.clock.now()
            if _governs(key, now) and not any(_governs(other, now) for other in self.all() if other.id != key_id):
                raise ConflictError("this is the last key that can make others; make another admin's key first")
            revoked = self._keys[key_id] = msgspec.structs.replace(key, revoked_at=now)
            self._dirty[key_id] = None
            self._tell()
            await self._engine.store.put_keys([revoked])
            self._dirty.pop(key_id, None)
        _log.info("key %s (%s) was revoked", key_id, key.name)
        return revoked

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with."""
        return self._secret

    def has_ended(self, session_id: str) -> bool:
        """Whether this session was signed out of."""
        return session_id in self._ended

    async def end_session(self, session_id: str, until: int) -> None:
        """Sign out: the session counts no more, though its cookie may still be somewhere.

        Args:
            session_id: which.
            until: when it would have ended by itself, microseconds.

        Raises:
            StoreError: it counts no more until the service ends, but that cannot be kept now.
        """
        now = self._engine.clock.now()
        self._ended = {known: end for known, end in self._ended.items() if end > now}
        self._ended[session_id] = until
        self._tell()
        await self._engine.store.end_session(session_id, until, now)

    async def run(self) -> None:
        """Notice keys that expire and write down what has changed, for ever; the ring's owner runs it."""
        while True:
            await self._engine.clock.sleep(LOOK_SECONDS)
            self._tell()
            await self.write_down()

    async def write_down(self) -> None:
        """Keep what is not kept yet, if that can be done now."""
        if self._begun != self._engine.databases:
            self._begun = self._engine.databases
            self._dirty.update(dict.fromkeys(self._keys))
        if not self._dirty:
            return
        async with self._lock:
            dirty, self._dirty = self._dirty, {}
            try:
                await self._engine.store.put_keys([self._keys[key_id] for key_id in dirty])
            except StoreError as error:
                self._dirty = {**dirty, **self._dirty}
                _log.debug("keys cannot be written down now: %s", error)


def _governs(key: ApiKey, now: int) -> bool:
    """Whether this key can make others."""
    return key.is_valid(now) and key.principal.may(Role.ADMIN, everywhere=True)


def _named(parameter: str, given: str | None) -> str | None:
    """A name that can be kept, as it is."""
    if given is None:
        return None
    if len(given) > MAX_NAME or not given.isprintable():
        raise InvalidError(parameter, f"{parameter}: one line of at most {MAX_NAME} printable characters")
    if not given:
        raise InvalidError(parameter, f"{parameter}: it is empty; say which, or leave it out for all of them")
    return given
