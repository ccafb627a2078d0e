"""Workflows: nodes in dependency order, failures and what they leave undone, and the history they leave."""

from __future__ import annotations

import asyncio
import functools
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

import asynclog
from asynclog import InvalidError, Node, Step, TaskContext, TaskManager, TaskQuery, Workflow
from tests.library.reading import entries, messages, steps, until


async def add(a: int, b: int) -> int:
    return a + b


def double(value: int) -> int:
    return value * 2


def fail(**inputs: object) -> None:
    raise ValueError("boom")


async def by_node(tasks: TaskManager, task_id: str) -> dict[str, Step]:
    """A task's steps by node."""
    return {step.node_id: step for step in await steps(tasks, task_id)}


async def test_nodes_run_in_the_order_of_their_needs(tasks: TaskManager) -> None:
    """Outputs, parts of them and parameters arrive as inputs; each node is a step; the leaves are the result."""
    flow = Workflow(
        "sums",
        Node("total", add, inputs={"a": "twice", "b": "pair.rows.1"}, type="sum", name="In all"),
        Node("twice", double, inputs={"value": "params.start"}),
        Node("pair", lambda rows: {"rows": rows}, inputs={"rows": "params.rows"}),
        Node("alone", lambda: "x", after=("total",)),
        description="Adds.",
    )
    assert flow.order.index("total") > max(flow.order.index("twice"), flow.order.index("pair"))
    task = await tasks.run(flow, {"start": 5, "rows": [1, 2]})
    assert (task.status, task.plugin, task.result) == ("success", "sums", {"alone": "x"}), task.error_stack
    found = await by_node(tasks, task.id)
    total = found["total"]
    assert (total.node_type, total.node_name, total.status) == ("sum", "In all", "success")
    assert (total.input_json, total.output_json) == ('{"a":10,"b":2}', "12")
    assert total.started_at >= (found["twice"].finished_at or 0)
    assert found["alone"].started_at >= (total.finished_at or 0)
    assert {entry.source for entry in await entries(tasks, task.id, step_id=total.id)} == {"workflow"}


async def test_independent_nodes_run_at_once(tasks: TaskManager) -> None:
    """Nodes that do not need each other run together, coroutines and functions alike."""
    together = threading.Barrier(3)
    meeting = asyncio.Barrier(2)

    def wait() -> None:
        together.wait(30)

    async def meet() -> None:
        await meeting.wait()

    flow = Workflow("f", *(Node(f"t{n}", wait) for n in range(3)), *(Node(f"c{n}", meet) for n in range(2)))
    task = await tasks.run(flow)
    assert task.status == "success", task.error_stack


async def test_a_node_may_take_the_context(tasks: TaskManager) -> None:
    """A callable with a parameter `context` gets it; what it logs, and the steps it makes, are in its node's step."""

    async def work(context: TaskContext, value: int) -> None:
        context.logger.info("working on %d", value)
        async with context.step("inner"):
            pass

    flow = Workflow(
        "f", Node("work", work, inputs={"value": "params.n"}), Node("quiet", double, inputs={"value": "params.n"})
    )
    task = await tasks.run(flow, {"n": 5})
    assert task.status == "success", task.error_stack
    found = await by_node(tasks, task.id)
    assert found["inner"].parent_id == found["work"].id
    (entry,) = await entries(tasks, task.id, source="plugin")
    assert (entry.message, entry.step_id) == ("working on 5", found["work"].id)


async def test_a_failure_skips_what_needs_it(tasks: TaskManager) -> None:
    """What needs a failed node, directly or not, is skipped with the reason; the others finish; the task fails."""
    failed = asyncio.Event()

    async def slow() -> str:
        await failed.wait()
        return "done"

    async def first_to_fail() -> None:
        failed.set()
        raise KeyError("first")

    async def second_to_fail(text: str) -> None:
        raise ValueError("second")

    flow = Workflow(
        "f",
        Node("slow", slow),
        Node("first", first_to_fail),
        Node("second", second_to_fail, inputs={"text": "slow"}),
        Node("needs", fail, inputs={"x": "first", "y": "slow"}),
        Node("deeper", fail, after=("needs",)),
        Node("free", lambda: 1, after=("slow",)),
    )
    task = await tasks.run(flow)
    assert (task.status, task.error_message) == ("failed", "KeyError: 'first'")
    assert "first_to_fail" in (task.error_stack or "")
    found = await by_node(tasks, task.id)
    assert {node: (step.status, step.error_message) for node, step in found.items()} == {
        "slow": ("success", None),
        "first": ("error", "KeyError: 'first'"),
        "second": ("error", "second"),
        "needs": ("skipped", "first failed"),
        "deeper": ("skipped", "needs was skipped"),
        "free": ("success", None),
    }
    assert found["needs"].input_json is None
    failures = await entries(tasks, task.id, source="workflow", min_level="ERROR")
    assert [entry.step_id for entry in failures] == [found["first"].id, found["second"].id]
    assert await messages(tasks, task.id, level="WARNING") == [
        "node needs skipped: first failed",
        "node deeper skipped: needs was skipped",
    ]


