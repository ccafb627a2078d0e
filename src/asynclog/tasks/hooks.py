"""Webhooks: who may call one, and what it starts. Only hashes of the secrets are kept."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from asynclog.config import Hook
from asynclog.errors import ForbiddenError, InvalidError, NotFoundError
from asynclog.tasks.plugin import Plugin

HASHED: Final = "sha256:"


class Hooks:
    """The hooks of asynclog.toml.

    Args:
        hooks: name to hook.
        plugins: what they may start.

    Raises:
        InvalidError: a hook starts a plugin that there is not, or its hash is none.
    """

    def __init__(self, hooks: Mapping[str, Hook], plugins: Mapping[str, Plugin]) -> None:
        self._hooks: dict[str, tuple[bytes, Hook]] = {}
        for name, hook in hooks.items():
            if hook.plugin not in plugins:
                raise InvalidError(f"hooks.{name}.plugin", f"[hooks.{name}] there is no plugin {hook.plugin!r}")
            plugins[hook.plugin].check(hook.params)
            self._hooks[name] = _digest(name, hook.secret), msgspec.structs.replace(hook, secret="")

    def authorised(self, name: str, secret: str) -> Hook:
        """The hook, for a caller who knows its secret.

        Raises:
            NotFoundError: there is no such hook.
            ForbiddenError: the secret is another.
        """
        found = self._hooks.get(name)
        if found is None:
            raise NotFoundError("hook", name)
        digest, hook = found
        given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(given, digest):
            raise ForbiddenError("this is not the hook's secret; send it in the header X-Asynclog-Hook-Secret")
        return hook


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
