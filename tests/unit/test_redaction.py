"""Secrets are taken out of text by their shape and by their name, and ordinary text comes back untouched."""

from __future__ import annotations

import pytest

from asynclog.redaction import REDACTED, REDACTOR, Redactor, redact

S = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"password={S}",
        f"PASSWORD = '{S}' next",
        f'{{"password": "{S}", "a": 1}}',
        f'{{"password": "with \\" quote {S}"}}',
        f'{{\\"api_key\\": \\"{S}\\"}}',
        f"DB_PASSWORD:{S}",
        f"aws_secret_access_key={S}",
        f"client-secret => {S}",
        f"passphrase:= {S}",
        f"token={S}",
        f"access_token: {S}",
        f"https://host/x?api_key={S}&b=1",
        f"Authorization: Bearer {S}",
        f"authorization: Token {S}",
        f"{{'Authorization': 'Basic {S}', 'Accept': '*/*'}}",
        f"Cookie: sid={S}; other=1",
        f"Set-Cookie: sid={S}",
        f"got Bearer {S}",
        f"got bearer {S}",
        f"BEARER {S}",
        f"postgres://bob:{S}@db:5432/x",
        f"redis://:{S}@cache",
        f"amqp://u:p@{S}@host/",
        f"mysqldump --password {S} --all",
        f"tool --api-key {S}",
        f"tool --db-token='{S}'",
        f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{S.replace('-', '')} and it never ends",
        f'{{"pem": "\\n-----BEGIN PRIVATE KEY-----\\n{S.replace("-", "")}\\n-----END PRIVATE KEY-----"}}',
        f"ghp_{S}{S}",
        f"github_pat_{S}{S}",
        f"glpat-{S}{S}",
        f"sk-proj-{S}{S}",
        f"sk_live_{S}{S}",
        f"xoxb-{S}{S}",
        f"eyJhbGciOiJIUzI1NiJ9.{S}.{S}",
    ],
)
def test_secrets_go(text: str) -> None:
    """Each of the shapes a secret has in logs loses it; a second pass finds nothing more to do."""
    result = redact(text)
    assert S not in result
    assert S.replace("-", "") not in result
    assert "redacted" in result
    assert REDACTOR.suspects(text)
    assert redact(result) == result


def test_known_shapes() -> None:
    """Keys that are recognised by their own form, and user:password behind Basic."""
    assert redact("key AKIAIOSFODNN7EXAMPLE in use") == f"key {REDACTED} in use"
    assert redact("Basic dXNlcjpwYXNzd29yZA==") == f"Basic {REDACTED}"
    assert redact("AIza" + "b" * 35) == REDACTED


def test_the_rest_stays() -> None:
    """Around a secret nothing is lost: names, hosts, other fields."""
    assert redact(f"postgres://bob:{S}@db:5432/x?y=1") == f"postgres://bob:{REDACTED}@db:5432/x?y=1"
    assert redact(f"a=1 password={S} b=2") == f"a=1 password={REDACTED} b=2"
    assert redact(f"x?token={S}&page=2") == f"x?token={REDACTED}&page=2"


@pytest.mark.parametrize(
    "text",
    [
        "fetched 42 charts from dataset candidate-17 in 0.32 s",
        "GET http://superset:8088/api/v1/chart/?page=3 -> 200",
        "mail to someone@example.org: sent",
        "http://host:80/path?mail=a@b",
        "basic authentication failed",
        "Basic functionality works",
        "bearer authentication required",
        "tokens=512 max_tokens: 4096",
        "unexpected token: }",
        "password: None, secret=null, token=true",
        "keyboard: German, monkey=1, key: value",
        "the passengers: 5",
        "-- a comment --",
        "--verbose --page 3",
        "--------------------------------",
        "[2026-02-07 12:00:00,123] INFO org.apache.hadoop.mapred: Task attempt_01",
        "risk-free desk-top, eyJ, ASIA",
        "",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """Prose, numbers, URLs without credentials and counts come back as the very same object."""
    assert redact(text) is text or redact(text) == text


def test_keys() -> None:
    """A key names a secret in any case and spelling; flags, nothing and counts under it stay."""
    for key in (
        "password",
        "DB_PASSWORD",
        "apiKey",
        "x-api-key",
        "Authorization",
        "cookie",
        "aws_secret_access_key",
        "auth",
    ):
        assert REDACTOR.hides(key, "x")
        assert not REDACTOR.hides(key, None)
        assert not REDACTOR.hides(key, True)
        assert not REDACTOR.hides(key, "")
    assert not REDACTOR.hides("max_tokens", 4096)
    assert REDACTOR.hides("password", 4096)
    assert REDACTOR.hides("token", 2**70)
    assert REDACTOR.hides("token", float("nan"))
    for key in ("dashboard_id", "author", "path", "keyword", "monkey"):
        assert not REDACTOR.hides(key, "x")
    for number in range(20_000):
        assert not REDACTOR.hides(f"key{number}", "x")
    assert len(REDACTOR.known) <= 8192


def test_extended() -> None:
    """More patterns and keys give another value; the first one does not change."""
    more = REDACTOR.extended(patterns=[r"EMP-\d+"], keys=["salary"]).extended(patterns=["ORD-[0-9]+"])
    assert more.redact("EMP-1 ORD-2 password=x") == f"{REDACTED} {REDACTED} password={REDACTED}"
    assert more.hides("Salary", 5)
    assert more.suspects("anything")
    assert redact("EMP-1") == "EMP-1"
    assert not REDACTOR.hides("salary", 5)
    assert Redactor().redact("EMP-1") == "EMP-1"


BEGINNINGS = [
    *(
        "a",
        "-",
        "_",
        "'",
        '"',
        "=",
        "@",
        "\\",
        "--a",
        " --a",
        "pass",
        "password",
        'password="',
        "password=\\",
        "token:\n",
    ),
    *("://a:", "://", "eyJ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY", "authorization:", "AKIA", "api_", "sk-"),
    *("bearer ", "basic "),
]


@pytest.mark.parametrize("piece", BEGINNINGS)
def test_linear(piece: str) -> None:
    """No text makes a pattern take more than linear time: half a megabyte of any beginning is done at once."""
    text = piece * (500_000 // len(piece))
    assert "redacted" in Redactor().redact(text + "\n password=x https://a:b@c")
