"""asynclog schedules: alone on a data directory, and beside a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli

MODULE = """
async def note(params, context):
    context.logger.info("noted %s", params)

PLUGINS = {"note": note}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A working directory with a plugin and a hook."""
    found = Cli(tmp_path)
    (tmp_path / "noting.py").write_text(MODULE)
    (tmp_path / "asynclog.toml").write_text(
        '[server]\nplugins = "noting"\nshared_log_dir = "../mirror"\n'
        '[hooks.call]\nplugin = "note"\nsecret = "a long secret"\n'
    )
    return found


def test_schedules_without_a_service(cli: Cli) -> None:
    """Without a service schedules can be added, listed, paused, resumed and removed; running one needs a service."""
    made = cli.ok("schedules", "add", "note", "--every", "1h", "-p", "a=1").strip()
    other = cli.ok("schedules", "add", "note", "--cron", "0 3 * * *", "--time-zone", "Europe/Berlin").strip()
    first, second = cli.objects("schedules", "list", "--format", "ndjson")
    assert (first["id"], first["interval"], first["params"]) == (made, 3600, {"a": 1})
    assert (second["id"], second["time_zone"], second["next_at"] is None) == (other, "Europe/Berlin", False)
    cli.ok("schedules", "pause", made[:8])
    assert cli.objects("schedules", "list", "--format", "ndjson")[0]["paused"]
    cli.ok("schedules", "resume", made)
    refused = cli("schedules", "run", made)
    assert (refused.returncode, "asynclog serve" in refused.stderr) == (1, True)
    cli.ok("schedules", "remove", made)
    assert [schedule["id"] for schedule in cli.objects("schedules", "list", "--format", "ndjson")] == [other]
    for arguments, code in (
        (("pause", "nosuch"), 1),
        (("add", "note", "--every", "soon"), 2),
        (("add", "nobody", "--every", "5m"), 2),
    ):
        done = cli("schedules", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done


def test_schedules_beside_a_service(cli: Cli) -> None:
    """A schedule runs in the service, whose run files and their mirror are where asynclog.toml says."""
    with cli.service("--run-log-dir", "logs"):
        made = cli.ok("schedules", "add", "note", "--every", "1d", "--name", "daily").strip()
        task = cli.ok("schedules", "run", made).strip()
        assert cli("tail", task, "-f").returncode == 0
        shown = cli.objects("tasks", "--format", "ndjson")[0]
        assert (shown["name"], shown["schedule_id"], shown["trigger_type"]) == ("daily", made, "schedule")
    mirror = cli.folder / "mirror"
    for root in (cli.data / "logs", mirror):
        log = root / "_" / "_" / shown["run_id"] / "automation_run.log"
        assert "noted {}" in log.read_text()
