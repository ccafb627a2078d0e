"""Sessions of browsers: a signed cookie instead of the key, which a page cannot read and another site cannot send."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from itsdangerous import BadSignature, TimestampSigner

from asynclog.model import Value
from asynclog.principal import ApiKey
from asynclog.protocols import Clock
from asynclog.tasks.keyring import KeyRing

COOKIE: Final = "asynclog_session"
SECONDS: Final = 12 * 3600
"""How long a session lasts; its key's end may be earlier."""
SALT: Final = "asynclog.session"

# Key, session, time, signature: read strictly, for the decoder of Base64 passes over what it does not know.
_TEXT: Final = re.compile(r"([0-9a-f]{12})-([0-9a-f]{32})\.[\w-]{1,12}\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)


class Session(Value, frozen=True):
    """One sign-in of a browser. ``until``: when it ends by itself, microseconds."""

    id: str
    key_id: str
    until: int


class Sessions:
    """Begins sessions and knows them again.

    Args:
        keys: what they are signed with, whose they are, and which were signed out of.
        clock: wall time.
    """

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def begin(self, key: ApiKey) -> tuple[Session, str]:
        """A session of a key's holder, and the text of its cookie."""
        name = secrets.token_hex(16)
        text = self._signer().sign(f"{key.id}-{name}").decode()
        return Session(name, key.id, self._end(self._clock.now() // 1_000_000, key)), text

    def read(self, text: str) -> Session | None:
        """The session of a cookie; None when we did not sign it, or it, its key or the sign-in is over."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        try:
            _, moment = self._signer().unsign(text, max_age=SECONDS, return_timestamp=True)
        except BadSignature:
            return None
        key = self._keys.valid(found[1])
        if key is None or self._keys.has_ended(found[2]):
            return None
        session = Session(found[2], key.id, self._end(int(moment.timestamp()), key))
        return session if self._clock.now() < session.until else None

    def _end(self, begun: int, key: ApiKey) -> int:
        end = (begun + SECONDS) * 1_000_000
        return end if key.expires_at is None else min(end, key.expires_at)

    def _signer(self) -> TimestampSigner:
        return _Signer(self._clock, self._keys.session_secret)


class _Signer(TimestampSigner):
    """HMAC-SHA-256 over our own clock's time."""

    def __init__(self, clock: Clock, secret: bytes) -> None:
        super().__init__(secret, salt=SALT, key_derivation="hmac", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return self._clock.now() // 1_000_000
