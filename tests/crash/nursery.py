"""Forks children that log on a data directory until they are killed, and holds what each had acknowledged.

A program of its own, started by the tests: it imports once, so that a child costs a fork. One JSON order per line on
stdin, one JSON report per line on stdout. After every death another child opens the directory, as a restart would,
and everything that was ever acknowledged in it is looked for in the database.
"""

import asyncio
import json
import os
import random
import select
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asynclog
from asynclog import TaskContext, failpoints
from asynclog.engine import Limits
from asynclog.settings import Settings

LIMITS = Limits(segment=6_000, memory=60_000, journal_quota=1 << 26)
SETTINGS: dict[str, object] = {"flush_interval": 0.05, "task_log_level": "DEBUG", "retention_days": 0}
Acknowledged = dict[str, list[int]]


async def live(folder: str, seed: int, say: Callable[[str], None]) -> None:  # noqa: C901  # four plugins, no branches
    """Run tasks that number their entries, and say each number once its log call has returned."""
    dice = random.Random(seed)
    levels = ["DEBUG", "INFO", "INFO", "WARNING", "ERROR"]

    async def looping(params: dict[str, int], context: TaskContext) -> None:
        for number in range(1, params["entries"] + 1):
            level = "INFO" if number % 50 else dice.choice(levels)
            context.logger.log(level, "%d", number, pad="x" * dice.randrange(200))
            say(f"{context.task_id} {number}")
            if number % 7 == 0:
                await asyncio.sleep(0)

    def threaded(params: dict[str, int], context: TaskContext) -> None:
        for number in range(1, params["entries"] + 1):
            context.logger.info("%d", number)
            say(f"{context.task_id} {number}")

    async with asynclog.open(folder, settings=Settings(pinned=SETTINGS), limits=LIMITS) as tasks:
        say("open 0")
        external = tasks.external.start("elsewhere")

        async def ingesting() -> None:
            for start in range(1, 700, 20):
                lines = b"\n".join(b'{"message": "%d"}' % number for number in range(start, start + 20))
                await tasks.external.ingest(external.id, lines, batch_id=str(start))
                for number in range(start, start + 20):
                    say(f"{external.id} {number}")
                await asyncio.sleep(0)

        async def finishing() -> None:
            for _ in range(8):
                ended = await tasks.run(looping, {"entries": 9})
                say(f"{ended.id} -{ended.last_seq}")

        await asyncio.gather(
            tasks.run(looping, {"entries": 700}),
            tasks.run(threaded, {"entries": 700}),
            ingesting(),
            finishing(),
        )


async def look(folder: str, acknowledged: Acknowledged) -> list[str]:
    """Open the directory as a restart would, close it, and compare the database with what was acknowledged."""
    async with asynclog.open(folder, settings=Settings(pinned=SETTINGS), limits=LIMITS) as tasks:
        found = tasks.engine.troubles()
    return found + compare(folder, acknowledged)


def compare(folder: str, acknowledged: Acknowledged) -> list[str]:
    """What is wrong in a database, as sentences."""
    wrong: list[str] = []
    connection = sqlite3.connect(Path(folder) / "asynclog.db")
    rows: dict[str, list[tuple[int, str, str]]] = {}
    for task_id, seq, source, message in connection.execute(
        "SELECT task_id, seq, source, message FROM task_logs ORDER BY task_id, seq"
    ):
        rows.setdefault(task_id, []).append((seq, source, message))
    ids = [row[0] for row in connection.execute("SELECT id FROM task_logs ORDER BY task_id, seq")]
    if len(ids) != len(set(ids)):
        wrong.append("an id is there twice")
    tasks = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT id, status, external, sealed, last_seq, debug_count + info_count + warning_count + error_count "
            "FROM tasks"
        )
    }
    for task_id, entries in rows.items():
        wrong += [f"{task_id}: {what}" for what in judge(entries, tasks[task_id], acknowledged.get(task_id, []))]
    lost = [task_id for task_id, numbers in acknowledged.items() if max(numbers) > 0 and task_id not in rows]
    wrong += [f"{task_id}: acknowledged and not there at all" for task_id in lost]
    other = connection.execute(
        "SELECT count(*) FROM (SELECT task_id, source, level, coalesce(stage, ''), count(*) FROM task_logs "
        "GROUP BY 1, 2, 3, 4 EXCEPT SELECT task_id, source, level, stage, count FROM entry_counts)"
    ).fetchone()[0]
    if other:
        wrong.append(f"{other} counts by source and level are wrong")
    connection.close()
    return wrong


