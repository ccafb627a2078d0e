"""Names for tasks, stages and steps: random, short (they stand in every row), safe in paths and URLs."""

from __future__ import annotations

import secrets
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lower case: no letter that is taken for a digit."""
_LENGTH: Final = 12


def new_id() -> str:
    """A name that nobody has: 60 random bits."""
    number = secrets.randbits(5 * _LENGTH)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
