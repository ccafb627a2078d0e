"""Skeletons: the consonants of a text with everything between them left out, cut into runs of four.

A search whose trigrams all occur in every block, because its words are frequent, says most where its words meet:
what stands in `timeout in finished` and hardly anywhere else is `tnfn`. A skeleton has few letters, so its runs reach
over words, and leaving letters out keeps what matters: where a text is part of another one, so is its skeleton.

Every second run is indexed. A search has those that begin at its first letter, or those that begin at its second.
"""

from __future__ import annotations

from typing import Final

_LETTERS: Final = b"bcdfghjklmnpqrstvwxyz"
_KEPT: Final = _LETTERS + _LETTERS.upper()
_LEFT_OUT: Final = bytes(byte for byte in range(256) if byte not in _KEPT)
_FOLDED: Final = bytes(byte | 0x20 if byte in _KEPT else byte for byte in range(256))
_LENGTH: Final = 4
_STEP: Final = 2


def indexed_runs(text: bytes) -> str:
    """The runs of a text (UTF-8) that are indexed, a space behind each. Takes some 3 ns for a byte."""
    letters = text.translate(_FOLDED, _LEFT_OUT)
    count = max(0, (len(letters) - _LENGTH) // _STEP + 1)
    runs = bytearray(b" ") * ((_LENGTH + 1) * count)
    for place in range(_LENGTH):
        runs[place :: _LENGTH + 1] = letters[place::_STEP][:count]
    return runs.decode("ascii")


def searched_runs(text: str) -> tuple[list[str], ...]:
    """What the index has of a text that contains this one: all of one of these lists. None when it is too short."""
    letters = text.encode().translate(_FOLDED, _LEFT_OUT).decode("ascii")
    lists = tuple(
        [letters[start : start + _LENGTH] for start in range(first, len(letters) - _LENGTH + 1, _STEP)]
        for first in range(_STEP)
    )
    return lists if all(lists) else ()
