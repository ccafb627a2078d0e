"""Secrets are taken out of text by their shape and by their name, and ordinary text comes back untouched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asynclog.config import load, redaction_of
from asynclog.errors import InvalidError
from asynclog.redaction import REDACTED, REDACTOR, Redactor, redact
from asynclog.values import capture, normalise

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
        f"jwt-eyJhbGciOiJIUzI1NiJ9.{S}.{S}",
        f"DB_PASS={S} DEBUG=1",
        f"PGPASSWORD={S} psql",
        f"pass: {S}",
        f"GET /x?a=1&sig={S}",
        f"wss://host/ws?ticket={S}",
        f"https://s3/x?X-Amz-Signature={S}&X-Amz-Date=1",
        f"/cb?code={S}{S}",
        f"X-Auth-Token: {S}",
        f'{{"token": "{S}"}}',
        f"{{'refresh_token': '{S}'}}",
        f'{{"password": {{"value": "{S}"}}}}',
        f'{{"passwords": ["{S}", "x"]}}',
        f'{{"name": "DB_PASSWORD", "value": "{S}"}}',
        f'{{\\"Cookie\\": \\"sid={S}\\"}}',
        f'Cookie: a="1"; sid={S}',
        f'Authorization: Digest username="bob", response="{S}"',
        f"curl -u bob:{S} https://host",
        f"curl --user 'bob:{S}' https://host",
        f"AccountName=x;AccountKey={S}==",
        f"Server=db;User Id=bob;Password={S};",
        f"glrt-{S}{S}",
        f"xapp-1-{S}{S}",
        f"rk_live_{S}{S}",
        f"whsec_{S}{S}",
        f"pypi-AgEI{S}{S}",
        f"https://{S}{S}@git.example.org/x.git",
        f"asynclog_0123456789ab_{S}{S}",
        f"<user>bob</user><Password>{S}</Password>",
        f'<ns:api-key type="text">{S}</ns:api-key>',
        f"ALTER USER bob WITH PASSWORD '{S}'",
        f'requires passphrase "{S}"',
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
        "listening on :[akka.tcp://sparkExecutorActorSystem@mesos-slave-07:55904]",
        "Connecting to driver: spark://CoarseGrainedScheduler@10.10.34.11:48069",
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
        "pass: 12, fail: 0",
        "docker run -u 1000:1000 image",
        "GET /x?page=3&size=20&order_by=id",
        "/x?code=404",
        "<password></password> <secretary/> 1 < 2 > 1",
        "the user's password isn't set, don't pass 'it's' on",
        "pass the salt",
        "https://host/a?mail=someone.with.a.long.name@example.org",
        "asynclog_log_call_bench_of_the_day",
        "task_0001_of_the_long_list_of_tasks npm_config_registry",
        '{"name": "page", "value": "3"}',
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


def test_numbers_in_a_harmless_template() -> None:
    """A template is plain when no number that is put into it could make a secret of it; the short ones are kept."""

    def plain(template: str, redactor: Redactor = REDACTOR) -> tuple[bool, bool]:
        redactor.look_at(template)
        return redactor.templates[template], template in redactor.numeric

    for template in ("fetched %d charts in %.2f s: 100 %%", "100 %%s of %d", "%03d %e"):
        assert plain(template) == (True, True), "nothing but numbers fits"
    for template in ("%s of %s", "%d of %.3s", "%r"):
        assert plain(template) == (True, False)
    assert plain("password=%d") == (False, False)
    assert plain("password%c%d") == (False, False), "whatever character"
    assert plain("sk%s") == (False, False), "a minus"
    assert plain("bearer%5d") == (False, False), "a space"
    assert plain("line\n%d") == (False, False)
    assert plain("EMP-%d", Redactor(patterns=["EMP-[0-9]{1,9}"])) == (False, False)
    assert plain("salary: %d", Redactor(keys=["salary"])) == (False, False)
    more = Redactor()
    more.look_at("%d" + " " * 2000)
    assert not more.templates, "a long one is not kept"
    for number in range(10_000):
        more.look_at(f"template {number} %d")
    assert 0 < len(more.templates) <= 4096
    assert more.numeric <= more.templates.keys()


def test_extended() -> None:
    """More patterns and keys give another value; the first one does not change."""
    more = REDACTOR.extended(patterns=[r"EMP-\d+"], keys=["salary"]).extended(patterns=["ORD-[0-9]+"])
    assert more.redact("EMP-1 ORD-2 password=x") == f"{REDACTED} {REDACTED} password={REDACTED}"
    assert more.hides("Salary", 5)
    assert more.suspects("anything")
    assert redact("EMP-1") == "EMP-1"
    assert not REDACTOR.hides("salary", 5)
    assert Redactor().redact("EMP-1") == "EMP-1"


def test_own_keys_count_in_text() -> None:
    """A word of the user's hides what stands behind it in text too, and what is not there is not touched."""
    own = Redactor(keys=["salary", "kunden-nr"])
    assert own.redact(f"the Salary: {S} of") == f"the Salary: {REDACTED} of"
    assert own.redact(f'{{"KUNDEN-NR": "{S}"}}') == f'{{"KUNDEN-NR": {REDACTED}}}'
    assert own.redact(f"?salary={S}&page=2") == f"?salary={REDACTED}&page=2"
    assert own.redact("salary is paid") == "salary is paid"
    assert not own.suspects("nothing of it")


