"""The project's own source files, and what they import."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "asynclog"
SKIPPED = {"node_modules", "static", "__pycache__", ".svelte-kit"}


def files(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> Iterator[Path]:
    """Files below the root's folders that somebody wrote, in a stable order; folders that do not exist have none."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and not SKIPPED.intersection(path.relative_to(ROOT).parts) and path.is_file():
                yield path


def name(path: Path) -> str:
    """A file as people call it: relative to the root."""
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """Dotted names of the modules a file imports, wherever in it; relative ones are made absolute.

    With ``for_types`` false those below `if TYPE_CHECKING` are left out, as they are when the program runs.
    """
    package = path.relative_to(ROOT / "src").parent.parts if path.is_relative_to(ROOT / "src") else ()
    module_tree = tree(path)
    unseen = {inner for node in ast.walk(module_tree) if _is_type_block(node) for inner in ast.walk(node)}
    for node in ast.walk(module_tree):
        if node in unseen and not for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from asynclog import model` is an import of asynclog.model, not of the package
            modules = {alias.name for alias in node.names if _is_module(f"{module}.{alias.name}")}
            yield from (f"{module}.{inner}" for inner in modules)
            if len(modules) < len(node.names):
                yield module


def _is_type_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_module(dotted: str) -> bool:
    path = ROOT / "src" / Path(*dotted.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()
