"""Secrets kept out of what is logged: by the shape they have in text, by the key they stand under.

A `Redactor` is an immutable value, safe from any thread. It is a net, not a proof: a secret that looks like any word
and stands under a harmless name passes. The shapes are in `redaction_rules`, what users may add in
`redaction_patterns`; all of it takes linear time on any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from asynclog.redaction_patterns import checked_keys, compiled_patterns
from asynclog.redaction_rules import COUNTED, HIDDEN_KEY, REDACTED, SHAPED, applied, named, substituted, suspicious

__all__ = ["NAMED", "NAMING", "REDACTED", "REDACTOR", "Redactor", "redact"]

_KNOWN_KEYS: Final = 8192
"""Keys remembered as harmless or secret; then the memory starts anew."""
_KEY_LENGTH: Final = 64
"""Longer keys are looked at every time."""
_MOST_COUNTED: Final = 1 << 53
_TEMPLATES: Final = 4096
"""Templates remembered as harmless or not; then the memory starts anew."""
_TEMPLATE_LENGTH: Final = 1024
_NUMBER: Final = re.compile(r"%%|%(?:0\d{1,3})?(?:\.\d{1,3})?[dsifger]")
"""Where a template takes a number as its plain text: without spaces around it, without letters for digits."""
_TEXT: Final = re.compile(r"%[^%a-z]*[sr]")
"""Where it takes what is no number, too."""
_SHAPES: Final = (
    *("1", "12345678901234567890", "-12345678901234567890", "1234567890123456.5", "1.2345678901234567e-300"),
    *("-1.2345678901234567e+300", "inf", "-inf", "nan", "None", "True", "False"),
)
"""What a number may look like there."""
NUMBERS: Final[frozenset[type]] = frozenset({int, float, bool, type(None)})
"""The types that look like that."""
KEYWORDS: Final = frozenset({"exc_info", "stack_info", "stacklevel", "extra", "metadata"})
"""What is given to a log call under these asks for something: they are never among the harmless keys."""
NAMING: Final = frozenset({"name", "Name", "key", "Key"})
NAMED: Final = frozenset({"value", "Value"})
"""What is under one of these may be named under one of those: ``{"name": "DB_PASSWORD", "value": "…"}``."""
_SPECIAL: Final = NAMED | KEYWORDS
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]{0,63}")
_NEXT_OPTION: Final = re.compile(r"--[A-Za-z][\w.-]{0,63}(?:=.*)?|-[A-Za-z]{1,2}", re.DOTALL)
_USER_OPTIONS: Final = frozenset({"-u", "--user", "--proxy-user"})
_USER: Final = re.compile(r"([^\s:]{1,64}:)(?!\d+$|\[redacted)\S.*", re.DOTALL)


class Redactor:
    """What counts as a secret. `extended` gives another one that knows more; nothing is ever known less.

    Args:
        patterns: regular expressions whose whole match is replaced, within the bounds of `redaction_patterns`.
        keys: words of 3 to 64 characters: a key that contains one, whatever its case, hides its value, and so does a
            name in text with ``=`` or ``:`` behind it.

    Raises:
        ValueError: one of them is none, or a pattern could take too long; the message says which and why.
    """

    __slots__ = (
        "_compiled",
        "_extended",
        "_keys",
        "_named",
        "_patterns",
        "_words",
        "harmless",
        "known",
        "numeric",
        "templates",
    )

    known: dict[str, bool | None]
    """Any key (an exact str) to True: its value is hidden; False: harmless; None: look at the key itself, or at what
    stands beside it."""
    harmless: set[str]
    """The keys that `known` remembers as harmless."""
    templates: dict[str, bool]
    """Templates (exact strs) that were looked at to whether they are plain text without a secret, whatever values of
    `NUMBERS` are put into them."""
    numeric: set[str]
    """Those of them for which that holds of any values that fit: they take nothing but numbers."""

    def __init__(self, patterns: Iterable[str] = (), keys: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._keys = checked_keys(keys)
        self._compiled = compiled_patterns(self._patterns)
        self._named = named(self._keys)
        self._words = tuple(key.lower() for key in self._keys)
        self._extended = bool(self._words or self._compiled)
        self.templates = {}
        self.numeric = set()
        words = "|".join([HIDDEN_KEY, *map(re.escape, self._keys)])
        self.harmless = set()
        self.known = _KnownKeys(re.compile(words, re.IGNORECASE), self)

    def extended(self, patterns: Iterable[str] = (), keys: Iterable[str] = ()) -> Redactor:
        """This one and more. Raises ValueError as the constructor does."""
        return Redactor((*self._patterns, *patterns), (*self._keys, *keys))

    def look_at(self, template: str) -> None:
        """Remember of a template what `templates` and `numeric` say; of a long one nothing."""
        if len(template) > _TEMPLATE_LENGTH:
            return
        plain = template.isprintable() and "%" not in _NUMBER.sub("", template)
        plain = plain and not any(self.suspects(_filled(template, shape)) for shape in _SHAPES)
        if len(self.templates) >= _TEMPLATES:
            self.templates.clear()
            self.numeric.clear()
        self.templates[template] = plain
        if plain and not _TEXT.search(template.replace("%%", "")):
            self.numeric.add(template)

    def suspects(self, text: str) -> bool:
        """Whether `redact` would have to look closer: False promises that it changes nothing."""
        return suspicious(text) or (self._extended and (bool(self._compiled) or self._names_own(text)))

    def redact(self, text: str) -> str:
        """The text without its secrets; the very same object when there are none in sight."""
        if suspicious(text):
            folded = text.lower()
            if "=" in text or ":" in text:
                text = applied(self._named, text, folded)
            text = applied(SHAPED, text, folded)
        return self._without_own(text) if self._extended else text

    def _without_own(self, text: str) -> str:
        """Without what users have named."""
        if self._words and self._names_own(text):
            text = applied(self._named, text, text.lower())
        for pattern in self._compiled:
            text = substituted(pattern, REDACTED, text)
        return text

    def _names_own(self, text: str) -> bool:
        folded = text.lower()
        return any(word in folded for word in self._words)

    def hides(self, key: str, value: object) -> bool:
        """Whether this value under this key is hidden: not when it is a flag, nothing at all, or a count."""
        if not self.known[key]:
            return False
        if value is None or value is True or value is False or (type(value) is str and not value):
            return False
        if type(value) is int or type(value) is float:
            return not (abs(value) <= _MOST_COUNTED and COUNTED.search(key))
        return True

    def argument(self, before: object, value: str) -> str:
        """An item of a list, which may be a command line: without the secret that an option before it names."""
        if type(before) is not str or not before.startswith("-"):
            return value
        if before in _USER_OPTIONS:
            return _USER.sub(rf"\1{REDACTED}", value)
        if not (_OPTION.fullmatch(before) and self.hides(before, value)):
            return value
        return value if _NEXT_OPTION.fullmatch(value) or (value.isdecimal() and COUNTED.search(before)) else REDACTED


class _KnownKeys(dict[str, "bool | None"]):
    """Answers for every key and remembers the short ones: a look-up instead of a pattern."""

    __slots__ = ("_redactor", "_secret")

    def __init__(self, secret: re.Pattern[str], redactor: Redactor) -> None:
        self._secret = secret
        self._redactor = redactor

    def __missing__(self, key: str) -> bool | None:
        answer: bool | None = True
        if not self._secret.search(key):
            # Printable: neither NUL nor a lone surrogate nor anything else that has to be escaped.
            plain = key.isprintable() and key not in _SPECIAL and self._redactor.redact(key) == key
            answer = False if plain else None
        if len(key) <= _KEY_LENGTH:
            if len(self) >= _KNOWN_KEYS:
                self.clear()
                self._redactor.harmless.clear()
            self[key] = answer
            if answer is False:
                self._redactor.harmless.add(key)
        return answer


def _filled(template: str, number: str) -> str:
    return _NUMBER.sub(lambda place: "%" if place[0] == "%%" else number, template)


REDACTOR: Final = Redactor()
"""What asynclog uses unless it is given another one."""

redact: Final = REDACTOR.redact
"""The text without its secrets, by the rules that come along."""