async def test_an_error_that_is_false_is_the_first_all_the_same(tasks: TaskManager) -> None:
    """The task fails with the first error, though that exception counts as false."""

    class FalseError(Exception):
        def __bool__(self) -> bool:
            return False

    early: list[asyncio.Task[object] | None] = []

    async def first() -> None:
        early.append(asyncio.current_task())
        raise FalseError("first")

    async def second() -> None:
        await until(lambda: bool(early))
        await asyncio.wait([task for task in early if task is not None])
        raise ValueError("second")

    task = await tasks.run(Workflow("f", Node("second", second), Node("first", first)))
    assert (task.status, task.error_message) == ("failed", "first")


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()], ids=type
)
@pytest.mark.parametrize("thread", [False, True])
async def test_whatever_a_node_raises_is_its_failure(tasks: TaskManager, error: BaseException, thread: bool) -> None:
    """Exits, interrupts and stray cancellations fail the node, not the loop or its neighbours."""

    def function() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    flow = Workflow("f", Node("bad", function if thread else coroutine), Node("good", lambda: 5))
    task = await tasks.run(flow)
    assert task.status == "failed"
    found = await by_node(tasks, task.id)
    assert found["good"].status == "success"
    assert found["bad"].status == "error"


async def test_an_input_that_leads_nowhere_fails_its_node(tasks: TaskManager) -> None:
    """A path that the output does not have is the node's failure, as a sentence."""
    flow = Workflow("f", Node("a", lambda: {"rows": []}), Node("b", double, inputs={"value": "a.rows.0"}))
    task = await tasks.run(flow)
    assert task.error_message == "there is no '0' in what 'a.rows.0' is taken from"
    assert (await by_node(tasks, task.id))["b"].status == "error"


async def test_all_kinds_of_callables_are_nodes(tasks: TaskManager) -> None:
    """Partials, methods, objects, builtins and functions that return coroutines."""

    class Callable:
        async def __call__(self, value: int) -> int:
            return value + 1

        def method(self, value: int) -> int:
            return value + 2

    class Made(msgspec.Struct):
        rows: int

    flow = Workflow(
        "f",
        Node("made", lambda: Made(5)),
        Node("partial", functools.partial(add, b=10), inputs={"a": "made.rows"}),
        Node("object", Callable(), inputs={"value": "made.rows"}),
        Node("method", Callable().method, inputs={"value": "made.rows"}),
        Node("builtin", dict, inputs={"a": "made.rows"}),
        Node("returning", lambda value: add(value, 1), inputs={"value": "made.rows"}),
    )
    task = await tasks.run(flow)
    assert task.result == {"partial": 15, "object": 6, "method": 7, "builtin": {"a": 5}, "returning": 6}, (
        task.error_stack
    )


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([], "at least one node"),
        ([Node("a", double, inputs={"value": "b"})], "there is no node 'b'"),
        ([Node("a", lambda: 1, after=("b",))], "comes after 'b'"),
        ([Node("a", lambda: 1), Node("a", lambda: 1)], "occurs twice"),
        ([Node("", lambda: 1)], "is no id"),
        ([Node("a.b", lambda: 1)], "is no id"),
        ([Node("params", lambda: 1)], "is no id"),
        ([Node("x" * 300, lambda: 1)], "is no id"),
        ([Node("a", double)], "cannot be called with its inputs"),
        ([Node("a", double, inputs={"value": "params", "more": "params"})], "cannot be called with its inputs"),
        ([Node("a", 5)], "nothing that can be called"),  # type: ignore[arg-type]  # on purpose
        (["a"], "is no Node"),
        ([Node("a", double, inputs={"value": "a"})], "a -> a"),
        (
            [
                Node("a", double, inputs={"value": "c"}),
                Node("b", double, inputs={"value": "a.x"}),
                Node("c", lambda: 1, after=("b",)),
            ],
            "in a circle",
        ),
    ],
)
def test_a_workflow_that_cannot_run_is_refused(nodes: list[Any], reason: str) -> None:
    """Cycles, unknown inputs, wrong arguments and bad ids are refused when the workflow is defined."""
    with pytest.raises(InvalidError, match=reason):
        Workflow("f", *nodes)


