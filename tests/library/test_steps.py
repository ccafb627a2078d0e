"""Steps: what ran, in which order, on what input, with what output, and where it broke."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any, cast

import msgspec
import pytest

from asynclog import Step, TaskContext, TaskManager, current_context, step
from asynclog.errors import StoreError
from tests.library.reading import entries, steps


async def test_a_step_records_everything(tasks: TaskManager) -> None:
    """Node id, type, name, index, stage, unit, times, status, input and output; its entries carry its id."""

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("extract") as stage:
            with context.unit("u1"):
                async with stage.step("Fetch all", node_id="fetch", node_type="http", input={"url": "…"}) as opened:
                    context.logger.info("inside")
                    opened.output = {"rows": 42}
        context.logger.info("outside")

    task = await tasks.run(plugin)
    (found,) = await steps(tasks, task.id)
    assert (found.node_id, found.node_type, found.node_name) == ("fetch", "http", "Fetch all")
    assert (found.step_index, found.parent_id, found.stage, found.unit) == (0, None, "extract", "u1")
    assert (found.status, found.error_message, found.input_json, found.output_json) == (
        "success",
        None,
        '{"url":"…"}',
        '{"rows":42}',
    )
    assert found.started_at <= (found.finished_at or 0)
    assert [e.step_id for e in await entries(tasks, task.id, source="plugin")] == [found.id, None]
    assert [e.message for e in await entries(tasks, task.id, step_id=found.id)] == ["inside"]
    (listed,) = await tasks.reader.steps(task.id)
    assert (listed.input_json, listed.output_json) == (None, None)


async def test_nested_and_concurrent_steps_keep_order_and_parents(tasks: TaskManager) -> None:
    """Each step knows the one it was begun in, in coroutines, gathered tasks and threads; indexes count beginnings."""

    async def leaf(context: TaskContext, name: str) -> None:
        async with context.step(name):
            await asyncio.sleep(0)
            context.logger.info(name)

    def thread_leaf(context: TaskContext, name: str) -> None:
        with context.step(name):
            context.logger.info(name)

    async def branch(context: TaskContext, name: str) -> None:
        async with context.step(name):
            await asyncio.gather(*(leaf(context, f"{name}.{number}") for number in range(3)))
            await asyncio.to_thread(thread_leaf, context, f"{name}.t")

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.step("root"):
            await asyncio.gather(*(branch(context, f"b{number}") for number in range(4)))
        async with context.step("last"):
            pass

    task = await tasks.run(plugin)
    found = await steps(tasks, task.id)
    by_id = {one.id: one for one in found}
    assert [one.step_index for one in found] == list(range(22))
    assert found[0].node_name == "root"
    assert found[-1].node_name == "last"
    for one in found:
        parent = by_id[one.parent_id].node_name if one.parent_id else None
        expected = None if one.node_name in ("root", "last") else one.node_name.rpartition(".")[0] or "root"
        assert parent == expected, one.node_name
        if parent is not None:
            assert by_id[one.parent_id or ""].step_index < one.step_index
    for entry in await entries(tasks, task.id, source="plugin"):
        assert by_id[entry.step_id or ""].node_name == entry.message


async def test_a_failing_step_says_how(tasks: TaskManager) -> None:
    """An error that leaves the step makes it an error with message and traceback, and goes on unchanged."""
    boom = KeyError("boom")

    async def failing(context: TaskContext) -> None:
        async with context.step("outer"), context.step("inner", input=1) as opened:
            opened.output = "half"
            raise boom

    async def plugin(params: object, context: TaskContext) -> None:
        with pytest.raises(KeyError) as raised:
            await failing(context)
        assert raised.value is boom

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    for found in await steps(tasks, task.id):
        assert (found.status, found.error_message) == ("error", "KeyError: 'boom'")
        assert "KeyError: 'boom'" in (found.error_stack or "")
    assert (await steps(tasks, task.id))[1].output_json == '"half"'


async def test_a_step_may_be_skipped_or_fail_without_raising(tasks: TaskManager) -> None:
    """`skip` ends a step as skipped with the reason, `fail` as an error, both without an exception."""

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.step("skipped") as opened:
            opened.skip("nothing to do")
        async with context.step("skipped for nothing") as opened:
            opened.skip()
        async with context.step("failed") as opened:
            opened.fail(ValueError("boom"))

    task = await tasks.run(plugin)
    assert [(found.status, found.error_message) for found in await steps(tasks, task.id)] == [
        ("skipped", "nothing to do"),
        ("skipped", None),
        ("error", "boom"),
    ]


async def test_input_and_output_are_as_they_were(tasks: TaskManager) -> None:
    """Input and output are captured when they are given, whatever becomes of the objects later."""

    async def plugin(params: object, context: TaskContext) -> None:
        given, made = [1], [1]
        async with context.step("s", input=given) as opened:
            given.append(2)
            opened.output = made
            made.append(2)
            assert opened.output is made

    task = await tasks.run(plugin)
    (found,) = await steps(tasks, task.id)
    assert (found.input_json, found.output_json) == ("[1]", "[1]")


async def test_large_data_is_cut_in_the_form_that_was_agreed(tasks: TaskManager) -> None:
    """Above `max_data_size` bytes `_truncated`, `_originalSize` and `_preview` are kept, at the limit all of it."""

    async def plugin(params: object, context: TaskContext) -> None:
        for size in (99_998, 99_999):
            async with context.step("s", input="x" * size) as opened:
                opened.output = {"a": "é" * 60_000}

    task = await tasks.run(plugin)
    whole, cut = await steps(tasks, task.id)
    assert whole.input_json == '"' + "x" * 99_998 + '"'
    assert msgspec.json.decode(cut.input_json or "") == {
        "_truncated": True,
        "_originalSize": 100_001,
        "_preview": '"' + "x" * 999 + "...",
    }
    output = msgspec.json.decode(cut.output_json or "")
    assert output == {"_truncated": True, "_originalSize": 120_008, "_preview": '{"a":"' + "é" * 994 + "..."}


async def test_ten_megabytes_are_cut_and_never_refused(tasks: TaskManager) -> None:
    """Inputs and outputs of 10 MB and of hostile kinds are captured, with the size they have as JSON."""

    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    text = "x" * 10_000_000
    rows = [{"row": number, "text": "x" * 300} for number in range(30_000)]

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.step("text", input=text) as opened:
            opened.output = rows
        async with context.step("odd", input=Hostile()) as opened:
            opened.output = {"a": Hostile(), "password": "hunter2"}

    task = await tasks.run(plugin)
    large, odd = await steps(tasks, task.id)
    assert msgspec.json.decode(large.input_json or "")["_originalSize"] == len(text) + 2
    assert msgspec.json.decode(large.output_json or "")["_originalSize"] == len(msgspec.json.encode(rows))
    assert "unprintable Hostile" in (odd.input_json or "")
    assert msgspec.json.decode(odd.output_json or "")["password"] == "[redacted]"


async def test_the_decorator_records_every_call(tasks: TaskManager) -> None:
    """On coroutines, functions and methods: arguments by name are the input, what is returned is the output."""

    @step
    async def fetch(url: str, depth: int = 3) -> str:
        return url * 2

    @step("Parse it", node_type="parser", node_id="parse")
    def parse(text: str, *more: int, **options: int) -> int:
        return len(text) + sum(more)

    class Loader:
        @step
        def load(self, rows: int) -> int:
            return rows

        @classmethod
        @step(node_type="class")
        def make(cls, n: int) -> int:
            return n

    async def plugin(params: object, context: TaskContext) -> None:
        assert await fetch("ab", depth=4) == "abab"
        assert parse("abc", 1, 2, strict=1) == 6
        assert await asyncio.to_thread(Loader().load, 7) == 7
        assert Loader.make(8) == 8

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    shown = [(s.node_name, s.node_type, s.node_id, s.input_json, s.output_json) for s in await steps(tasks, task.id)]
    assert shown == [
        ("fetch", "function", "fetch", '{"url":"ab","depth":4}', '"abab"'),
        ("Parse it", "parser", "parse", '{"text":"abc","more":[1,2],"options":{"strict":1}}', "6"),
        ("load", "function", "load", '{"rows":7}', "7"),
        ("make", "class", "make", '{"n":8}', "8"),
    ]


async def test_the_decorator_changes_nothing_else() -> None:
    """Outside of a task a decorated function is the function: name, docstring, kind, arguments, errors."""

    @step
    async def fetch(url: str) -> str:
        """Fetches."""
        return url

    @step(node_type="x")
    def parse(text: str) -> int:
        return int(text)

    assert asyncio.iscoroutinefunction(fetch)
    assert (fetch.__name__, fetch.__doc__, await fetch("a"), parse("5")) == ("fetch", "Fetches.", "a", 5)
    with pytest.raises(TypeError, match="missing"):
        parse()  # type: ignore[call-arg]  # on purpose
    with pytest.raises(ValueError, match="five"):
        parse("five")
    assert step("of a builtin")(max)(1, 2) == 2
    assert step(functools.partial(parse, "7"))() == 7
    with pytest.raises(TypeError, match="classmethod"):
        step(cast("Any", classmethod(cast("Any", parse))))


async def test_a_decorated_call_that_fails(tasks: TaskManager) -> None:
    """A decorated call with wrong arguments or a failing body is a failed step, and raises what it raised before."""

    @step
    def parse(text: str) -> int:
        return int(text)

    async def plugin(params: object, context: TaskContext) -> None:
        with pytest.raises(ValueError, match="five"):
            parse("five")
        with pytest.raises(TypeError):
            parse("five", "six")  # type: ignore[call-arg]  # on purpose

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    first, second = await steps(tasks, task.id)
    assert (first.status, first.input_json) == ("error", '{"text":"five"}')
    assert (second.status, second.input_json) == ("error", '{"args":["five","six"],"kwargs":{}}')


async def test_recursion_is_a_chain_of_steps(tasks: TaskManager) -> None:
    """A decorated function that calls itself leaves a chain, each in the one before."""

    @step
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + down(n - 1)

    async def plugin(params: object, context: TaskContext) -> int:
        return down(50)

    task = await tasks.run(plugin)
    found = await steps(tasks, task.id)
    assert [one.parent_id for one in found] == [None, *(one.id for one in found[:-1])]
    assert [one.output_json for one in found] == [str(50 - n) for n in range(51)]


async def test_a_cancelled_step_is_interrupted(tasks: TaskManager) -> None:
    """A cancellation interrupts the steps it passes through, a timeout that is handled included."""

    async def plugin(params: object, context: TaskContext) -> str:
        try:
            async with asyncio.timeout(0.01), context.step("slow"):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "never"

    task = await tasks.run(plugin)
    (found,) = await steps(tasks, task.id)
    assert (task.result, found.status, found.error_stack) == ("in time", "interrupted", None)


async def test_a_failing_store_fails_no_step(tasks: TaskManager, folder: Any) -> None:
    """With the database gone steps go on without waiting for it; afterwards they are all there."""
    database = folder / "asynclog.db"
    hidden = folder / "hidden"

    async def plugin(params: object, context: TaskContext) -> None:
        for name in ("", "-wal", "-shm"):
            folder.joinpath(f"asynclog.db{name}").rename(folder / f"hidden{name}")
        database.mkdir()
        for number in range(50):
            async with context.stage("s"), context.step(f"n{number}", input=number) as opened:
                opened.output = number
        with pytest.raises(StoreError):
            await tasks.engine.change_settings({"log_level": "ERROR"})
        database.rmdir()
        for name in ("", "-wal", "-shm"):
            if folder.joinpath(f"hidden{name}").exists():
                folder.joinpath(f"hidden{name}").rename(folder / f"asynclog.db{name}")

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    assert not hidden.exists()
    assert [one.output_json for one in await steps(tasks, task.id)] == [str(number) for number in range(50)]


async def test_a_step_in_a_thread_of_its_own(tasks: TaskManager) -> None:
    """A wrapped function in a bare thread is a step inside the step it was wrapped in."""

    @step
    def work() -> None:
        context = current_context()
        assert context is not None
        context.logger.info("inside")

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.step("outer"):
            thread = threading.Thread(target=context.wrap(work))
            thread.start()
            await asyncio.to_thread(thread.join)

    task = await tasks.run(plugin)
    outer, inner = await steps(tasks, task.id)
    assert (inner.parent_id, inner.node_name) == (outer.id, "work")


async def test_a_step_begins_once(tasks: TaskManager) -> None:
    """The same step cannot be begun twice; the plugin is told how to make another."""

    async def plugin(params: object, context: TaskContext) -> None:
        opened = context.step("s")
        async with opened:
            pass
        async with opened:
            pass

    task = await tasks.run(plugin)
    assert (task.status, "context.step" in (task.error_message or "")) == ("failed", True)
    found: list[Step] = await steps(tasks, task.id)
    assert [one.status for one in found] == ["success"]
