"""What every kind of test may use, and what the run as a whole promises: a clean environment, nothing left behind."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Those of our variables that speak to the tests; all others would change what is tested.
TEST_VARIABLES = {"ASYNCLOG_SAMPLE_DATA", "ASYNCLOG_CHROMIUM", "ASYNCLOG_REQUIRE_BROWSER"}

# No deadline: a shared machine pauses when it likes, and no test here asserts a time.
settings.register_profile("asynclog", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("asynclog")

# Where the environment keeps Python from keeping bytecode, each of the hundreds of processes that tests start would
# compile everything anew: half of a command's time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell that runs the suite in the background lets it ignore SIGINT, and every process a test starts and interrupts
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own ASYNCLOG_* settings reach no test."""
    for name in os.environ:
        if name.startswith("ASYNCLOG_") and name not in TEST_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """A folder with real log files (loghub/*.log), which are too large to travel with the source."""
    folder = Path(os.environ.get("ASYNCLOG_SAMPLE_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "loghub").is_dir():
        pytest.skip(f"NO SAMPLE DATA: {folder} has no loghub/; name a folder that has in ASYNCLOG_SAMPLE_DATA")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The path of an installed Chromium."""
    candidates = (os.environ.get("ASYNCLOG_CHROMIUM") or "", *BROWSERS)
    for candidate in candidates:
        found = shutil.which(candidate) if candidate else None
        if found:
            return Path(found)
    reason = "NO CHROMIUM: install chromium (`make browser`), or name one in ASYNCLOG_CHROMIUM"
    if os.environ.get("ASYNCLOG_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _children() -> dict[int, str]:
    """Living child processes by id with their command line; empty where there is no /proc."""
    found: dict[int, str] = {}
    for thread in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, thread.read_text().split()):
            try:
                command = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
            except OSError:
                continue
            # multiprocessing keeps its resource tracker until the interpreter ends
            if "resource_tracker" not in command:
                found[pid] = command or "(a zombie nobody waited for)"
    return found


LEFT_BEHIND: list[str] = []
"""What this run's processes have left behind, as far as this process knows."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that leaves a process behind has failed, whatever its tests said; so has one whose workers did."""
    if not session.config.pluginmanager.hasplugin("dsession"):  # with it, the children are the workers themselves
        LEFT_BEHIND.extend(f"process {pid}: {command}" for pid, command in _children().items())
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["left_behind"] = LEFT_BEHIND
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for process in LEFT_BEHIND:
        if reporter is not None:
            reporter.write_line(f"LEFT BEHIND: {process}", red=True)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: what it left behind counts here. One that crashed tells nothing, and fails the run."""
    LEFT_BEHIND.extend(getattr(node, "workeroutput", {}).get("left_behind", ()))


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """What was left out for want of something on this machine is said loudly."""
    yield
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if "NO CHROMIUM" in reason:
            terminalreporter.write_sep("!", "BROWSER TESTS SKIPPED: no Chromium on this machine", red=True, bold=True)
            return
