"""The public names, which change only on purpose."""

import ast

import asynclog
from tests.rules.sources import files, name, tree

PUBLIC = """
    AccessScope AsynclogError ConflictError Entry EntryQuery ForbiddenError Gap InvalidError JournalError
    Level LockedError LogCapturingEmitter LogFilter LogPage Node NotFoundError PlainEmitter Progress
    ProgressEmitter RequestError Schedule Settings Stage Step StoreError Task TaskContext TaskLogger
    TaskManager TaskQuery TooLargeError TooManyError UnauthenticatedError UnavailableError Workflow
    belief_scope current_context open requires step
""".split()


def test_the_public_names_are_these() -> None:
    """`asynclog` exports exactly the names listed here, in order, and nothing else that is not a module."""
    assert asynclog.__all__ == PUBLIC
    modules = {path.stem for path in files("src/asynclog")} | {path.parent.name for path in files("src/asynclog")}
    found = {name for name in vars(asynclog) if not name.startswith("_")}
    assert found - modules - {"annotations"} <= set(PUBLIC)


def test_every_public_name_has_a_contract() -> None:
    """Each public class and function says in its docstring what it promises."""
    for public in PUBLIC:
        documented = getattr(asynclog, public).__doc__ or ""
        # a struct without a docstring of its own shows its signature
        assert documented, public
        assert not documented.startswith(f"{public}("), public


def test_the_plugins_that_come_along_use_public_names() -> None:
    """What our own plugins import from `asynclog` is in its list of public names."""
    for path in files("src/asynclog/plugins"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "asynclog":
                assert {alias.name for alias in node.names} <= set(PUBLIC), name(path)
