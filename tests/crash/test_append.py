"""kill -9 in the middle of appends, as fast as they can be made."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

APPENDER = Path(__file__).with_name("appender.py")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.mark.parametrize("memory", ["mapped", "written"])
def test_appends_survive_the_process(memory: str) -> None:
    """Wherever among its appends a process is killed, each that has returned is there.

    So it is where segments are mapped, and nothing is damaged, and where they are written, over a hundred lives.
    """
    with TemporaryDirectory(dir=MEMORY) as folder:
        done = subprocess.run(
            [sys.executable, APPENDER, folder, memory], capture_output=True, text=True, timeout=100, check=False
        )
    assert done.returncode == 0, done.stderr
    lives, acknowledged = map(int, done.stdout.split())
    assert lives == 100
    assert acknowledged > 2_000
