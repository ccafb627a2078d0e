"""kill -9 at random moments and at every named point of the way, with an outside process that remembers."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

NURSERY = Path(__file__).with_name("nursery.py")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
POINTS = (
    "journal.rolled",
    "journal.sync",
    "journal.removed",
    "writer.batched",
    "store.applied",
    "store.committed",
    "writer.committed",
)
DEATHS_AT_EACH_POINT = 10
DEATHS_ANYWHERE = 40
LIVES = 5
"""Lives and deaths in one directory, each after a restart from what the one before left."""
SEED = 20260207


def orders() -> list[dict[str, Any]]:
    """Where each child is to die: at a point, after some words, or after some milliseconds (often while it opens)."""
    dice = random.Random(SEED)
    never: dict[str, Any] = {"failpoint": None, "after": 0, "words": None, "moment": None}
    found = [{**never, "failpoint": point, "after": dice.randint(1, 8)} for point in POINTS * DEATHS_AT_EACH_POINT]
    found += [{**never, "words": int(10 ** dice.uniform(0, 3.5))} for _ in range(DEATHS_ANYWHERE // 2)]
    found += [{**never, "moment": dice.uniform(0, 0.06)} for _ in range(DEATHS_ANYWHERE // 2)]
    dice.shuffle(found)
    return [{**order, "seed": dice.randrange(1 << 30)} for order in found]


def run(nursery: int, mine: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Have one nursery carry out orders; each order with what came of it."""
    lines = [{**order, "folder": str(folder / f"{nursery}-{number // LIVES}")} for number, order in enumerate(mine)]
    done = subprocess.run(
        [sys.executable, NURSERY],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == len(lines), done.stderr[-3000:]
    return [{**line, **report, "said": done.stderr} for line, report in zip(lines, reports, strict=True)]


@pytest.mark.timeout(400)  # a hundred processes, on whatever else the machine has to do
def test_nothing_acknowledged_is_lost_by_kill() -> None:
    """After more than 100 kills at random moments and named points, every acknowledged entry is there once, in order.

    Five lives for each directory, so what one restart repaired is what the next kill hits. After every kill: seqs are
    dense, an ingest batch is there wholly or not, counts agree with rows, a task whose end was reported still has it,
    and every other one is interrupted and sealed.
    """
    everything = orders()
    # In memory where there is such a place: kill -9 leaves the page cache, and syncing hundreds of files takes long.
    with TemporaryDirectory(dir=MEMORY) as folder, ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(run, (0, 1), (everything[::2], everything[1::2]), (Path(folder), Path(folder))))
    ends = [end for half in halves for end in half]
    for end in ends:
        assert not end["wrong"], (end["wrong"], end["failpoint"], end["folder"], end["said"][-2000:])
    deaths = Counter(end["failpoint"] for end in ends if end["status"] == signal.SIGKILL)
    assert sum(deaths.values()) >= 100
    assert all(deaths[point] >= 5 for point in POINTS), deaths
    assert sum(end["acknowledged"] for end in ends) > 10_000
