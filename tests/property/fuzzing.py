"""How long the fuzzers run: seconds usually, as long as one likes with ``ASYNCLOG_FUZZ_EXAMPLES=100000``.

They are in ``tests/property/test_fuzz_*.py``; give a long run ``--timeout 0`` too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("ASYNCLOG_FUZZ_EXAMPLES", "0"))

PIECES = (
    *("\0", "\x01", "\x07", "\b", "\t", "\n", "\r", "\r\n", "\x1b", "\x1b[31m", "\x1b]0;x\x07", "\x7f", "\x85"),
    *("\x9b1m", "\u00ad", "\u200b", "\u200e", "\u202e", "\u2028", "\u2066", "\ufeff", "\U000e0041", "\ud800", "\udc80"),
    *("é", "\u017f", "\u0130", "😀", '"', "'", "\\", "\\\\", '\\"', "{", "}", "[", "]", "(", ")", "<", ">", ",", ";"),
    *(":", "=", "==", "=>", ":=", "&", "?", "/", "://", "@", "-", "--", "-----", "_", ".", "%", "%s", "+", "|", "#"),
    *("$", " ", "  ", "0", "1e9", "NaN", "null", "true", "password", "PASSWORD", "passwd", "pwd", "pass", "secret"),
    *("token", "api_key", "access-key", "credential", "cookie", "Authorization", "authorization", "Bearer ", "bearer "),
    *("BEARER ", "Basic ", "basic ", "auth", "sig=", "ticket=", "-----BEGIN ", "RSA PRIVATE KEY-----", "-----END "),
    *("eyJ", "AKIA", "ghp_", "sk-", "xoxb-", "npm_", "asynclog_", "-u ", "--user ", "--password ", "name", "value"),
    *("key", "x" * 20, "0123456789ab", "[redacted]", "system", "plugin", "message", "level", "metadata", "INFO"),
    *("ERROR:", "2026-02-07T12:00:00Z", "=cmd|' /C calc'!A0", "\uff1d1", "@SUM(1)"),
)
"""What parsers, escapers and patterns stumble over."""

TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=30))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


Test = TypeVar("Test", bound=Callable[..., None])


def fuzz(usual: int) -> Callable[[Test], Test]:
    """Settings of a fuzzer that takes seconds with so many examples: the same each time, unless it runs for long."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    chosen: Callable[[Test], Test] = settings(
        max_examples=EXAMPLES or usual, deadline=None, suppress_health_check=checks, derandomize=not EXAMPLES
    )
    return chosen
