"""Rules about the text of the sources."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.rules.sources import PACKAGE, ROOT, files, name, tree

LONGEST_MODULE = 400
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
# Put together, so that this file does not contain them.
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
RAW_HTML = re.compile(r"\{@html|\binnerHTML\b|\bouterHTML\b|\binsertAdjacentHTML\b|\bdocument\.write\b")
UNREASONED = re.compile(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z0-9, -]+\]) *$")
PINNED = re.compile(r"[a-z0-9-]+==[\w.]+(?: ; .+)?")
PYTHON = list(files("src", "tests", "bench"))
TEXTS = list(
    files("src", "tests", "bench", "web/src", "docs", suffixes=(".py", ".ts", ".svelte", ".css", ".sql", ".md"))
)


@pytest.mark.parametrize("path", list(files("src")), ids=name)
def test_a_module_is_short(path: Path) -> None:
    """No module is longer than 400 lines: one noun, readable in one sitting."""
    length = path.read_text(encoding="utf-8").count("\n")
    assert length <= LONGEST_MODULE, f"{name(path)} has {length} lines"


def test_a_module_has_a_name() -> None:
    """No module or folder is called utils, helpers, common or base, for that says nothing about what is in it."""
    for path in files("src", "tests", "bench", "web/src", suffixes=(".py", ".ts", ".svelte")):
        parts = {part.partition(".")[0].lower() for part in path.relative_to(ROOT).parts}
        assert not parts & NAMELESS, name(path)


def test_nothing_is_left_for_later() -> None:
    """No source says that something is still to be done: it is done, or it is an issue."""
    for path in TEXTS:
        found = UNFINISHED.findall(path.read_text(encoding="utf-8"))
        assert not found, f"{name(path)} says {found}"


def test_the_page_never_renders_markup() -> None:
    """Log text reaches the page as text nodes only, so no log line can run in the browser."""
    for path in files("web/src", suffixes=(".ts", ".svelte", ".html")):
        # a test may hold hostile log text
        found = RAW_HTML.findall(path.read_text(encoding="utf-8")) if ".test." not in path.name else []
        assert not found, f"{name(path)} uses {found}"


def test_what_is_silenced_has_a_reason() -> None:
    """A silenced finding says why on the same line: `# noqa: S608 - only bound values vary`."""
    for path in PYTHON:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            silenced = bool(UNREASONED.search(line))
            assert not silenced, f"{name(path)}:{number} silences a finding without a reason"


def test_every_public_name_is_explained() -> None:
    """Each module of the package has a docstring, or a class of its name that has one."""
    for path in files("src"):
        module = tree(path)
        first = next((node for node in module.body if isinstance(node, ast.ClassDef)), None)
        assert ast.get_docstring(module) or (first and ast.get_docstring(first)), name(path)


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=name)
def test_python_locks_are_names_and_versions(path: Path) -> None:
    """A Python lock file pins by name and version alone, whatever index a machine uses."""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert PINNED.fullmatch(line), f"{name(path)}: {line}"
        assert "://" not in line


def test_the_npm_lock_has_no_addresses() -> None:
    """package-lock.json names no place to download from: each entry has a version and a checksum, no address."""
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    for key, package in lock["packages"].items():
        assert "resolved" not in package, key
        assert "://" not in package.get("version", ""), key


def test_the_package_is_typed() -> None:
    """The package tells type checkers that its annotations count."""
    assert (PACKAGE / "py.typed").is_file()