def test_a_workflow_is_immutable() -> None:
    """Nodes and order cannot be changed, and the workflow shows itself."""
    flow = Workflow("f", Node("a", lambda: 1), Node("b", lambda: 1, after=("a",)))
    with pytest.raises(TypeError):
        flow.nodes["c"] = flow.nodes["a"]  # type: ignore[index]  # on purpose
    with pytest.raises(AttributeError):
        flow.nodes["a"].id = "c"  # type: ignore[misc]  # on purpose
    assert repr(flow) == "Workflow('f', a, b)"


async def test_a_workflow_is_cancelled(tasks: TaskManager) -> None:
    """Cancelling ends coroutine nodes, waits for a function's thread, and leaves unbegun nodes without a step."""
    begun, go = threading.Event(), threading.Event()
    finished: list[bool] = []

    async def waiting() -> None:
        await asyncio.Event().wait()

    def blocking() -> None:
        begun.set()
        go.wait(30)
        finished.append(True)

    flow = Workflow(
        "f", Node("waiting", waiting), Node("blocking", blocking), Node("later", lambda: 1, after=("blocking",))
    )
    task = await tasks.start(flow)
    await asyncio.to_thread(begun.wait, 30)
    await tasks.cancel(task.id)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (await tasks.task(task.id)).status == "running"
    go.set()
    assert (await tasks.wait(task.id)).status == "cancelled"
    assert finished == [True]
    found = await by_node(tasks, task.id)
    assert {node: step.status for node, step in found.items()} == {"waiting": "interrupted", "blocking": "interrupted"}


async def test_two_hundred_workflows_at_once_stay_apart(tasks: TaskManager) -> None:
    """Two hundred runs of one workflow at once: each has its own steps, inputs, outputs and entries."""
    start = asyncio.Event()

    async def begin(n: int) -> int:
        await start.wait()
        return n

    async def spread(n: int, factor: int, context: TaskContext) -> int:
        context.logger.info("%s: %d", context.task_id, n * factor)
        await asyncio.sleep(0)
        return n * factor

    flow = Workflow(
        "numbers",
        Node("begin", begin, inputs={"n": "params.n"}),
        *(
            Node(f"times{factor}", functools.partial(spread, factor=factor), inputs={"n": "begin"})
            for factor in range(1, 4)
        ),
        Node("sum", lambda a, b, c: a + b + c, inputs={"a": "times1", "b": "times2", "c": "times3"}),
    )
    started = [await tasks.start(flow, {"n": number}) for number in range(200)]
    start.set()
    for number, task in enumerate(started):
        ended = await tasks.wait(task.id)
        assert (ended.status, ended.result) == ("success", {"sum": number * 6}), ended.error_stack
        found = await by_node(tasks, task.id)
        assert {node: step.output_json for node, step in found.items()} == {
            "begin": str(number),
            "times1": str(number),
            "times2": str(number * 2),
            "times3": str(number * 3),
            "sum": str(number * 6),
        }
        logged = await entries(tasks, task.id, source="plugin")
        assert sorted(entry.message for entry in logged) == sorted(
            f"{task.id}: {number * factor}" for factor in (1, 2, 3)
        )
        assert {entry.step_id for entry in logged} == {found[f"times{factor}"].id for factor in (1, 2, 3)}
    (stats,) = [one for one in await tasks.reader.node_stats("numbers") if one.node_id == "sum"]
    assert (stats.total, stats.by_status) == (200, {"success": 200})


LEVEL = re.compile(r"\b(DEBUG|INFO|WARN|ERROR|FATAL)\b")
LINE = re.compile(r"(?P<time>\S+ \S+) (?:- )?(?P<level>[A-Z]+)\s+(?P<rest>.*)")


def find(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob("*.log"))


def read(files: list[str], name: str) -> list[str]:
    (found,) = [file for file in files if Path(file).name.startswith(name)]
    return Path(found).read_text(errors="replace").splitlines()


def parse(lines: list[str]) -> list[dict[str, str]]:
    """The lines' parts. Raises ValueError for a line of another form."""
    events = []
    for number, line in enumerate(lines, 1):
        found = LINE.match(line)
        if found is None:
            raise ValueError(f"line {number} has another form: {line[:60]}")
        events.append(found.groupdict())
    return events


def levels(lines: list[str]) -> dict[str, int]:
    return dict(Counter(found[1] for line in lines if (found := LEVEL.search(line))))


