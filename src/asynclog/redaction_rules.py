"""The shapes that secrets have in text: what finds them, what tells cheaply that there are none.

Each pattern begins with a literal or a word, repeats only in bounds, possessively or over what nothing behind it
matches, and gives back the same text when it is applied to its own result: so it takes linear time on any text, and a
second pass changes nothing. The usual message never gets that far: `suspicious` asks for single characters first,
which costs a fraction of asking for a word.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

REDACTED: Final = "[redacted]"
"""What stands where a secret stood."""

WINDOW: Final = 1 << 17
"""Characters that are searched at one go,"""
MARGIN: Final = 1 << 15
"""of which the last ones only say what becomes of those before them."""

HIDDEN_KEY: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|cookie|credential|authori[sz]ation|(?:^|[-_. ])(?:pass|auth|jwt)$"
    r"|(?:api|private|access|account|signing|encryption|session|master|shared)[-_. ]?key"
)
"""In a key of an object, an option or a variable: what stands under it is a secret."""
COUNTED: Final = re.compile(r"token|cookie|credential|pass$", re.IGNORECASE)
"""A number under such a key counts them ("max_tokens": 4096) and stays."""

_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|credential"
    r"|(?:api|access|account|private|signing|encryption|master|session|shared)[-_ ]?key"
)
_INITIALS: Final = "psacem"
"""Of these words."""
_QUOTED: Final = r"""(?:"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?|\\"[^"\n]*"?)"""
_INSIDE: Final = r"\{[^{}]{0,2000}+\}?|\[[^\[\]]{0,2000}+\]?"
_REST: Final = r"""[\w-]{0,32}["'\\]{0,4}+\s{0,4}+"""
_NEXT_NAME: Final = rf"[\w-]{{0,32}}?(?:{_WORDS}|pass|token|cookie|authorization){_REST}[=:]"
_VALUE: Final = (
    rf"(?!\[redacted)(?!(?:none|null|true|false)\b)(?!{_NEXT_NAME})"
    rf"""(?:{_QUOTED}|{_INSIDE}|[^\s,;&"'}})\]]+)"""
)
_EQUALS: Final = rf"{_REST}={{1,3}}+>?+\s{{0,4}}+"
_COLON: Final = rf"{_REST}:\s{{0,4}}+"
_ASSIGN: Final = rf"{_REST}(?>={{1,3}}+>?+|:=|:)\s{{0,4}}+"
_OPENING: Final = r"""(?:(?!\[redacted)[\["'\\]){0,4}+"""
_QUOTED_PARTS: Final = r"""(?:(?<==)"[^"\n]*+"?+[^\n"'\\]*+|\\(?!["'\n])[^\n"'\\]*+)*+"""
"""A header's value goes on behind ``name="…"`` and a backslash, and ends at any other quote."""
_NO_NUMBER: Final = r"(?!\d+(?![\w.]))"


Replacement = str | Callable[[re.Match[str]], str]


class Rule(NamedTuple):
    """What is replaced, by what; tried only on a text that has one of the marks in it, whatever their case."""

    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: Replacement


Rules = tuple[Rule, ...]


def _rule(marks: str, pattern: str, replacement: Replacement, *, any_case: bool) -> Rule:
    return Rule(tuple(marks.split()), re.compile(pattern, re.IGNORECASE if any_case else 0), replacement)


def applied(rules: Rules, text: str, folded: str) -> str:
    """The text with each rule applied that may match. ``folded``: the text before any rule, in lower case."""
    for marks, pattern, replacement in rules:
        if any(mark in folded for mark in marks):
            text = substituted(pattern, replacement, text)
    return text


def substituted(
    pattern: re.Pattern[str], replacement: Replacement, text: str, window: int = WINDOW, margin: int = MARGIN
) -> str:
    """``pattern.sub(replacement, text)``, which lets other threads in between where the text is long.

    A search holds the interpreter until it is over. So it is given a window, and what it finds counts when it ends well
    before the window does: more of the text would not have changed it. Else the next window begins there, twice as long
    if need be. What is a secret only because of something that stands farther behind it than the margin, and with no
    blank between, as the ``@`` of a URL, could be found in the whole text alone.
    """
    if len(text) <= 2 * window:
        return pattern.sub(replacement, text)
    filled = replacement if callable(replacement) else _filling(replacement)
    parts: list[str] = []
    done, at, size = 0, 0, window
    while at < len(text):
        began, end = at, min(at + size, len(text))
        sure = end if end == len(text) else end - margin
        pieces: list[str] = []
        for match in pattern.finditer(text, at, end):
            if match.end() > sure:
                at = match.start()
                break
            pieces += text[done : match.start()], filled(match)
            done = match.end()
            at = max(done, match.start() + 1)
        else:
            at = max(at, sure)
        size = 2 * size if at == began else window
        parts.append("".join(pieces))
    return "".join([*parts, text[done:]])


def _filling(template: str) -> Callable[[re.Match[str]], str]:
    """What `re.Match.expand` does, for templates of groups with one digit."""
    parts = list(enumerate(re.split(r"\\(\d)", template)))
    return lambda match: "".join([match[int(part)] or "" if place % 2 else part for place, part in parts])


def named(words: Iterable[str] = ()) -> Rules:
    """Secrets that follow their name, as in ``password=…``, ``"api_key": "…"``; these words are names too."""
    own = tuple(words)
    names = "|".join([_WORDS, *map(re.escape, own)])
    initials = _INITIALS + "".join(re.escape(word[0]) for word in own)
    # Most characters are none of the initials, which is found out faster than that none of the words begins there.
    pattern = re.compile(rf"(?=[{initials}])({names})({_ASSIGN}){_VALUE}", re.IGNORECASE)
    marks = ("pass", "pwd", "secret", "credential", "key", *map(str.lower, own))
    return (Rule(marks, pattern, rf"\1\2{REDACTED}"), *_NAMED)


_NAMED: Final[Rules] = (
    _rule("token", rf"(token{_EQUALS}){_NO_NUMBER}{_VALUE}", rf"\1{REDACTED}", any_case=True),
    _rule("-token _token", rf"((?<=[-_])token{_ASSIGN}){_NO_NUMBER}{_VALUE}", rf"\1{REDACTED}", any_case=True),
    _rule(
        "pass",
        rf"""(pass(?<![a-z0-9]pass)(?=["'\\\s]{{0,8}}[=:])(?>{_ASSIGN})){_NO_NUMBER}{_VALUE}""",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule(
        "value",
        rf"""(["'](?:name|key)["']\s{{0,4}}:\s{{0,4}}["'][\w.-]{{0,64}}?(?:{_WORDS}|token|cookie)[\w.-]{{0,64}}+["']"""
        rf"""\s{{0,4}},\s{{0,4}}["']value["']\s{{0,4}}:\s{{0,4}})(?!\[redacted){_QUOTED}""",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    # "unexpected token: }" is prose; a quoted name is a key, and what is long enough is no word.
    _rule(
        "token",
        rf"""(token[\w-]{{0,32}}["'\\]{{1,4}}+\s{{0,4}}+:\s{{0,4}}+)(?!\\?["']\[redacted){_QUOTED}""",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule("token", rf"(token{_COLON}[\"'\\]{{0,4}})[\w.~+/=-]{{12,}}", rf"\1{REDACTED}", any_case=True),
    _rule(
        "authorization cookie",
        rf"""\b((?:authorization|cookie){_ASSIGN}{_OPENING})(?!\[redacted|{_NEXT_NAME})[^\n"'\\]++{_QUOTED_PARTS}""",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule(
        "? &",
        r"([?&](?:sig|signature|x-(?:amz|goog)-signature|auth|jwt|sid|session|session_?id|ticket)=)(?!\[redacted)"
        r"[^\s&\"'#<>\\]+|([?&](?:code|key)=)(?!\[redacted)[^\s&\"'#<>\\]{16,}",
        rf"\1\2{REDACTED}",
        any_case=True,
    ),
)


def _basic(match: re.Match[str]) -> str:
    # "Basic authentication failed" is prose: only what decodes to user:password is a secret.
    try:
        return match[1] + REDACTED if b":" in base64.b64decode(match[2] + "==") else match[0]
    except ValueError:
        return match[0]


SHAPED: Final[Rules] = (
    _rule(
        "-----begin",
        r"-----BEGIN ([A-Z0-9 ]{0,32}PRIVATE KEY)[^-]{0,16}-----[^-]*(?:-----END [A-Z0-9 ]{0,48}-----)?",
        r"[redacted \1]",
        any_case=False,
    ),
    _rule(
        "://",
        r"(://[^/\s:@\"'<>]*:)[^/\s\"'<>]+@|(://)(?=[a-zA-Z_.~%-]*\d)[\w.~%-]{20,}@",
        rf"\1\2{REDACTED}@",
        any_case=False,
    ),
    _rule(
        "bearer",
        r"\b((?:Bearer|bearer|BEARER) \s{0,7})(?!(?i:authentication|authori[sz]ation)\b)[\w.~+/-]{8,}=*",
        rf"\1{REDACTED}",
        any_case=False,
    ),
    _rule("basic", r"\b((?:Basic|BASIC) \s{0,7})([A-Za-z0-9+/]{6,}={0,2})(?![\w+/=])", _basic, any_case=False),
    _rule("akia asia", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", REDACTED, any_case=False),
    _rule(
        "eyj",
        r"(?<![\w-])((?:[\w-]{0,64}?-)?)eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?",
        rf"\1{REDACTED}",
        any_case=False,
    ),
    _rule("asynclog_", r"\b(asynclog_[0-9a-f]{12}_)[\w-]{16,}", rf"\1{REDACTED}", any_case=False),
    _rule(
        "_ - aiza",
        r"\b(?:gh[pousr]_|github_pat_|gl(?:pat|ptt|dt|rt)-|sk[-_]|rk_|xox[abeprs]-|xapp-|AIza|pypi-|whsec_)[\w-]{16,}"
        r"|\b(?:npm_|hf_|shp(?:at|ca|pa|ss)_)[A-Za-z0-9]{30,}",
        REDACTED,
        any_case=False,
    ),
    _rule(
        "<",
        rf"(<(?=[\w:-])[\w:-]{{0,32}}?(?:{_WORDS}|token|cookie)[\w:-]{{0,32}}+(?:\s[^<>]{{0,200}}+)?>)(?!\[redacted|\s*<)[^<>]+",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule(
        "pass secret",
        r"""((?<![a-z0-9])(?:pass(?:word|wd|phrase|code)|secret)\s{1,4}+)(?:'[^'\n]++'?|"[^"\n]++"?)""",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule(
        "--",
        r"(?<![\w\]-])(--(?=\w)[\w-]{0,32}?(?:password|passwd|passphrase|passcode|pwd|secret|token|credential|api-?key"
        r"|access-?key)[\w-]{0,16}\s{1,4}+)(?!\[redacted)(?![\s-])(?:\"[^\"\n]*\"?|'[^'\n]*'?|\S+)",
        rf"\1{REDACTED}",
        any_case=True,
    ),
    _rule(
        "-u -user",
        r"((?:(?<!\S)-u|(?<![\w\]-])--(?:proxy-)?user)[\s=]\s{0,3}[\"']?[^\s:'\"]{1,64}:)(?!\d+(?![^\s\"'])|\[redacted)"
        r"[^\s\"']+",
        rf"\1{REDACTED}",
        any_case=False,
    ),
)
"""Secrets that look like one wherever they stand, and those that an element, a quoted word or an option names."""

# These begin with a literal, so that the search is a scan for one character; what follows fails fast.
_DASHED: Final = re.compile(
    r"-(?:-(?:---BEGIN|\w(?<![\w-]--\w))|u(?<!\S-u)(?!\S)|(?<=[tkabeprsi]-)(?=[\w-]{16})"
    r"(?:(?<=\bsk-)|(?<=xox.-)|(?<=glpat-)|(?<=glptt-)|(?<=gl[dr]t-)|(?<=xapp-)|(?<=pypi-)))"
)
_UNDERSCORED: Final = re.compile(
    r"_(?<=[pousrktgmfca]_)(?=[\w-]{16})(?:(?<=gh[pousr]_)|(?<=\b[sr]k_)|(?<=ub_pat_)|(?<=clog_)|(?<=npm_)|(?<=hf_)"
    r"|(?<=shp.._)|(?<=hsec_))"
)
_CAPITAL: Final = re.compile(r"A(?:KIA|SIA|Iza)")
_K_WORD: Final = re.compile(
    r"k(?:(?<=tok)en|(?<=ook)ie|ey(?:(?<=[itsegnrd][-_ ]key)|(?<=(?:api|ess|unt|ate|ing|ion|ter|red)key)))"
)
_PARAMETER: Final = re.compile(
    r"=(?:(?<=sig=)|(?<=ure=)|(?<=auth=)|(?<=jwt=)|(?<=sid=)|(?<=ion=)|(?<=nid=)|(?<=_id=)|(?<=ket=)|(?<=ode=)|(?<=key=))"
)


def suspicious(text: str) -> bool:
    """Whether a rule may match: False promises that none does."""
    return (
        (("=" in text or ":" in text or "<" in text or "'" in text or '"' in text) and names_secret(text))
        or ("-" in text and _DASHED.search(text) is not None)
        or ("_" in text and _UNDERSCORED.search(text) is not None)
        or ("@" in text and "://" in text)
        or ("A" in text and _CAPITAL.search(text) is not None)
        or ("J" in text and "eyJ" in text)
        or ("B" in text and ("Basic " in text or "BASIC " in text or "BEARER " in text))
        or "earer " in text
    )


def names_secret(text: str) -> bool:
    """Whether a rule of `named` may match a text that has a separator in it."""
    folded = text.lower()
    return (
        "secret" in folded
        or "pass" in folded
        or "credential" in folded
        or ("k" in folded and _K_WORD.search(folded) is not None)
        or ("w" in folded and "pwd" in folded)
        or ("z" in folded and "authoriz" in folded)
        or ("?" in text and _PARAMETER.search(folded) is not None)
        or ("&" in text and _PARAMETER.search(folded) is not None)
    )
