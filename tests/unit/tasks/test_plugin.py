"""What counts as a plugin, how it is called, and where plugins are found."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asynclog.errors import InvalidError
from asynclog.tasks.plugin import Plugin, discover, plugin_name

PARAMS, CONTEXT = {"a": 1}, object()


def old(params: Any) -> Any:
    return params, None


def old_no_parameters() -> Any:
    return PARAMS, None


def old_with_default(params: Any = None, /, verbose: bool = False) -> Any:
    return params, None


def old_by_keyword(*, params: Any) -> Any:
    return params, None


def old_many(*args: Any) -> Any:
    (params,) = args
    return params, None


def new(params: Any, context: Any) -> Any:
    return params, context


def new_by_keyword(params: Any, *, context: Any = None) -> Any:
    return params, context


def new_all_by_keyword(*, context: Any, params: Any) -> Any:
    return params, context


def new_positional(params: Any, context: Any, /) -> Any:
    return params, context


def new_positional_turned(context: Any, params: Any, /) -> Any:
    return params, context


def new_turned(context: Any, params: Any) -> Any:
    return params, context


def new_with_default(params: Any, verbose: bool = False, *, context: Any) -> Any:
    return params, context


def new_kwargs(params: Any, **kwargs: Any) -> Any:
    return params, kwargs["context"]


def new_only_kwargs(**kwargs: Any) -> Any:
    return kwargs["params"], kwargs["context"]


def new_anything(*args: Any, **kwargs: Any) -> Any:
    return args[0], kwargs["context"]


def new_context_only(context: Any) -> Any:
    return PARAMS, context


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrapping_positional(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def giving_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a decorator of another framework: what it wraps takes a context, itself it takes none."""

    @functools.wraps(function)
    def wrapper(params: Any) -> Any:
        return function(params, None)

    return wrapper


class Executing:
    """Executes."""

    def execute(self, params: Any, context: Any) -> Any:
        return params, context


class ExecutingOld:
    def execute(self, params: Any) -> Any:
        return params, None


class Called:
    def __call__(self, params: Any, context: Any) -> Any:
        return params, context


class Static:
    @staticmethod
    def execute(params: Any, context: Any) -> Any:
        return params, context


class OfClass:
    @classmethod
    def execute(cls, params: Any) -> Any:
        return params, None


def with_more(more: int, params: Any, context: Any) -> Any:
    return params, context


class Unsigned:
    """A callable that does not say what it takes."""

    __signature__ = "nothing"

    def __call__(self, params: Any) -> Any:
        return params, None


OLD = [
    old,
    old_no_parameters,
    old_with_default,
    old_by_keyword,
    old_many,
    wrapping(old),
    wrapping_positional(old),
    giving_context(new),
    functools.partial(old_with_default, verbose=True),
    ExecutingOld(),
    ExecutingOld,
    ExecutingOld().execute,
    OfClass,
    Unsigned(),
    lambda params: (params, None),
]
NEW = [
    new,
    new_by_keyword,
    new_all_by_keyword,
    new_positional,
    new_positional_turned,
    new_turned,
    new_with_default,
    new_kwargs,
    new_only_kwargs,
    new_anything,
    new_context_only,
    wrapping(new),
    wrapping_positional(new),
    wrapping(new_by_keyword),
    functools.partial(with_more, 5),
    functools.partial(functools.partial(with_more), 5),
    Executing(),
    Executing,
    Executing().execute,
    Static,
    Called(),
    Called().__call__,
]


def _id(target: object) -> str:
    return f"{type(target).__name__}-{plugin_name(target)}"


@pytest.mark.parametrize("target", OLD, ids=_id)
def test_an_old_plugin_gets_its_parameters_alone(target: object) -> None:
    """Without a parameter `context` or `**kwargs` a plugin is old: it is called with the parameters only."""
    plugin = Plugin("p", target)
    assert (plugin.takes_context, plugin.is_coroutine) == (False, False)
    assert plugin.call(PARAMS, CONTEXT) == (PARAMS, None)


@pytest.mark.parametrize("target", NEW, ids=_id)
def test_a_new_plugin_gets_the_context_too(target: object) -> None:
    """With a parameter `context`, keyword-only too, or `**kwargs`, a plugin is new and gets both, in any order."""
    plugin = Plugin("p", target)
    assert (plugin.takes_context, plugin.is_coroutine) == (True, False)
    assert plugin.call(PARAMS, CONTEXT) == (PARAMS, CONTEXT)


def test_what_a_partial_has_bound_stays() -> None:
    """Parameters or a context that a partial has bound by name are not passed again."""
    assert Plugin("p", functools.partial(new, params=5)).call(PARAMS, CONTEXT) == (5, CONTEXT)
    assert Plugin("p", functools.partial(new, context=5)).call(PARAMS, CONTEXT) == (PARAMS, 5)


async def a_coroutine(params: Any, context: Any) -> Any:
    return params, context


class AsyncExecuting:
    async def execute(self, params: Any, context: Any) -> Any:
        return params, context


class AsyncCalled:
    async def __call__(self, params: Any, context: Any) -> Any:
        return params, context


