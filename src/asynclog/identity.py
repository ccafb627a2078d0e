"""Names for tasks, stages and steps: random, short (they stand in every row), safe in paths and URLs."""

from __future__ import annotations

import secrets
from typing import Final

_ALPHABET: Final = "0123456789bcdfghjkmnpqrstvxyz"
"""No letter that is taken for a digit, and none that makes words: ``pwd…: 5`` in a message would be redacted."""
_LENGTH: Final = 12


def new_id() -> str:
    """A name that nobody has: 58 random bits."""
    number, found = secrets.randbits(96), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        found += _ALPHABET[digit]
    return found
