"""A workflow: a plugin made of nodes, run in the order of their dependencies, each one a step.

::

    flow = Workflow(
        "report",
        Node("read", read_lines, inputs={"path": "params.path"}),
        Node("parse", parse, inputs={"lines": "read"}),
        Node("count", count, inputs={"events": "parse.events"}),
        description="Counts the events of a log file.",
    )
    task = await tasks.run(flow, {"path": "app.log"})
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any, Final

import msgspec

from asynclog.errors import InvalidError
from asynclog.logger import label
from asynclog.tasks.execution import Execution
from asynclog.tasks.plugin import parameters

PARAMS: Final = "params"
"""What inputs call the task's parameters; no node has this id."""


class Node(msgspec.Struct, frozen=True):
    """One piece of work of a workflow.

    Args:
        id: what other nodes and the history call it; no dots.
        call: a coroutine function, or a function, which runs in a thread. It is called with its inputs by name, and
            with the task's context when it has a parameter ``context``.
        inputs: argument name to where it is taken from: ``"read"``, the output of that node; ``"read.rows"``, a key,
            field or index of it; ``"params"`` or ``"params.path"``, of the task's parameters.
        after: nodes that have to succeed before, though nothing of them is taken.
        type: what kind of node it is.
        name: what is shown; the id without one.
    """

    id: str
    call: Callable[..., Any]
    inputs: Mapping[str, str] = MappingProxyType({})
    after: tuple[str, ...] = ()
    type: str = "function"
    name: str | None = None

    @property
    def needs(self) -> frozenset[str]:
        """The nodes that have to succeed before."""
        taken = {path.partition(".")[0] for path in self.inputs.values()}
        return frozenset((taken - {PARAMS}) | set(self.after))

    @property
    def takes_context(self) -> bool:
        """Whether it is called with the task's context."""
        return "context" in (parameters(self.call) or {})


class Workflow:
    """A plugin that runs nodes, independent ones at once. Immutable; one workflow may run any number of times at once.

    A node that fails leaves those that need it skipped, with the reason, while independent ones finish; then the task
    fails with the error of the node that failed first. The result is a mapping of the outputs of those nodes that no
    other needs, by id.

    Args:
        name: the plugin's name.
        nodes: in any order.
        description: shown with the plugin.

    Raises:
        InvalidError: no nodes, an id that is none or occurs twice, an input from or an argument to nowhere, a cycle.
    """

    def __init__(self, name: str, *nodes: Node, description: str = "") -> None:
        self.name: Final = label(name) or "workflow"
        self.description: Final = description
        self.nodes: Final[Mapping[str, Node]] = MappingProxyType(_by_id(nodes))
        self.order: Final[tuple[str, ...]] = _order(self.nodes)
        """The ids, each after those it needs."""

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, {', '.join(self.order)})"

    async def execute(self, params: Any, context: Any) -> dict[str, Any]:
        """Run it as a task: what the task manager calls."""
        execution = Execution(self.nodes, self.order, params, context)
        outputs = await execution.run()
        needed = frozenset().union(*(node.needs for node in self.nodes.values()))
        return {node_id: outputs[node_id] for node_id in self.order if node_id not in needed}


def _by_id(nodes: tuple[Node, ...]) -> dict[str, Node]:
    if not nodes:
        raise InvalidError("nodes", "a workflow needs at least one node")
    found: dict[str, Node] = {}
    for node in nodes:
        if not isinstance(node, Node):
            raise InvalidError("nodes", f"{node!r} is no Node")
        if label(node.id) != node.id or "." in node.id or node.id == PARAMS:
            raise InvalidError("nodes", f"{node.id!r} is no id for a node: a short text without dots, not {PARAMS!r}")
        if node.id in found:
            raise InvalidError("nodes", f"the id {node.id!r} occurs twice")
        if not callable(node.call):
            raise InvalidError("nodes", f"the node {node.id!r} has nothing that can be called")
        found[node.id] = node
    for node in nodes:
        _check(node, found)
    return found


def _check(node: Node, nodes: Mapping[str, Node]) -> None:
    """Whether the node's inputs come from somewhere and its callable takes them."""
    for argument, path in node.inputs.items():
        source = path.partition(".")[0]
        if source != PARAMS and source not in nodes:
            raise InvalidError(
                "nodes", f"the node {node.id!r} takes {argument!r} from {path!r}, but there is no node {source!r}"
            )
    for other in node.after:
        if other not in nodes:
            raise InvalidError("nodes", f"the node {node.id!r} comes after {other!r}, but there is no such node")
    takes = parameters(node.call)
    if takes is None:  # a builtin that does not say
        return
    given = dict.fromkeys([*node.inputs, *(["context"] if node.takes_context else [])])
    try:
        inspect.Signature(list(takes.values())).bind(**given)
    except TypeError as error:
        raise InvalidError("nodes", f"the node {node.id!r} cannot be called with its inputs: {error}") from None


def _order(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    sorter = TopologicalSorter({node.id: sorted(node.needs) for node in nodes.values()})
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        raise InvalidError("nodes", f"the nodes need each other in a circle: {' -> '.join(error.args[1])}") from None
