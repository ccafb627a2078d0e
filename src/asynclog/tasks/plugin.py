"""Plugins: where they are found, what they look like, and how one is called, old or new."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from asynclog.errors import InvalidError
from asynclog.logger import label
from asynclog.model import AUDIT_PLUGIN
from asynclog.principal import Role

GROUP: Final = "asynclog.plugins"
"""The entry-point group."""


Target = TypeVar("Target")


def requires(role: str) -> Callable[[Target], Target]:
    """Say on a plugin which role its starter needs: ``@asynclog.requires("admin")``. An operator's without it.

    Where keys have accounts and sites, ``admin`` takes a key for all of them. The library itself asks nobody.

    Raises:
        ValueError: it is no role.
    """
    needed = Role.parse(role)

    def mark(target: Target) -> Target:
        setattr(target, "role", needed.label)  # noqa: B010  # of anything that can be called
        return target

    return mark


class Plugin:
    """Code that can run as a task.

    Args:
        name: as tasks name it.
        target: a callable, an object with ``execute``, or a class of such objects that is made without arguments.

    Raises:
        InvalidError: it is none of these.
    """

    def __init__(self, name: str, target: object) -> None:
        self.name = name
        if inspect.isclass(target):
            target = _made(name, target)
        call = getattr(target, "execute", None)
        self._call: Callable[..., Any] = call if callable(call) else target  # type: ignore[assignment]  # checked below
        if not callable(self._call):
            raise InvalidError("plugin", f"the plugin {name!r} is neither callable nor has it a method execute")
        known = parameters(self._call)
        takes = None if known is None else tuple(known.values())
        self._bind, self.takes_context = _binding(self._call, takes)
        self.is_coroutine = is_coroutine(self._call)
        self.description = _description(target, self._call)
        self._struct = _params_struct(self._call, takes)
        self.params_schema = _schema(target, self._call, self._struct)
        self.role = _role(name, target, self._call)
        """What whoever starts it over HTTP has to be at least."""

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
        args, kwargs = self._bind(params, context)
        return self._call(*args, **kwargs)


def plugin_name(target: object) -> str:
    """What a plugin that was not registered is called."""
    while isinstance(target, functools.partial):
        target = target.func
    for name in (getattr(target, "__name__", None), getattr(target, "name", None)):
        if isinstance(name, str) and name:
            return label(name) or name
    return type(target).__name__


def _made(name: str, kind: type) -> object:
    try:
        return kind()
    except Exception as error:
        raise InvalidError("plugin", f"the plugin {name!r} is a class that cannot be made: {error!r}") from error


_Binding = Callable[[object, object], tuple[list[object], dict[str, object]]]


def _binding(call: Callable[..., Any], takes: tuple[inspect.Parameter, ...] | None) -> tuple[_Binding, bool]:
    """How parameters and context are passed on, and whether the context is.

    The context goes to a parameter named so, else into ``**kwargs``; the parameters to the first other one, by name
    where it is keyword-only, else (with ``**kwargs`` alone) as ``params``.
    """
    if takes is None:
        return lambda params, _: ([params], {}), False
    own = inspect.signature(call, follow_wrapped=False).parameters.values()  # of a wrapper, what itself takes
    keywords = any(p.kind is p.VAR_KEYWORD for p in takes)
    named = next((p for p in takes if p.name == "context"), None)
    if any(p.kind is p.VAR_KEYWORD or (p.name == "context" and p.kind is not p.POSITIONAL_ONLY) for p in own):
        takes_context = named is not None or keywords
    elif named is not None and any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in own):
        order = [p.name == "context" for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:2]
        return lambda params, context: ([context if is_context else params for is_context in order], {}), True
    else:
        takes_context = False
    others = [p for p in takes if p.name != "context" and p.kind is not p.VAR_KEYWORD]
    placed = [p for p in others if p.kind is not p.KEYWORD_ONLY]
    if placed and not (takes[0] is named and placed[0].kind is placed[0].POSITIONAL_OR_KEYWORD):
        return lambda params, context: ([params], {"context": context} if takes_context else {}), takes_context
    candidates = [p.name for p in placed or others]
    if (keywords and not candidates) or "params" in candidates:
        name: str | None = "params"
    else:
        name = candidates[0] if candidates else None

    def bind(params: object, context: object) -> tuple[list[object], dict[str, object]]:
        given = {} if name is None else {name: params}
        return [], {**given, "context": context} if takes_context else given

    return bind, takes_context


def parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """What it takes, by name, without what a partial has bound; None for callables that do not say."""
    bound = call.keywords if isinstance(call, functools.partial) else {}
    try:
        return {name: p for name, p in inspect.signature(call).parameters.items() if name not in bound}
    except (ValueError, TypeError):
        return None


def is_coroutine(call: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, a partial of one, an object with an async call."""
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
        # This annotation alone: others may name what is imported for type checkers only.
        alone = FunctionType(_params_struct.__code__, getattr(inspect.unwrap(function), "__globals__", {}))
        alone.__annotations__ = {first.name: first.annotation}
        hint = get_type_hints(alone)[first.name]
    except Exception:  # noqa: BLE001  # an annotation may be any text, and need not mean a type
        return None
    return hint if inspect.isclass(hint) and issubclass(hint, msgspec.Struct) else None


def _schema(target: object, call: Callable[..., Any], struct: type[msgspec.Struct] | None) -> Any:
    for owner in (target, call):
        given = getattr(owner, "params_schema", None)
        if given is not None:
            return given
    return None if struct is None else msgspec.json.schema(struct)


def _role(name: str, target: object, call: Callable[..., Any]) -> Role:
    while isinstance(call, functools.partial):
        call = call.func
    given = getattr(target, "role", None) or getattr(call, "role", None)
    if given is None:
        return Role.OPERATOR
    try:
        return max(Role.OPERATOR, Role.parse(given))
    except ValueError as error:
        raise InvalidError("plugin", f"the plugin {name!r} asks for a role that is none: {error}") from None


def refuse_reserved(name: str) -> None:
    """Keep a name for the service itself. Raises InvalidError."""
    if name == AUDIT_PLUGIN:
        raise InvalidError("plugin", f"plugin: {name} is the name of the service's own audit; use another")


def discover(given: Mapping[str, object] | None = None, module: str | None = None) -> dict[str, Plugin]:
    """Every plugin there is: entry points, over them a module's ``PLUGINS``, over them those given.

    Args:
        given: name to plugin.
        module: an importable module (the current directory counts).

    Raises:
        InvalidError: the module cannot be imported or has no dictionary ``PLUGINS``, or a plugin is none.
    """
    found: dict[str, object] = {}
    from importlib.metadata import entry_points  # noqa: PLC0415 - a tenth of all that `import asynclog` takes

    for point in entry_points(group=GROUP):
        try:
            found[point.name] = point.load()
        except Exception as error:
            raise InvalidError("plugins", f"the entry point {point.name} cannot be loaded: {error!r}") from error
    if module is not None:
        found.update(_module_plugins(module))
    found.update(given or {})
    for name in found:
        if not (name and isinstance(name, str)):
            raise InvalidError("plugins", f"{name!r} is no name for a plugin")
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
