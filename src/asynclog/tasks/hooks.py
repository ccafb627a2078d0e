"""Webhooks: who may call one, and what it starts.

A caller shows the secret, or signs with it: the body (``sha256=HEX``, as GitHub does), or the time and the body
(``t=SECONDS,v1=HEX``, as Stripe does), which then counts once, and for five minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from asynclog.config import Hook
from asynclog.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TooManyError
from asynclog.tasks.plugin import Plugin

HASHED: Final = "sha256:"
OFF_SECONDS: Final = 300
"""How far the time of a signature may be off."""
REMEMBERED: Final = 100_000
"""Signatures with a time that are remembered as used."""

_PLAIN: Final = re.compile(r"sha256=([0-9a-fA-F]{64})")
_TIMED: Final = re.compile(r"t=(\d{1,12})((?:,[a-z]\w{0,20}=\w{1,200}){1,10})", re.ASCII)
_AS_TIMED: Final = re.compile(rb"\d{1,12}\.")
"""How what is signed with its time begins: as a body alone it would never grow old."""
_VERSION: Final = re.compile(r",v1=([0-9a-fA-F]{64})(?![^,])")


class Hooks:
    """The hooks of asynclog.toml. State owned here, on the event loop: signatures that were used, until they are old.

    Args:
        hooks: name to hook.
        plugins: what they may start.

    Raises:
        InvalidError: a hook starts a plugin that there is not, or its hash is none.
    """

    def __init__(self, hooks: Mapping[str, Hook], plugins: Mapping[str, Plugin]) -> None:
        self._hooks: dict[str, tuple[bytes, Hook]] = {}
        self._keys: dict[str, bytes] = {}
        """What is signed with, of the hooks whose secret is known, and not only its hash."""
        self._used: dict[bytes, float] = {}
        """Signatures with a time, and until when they are remembered; the oldest first."""
        for name, hook in hooks.items():
            if hook.plugin not in plugins:
                raise InvalidError(f"hooks.{name}.plugin", f"[hooks.{name}] there is no plugin {hook.plugin!r}")
            plugins[hook.plugin].check(hook.params)
            self._hooks[name] = _digest(name, hook.secret), msgspec.structs.replace(hook, secret="")
            if not hook.secret.startswith(HASHED):
                self._keys[name] = hook.secret.encode()

    def authorised(self, name: str, secret: str) -> Hook:
        """The hook, for a caller who knows its secret.

        Raises:
            NotFoundError: there is no such hook.
            ForbiddenError: the secret is another.
        """
        digest, hook = self._named(name)
        given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(given, digest):
            raise ForbiddenError(
                "this is not the hook's secret; send it in the header X-Asynclog-Hook-Secret, or sign the body with it"
            )
        return hook

    def signing(self, name: str) -> None:
        """Go on if the hook's callers may sign. Raises NotFoundError, ForbiddenError."""
        self._named(name)
        if name not in self._keys:
            raise ForbiddenError(
                "of this hook's secret only a hash is known, by which no signature can be checked; write the secret"
                " itself into asynclog.toml, or send it in the header X-Asynclog-Hook-Secret"
            )

    def signed(self, name: str, signature: str, body: bytes) -> Hook:
        """The hook, for a caller who has signed the body: ``sha256=HEX``.

        Raises:
            NotFoundError: there is no such hook.
            ForbiddenError: the signature is another, or none, or may have been made of a time and a body.
        """
        self.signing(name)
        found = _PLAIN.fullmatch(signature)
        if _AS_TIMED.match(body):
            raise ForbiddenError(
                "a body that begins with a number and a dot, like time and body, is signed with its time: t=SECONDS,v1="
            )
        if found is None or not hmac.compare_digest(self._signature(name, body), bytes.fromhex(found[1])):
            raise ForbiddenError("this is not the body's signature: sha256= and its HMAC-SHA-256 in hexadecimal digits")
        return self._hooks[name][1]

    def signed_now(self, name: str, signature: str, body: bytes, now: float) -> Hook:
        """The hook, for a caller who has signed time and body: ``t=SECONDS,v1=HEX``. The same counts only once.

        Args:
            name: of the hook.
            signature: with at least one v1; what else is there is passed over.
            body: as it came.
            now: seconds since the epoch.

        Raises:
            NotFoundError: there is no such hook.
            ForbiddenError: the signature is another, or none, or its time is too far off.
            ConflictError: it was used.
            TooManyError: so many were used that no more can be remembered.
        """
        self.signing(name)
        found = _TIMED.fullmatch(signature)
        given = [] if found is None else [bytes.fromhex(digits) for digits in _VERSION.findall(found[2])]
        expected = b"" if found is None else self._signature(name, found[1].encode(), b".", body)
        if found is None or not any(hmac.compare_digest(expected, one) for one in given):
            raise ForbiddenError(
                "this is not the signature: t=SECONDS,v1=HEX, the HMAC-SHA-256 of SECONDS, a dot and the body"
            )
        if abs(now - int(found[1])) > OFF_SECONDS:
            raise ForbiddenError(
                f"the signature's time is off by more than {OFF_SECONDS} seconds; look at the clocks, and sign anew"
            )
        self._use(expected, now)
        return self._hooks[name][1]

    def _named(self, name: str) -> tuple[bytes, Hook]:
        found = self._hooks.get(name)
        if found is None:
            raise NotFoundError("hook", name)
        return found

    def _signature(self, name: str, *parts: bytes) -> bytes:
        signature = hmac.new(self._keys[name], digestmod=hashlib.sha256)
        for part in parts:
            signature.update(part)
        return signature.digest()

    def _use(self, signature: bytes, now: float) -> None:
        while self._used and self._used[oldest := next(iter(self._used))] < now:
            del self._used[oldest]
        if signature in self._used:
            raise ConflictError("this very request came already; sign it anew to start another task")
        if len(self._used) >= REMEMBERED:
            raise TooManyError(f"{REMEMBERED:,} signed requests came within minutes; wait", OFF_SECONDS)
        self._used[signature] = now + 2 * OFF_SECONDS  # its time may be ahead of ours


def hook_of(given: Hook | Mapping[str, Any]) -> Hook:
    """A hook given as a mapping. Raises InvalidError."""
    try:
        return given if isinstance(given, Hook) else msgspec.convert(given, Hook)
    except msgspec.ValidationError as error:
        raise InvalidError("hooks", f"a hook takes plugin, secret, params, account and site: {error}") from None


def _digest(name: str, secret: str) -> bytes:
    if not secret.startswith(HASHED):
        return hashlib.sha256(secret.encode()).digest()
    try:
        digest = bytes.fromhex(secret.removeprefix(HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise InvalidError(f"hooks.{name}.secret", f"[hooks.{name}] after sha256: come 64 hexadecimal digits")
    return digest
