"""``asynclog keys``, and how commands say who asks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asynclog.cli.credentials import api_key
from asynclog.errors import InvalidError
from asynclog.principal import new_key
from tests.cli.commands import SECONDS, Cli, until

SAID = re.compile(r"asynclog_[0-9a-f]{12}_[\w-]{43}\n")


def _add(cli: Cli, *arguments: str, **variables: str) -> str:
    done = cli("keys", "add", *arguments, **variables)
    assert done.returncode == 0, done
    assert SAID.fullmatch(done.stdout)
    assert done.stdout.strip() not in done.stderr
    return done.stdout.strip()


def _listed(cli: Cli, key: str) -> dict[str, dict[str, Any]]:
    lines = cli.ok("keys", "list", "--format", "ndjson", ASYNCLOG_API_KEY=key).splitlines()
    return {shown["name"]: shown for shown in map(json.loads, lines)}


def test_keys_from_the_first_to_the_last(either: Cli) -> None:
    """With and without a service: the first key is an admin's, each is printed once, listed without, and revoked."""
    assert either("keys", "add", "ann").returncode == 1
    root = _add(either, "root", "--role", "admin")
    ann = _add(either, "ann", "--account", "acme", "--expires", "90d", ASYNCLOG_API_KEY=root)
    listed = _listed(either, root)
    assert {name: (key["role"], key["account"]) for name, key in listed.items()} == {
        "root": ("admin", None),
        "ann": ("viewer", "acme"),
    }
    assert listed["ann"]["expires_at"] > listed["ann"]["created_at"]
    shown = json.dumps(listed)
    assert not any(key.split("_", 2)[2] in shown for key in (root, ann))
    done = either("keys", "revoke", listed["ann"]["id"][:8], ASYNCLOG_API_KEY=root)
    assert done.returncode == 0, done
    assert _listed(either, root)["ann"]["revoked_at"] is not None
    assert either("keys", "revoke", listed["root"]["id"], ASYNCLOG_API_KEY=root).returncode == 1, "the last admin"
    assert either("keys", "revoke", "nix", ASYNCLOG_API_KEY=root).returncode == 1


def test_a_service_with_keys_asks_commands_too(cli: Cli) -> None:
    """A command without a key ends with 1 and says how to give it one; with a key it does what the key may."""
    root = _add(cli, "root", "--role", "admin")
    viewer = _add(cli, "ann", "--role", "viewer")
    file = cli.folder / "key"
    file.write_text(viewer + "\n")
    with cli.service():
        for arguments in (("tasks",), ("keys", "list"), ("run", "--", "true"), ("tail", "last", "-f")):
            done = cli(*arguments)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
            assert "ASYNCLOG_API_KEY" in done.stderr
            assert "--api-key-file" in done.stderr
        assert cli("tasks", ASYNCLOG_API_KEY=new_key().text).returncode == 1
        cli.ok("tasks", "--api-key-file", str(file))
        cli.ok("tasks", ASYNCLOG_API_KEY_FILE=str(file))
        cli.ok("tasks", "--api-key-file", str(file), ASYNCLOG_API_KEY=new_key().text)
        refused = cli("run", "--", "true", ASYNCLOG_API_KEY=viewer)
        assert (refused.returncode, "the role operator" in refused.stderr) == (1, True)
        done = cli("run", "--name", "greeting", "--", "echo", "hello", ASYNCLOG_API_KEY=root)
        assert (done.returncode, done.stdout) == (0, "hello\n")
        shown = cli("tail", "greeting", "-f", ASYNCLOG_API_KEY=viewer)
        assert (shown.returncode, "hello" in shown.stdout) == (0, True), shown
        exported = cli("export", "greeting", "--format", "text", ASYNCLOG_API_KEY=viewer)
        assert "hello" in exported.stdout


def test_following_ends_with_the_key(cli: Cli) -> None:
    """`tail -f` ends with a sentence when its key is revoked."""
    root = _add(cli, "root", "--role", "admin")
    ann = _add(cli, "ann", "--role", "operator")
    with (
        cli.service(),
        cli.running("run", "--name", "waiting", "--", "sleep", "600", ASYNCLOG_API_KEY=root) as command,
    ):
        until(lambda: "waiting" in cli.ok("tasks", ASYNCLOG_API_KEY=root))
        with cli.running("tail", "waiting", "-f", ASYNCLOG_API_KEY=ann) as tail:
            assert tail.stdout is not None
            tail.stdout.readline()
            assert cli("keys", "revoke", _listed(cli, root)["ann"]["id"], ASYNCLOG_API_KEY=root).returncode == 0
            _, said = tail.communicate(timeout=SECONDS)
            assert (tail.returncode, "was revoked" in said) == (1, True), said
        command.terminate()
        command.communicate(timeout=SECONDS)