@pytest.mark.parametrize(
    "target",
    [a_coroutine, functools.partial(a_coroutine), AsyncExecuting, AsyncExecuting().execute, AsyncCalled()],
    ids=_id,
)
async def test_coroutine_functions_are_known_as_such(target: object) -> None:
    """Coroutine functions, methods, partials and objects with an async `__call__` run on the loop."""
    plugin = Plugin("p", target)
    assert plugin.is_coroutine
    assert await plugin.call(PARAMS, CONTEXT) == (PARAMS, CONTEXT)


async def test_a_function_that_returns_a_coroutine_is_a_function() -> None:
    """What cannot be told beforehand is called as a function; its coroutine is for the manager to await."""

    def maker(params: Any) -> Awaitable[Any]:
        return asyncio.sleep(0, params)

    plugin = Plugin("p", maker)
    assert not plugin.is_coroutine
    assert await plugin.call(PARAMS, CONTEXT) == PARAMS


class NeedsMore:
    def __init__(self, more: int) -> None: ...

    def execute(self, params: Any) -> None: ...


@pytest.mark.parametrize("target", [5, "text", None, object(), NeedsMore], ids=type)
def test_what_is_no_plugin_is_refused(target: object) -> None:
    """What can neither be called nor execute, or cannot be made, is refused with its name."""
    with pytest.raises(InvalidError, match="'nope'"):
        Plugin("nope", target)


class Given(msgspec.Struct):
    path: str
    depth: int = 3


def test_a_struct_annotation_checks_the_parameters() -> None:
    """Parameters annotated with a struct arrive as one, what does not fit is refused; the schema shows it."""

    def plugin(params: Given, context: Any) -> Any:
        return params

    found = Plugin("p", plugin)
    given = found.check({"path": "/x"})
    assert found.call(given, CONTEXT) == Given(path="/x", depth=3)
    assert found.check(Given(path="/y")) == Given(path="/y")
    for wrong in ({}, {"path": 5}, {"path": "/x", "depth": "deep"}, None, [1]):
        with pytest.raises(InvalidError, match="params: "):
            found.check(wrong)
    assert found.params_schema["$defs"]["Given"]["required"] == ["path"]


def test_an_annotation_is_read_whatever_the_others_are() -> None:
    """The struct counts beside annotations that only type checkers can read; one that is no type is none."""

    async def plugin(params: Given, context: Any) -> Any:
        return params

    def odd(params: Any, context: Any) -> None:
        """Does it."""

    plugin.__annotations__ |= {"context": "TaskContext", "return": "Nobody"}  # as after `if TYPE_CHECKING:`
    odd.__annotations__["params"] = "what to do"
    assert Plugin("p", plugin).check({"path": "/x"}) == Given(path="/x")
    assert Plugin("p", functools.partial(plugin, context=None)).check({"path": "/x"}) == Given(path="/x")
    assert Plugin("p", odd).check(5) == 5


def test_a_schema_may_be_given() -> None:
    """An attribute `params_schema` is shown as it is; the description is an attribute or the docstring's first line."""

    class Described:
        description = "does things"
        params_schema = {"type": "object"}  # noqa: RUF012  # as plugins are written

        def execute(self, params: Any) -> None:
            """Not shown."""

    found = Plugin("p", Described)
    assert (found.description, found.params_schema) == ("does things", {"type": "object"})
    assert Plugin("p", Executing).description == "Executes."
    assert Plugin("p", functools.partial(old)).description == ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with nothing in it, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_directory_has_plugins(here: Path) -> None:
    """`--plugins MODULE` finds a module beside the caller; what is given over it wins."""
    (here / "my_plugins.py").write_text("def one(params): return 1\nPLUGINS = {'one': one, 'two': lambda params: 2}\n")
    found = discover({"two": old}, "my_plugins")
    assert {"one", "two"} <= found.keys()
    assert found["one"].call({}, None) == 1
    assert found["two"].call(PARAMS, None) == (PARAMS, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot be imported"),
        ("import nothing_of_that_name", "cannot be imported"),
        ("x = 1", "no dictionary PLUGINS"),
        ("PLUGINS = ['a']", "no dictionary PLUGINS"),
        ("PLUGINS = {'bad': 5}", "'bad'"),
        ("PLUGINS = {5: print}", "no name"),
    ],
)
def test_a_module_that_has_none_is_refused(here: Path, text: str | None, reason: str) -> None:
    """A module that cannot be imported or holds no plugins is refused with the reason."""
    if text is not None:
        (here / "odd_plugins.py").write_text(text)
    with pytest.raises(InvalidError, match=reason):
        discover(None, "odd_plugins")


def test_entry_points_are_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution's entry points in `asynclog.plugins` are plugins; one that fails to load is named."""
    (here / "their_plugin.py").write_text("def work(params): return 'theirs'\n")
    info = here / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[asynclog.plugins]\ntheirs = their_plugin:work\n")
    monkeypatch.syspath_prepend(here)
    assert discover()["theirs"].call({}, None) == "theirs"
    (info / "entry_points.txt").write_text("[asynclog.plugins]\nbroken = their_plugin:gone\n")
    with pytest.raises(InvalidError, match="broken"):
        discover()
