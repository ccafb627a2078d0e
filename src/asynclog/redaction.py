"""Secrets kept out of what is logged: by the shape they have in text, by the key they stand under.

A `Redactor` is an immutable value, safe from any thread. It is a net, not a proof: a secret that looks like any word
and stands under a harmless name passes. Its patterns start with a literal, repeat only in bounds or over disjoint
characters, and so take linear time on any text; the usual message is let through by a few substring checks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Final

REDACTED: Final = "[redacted]"
"""What stands where a secret stood."""

_KNOWN_KEYS: Final = 8192
"""Keys remembered as harmless or secret; then the memory starts anew."""
_KEY_LENGTH: Final = 64
"""Longer keys are looked at every time."""

_HIDDEN_KEY: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|api[-_. ]?key|(?:private|access|signing|encryption|session|master)"
    r"[-_. ]?key|authori[sz]ation|(?:^|[-_.])auth$|cookie|credential"
)
_COUNTED: Final = re.compile(r"token|cookie|credential", re.IGNORECASE)
"""A number under such a key counts them ("max_tokens": 4096) and stays."""
_MOST_COUNTED: Final = 1 << 53

_QUOTED: Final = r"""(?:"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?|\\"[^"\n]*"?)"""
_VALUE: Final = rf"""(?!\[redacted)(?!(?:none|null|true|false)\b)(?:{_QUOTED}|[^\s,;&"'}})\]]+)"""
_EQUALS: Final = r"""[\w-]{0,32}["'\\]{0,4}+\s{0,4}+={1,3}+>?+\s{0,4}+"""
_COLON: Final = r"""[\w-]{0,32}["'\\]{0,4}+\s{0,4}+:\s{0,4}+"""
_ASSIGN: Final = r"""[\w-]{0,32}["'\\]{0,4}+\s{0,4}+(?>={1,3}+>?+|:=|:)\s{0,4}+"""
_WORDS: Final = r"pass(?:word|wd|phrase|code)|pwd|secret|(?:api|access|private|signing|encryption)[-_ ]?key|credential"
_K_WORD: Final = re.compile(
    r"k(?:(?<=tok)en|(?<=ook)ie|ey(?:(?<=api.key)|(?<=apikey)|(?<=access.key)|(?<=accesskey)|(?<=private.key)|(?<=ing.key)"
    r"|(?<=ion.key)))"
)


def _basic(match: re.Match[str]) -> str:
    # "basic authentication failed" is prose: only what decodes to user:password is a secret.
    try:
        return match[1] + REDACTED if b":" in base64.b64decode(match[2] + "==") else match[0]
    except ValueError:
        return match[0]


_Rules = tuple[tuple[re.Pattern[str], "str | Callable[[re.Match[str]], str]"], ...]

_NAMED: Final[_Rules] = (
    (re.compile(rf"({_WORDS})({_ASSIGN}){_VALUE}", re.IGNORECASE), rf"\1\2{REDACTED}"),
    (re.compile(rf"(token{_EQUALS})(?!\d+(?![\w.])){_VALUE}", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"(token{_COLON}[\"'\\]{{0,4}})[\w.~+/=-]{{12,}}", re.IGNORECASE), rf"\1{REDACTED}"),
    (
        re.compile(rf"\b((?:authorization|cookie){_ASSIGN}[\"']?)(?!\[redacted)[^\n\"']+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
)
"""Secrets that follow their name, as in ``password=…``, ``"api_key": "…"``, ``Authorization: …``."""

_SHAPED: Final[_Rules] = (
    (
        re.compile(r"-----BEGIN ([A-Z0-9 ]{0,32}PRIVATE KEY)[^-]{0,16}-----[^-]*(?:-----END [A-Z0-9 ]{0,48}-----)?"),
        r"[redacted \1]",
    ),
    (re.compile(r"(://[^/\s:@\"'<>]*:)[^/\s\"'<>]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(r"\b(bearer\s{1,8})(?!(?:authentication|authori[sz]ation)\b)[\w.~+/-]{8,}=*", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b(basic\s{1,8})([A-Za-z0-9+/]{6,}={0,2})(?![\w+/=])", re.IGNORECASE), _basic),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), REDACTED),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"), REDACTED),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|sk[-_]|xox[abeprs]-|AIza)[\w-]{16,}"), REDACTED),
    (
        re.compile(
            r"(?<![\w-])(--[\w-]{0,32}?(?:password|passwd|passphrase|secret|token|api-?key|access-?key)[\w-]{0,16}\s{1,4}+)"
            r"(?!\[redacted)(?![\s-])(?:\"[^\"\n]*\"?|'[^'\n]*'?|\S+)",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)
"""Secrets that look like one wherever they stand, and those after a command line's ``--password``."""

# These start with a literal, so that the search is a scan for one character; what follows fails fast.
_DASHED: Final = re.compile(
    r"-(?:-(?:---BEGIN|\w(?<![\w-]--\w))|(?<=k-)(?<=sk-)|(?<=t-)(?<=glpat-)|(?<=[abeprs]-)(?<=xox.-))"
)
_UNDERSCORED: Final = re.compile(r"_(?<=[pousrtk]_)(?:(?<=gh[pousr]_)|(?<=github_pat_)|(?<=sk_))")
_KEYED: Final = re.compile(r"A(?:KIA|SIA|Iza)")


def _suspicious(text: str) -> bool:
    """Whether a rule may match. Single characters are asked for first: far cheaper than a word."""
    return (
        (("=" in text or ":" in text) and _names_secret(text))
        or ("-" in text and _DASHED.search(text) is not None)
        or ("_" in text and _UNDERSCORED.search(text) is not None)
        or ("@" in text and "://" in text)
        or ("B" in text and ("Bearer " in text or "Basic " in text or "BEARER " in text or "BASIC " in text))
        or ("A" in text and _KEYED.search(text) is not None)
        or ("J" in text and "eyJ" in text)
        or "bearer " in text
    )


def _names_secret(text: str) -> bool:
    """Whether a rule of `_NAMED` may match a text that has a separator in it."""
    folded = text.lower()
    return (
        "pass" in folded
        or "secret" in folded
        or "credential" in folded
        or ("k" in folded and _K_WORD.search(folded) is not None)
        or ("w" in folded and "pwd" in folded)
        or ("z" in folded and "authoriz" in folded)
    )


class Redactor:
    """What counts as a secret. `extended` gives another one that knows more; nothing is ever known less.

    ``patterns`` are regular expressions whose whole match is replaced; they run on every text, so keep them few and
    linear. ``keys`` are words: a key that contains one, whatever its case, hides its value.
    """

    __slots__ = ("_compiled", "_keys", "_patterns", "known")

    known: dict[str, bool | None]
    """Any key (an exact str) to True: its value is hidden; False: harmless; None: look at the key itself."""

    def __init__(self, patterns: Iterable[str] = (), keys: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._keys = tuple(keys)
        self._compiled = tuple(re.compile(pattern) for pattern in self._patterns)
        words = "|".join([_HIDDEN_KEY, *map(re.escape, self._keys)])
        self.known = _KnownKeys(re.compile(words, re.IGNORECASE), self)

    def extended(self, patterns: Iterable[str] = (), keys: Iterable[str] = ()) -> Redactor:
        """This one and more. Raises re.error for a pattern that is none."""
        return Redactor((*self._patterns, *patterns), (*self._keys, *keys))

    def suspects(self, text: str) -> bool:
        """Whether `redact` would have to look closer: False promises that it changes nothing."""
        return _suspicious(text) or bool(self._compiled)

    def redact(self, text: str) -> str:
        """The text without its secrets; the very same object when there are none in sight."""
        if _suspicious(text):
            # The named rules are slower than asking once more whether there is a name.
            named = ("=" in text or ":" in text) and _names_secret(text)
            for pattern, replacement in (*_NAMED, *_SHAPED) if named else _SHAPED:
                text = pattern.sub(replacement, text)
        if self._compiled:
            for pattern in self._compiled:
                text = pattern.sub(REDACTED, text)
        return text

    def hides(self, key: str, value: object) -> bool:
        """Whether this value under this key is hidden: not when it is a flag, nothing at all, or a count."""
        if not self.known[key]:
            return False
        if value is None or value is True or value is False or (type(value) is str and not value):
            return False
        if type(value) is int or type(value) is float:
            return not (abs(value) <= _MOST_COUNTED and _COUNTED.search(key))
        return True


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
            answer = False if key.isprintable() and self._redactor.redact(key) == key else None
        if len(key) <= _KEY_LENGTH:
            if len(self) >= _KNOWN_KEYS:
                self.clear()
            self[key] = answer
        return answer


REDACTOR: Final = Redactor()
"""What asynclog uses unless it is given another one."""

redact: Final = REDACTOR.redact
"""The text without its secrets, by the rules that come along."""
