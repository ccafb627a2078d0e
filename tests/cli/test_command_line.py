"""The command as a whole: how it starts, what it says about mistakes, and its upkeep commands."""

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from asynclog.lockfile import read_owner
from tests.cli.commands import SECONDS, Cli, run_here, until

HEAVY = ("rich", "starlette", "uvicorn", "websockets", "prometheus_client")


def test_help_needs_nothing_heavy(cli: Cli) -> None:
    """Importing the command line and asking for help loads no server, no terminal library and no WebSockets."""
    script = (
        "import sys\nfrom asynclog.cli.main import group\n"
        "for name in [None, *group.list_commands(None)]:\n"
        "    group.main([*([name] if name else []), '--help'], standalone_mode=False)\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=cli.folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for word in ("serve", "demo", "run", "tasks", "tail", "export", "settings", "cleanup"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "No such command 'nothing'"),
        (("tail",), "Missing argument 'TASK'"),
        (("tail", "x", "--nonsense"), "No such option"),
        (("run",), "Missing argument 'COMMAND...'"),
        (("serve", "--task-log-level", "loud"), "'loud' is not a level"),
        (("serve", "--host", "0.0.0.0"), "asynclog keys add NAME --role admin"),  # noqa: S104 - refused
        (("settings", "--flush-interval", "1h"), "flush_interval"),
        (("tasks", "--config", "missing.toml"), "missing.toml"),
        (("run", "--", ""), "COMMAND is empty"),
        (("tail", "x", "--since", "5min"), "how long ago: 90s, 10m"),
        (("tasks", "--started-after", "yesterday"), "'yesterday' is no time"),
        (("demo", "--replay", "missing.log"), "missing.log"),
    ],
)
def test_a_mistake_is_one_sentence(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """Wrong usage ends with 2 and one line on stderr, whatever it is."""
    done = cli(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_in_the_configuration_is_named(cli: Cli) -> None:
    """asynclog.toml with an unknown key stops every command, naming the key."""
    (cli.folder / "asynclog.toml").write_text("[server]\nprot = 1\n")
    for command in ("serve", "tasks", "settings"):
        done = cli(command)
        assert done.returncode == 2
        assert "server.prot" in done.stderr


def test_what_keeps_the_directory_is_named(cli: Cli) -> None:
    """A second service on a directory is refused with the first one's address; a command beside a silent owner too."""
    with cli.service():
        done = cli("serve", "--port", "0")
        assert done.returncode == 1
        assert str(cli.url()) in done.stderr
    with cli.running("run", "--", "sleep", "1000") as process:
        until(lambda: read_owner(cli.data))
        done = cli("tasks")
        assert done.returncode == 1
        assert f"process {process.pid}" in done.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)


def test_a_service_that_is_not_there_is_said(cli: Cli) -> None:
    """--url asks that service, and an address where nobody answers is one sentence."""
    done = cli("tasks", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "http://127.0.0.1:9 does not answer" in done.stderr
    assert cli("tasks", "--url", "ftp://x").returncode == 2
    with cli.service():
        assert cli.ok("tasks", "--data", "elsewhere", "--url", str(cli.url())) == ""


class _Stranger(BaseHTTPRequestHandler):
    """No asynclog: sends those elsewhere who ask for /moved/…, and has a page for all others."""

    def do_GET(self) -> None:
        moved = self.path.startswith("/moved/")
        self.send_response(301 if moved else 200)
        self.send_header("Location" if moved else "Content-Language", "https://logs.example.org/" if moved else "en")
        self.end_headers()
        self.wfile.write(b"<html>under construction</html>")

    def log_message(self, *_: object) -> None:
        """Nothing is said about it."""


def test_an_address_that_is_another_s_is_one_sentence(cli: Cli) -> None:
    """Whatever answers at an address that was mistyped, or cannot, is told in a sentence, as no fault of ours."""
    with HTTPServer(("127.0.0.1", 0), _Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{stranger.server_port}"
        for address, code, sentence in (
            (url, 1, f"what answers at {url} is no asynclog"),
            (f"{url}/moved", 1, "sends to https://logs.example.org/"),
            ("http://127.0.0.1:99999", 2, "is not the address of a service"),
            ("http://[::1", 2, "is not the address of a service"),
            ("http://exa mple", 2, "is not the address of a service"),
            (f"{url}/é", 2, "is not the address of a service"),
        ):
            done = cli("tasks", "--url", address)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done
            assert sentence in done.stderr
        stranger.shutdown()


class _Failing(BaseHTTPRequestHandler):
    """A service that goes away in the middle of a task's last lines."""

    def do_GET(self) -> None:
        body = b"half a li" if "/tail" in self.path else b'{"id": "t", "complete": true, "entries": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 9 * ("/tail" in self.path)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is said about it."""


def test_an_answer_that_breaks_off_is_not_whole(cli: Cli) -> None:
    """Lines that were to follow when the service went away are not left out in silence."""
    with HTTPServer(("127.0.0.1", 0), _Failing) as failing:
        threading.Thread(target=failing.serve_forever, daemon=True).start()
        done = cli("tail", "t", "-n", "2", "--url", f"http://127.0.0.1:{failing.server_port}")
        failing.shutdown()
    assert (done.returncode, "the answer breaks off" in done.stderr) == (1, True), done


def test_settings_are_changed_for_good_unless_they_are_pinned(either: Cli) -> None:
    """A change counts at once and stays; a pinned setting is refused and says why; plain output is JSON."""
    changed = json.loads(either.ok("settings", "--task-log-level", "debug", "--flush-interval", "0.5"))
    assert (changed["task_log_level"], changed["flush_interval"]) == ("DEBUG", 0.5)
    assert json.loads(either.ok("settings"))["task_log_level"] == "DEBUG"
    wrong = either("settings", "--task-log-level", "loud")
    assert wrong.returncode == 2


def test_a_flag_of_serve_pins_its_setting(cli: Cli) -> None:
    """A setting given to serve cannot be changed while it runs, and both say so."""
    with cli.service("--retention-days", "7"):
        found = json.loads(cli.ok("settings"))
        assert (found["retention_days"], "retention_days" in found["pinned"]) == (7, True)
        refused = cli("settings", "--retention-days", "8")
        assert refused.returncode == 1
        assert "pinned" in refused.stderr


def test_old_tasks_are_cleaned_up(cli: Cli) -> None:
    """cleanup removes what the retention settings say, --dry-run only says it; delete removes what is named."""
    run_here(cli, "one", "two", "three")
    with cli.service():
        cli.ok("settings", "--retention-max-tasks", "2")
        assert json.loads(cli.ok("cleanup", "--dry-run"))["tasks"] == 1
        assert len(cli.objects("tasks")) == 3
        assert json.loads(cli.ok("cleanup"))["tasks"] == 1
        two, three = cli.objects("tasks", "--order", "asc")
        cli.ok("delete", two["id"])
    cli.ok("delete", three["id"])
    assert cli.objects("tasks") == []


def test_the_demo_shows_real_work_within_seconds(cli: Cli) -> None:
    """The demo says where to look and has tasks that succeed: inventory, backup, migration, a replayed file."""
    log = cli.folder / "app.log"
    log.write_text("".join(f"2026-02-07 12:00:{n:02d},000 WARNING worker: line {n}\n" for n in range(30)))
    with cli.running("demo", "--port", "0", "--replay", str(log)) as process:
        until(cli.url)

        def done() -> bool:
            tasks = cli.objects("tasks")
            return len(tasks) >= 5 and all(task["status"] != "running" for task in tasks)

        until(done)
        tasks = {task["plugin"]: task for task in cli.objects("tasks")}
        assert {"inventory", "backup", "migration", "command", "replay"} <= tasks.keys()
        assert {task["status"] for task in tasks.values()} == {"success"}
        assert tasks["backup"]["parent_id"] == tasks["inventory"]["id"]
        assert tasks["replay"]["counts"]["WARNING"] == 30
        url = cli.url()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert f"Open {url}" in said
    assert "Traceback" not in said
    assert list((cli.data / "demo" / "backups").iterdir())


def test_python_m_asynclog_is_the_command() -> None:
    """`asynclog` and `python -m asynclog` are the same."""
    script = Path(sys.executable).with_name("asynclog")
    shown = [
        subprocess.check_output([*c, "--version"], text=True) for c in ([script], [sys.executable, "-m", "asynclog"])
    ]
    assert shown[0] == shown[1]
