"""What travels inside a wheel, built for real from a copy of the sources."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.rules.sources import ROOT

NEEDED = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "schema.sql")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources without a built page and without web/."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for file in NEEDED:
        shutil.copy(ROOT / file, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("static", "__pycache__"))
    return copy


def _build(checkout: Path, target: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", "out"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def test_a_wheel_carries_page_schema_and_types(checkout: Path) -> None:
    """A wheel holds the built page, schema.sql, py.typed and the command, and nothing outside the package."""
    page = checkout / "src/asynclog/server/static/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<!doctype html>")
    built = _build(checkout, "wheel")
    assert built.returncode == 0, built.stderr
    (wheel,) = (checkout / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        scripts = archive.read(entry_points).decode()
        schema = archive.read("asynclog/store/schema.sql")
    assert {"asynclog/server/static/index.html", "asynclog/py.typed"} <= names
    assert schema == (ROOT / "schema.sql").read_bytes()
    assert "asynclog = asynclog.cli:main" in scripts
    assert all(name.startswith(("asynclog/", "asynclog-")) for name in names)


def test_a_wheel_without_the_page_is_not_built(checkout: Path) -> None:
    """When the page cannot be built there is no wheel, rather than one whose dashboard is missing."""
    assert _build(checkout, "wheel").returncode != 0
    assert not list(checkout.glob("out/*.whl"))


def test_an_editable_install_needs_no_page(checkout: Path) -> None:
    """An editable install neither builds nor needs the page."""
    built = _build(checkout, "wheel:editable")
    assert built.returncode == 0, built.stderr
