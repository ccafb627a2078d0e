"""Whether a message, or another text, contains a text, A-Z and a-z being the same: as SQL, and in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from asynclog.metadata_condition import SqlTerm

_FREQUENT: Final = "e01raont:ci2s.-d549387m6lpufgb/hvwk,_x[]y=q@()"
"""What log messages are made of, the most frequent first; a blank is before all of them."""

CONFUSED: Final = frozenset("\ufffd\ufffe\uffff")
"""SQLite takes these for one another, in LIKE and in FTS5."""


class WithMessage(Protocol):
    """What is searched."""

    @property
    def message(self) -> str:
        """The text."""


def like_pattern(text: str) -> str:
    r"""The pattern with which ``LIKE ? ESCAPE '\'`` finds a plain substring.

    LIKE folds A-Z alone, as a search does, and is twice as fast as instr(lower(...)).
    """
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def contains(column: str, text: str) -> SqlTerm:
    """Whether the column contains the text."""
    if not CONFUSED.isdisjoint(text):
        return f"instr(lower({column}), ?)", [text.encode().lower().decode()]
    return f"{column} LIKE ? ESCAPE '\\'", [like_pattern(text)]


def search_term(search: str) -> SqlTerm:
    """The text; and before it what is left of it from the rarest character of its first half on, if that is less.

    LIKE stops at each place where the first character of the text occurs, at a frequent one ten times in a message:
    that takes as long as reading the row.
    """
    whole, params = contains("message", search)
    rarities = [_rarity(character) for character in search[: len(search) // 2 + 1]]
    start = rarities.index(max(rarities)) if rarities else 0
    if start == 0 or not CONFUSED.isdisjoint(search):
        return whole, params
    rest, more = contains("message", search[start:])
    return f"({rest} AND {whole})", [*more, *params]


def _rarity(character: str) -> int:
    """How rare, as far as it helps: SQLite looks for what is not ASCII one character after the other."""
    if character == " " or not character.isascii():
        return -1
    place = _FREQUENT.find(character.lower())
    return len(_FREQUENT) if place < 0 else place


def search_check(searches: tuple[str, ...]) -> Callable[[WithMessage], bool]:
    """Whether the message contains one of the texts."""
    # bytes.lower() folds A-Z alone, and in UTF-8 a substring of the bytes is one of the characters.
    needles = [search.encode().lower() for search in searches]
    if len(needles) == 1:
        [needle] = needles
        return lambda record: needle in record.message.encode().lower()

    def check(record: WithMessage) -> bool:
        message = record.message.encode().lower()
        return any(needle in message for needle in needles)

    return check