@pytest.mark.parametrize(
    "pattern",
    [
        r"EMP-\d+",
        r"EMP-\d{1,9}\b",
        r"(?i)\bcust-[a-z0-9]{4,12}\b",
        r"\d{4}-\d{4}-\d{4}-\d{4}",
        r"(?:IBAN|iban) ?[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
        r"\w{1,64}+@example\.org",
        r"(?<=key )\S+",
        r"(?:ab){1,10}x",
        r"x(?!y)\w{3,}",
    ],
)
def test_patterns_that_are_taken(pattern: str) -> None:
    """What people write to name an identifier is taken, as long as it is bounded."""
    Redactor(patterns=[pattern])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(a+)+b", "repeats"),
        (r"(a|a)*b", "several ways"),
        (r"(a|aa){1,50}b", "several ways"),
        (r"(\w{1,20}\s?){1,20}!", "several ways"),
        (r".*secret", "without end"),
        (r"\d+x", "without end"),
        (r"\d++x", "without end"),
        (r"x\s+?", "without end"),
        (r"\w{0,64}\w{0,64}\w{0,64}x", "steps"),
        (r"(.)\1{3,9}", "group"),
        (r"a*", "nothing"),
        (r"\b", "nothing"),
        (r"(?=secret)", "nothing"),
        (r"\Bx{0,5}", "nothing"),
        (r"", "1 to"),
        (r"(", "no regular expression"),
        (r"x{1,99999999999999999999}", "no regular expression"),
        ("(" * 500 + "x" + ")" * 500, "1 to|no regular expression|could stop"),
    ],
)
def test_patterns_that_are_refused(pattern: str, said: str) -> None:
    """A pattern that could stall every thread on some text is refused with the reason, before anything is logged."""
    with pytest.raises(ValueError, match=said):
        Redactor(patterns=[pattern])


@pytest.mark.parametrize("key", ["", "ab", " abc", "x" * 65, "a\nb", 5, None])
def test_keys_that_are_refused(key: Any) -> None:
    """A key that would hide nearly everything, or is no word, is refused."""
    with pytest.raises(ValueError, match="3 to 64"):
        Redactor(keys=[key])


def test_not_too_many() -> None:
    """Each of the user's patterns is tried on every text, so their number is bounded; so is that of keys."""
    with pytest.raises(ValueError, match="at most 32"):
        Redactor(patterns=["x"] * 33)
    with pytest.raises(ValueError, match="at most 256"):
        Redactor(keys=["abc"] * 257)


def test_the_configuration_names_what_is_wrong(tmp_path: Path) -> None:
    """asynclog.toml and `open` take keys and patterns; a bad one is an error that says which and why."""
    file = tmp_path / "asynclog.toml"
    file.write_text("[redaction]\nkeys = ['salary']\npatterns = ['EMP-\\d+']\n")
    assert load(file=file).redaction.redactor().redact("EMP-17") == REDACTED
    file.write_text("[redaction]\npatterns = ['(a+)+b']\n")
    with pytest.raises(InvalidError, match=r"\[redaction\].*\(a\+\)\+b.*could stop"):
        load(file=file)
    file.write_text("[redaction]\nwords = ['x']\n")
    with pytest.raises(InvalidError, match="words"):
        load(file=file)
    with pytest.raises(InvalidError, match="keys and patterns"):
        redaction_of({"keys": "salary"})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["mysql", "--password", S, "db"], ["mysql", "--password", REDACTED, "db"]),
        (["x", "--token=" + S], ["x", "--token=" + REDACTED]),
        (["x", "--db-secret", "-p" + S], ["x", "--db-secret", REDACTED]),
        (["x", "--password", "--verbose"], ["x", "--password", "--verbose"]),
        (["x", "--max-tokens", "4096"], ["x", "--max-tokens", "4096"]),
        (["curl", "-u", "bob:" + S], ["curl", "-u", "bob:" + REDACTED]),
        (["docker", "-u", "1000:1000"], ["docker", "-u", "1000:1000"]),
        (("x", "--api-key", S), ["x", "--api-key", REDACTED]),
        ([("Cookie", S), ("Accept", "*/*")], [["Cookie", REDACTED], ["Accept", "*/*"]]),
        ([[b"authorization", S.encode()]], [["authorization", REDACTED]]),
        ([{"name": "DB_PASSWORD", "value": S}], [{"name": "DB_PASSWORD", "value": REDACTED}]),
        ({"value": S, "key": "api_key"}, {"value": REDACTED, "key": "api_key"}),
        ({"name": "page", "value": "3"}, {"name": "page", "value": "3"}),
        ({"env": {"PGPASSWORD": S, "HOME": "/root"}}, {"env": {"PGPASSWORD": REDACTED, "HOME": "/root"}}),
        ({"db_pass": S, "passed": "all"}, {"db_pass": REDACTED, "passed": "all"}),
        (["password", "name"], ["password", "name"]),
    ],
)
def test_secrets_named_by_what_stands_before_them(given: Any, kept: Any) -> None:
    """A secret that is an item of its own goes: after its option, its header's name, beside the variable's name."""
    assert normalise(given) == kept
    assert normalise(kept) == kept
    assert json.loads(capture({"argv": given}, 0)) == {"argv": kept}


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
    *("bearer ", "basic ", "-eyJ", "sk-eyJ", "--user ", "<--user ", "pass=", "<a", "-u a:"),
]


@pytest.mark.parametrize("piece", BEGINNINGS)
def test_linear(piece: str) -> None:
    """No text makes a pattern take more than linear time: half a megabyte of any beginning is done at once."""
    text = piece * (500_000 // len(piece))
    assert "redacted" in Redactor().redact(text + "\n password=x https://a:b@c")
