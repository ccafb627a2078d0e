"""The plugin ``git``: looks after a repository through git itself, its output logged while it runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from asynclog import TaskContext, requires
from asynclog.plugins.child import Outcome, run_child
from asynclog.plugins.lines import Line, claimed_level

Action = Literal["status", "log", "fsck"]

# A foreign repository's own configuration must not make git run something: neither monitors, signature checkers and
# hooks (which a written index calls), nor what fetches the objects that a partial clone lacks, nor filters.
_ENVIRONMENT: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # for a git that is too old to know the former
    "LC_ALL": "C.UTF-8",
    "GIT_PAGER": "cat",
}
_GIT: Final = ("git", "-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "color.ui=never")
_FILTER: Final = re.compile(r"filter\..*\.(?:clean|smudge|process|required)", re.DOTALL)
_DAMAGE: Final = (
    "missing ",
    "broken link",
    "error in ",
    "bad object",
    "sha1 mismatch",
    "hash mismatch",
    "unable to read",
)
_PASSING_SECONDS: Final = 1.0


class GitError(Exception):
    """git is missing, this is no repository, or git found something wrong with it."""


class GitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which repository, and what to do with it."""

    repository: Annotated[str, Meta(description="A folder inside the repository, or a bare repository.", min_length=1)]
    actions: Annotated[list[Action], Meta(description="What to do, in this order; each is a stage.", min_length=1)] = (
        msgspec.field(default_factory=lambda: ["status", "log", "fsck"])
    )
    commits: Annotated[int, Meta(ge=1, le=100_000, description="How many of the newest commits `log` shows.")] = 20


@requires("admin")
async def run(params: GitParams, context: TaskContext) -> dict[str, Any]:
    """Shows a git repository's status and newest commits and checks all its objects (fsck).

    Every line git writes is logged as it comes, as source stdout or stderr, in the stage of its action. All actions
    are done before a failed one fails the task. Nothing that the repository's configuration names is run: a changed
    file is compared as it is, without filters such as git-lfs, and of a submodule only its commit.

    Raises:
        GitError: git is not installed, this is no repository, or an action failed.
    """
    repository = _Repository(params.repository, context)
    await repository.check()
    results: dict[str, Any] = {}
    failures: list[str] = []
    for number, action in enumerate(dict.fromkeys(params.actions), 1):
        async with context.stage(action, number=number) as stage:
            try:
                stage.result = results[action] = await _ACTIONS[action](repository, params)
            except GitError as error:
                failures.append(str(error))
                context.logger.error("%s", error)
            stage.processed = repository.lines
    if failures:
        raise GitError("; ".join(failures))
    return results


