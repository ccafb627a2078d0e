"""Who may import what. The rows themselves are a contract in pyproject.toml that `make check` keeps."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.rules.sources import PACKAGE, files, imports, name, tree

# Where each third-party library lives. A library that is not named here must not be imported at all.
PLACES: dict[str, tuple[str, ...]] = {
    "aiosqlite": ("store/connection.py",),
    "click": ("cli/",),
    "cronsim": ("tasks/schedule.py",),
    "itsdangerous": ("server/sessions.py",),
    "msgspec": ("",),
    "orjson": ("",),
    "prometheus_client": ("server/",),
    "rich": ("cli/",),
    "starlette": ("server/",),
    "uvicorn": ("server/",),
    "websockets": ("cli/remote.py", "server/wsprotocol.py"),
}
# Words: they decide, and somebody else performs.
WORDS = ("errors", "model", "principal", "values", "redaction", "filters", "records", "queries", "wire")
DEEDS = {
    "asyncio",
    "concurrent",
    "pathlib",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
MODULES = list(files("src"))


def _inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _foreign(path: Path) -> set[str]:
    tops = {module.partition(".")[0] for module in imports(path)}
    return {top for top in tops if top and top != "asynclog" and top not in sys.stdlib_module_names}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_each_library_is_imported_in_one_place(path: Path) -> None:
    """A third-party library is imported only where this file says, so replacing it is a change in one place."""
    for library in _foreign(path):
        assert library in PLACES, f"{name(path)} imports {library}, which has no place in tests/rules/test_imports.py"
        assert _inside(path).startswith(PLACES[library]), (
            f"{name(path)} imports {library}: that belongs in {PLACES[library]}"
        )


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem in WORDS and path.parent == PACKAGE], ids=name)
def test_words_do_nothing(path: Path) -> None:
    """The modules of row 0 decide without a loop, a thread, a file or a clock."""
    assert not {module.partition(".")[0] for module in imports(path)} & DEEDS


def test_plugins_use_public_names_only() -> None:
    """The plugins that come along import nothing of asynclog but what everybody may, and so prove the public API."""
    for path in files("src/asynclog/plugins"):
        for module in imports(path):
            public = module == "asynclog" or module.startswith("asynclog.plugins")
            assert public or not module.startswith("asynclog"), f"{name(path)} imports {module}"


def test_nobody_imports_the_package_from_inside() -> None:
    """Only plugins and `__main__` go through the package's own door; inside, modules name what they need."""
    for path in MODULES:
        if path.parent.name != "plugins" and path.name != "__main__.py":
            assert "asynclog" not in set(imports(path)), f"{name(path)} imports the package it is part of"


def test_no_import_goes_round_in_a_circle() -> None:
    """Modules can be read in an order in which each builds only on what came before, late imports included."""
    graph = {_dotted(path): set(imports(path, for_types=False)) for path in MODULES}
    TopologicalSorter({module: (needs & graph.keys()) - {module} for module, needs in graph.items()}).prepare()


def test_imports_are_absolute() -> None:
    """One way to write an import: absolute, so that a search for a module's name finds its users."""
    for path in MODULES:
        relative = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.level]
        assert not relative, f"{name(path)}:{relative[0].lineno} has a relative import"
