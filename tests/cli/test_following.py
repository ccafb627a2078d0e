"""asynclog tail -f, and what it and asynclog run do when the service goes away in between."""

import json
import os
import signal
import sqlite3

from tests.cli.commands import SECONDS, Cli, until


def test_a_followed_task_is_shown_whole_up_to_its_end(cli: Cli) -> None:
    """-f shows history and what comes as one sequence, obeys the filter, and ends with the task, by its status."""
    script = "for i in $(seq 100); do echo $i; done; while [ ! -e go ]; do sleep 0.02; done; seq 101 200; exit 1"
    with cli.service(), cli.running("run", "--", "sh", "-c", script) as running:
        until(lambda: cli("tail", "last", "--search", "100", "--source", "stdout").stdout)
        follow = ("tail", "last", "-f", "-n", "3", "--source", "stdout", "--format", "ndjson")
        with cli.running(*follow) as following:
            assert following.stdout is not None
            first = json.loads(following.stdout.readline())
            (cli.folder / "go").touch()
            rest = [json.loads(line) for line in following.stdout]
            assert following.wait(SECONDS) == 1
            running.communicate(timeout=SECONDS)
    assert [entry["message"] for entry in (first, *rest)] == [str(number) for number in range(98, 201)]


def test_each_gap_is_shown_once(cli: Cli) -> None:
    """Dropped entries are named where they would stand, once: behind the newest entry too, and when it is followed."""
    cli.ok("run", "--", "seq", "20")
    task = cli.last()
    gaps = ((4, 6), (16, task["last_seq"]))
    with sqlite3.connect(cli.folder / "data/asynclog.db") as database:
        for first, last in gaps:
            database.execute(
                "DELETE FROM task_logs WHERE task_id = ? AND seq BETWEEN ? AND ?", (task["id"], first, last)
            )
            database.execute("INSERT INTO gaps VALUES (?, ?, ?, 'full')", (task["id"], first, last))
            database.execute("UPDATE tasks SET dropped = dropped + ? WHERE id = ?", (last - first + 1, task["id"]))
    database.close()
    expected = [f"-- entries {first} to {last} are missing: full --" for first, last in gaps]
    with cli.service():
        for asked in ([], ["-f"], ["-f", "--all"], ["-f", "-n", "12"], ["-f", "--min-level", "ERROR"]):
            lines = cli.ok("tail", "last", *asked).splitlines()
            assert [line for line in lines if line.startswith("--")] == expected, asked
            assert asked[-1:] == ["ERROR"] or lines[-1] == expected[-1], asked


def test_killing_the_service_loses_no_line_and_repeats_none(cli: Cli) -> None:
    """After kill -9 and a restart at another address, run and tail -f go on by themselves; each line is there once."""
    script = "for i in $(seq 150); do echo $i; sleep 0.02; done"
    follow = ("tail", "last", "-f", "-n", "1000", "--source", "stdout", "--format", "ndjson")
    with cli.service() as service, cli.running("run", "--", "sh", "-c", script) as running:
        until(lambda: cli("tail", "last", "--source", "stdout").stdout)
        with cli.running(*follow) as following:
            assert following.stdout is not None
            shown = [json.loads(following.stdout.readline()) for _ in range(20)]
            service.kill()
            service.wait()
            with cli.service():
                out, _ = running.communicate(timeout=SECONDS)
                shown += [json.loads(line) for line in following.stdout]
                assert (running.returncode, following.wait(SECONDS)) == (0, 0)
                stored = [entry["message"] for entry in cli.objects("export", "last", "--source", "stdout")]
    expected = [str(number) for number in range(1, 151)]
    assert out.split() == expected
    assert stored == expected
    assert [entry["message"] for entry in shown] == expected


def test_ctrl_c_ends_a_tail_in_silence(cli: Cli) -> None:
    """tail -f is left with Ctrl-C, without a word, and the task goes on."""
    with cli.service(), cli.running("run", "--", "sh", "-c", "echo up; sleep 1000") as running:
        until(lambda: cli("tail", "last", "--source", "stdout").stdout)
        with cli.running("tail", "-f", "last") as following:
            assert following.stdout is not None
            assert following.stdout.readline()
            following.send_signal(signal.SIGINT)
            _, said = following.communicate(timeout=SECONDS)
            assert (following.returncode, said) == (130, "")
        assert cli.last()["status"] == "running"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=SECONDS)


def test_a_tail_without_a_service_ends(cli: Cli) -> None:
    """Without a service nothing new can come: -f shows what is there and ends."""
    cli.ok("run", "--", "echo", "one")
    assert "one" in cli.ok("tail", "last", "-f")


def test_a_service_that_stays_away_does_not_keep_a_run(cli: Cli) -> None:
    """When the service is gone at the end, Ctrl-C ends the waiting, and what was not recorded is counted."""
    os.mkfifo(cli.folder / "fifo")
    with cli.service() as service, cli.running("run", "--", "sh", "-c", "echo up; read x < fifo; echo down") as running:
        until(lambda: cli("tail", "last", "--source", "stdout").stdout)
        service.kill()
        service.wait()
        (cli.folder / "fifo").write_text("go\n")
        assert running.stderr is not None
        assert "does not answer" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert "lines could not be recorded" in said
