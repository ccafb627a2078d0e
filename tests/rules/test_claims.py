"""Rules about the tests themselves."""

import ast
from pathlib import Path

import pytest

from tests.rules.sources import ROOT, files, imports, name, tree

TESTS = [path for path in files("tests") if path.name.startswith("test_")]


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_a_test_says_what_it_claims(path: Path) -> None:
    """Each test has a docstring: the claim it proves, in a sentence."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{name(path)}:{node.lineno} {node.name} claims nothing"


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_nothing_is_mocked(path: Path) -> None:
    """Tests use real servers, files, processes and browsers, or the public doubles, and no mocks."""
    assert not [module for module in imports(path) if module.startswith(("unittest.mock", "mock"))]


def test_the_kind_of_a_test_is_its_folder() -> None:
    """Every test lies in a folder that says what kind of test it is, or what it is about."""
    for path in TESTS:
        assert path.parent != ROOT / "tests", name(path)
