"""Plugins: where they are found, what they look like, and how one is called, old or new."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, get_type_hints

import msgspec

from asynclog.errors import InvalidError

GROUP: Final = "asynclog.plugins"
"""The entry-point group."""


class Plugin:
    """Code that can run as a task.

    Args:
        name: as tasks name it.
        target: a callable, an object with ``execute``, or a class of such objects.

    Raises:
        InvalidError: it is none of these.
    """

    def __init__(self, name: str, target: object) -> None:
        self.name = name
        if inspect.isclass(target):
            target = target()
        call = getattr(target, "execute", None)
        self._call: Callable[..., Any] = call if callable(call) else target  # type: ignore[assignment]  # checked below
        if not callable(self._call):
            raise InvalidError("plugin", f"the plugin {name!r} is neither callable nor has it a method execute")
        self._takes = _parameters(self._call)
        self.takes_context = self._takes is not None and any(
            parameter.name == "context" or parameter.kind is parameter.VAR_KEYWORD for parameter in self._takes
        )
        self.is_coroutine = _is_coroutine(self._call)
        self.description = _description(target, self._call)
        self._struct = _params_struct(self._call, self._takes)
        self.params_schema = _schema(target, self._call, self._struct)

    def check(self, params: object) -> Any:
        """The parameters as the plugin takes them.

        Raises:
            InvalidError: they do not fit the plugin's parameter struct.
        """
        if self._struct is None:
            return params
        try:
            return msgspec.convert({} if params is None else params, self._struct)
        except msgspec.ValidationError as error:
            raise InvalidError("params", f"params: {error}") from None

    def call(self, params: object, context: object) -> Any:
        """Call it; an old one gets no context. Whatever it returns or raises is passed on."""
        takes = self._takes or ()
        if not self.takes_context:
            return self._call() if self._takes == () else self._call(params)
        positional = [p.name for p in takes if p.kind is p.POSITIONAL_ONLY]
        if "context" in positional:
            return self._call(*[context if name == "context" else params for name in positional])
        if not any(p.name != "context" and p.kind not in (p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in takes):
            return self._call(context=context)
        return self._call(params, context=context)


def _parameters(call: Callable[..., Any]) -> tuple[inspect.Parameter, ...] | None:
    """What it takes; None for callables that do not say."""
    try:
        return tuple(inspect.signature(call).parameters.values())
    except (ValueError, TypeError):
        return None


def _is_coroutine(call: Callable[..., Any]) -> bool:
    while isinstance(call, functools.partial):
        call = call.func
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004  # an object with an async __call__


def _description(target: object, call: Callable[..., Any]) -> str:
    given = getattr(target, "description", None)
    if isinstance(given, str):
        return given
    while isinstance(call, functools.partial):
        call = call.func
    for owner in (call, target):
        text = inspect.getdoc(owner) if not isinstance(owner, functools.partial) else None
        if text:
            return text.splitlines()[0]
    return ""


def _params_struct(
    call: Callable[..., Any], takes: tuple[inspect.Parameter, ...] | None
) -> type[msgspec.Struct] | None:
    """The msgspec Struct that annotates the parameters, if one does."""
    first = next((p for p in takes or () if p.name != "context"), None)
    if first is None:
        return None
    function = call
    while isinstance(function, functools.partial):
        function = function.func
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        function = getattr(function, "__call__", function)  # noqa: B004  # its annotations are on the method
    try:
        hint = get_type_hints(function).get(first.name)
    except (NameError, TypeError, AttributeError):
        return None
    return hint if inspect.isclass(hint) and issubclass(hint, msgspec.Struct) else None


def _schema(target: object, call: Callable[..., Any], struct: type[msgspec.Struct] | None) -> Any:
    for owner in (target, call):
        given = getattr(owner, "params_schema", None)
        if given is not None:
            return given
    return None if struct is None else msgspec.json.schema(struct)


def discover(given: Mapping[str, object] | None = None, module: str | None = None) -> dict[str, Plugin]:
    """Every plugin there is: entry points, over them a module's ``PLUGINS``, over them those given.

    Args:
        given: name to plugin.
        module: an importable module (the current directory counts).

    Raises:
        InvalidError: the module cannot be imported or has no dictionary ``PLUGINS``, or a plugin is none.
    """
    found: dict[str, object] = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = point.load()
        except Exception as error:
            raise InvalidError("plugins", f"the entry point {point.name} cannot be loaded: {error!r}") from error
    if module is not None:
        found.update(_module_plugins(module))
    found.update(given or {})
    return {name: Plugin(name, target) for name, target in found.items()}


def _module_plugins(name: str) -> dict[str, object]:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise InvalidError("plugins", f"the plugin module {name} cannot be imported: {error!r}") from error
    plugins = getattr(module, "PLUGINS", None)
    if not isinstance(plugins, dict):
        raise InvalidError("plugins", f"the module {name} has no dictionary PLUGINS of name to plugin")
    return plugins