def aggregate(**levels: dict[str, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in levels.values():
        total.update(counts)
    return dict(total)


def report(events: list[dict[str, str]]) -> str:
    return f"{len(events)} events from {events[0]['time']} on"


def ten_nodes(good: str, bad: str) -> Workflow:
    """Reads two log files, parses one of them well and the other not, counts levels, reports."""
    return Workflow(
        "logs",
        Node("find", find, inputs={"folder": "params.folder"}, type="files"),
        Node("read_good", functools.partial(read, name=good), inputs={"files": "find"}, type="read"),
        Node("read_bad", functools.partial(read, name=bad), inputs={"files": "find"}, type="read"),
        Node("parse_good", parse, inputs={"lines": "read_good"}, type="parse"),
        Node("parse_bad", parse, inputs={"lines": "read_bad"}, type="parse"),
        Node("levels_good", levels, inputs={"lines": "read_good"}, type="count"),
        Node("levels_bad", levels, inputs={"lines": "read_bad"}, type="count"),
        Node("aggregate", aggregate, inputs={"good": "levels_good", "bad": "levels_bad"}, type="aggregate"),
        Node("report_good", report, inputs={"events": "parse_good"}, type="report"),
        Node("report_bad", report, inputs={"events": "parse_bad"}, type="report"),
    )


async def check_ten_nodes(tasks: TaskManager, folder: Path, flow: Workflow, bad_line: str) -> dict[str, Any]:
    """Run it and ask the history what happened; the aggregate."""
    task = await tasks.run(flow, {"folder": str(folder)})
    assert task.status == "failed"
    found = await by_node(tasks, task.id)
    assert len(found) == 10
    failed = [step for step in found.values() if step.status == "error"]
    assert [(step.node_id, step.error_message) for step in failed] == [("parse_bad", task.error_message)]
    assert task.error_message == f"line 1 has another form: {bad_line[:60]}"
    given = msgspec.json.decode(failed[0].input_json or "")
    shown = given["_preview"] if "_truncated" in given else given["lines"][0]
    assert bad_line[:60] in shown
    skipped = [(step.node_id, step.error_message) for step in found.values() if step.status == "skipped"]
    assert skipped == [("report_bad", "parse_bad failed")]
    succeeded = [step for step in found.values() if step.status == "success"]
    assert len(succeeded) == 8
    assert all((step.finished_at or 0) >= step.started_at for step in found.values())
    stats = {one.node_id: one for one in await tasks.reader.node_stats("logs")}
    assert (stats["parse_bad"].by_status, stats["report_bad"].by_status) == ({"error": 1}, {"skipped": 1})
    assert stats["parse_good"].p50 is not None
    page = await tasks.reader.tasks(TaskQuery(status=("failed",), plugin=("logs",), text="another form"))
    assert [one.id for one in page.tasks] == [task.id]
    total: dict[str, Any] = msgspec.json.decode(found["aggregate"].output_json or "")
    return total


async def test_ten_nodes_with_one_failing_on_real_logs(tasks: TaskManager, sample_data: Path) -> None:
    """On real logs the history tells which node failed, on which input, what was skipped, and how long each took."""
    folder = sample_data / "loghub"
    bad_line = (folder / "OpenStack_2k.log").read_text().splitlines()[0]
    total = await check_ten_nodes(tasks, folder, ten_nodes("Hadoop", "OpenStack"), bad_line)
    assert sum(total.values()) > 3900


async def test_ten_nodes_with_one_failing_on_a_small_log(tasks: TaskManager, tmp_path: Path) -> None:
    """The same on files made here, so that it is always shown."""
    good = "".join(f"2015-10-18 18:01:{number:02},978 INFO [main] app: event {number}\n" for number in range(60))
    (tmp_path / "Good.log").write_text(good)
    (tmp_path / "Bad.log").write_text("<34>1 2003 mymachine su - ID47 ERROR 'su root' failed\n" * 20)
    total = await check_ten_nodes(
        tasks, tmp_path, ten_nodes("Good", "Bad"), "<34>1 2003 mymachine su - ID47 ERROR 'su root' failed"
    )
    assert total == {"INFO": 60, "ERROR": 20}


async def test_a_workflow_registers_as_a_plugin(folder: Path) -> None:
    """A workflow in a mapping of plugins is found, described and run by its name there."""
    flow = Workflow("f", Node("a", lambda: 1), description="Does a.")
    async with asynclog.open(folder, plugins={"nightly": flow}) as tasks:
        assert tasks.plugins["nightly"].description == "Does a."
        task = await tasks.run("nightly")
        assert (task.plugin, task.name, task.result) == ("nightly", "nightly", {"a": 1})


async def test_without_capture_a_workflow_runs_all_the_same(tasks: TaskManager) -> None:
    """With capture off there are no steps; results, failures and skips are as before."""
    await tasks.engine.change_settings({"capture_enabled": False})
    flow = Workflow("f", Node("a", lambda: 1), Node("b", fail, inputs={"a": "a"}), Node("c", fail, inputs={"b": "b"}))
    task = await tasks.run(flow)
    assert (task.status, task.error_message) == ("failed", "boom")
    assert await tasks.reader.steps(task.id) == []
    assert await messages(tasks, task.id, level="WARNING") == ["node c skipped: b failed"]
