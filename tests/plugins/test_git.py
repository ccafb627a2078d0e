"""A repository is looked after through git itself; what git writes is logged, what is wrong with it fails the task."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asynclog import InvalidError

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(work: Path) -> Path:
    """Three commits, one changed and one new file."""
    git(work, "init", "--quiet", "--initial-branch=main")
    for number in range(3):
        (work / f"file{number}").write_text(f"content {number}\n")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", f"Commit {number}")
    (work / "file0").write_text("changed\n")
    (work / "new").write_text("new\n")
    return work


async def test_sound_repository(runner: Any, repository: Path) -> None:
    """Status, log and fsck are stages; git's lines are entries of stdout in the stage of their action."""
    task, entries = await runner.run("git", repository=str(repository))
    assert task.status == "success"
    assert task.result["status"] == {"branch": "main", "changed": 1, "untracked": 1}
    assert task.result["log"]["commits"] == 3
    assert task.result["fsck"] == {"sound": True, "dangling": 0}
    lines = [(entry.stage, entry.message) for entry in entries if entry.source == "stdout"]
    assert ("status", " M file0") in lines
    assert ("status", "?? new") in lines
    assert [line.rpartition(": ")[2] for stage, line in lines if stage == "log"] == ["Commit 2", "Commit 1", "Commit 0"]
    assert {entry.source for entry in entries} >= {"system", "plugin", "stdout"}
    stages = await runner.tasks.reader.stages(task.id)
    assert [(view.name, view.stage.status) for view in stages] == [
        ("status", "success"),
        ("log", "success"),
        ("fsck", "success"),
    ]


async def test_chosen_actions(runner: Any, repository: Path) -> None:
    """Only what is asked for is done, as often as it makes sense: once."""
    task, entries = await runner.run("git", repository=str(repository / "."), actions=["log", "log"], commits=1)
    assert task.result == {"log": {"commits": 1, "newest": task.result["log"]["newest"]}}
    assert {entry.stage for entry in entries if entry.source == "stdout"} == {"log"}


async def test_damaged_repository(runner: Any, repository: Path) -> None:
    """A missing object is an ERROR entry, the other actions are still done, and the task fails saying so."""
    lost = git(repository, "rev-parse", "HEAD:file1")
    (repository / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    task, entries = await runner.run("git", repository=str(repository), actions=["fsck", "log"])
    assert task.status == "failed"
    assert "the repository is damaged" in task.error_message
    errors = [
        entry.message for entry in entries if entry.level.name == "ERROR" and entry.source in ("stdout", "stderr")
    ]
    assert f"missing blob {lost}" in errors
    assert any(entry.stage == "log" and entry.source == "stdout" for entry in entries)


async def test_bare_and_empty(runner: Any, repository: Path, tmp_path: Path) -> None:
    """A bare repository has no status, an empty one no commits; both are sound."""
    bare = tmp_path / "bare.git"
    git(repository, "clone", "--quiet", "--bare", str(repository), str(bare))
    task, _ = await runner.run("git", repository=str(bare))
    assert task.status == "success"
    assert task.result["status"] == {"bare": True}
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    task, _ = await runner.run("git", repository=str(empty))
    assert task.status == "success"
    assert task.result["log"] == {"commits": 0}


@pytest.mark.parametrize("name", ["plain", "with space", "b\udcff\r", "clean.process"])
async def test_a_foreign_configuration_runs_nothing(runner: Any, repository: Path, tmp_path: Path, name: str) -> None:
    """Filters, monitors, hooks and transports that a repository and its submodule name are not run."""
    told = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f'#!/bin/sh\necho "$@" >> {told}\nexit 1\n')
    script.chmod(0o700)
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    for folder in (inner, repository):
        (folder / "filtered").write_text("one\n")
        (folder / ".gitattributes").write_text("filtered filter=f\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "filtered")
        (folder / "filtered").write_text("two\n")
        (folder / ".git" / "info" / "attributes").write_bytes(b'filtered "filter=x"\n')
        for key in ("core.fsmonitor", "core.sshCommand", f"filter.{name}.clean", "filter.f.clean", "filter.f.process"):
            git(folder, "config", key, f"{script} {key if key.isprintable() else 'odd'}")
        git(folder, "config", "filter.f.required", "true")
        (folder / ".git" / "hooks" / "post-index-change").symlink_to(script)
    parent = git(repository, "rev-parse", "HEAD~2")
    (repository / ".git" / "objects" / parent[:2] / parent[2:]).unlink()
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.url", "ssh://nowhere/at/all")
    git(repository, "config", "core.repositoryFormatVersion", "1")
    assert told.exists() is False
    task, _ = await runner.run("git", repository=str(repository))
    assert not told.exists(), told.read_text()
    assert task.result is None or task.result["status"]["changed"] >= 2


async def test_no_repository(runner: Any, tmp_path: Path) -> None:
    """A folder without a repository, or none at all, fails with a sentence that says so."""
    plain = tmp_path / "plain"
    plain.mkdir()
    task, _ = await runner.run("git", repository=str(plain))
    assert task.status == "failed"
    assert "is not a git repository" in task.error_message
    task, _ = await runner.run("git", repository=str(tmp_path / "missing"))
    assert "does not exist" in task.error_message
    with pytest.raises(InvalidError):
        await runner.tasks.start("git", {"repository": str(plain), "actions": ["push"]})


async def test_git_is_missing(runner: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without git on the machine the task says that."""
    monkeypatch.setenv("PATH", str(tmp_path))
    task, _ = await runner.run("git", repository=str(repository))
    assert "git is not installed" in task.error_message