def judge(entries: list[tuple[int, str, str]], task: tuple[Any, ...], known: list[int]) -> list[str]:
    """What is wrong with one task: its entries (seq, source, message), its row, and what was acknowledged of it."""
    status, external, sealed, last_seq, count = task
    seqs = [seq for seq, _, _ in entries]
    numbers = [int(message) for _, source, message in entries if source == "plugin"]
    highest, reported = max(known, default=0), -min(known, default=0)
    promises = {
        f"seqs are not dense: {len(seqs)} up to {seqs[-1]}": seqs == list(range(1, len(seqs) + 1)),
        "entries are missing, twice or out of order": numbers == list(range(1, len(numbers) + 1)),
        f"{highest} acknowledged, {len(numbers)} there": highest <= len(numbers) <= highest + (20 if external else 1),
        f"counts {count}, last_seq {last_seq}, entries {len(entries)}": last_seq == count == len(entries),
        f"reported finished with {reported}, is {status} with {last_seq}": reported <= 0
        or (status == "success" and last_seq == reported),
        f"{status} but sealed as {sealed}": external
        or (sealed is not None and json.loads(sealed) == {"count": last_seq, "last_seq": last_seq}),
        f"status {status}": status in (["running"] if external else ["success", "interrupted"]),
    }
    return [what for what, kept in promises.items() if not kept]


def fork(work: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]]) -> tuple[int, int]:
    """Run a coroutine in a child; its process id, and the pipe its words come through."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 0
    try:
        os.close(reader)
        mouth = threading.Lock()

        def say(word: str) -> None:
            with mouth:
                os.write(writer, f"{word}\n".encode())

        asyncio.run(work(say))
    except BaseException:  # the child must not go on as a second nursery
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def listen(pid: int, pipe: int, words: int | None = None, moment: float | None = None) -> list[str]:
    """Take a child's words until it is silent for good; kill it after so many, or after so many seconds."""
    heard = bytearray()
    killed = False
    while True:
        ready, _, _ = select.select([pipe], [], [], None if killed else moment)
        chunk = os.read(pipe, 1 << 16) if ready else b""
        if ready and not chunk:
            break
        heard += chunk
        if not killed and (not ready or (words is not None and heard.count(b"\n") >= words)):
            os.kill(pid, signal.SIGKILL)
            killed = True
    os.close(pipe)
    return heard.decode().splitlines()


def obey(order: dict[str, Any], acknowledged: Acknowledged) -> dict[str, Any]:
    """One life, one death, one look."""
    folder, name, after = order["folder"], order["failpoint"], order["after"]

    async def work(say: Callable[[str], None]) -> None:
        if name is not None:
            left = [after]

            def hit() -> None:
                left[0] -= 1
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            failpoints.arm(name, hit)
        await live(folder, order["seed"], say)

    pid, pipe = fork(work)
    words = listen(pid, pipe, order["words"], order["moment"])
    _, status = os.waitpid(pid, 0)
    for word in words:
        task_id, number = word.split()
        if task_id != "open":
            acknowledged.setdefault(task_id, []).append(int(number))

    async def check(say: Callable[[str], None]) -> None:
        say(json.dumps(await look(folder, acknowledged)))

    pid, pipe = fork(check)
    words = listen(pid, pipe)
    _, checked = os.waitpid(pid, 0)
    wrong = json.loads(words[0]) if words and not checked else [f"the restart ended with {checked}"]
    return {"status": status, "wrong": wrong, "acknowledged": sum(len(found) for found in acknowledged.values())}


def main() -> None:
    """Obey until stdin ends."""
    directories: dict[str, Acknowledged] = {}
    for line in sys.stdin:
        order = json.loads(line)
        report = obey(order, directories.setdefault(order["folder"], {}))
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