def test_a_command_outlives_its_key(cli: Cli) -> None:
    """A command goes on when the key it is recorded with counts no more; that it is not recorded any more is said."""
    root = _add(cli, "root", "--role", "admin")
    ann = _add(cli, "ann", "--role", "operator")
    go = cli.folder / "go"
    script = f"echo one; while [ ! -e {go} ]; do sleep 0.02; done; echo two; exit 3"
    with cli.service(), cli.running("run", "--", "sh", "-c", script, ASYNCLOG_API_KEY=ann) as command:
        until(lambda: "one" in cli("tail", "last", ASYNCLOG_API_KEY=root).stdout)
        assert cli("keys", "revoke", _listed(cli, root)["ann"]["id"], ASYNCLOG_API_KEY=root).returncode == 0
        assert command.stderr is not None
        assert "the command goes on, and is not recorded any more" in command.stderr.readline()
        go.touch()
        out, said = command.communicate(timeout=SECONDS)
        assert (command.returncode, out) == (3, "one\ntwo\n"), said
        assert "lines could not be recorded" in said


def test_a_host_that_others_reach_takes_a_key(cli: Cli) -> None:
    """`serve` refuses to listen for others while there is no key, by a host or a name, and does with one."""
    for arguments in (
        ("--host", "0.0.0.0"),  # noqa: S104 - refused
        ("--allow-host", "logs.example.org"),
        ("--allow-origin", "https://logs.example.org"),
    ):
        done = cli("serve", "--port", "0", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
        assert "asynclog keys add NAME --role admin --data data" in done.stderr
        assert not (cli.data / "asynclog.db").exists()
    root = _add(cli, "root", "--role", "admin")
    with cli.service("--host", "0.0.0.0", "--allow-host", "logs.example.org"):  # noqa: S104 - a test's own port
        assert cli("tasks").returncode == 1
        cli.ok("tasks", ASYNCLOG_API_KEY=root)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keys", "add"), "Missing argument 'NAME'"),
        (("keys", "add", "x", "--role", "root"), "'root' is not one of"),
        (("keys", "add", "x", "--role", "admin", "--expires", "soon"), "--expires takes a time"),
        (("tasks", "--api-key", "asynclog_x"), "No such option"),
        (("serve", "--allow-host", "https://x"), "hosts: 'https://x' is no name"),
        (("serve", "--allow-host", "*"), "hosts: '*' is no name"),
        (("serve", "--allow-origin", "logs.example.org"), "origins: 'logs.example.org' is none"),
        (("serve", "--allow-origin", "https://x/path"), "origins: 'https://x/path' is none"),
    ],
)
def test_a_mistake_is_one_sentence(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """Wrong usage ends with 2 and one line on stderr; a key as an argument is no usage at all."""
    done = cli(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr


def test_a_key_is_found_where_it_is(tmp_path: Path) -> None:
    """A file that was named counts before the variables; what is no key is an error that does not repeat it."""
    first, second = new_key().text, new_key().text
    file = tmp_path / "key"
    file.write_text(f"\n{first}\n")
    assert api_key({}) is None
    assert api_key({"ASYNCLOG_API_KEY": ""}) is None
    assert api_key({"ASYNCLOG_API_KEY": second}) == second
    assert api_key({"ASYNCLOG_API_KEY": second}, str(file)) == first
    assert api_key({"ASYNCLOG_API_KEY_FILE": str(file)}) == first
    assert api_key({"ASYNCLOG_API_KEY": second, "ASYNCLOG_API_KEY_FILE": str(file)}) == second
    for environment, named in (
        ({"ASYNCLOG_API_KEY": "hunter2"}, None),
        ({"ASYNCLOG_API_KEY": second[:-1]}, None),
        ({}, str(tmp_path / "missing")),
        ({}, str(tmp_path)),
    ):
        with pytest.raises(InvalidError) as raised:
            api_key(environment, named)
        assert "hunter2" not in str(raised.value)
        assert second[:-1] not in str(raised.value)