class _Repository:
    """A repository and the context it is looked at in."""

    def __init__(self, folder: str, context: TaskContext) -> None:
        self._folder = Path(folder).expanduser()
        self._git: list[str] = [*_GIT]
        self._log = context.logger
        self._context = context
        self._loggers = {name: context.logger.with_source(name) for name in ("stdout", "stderr")}
        self._passed = -_PASSING_SECONDS
        self.lines = 0
        self.damage = 0
        self.bare = False
        self.empty = False

    async def check(self) -> None:
        """Find out whether there is a repository, and of what kind. Raises GitError."""
        if shutil.which("git") is None:
            raise GitError("git is not installed on this machine, or not on the PATH of the service")
        if not self._folder.is_dir():
            raise GitError(f"the folder {self._folder} does not exist")
        outcome, out, err = await self._ask("rev-parse", "--is-bare-repository", "--absolute-git-dir")
        if outcome.exit_code != 0:
            raise GitError(f"{self._folder} is not a git repository: {' '.join(err) or outcome.sentence}")
        self._git += await asyncio.to_thread(self._without_filters)
        self.bare = out[0] == "true"
        head, commit, _ = await self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        self.empty = head.exit_code != 0
        kind, newest = "bare" if self.bare else "git", commit[0] if commit else None
        self._log.info("%s repository at %s, HEAD %s", kind, out[1], newest or "unborn", git_dir=out[1], head=newest)

    def _without_filters(self) -> list[str]:
        """The options that turn off every filter of the repository, whatever bytes it is named by. Raises GitError."""
        asked = subprocess.run(  # noqa: S603  # git itself, as everywhere here
            [*_GIT, "config", "--list", "--name-only", "-z"],
            cwd=self._folder,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        names = {name for name in os.fsdecode(asked.stdout).split("\0") if _FILTER.fullmatch(name)}
        if asked.returncode != 0 or any("=" in name for name in names):
            raise GitError(
                f"the configuration of {self._folder} cannot be read, or has a filter that cannot be turned off"
            )
        values = ((name, "false" if name.endswith("required") else "") for name in sorted(names))
        return [option for name, value in values for option in ("-c", f"{name}={value}")]

    async def call(self, *arguments: str) -> list[str]:
        """Run git with every line logged; its stdout. Raises GitError unless it exits with 0."""
        self.lines = self.damage = 0
        shown: list[str] = []

        def take(stream: str, line: Line) -> None:
            if stream == "stdout" and not line.passing:
                shown.append(line.text)
            self._take(stream, line)

        async with self._context.step(f"git {arguments[0]}", node_type="process", input={"argv": arguments}) as step:
            outcome = await run_child([*self._git, *arguments], take, cwd=str(self._folder), env=_ENVIRONMENT)
            step.output = {"exit_code": outcome.exit_code, "lines": self.lines}
        if outcome.exit_code != 0:
            raise GitError(f"git {arguments[0]} {outcome.sentence}; its last lines say why")
        return shown

    async def _ask(self, *arguments: str) -> tuple[Outcome, list[str], list[str]]:
        answer: dict[str, list[str]] = {"stdout": [], "stderr": []}
        outcome = await run_child(
            [*self._git, *arguments],
            lambda stream, line: answer[stream].append(line.text),
            cwd=str(self._folder),
            env=_ENVIRONMENT,
        )
        return outcome, answer["stdout"], answer["stderr"]

    def _take(self, stream: str, line: Line) -> None:
        if line.passing:  # "Checking objects:  42% (…)": one a second is enough
            now = time.monotonic()
            if now - self._passed < _PASSING_SECONDS:
                return
            self._passed = now
        self.lines += 1
        damaged = line.text.startswith(_DAMAGE)
        self.damage += damaged
        self._loggers[stream].log("ERROR" if damaged else claimed_level(line.text) or "INFO", line.text)


async def _status(repository: _Repository, _: GitParams) -> dict[str, Any]:
    if repository.bare:
        return {"bare": True}
    lines = await repository.call("status", "--short", "--branch", "--ignore-submodules=dirty")
    return {
        "branch": lines[0].removeprefix("## ") if lines else None,
        "changed": sum(not line.startswith(("##", "??")) for line in lines),
        "untracked": sum(line.startswith("??") for line in lines),
    }


async def _history(repository: _Repository, params: GitParams) -> dict[str, Any]:
    if repository.empty:
        return {"commits": 0}
    lines = await repository.call(
        "log", f"--max-count={params.commits}", "--date=iso-strict", "--format=%h %ad %an: %s"
    )
    return {"commits": len(lines), "newest": lines[0] if lines else None}


async def _fsck(repository: _Repository, _: GitParams) -> dict[str, Any]:
    try:
        lines = await repository.call("fsck", "--full", "--progress")
    except GitError as error:
        found = f"{repository.damage} damaged or missing objects; " if repository.damage else ""
        raise GitError(f"the repository is damaged: {found}{error}") from None
    return {"sound": True, "dangling": sum(line.startswith("dangling ") for line in lines)}


_ACTIONS: Final = {"status": _status, "log": _history, "fsck": _fsck}
