"""One-time tickets: for WebSocket clients that can send no headers, so that no key has to stand in an address."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from typing import Final, NamedTuple

from asynclog.errors import TooManyError
from asynclog.protocols import Clock
from asynclog.server.passes import Pass

SECONDS: Final = 30
"""How long a ticket can be used."""
WAITING: Final = 50
"""Unused tickets of one key, or of everybody while there is none."""


class _Ticket(NamedTuple):
    maker: Pass
    until: float


class Tickets:
    """State owned here, on the event loop: the tickets that were not used yet. Their text is kept nowhere."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[bytes, _Ticket] = {}

    def make(self, maker: Pass) -> tuple[str, int]:
        """A ticket that lets its holder in as its maker, and when it ends (microseconds).

        Raises:
            TooManyError: there are enough that nobody has used.
        """
        now = self._clock.monotonic()
        self._tickets = {digest: ticket for digest, ticket in self._tickets.items() if now < ticket.until}
        waiting = Counter(ticket.maker.principal.key_id for ticket in self._tickets.values())
        if waiting[maker.principal.key_id] >= WAITING:
            raise TooManyError(f"{WAITING} tickets wait to be used; use them, or wait {SECONDS} seconds", SECONDS)
        text = secrets.token_urlsafe(32)
        self._tickets[_digest(text)] = _Ticket(maker, now + SECONDS)
        return text, self._clock.now() + SECONDS * 1_000_000

    def use(self, text: str) -> Pass | None:
        """Whom the ticket lets in, this once; None when it was used, is too old, or is none."""
        ticket = self._tickets.pop(_digest(text), None)
        return ticket.maker if ticket is not None and self._clock.monotonic() < ticket.until else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
