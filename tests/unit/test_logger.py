"""The log call, on a journal of its own and without an event loop."""

from __future__ import annotations

import itertools
import logging
import math
import random
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from asynclog import records
from asynclog.feed import Feed
from asynclog.journal import Journal
from asynclog.logger import Place, TaskLogger, belief_scope, place
from asynclog.model import Progress
from asynclog.records import EntryRecord
from asynclog.settings import Dials
from asynclog.texts import clean, format_message

NOW = 1_770_465_600_123_456


class Desk:
    """A logger, and what it has written."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.feed = Feed("t1")
        self.dials = Dials()
        self.log = TaskLogger(self.journal, self.feed, self.dials, lambda: NOW * 1000)

    @property
    def entries(self) -> list[EntryRecord]:
        """The entries up to now, in order, as a reader of the journal finds them."""
        frames = self.journal.read(0, self.journal.last_id)
        decoded = [records.decode(payload) for _, _, _, payload in frames]
        return [record for record in decoded if isinstance(record, EntryRecord)]

    @property
    def last(self) -> EntryRecord:
        return self.entries[-1]

    @property
    def metadata(self) -> Any:
        """The newest entry's metadata."""
        text = self.last.metadata_json
        return None if text is None else msgspec.json.decode(text)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "journal")
    yield desk
    desk.journal.close()


class Hostile:
    """Whatever is asked of it, it raises."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("no iter")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __index__(self) -> int:
        raise RuntimeError("no index")

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no format")


class HostileMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError("no item")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no iter")

    def __len__(self) -> int:
        return 3


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no str")


def test_an_entry_has_all_its_parts(desk: Desk) -> None:
    """A log call writes task, time, level, source `plugin`, the formatted message and its keywords as metadata."""
    desk.log.info("fetched %d charts", 42, dashboard_id=7)
    assert desk.last == EntryRecord(
        "t1", NOW, 20, "plugin", None, None, None, "fetched 42 charts", '{"dashboard_id":7}'
    )


def test_the_levels_are_four(desk: Desk) -> None:
    """debug, info, warning, error and exception log at DEBUG, INFO, WARNING, ERROR and ERROR."""
    desk.dials.threshold = 10
    for call in (desk.log.debug, desk.log.info, desk.log.warning, desk.log.error, desk.log.exception):
        call("x")
    assert [entry.level for entry in desk.entries] == [10, 20, 30, 40, 40]


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ("warn", 30),
        ("Critical", 40),
        ("fatal", 40),
        ("TRACE", 10),
        (35, 30),
        (logging.CRITICAL, 40),
        ("15", 10),
        (0, 10),
    ],
)
def test_log_takes_levels_as_people_write_them(desk: Desk, given: object, level: int) -> None:
    """`log` reads names in any case and numbers by threshold."""
    desk.dials.threshold = 10
    desk.log.log(given, "x")
    assert desk.last.level == level


@pytest.mark.parametrize("given", ["loud", None, 2.5, True, Hostile(), HostileMapping()], ids=type)
def test_a_level_that_is_none_counts_as_info(desk: Desk, given: object) -> None:
    """A bad level never raises: the entry is INFO and its metadata says what was claimed."""
    desk.log.log(given, "x %s", 1)
    assert (desk.last.level, desk.last.message) == (20, "x 1")
    assert isinstance(desk.metadata["claimed_level"], str)


def test_below_the_threshold_nothing_is_numbered(desk: Desk) -> None:
    """A call below the threshold writes nothing and takes no seq, and the threshold counts at the very next call."""
    desk.log.debug("no")
    desk.log.info("one")
    desk.dials.threshold = 40
    desk.log.warning("no")
    desk.log.log("INFO", "no")
    desk.log.error("two")
    desk.dials.threshold = 10
    desk.log.debug("three")
    assert [entry.message for entry in desk.entries] == ["one", "two", "three"]
    assert desk.feed.last_seq == 3


@pytest.mark.parametrize(("threshold", "kept"), [(10, "diwepl"), (20, "iwepl"), (30, "wepl"), (40, "epl")])
def test_an_entry_at_the_threshold_is_kept(desk: Desk, threshold: int, kept: str) -> None:
    """Each call writes what is as severe as the threshold, and nothing below it."""
    desk.dials.threshold = threshold
    desk.log.debug("d")
    desk.log.info("i")
    desk.log.warning("w")
    desk.log.error("e")
    desk.log.exception("p")
    desk.log.log("ERROR", "l")
    assert "".join(entry.message for entry in desk.entries) == kept
    assert [desk.log.enabled(level) for level in (10, 20, 30, 40)] == [level >= threshold for level in (10, 20, 30, 40)]
    desk.log.progress(1, 2)
    assert (len(desk.entries) > len(kept)) == (threshold <= 20)


@pytest.mark.parametrize(
    ("message", "args", "shown"),
    [
        ("100%", (), "100%"),
        ("%s %s", ("a", "b"), "a b"),
        ("%(who)s did", ({"who": "she"},), "she did"),
        ({"a": 1}, (), "{'a': 1}"),
        (["%s"], ("a",), "['a']"),
        (None, (), "None"),
        ("nul \0 and \ud800", (), "nul \\x00 and \\ud800"),
    ],
)
def test_messages_are_formatted_as_in_logging(
    desk: Desk, message: object, args: tuple[object, ...], shown: str
) -> None:
    """`%` formatting as in `logging`, a single mapping included; any object is its text; odd characters are escaped."""
    desk.log.info(message, *args)
    assert desk.last.message == shown


@pytest.mark.parametrize("args", [("x",), (1, 2, 3), ({},), (Hostile(),)], ids=["type", "many", "key", "hostile"])
def test_a_bad_format_keeps_message_and_arguments(desk: Desk, args: tuple[object, ...]) -> None:
    """A format that does not fit its arguments is kept together with them, and says so."""
    desk.log.info("%d of %d", *args)
    assert desk.last.message.startswith("%d of %d [arguments (")
    assert "do not fit" in desk.last.message


@pytest.mark.parametrize("value", [Hostile(), HostileMapping(), HostileError(), {Hostile: Hostile()}], ids=type)
def test_hostile_values_raise_nothing(desk: Desk, value: object) -> None:
    """Whatever is passed in whatever place, the call returns and leaves one entry."""
    calls = (
        lambda: desk.log.info(value),
        lambda: desk.log.info("%s", value),
        lambda: desk.log.info("x", key=value),
        lambda: desk.log.info("x", metadata=value),
        lambda: desk.log.info("x", extra=value),
        lambda: desk.log.info("x", exc_info=value),
        lambda: desk.log.info("x", stack_info=value),
        lambda: desk.log.info("x", stacklevel=value),
        lambda: desk.log.exception(value, exc_info=value),  # type: ignore[arg-type]  # on purpose
        lambda: desk.log.progress(value, value, value),  # type: ignore[arg-type]  # on purpose
        lambda: desk.log.bind(key=value).info("x"),
        lambda: desk.log.with_source(value).info("x"),  # type: ignore[arg-type]  # on purpose
        lambda: desk.log.bind_unit(value).info("x"),  # type: ignore[arg-type]  # on purpose
    )
    for number, call in enumerate(calls, 1):
        call()  # type: ignore[no-untyped-call]  # lambdas
        assert len(desk.entries) == number
    assert not [entry for entry in desk.entries if "unloggable" in entry.message]


def test_keywords_that_are_parameter_names_are_metadata(desk: Desk) -> None:
    """`message`, `level`, `args` and `self` are as good as any other name for a keyword."""
    desk.log.info("x", message="m", level="l", args=1, self=2, fields=3)
    assert desk.last.message == "x"
    assert desk.metadata == {"message": "m", "level": "l", "args": 1, "self": 2, "fields": 3}
    desk.log.log("info", "y", level="l", message="m")
    assert (desk.last.message, desk.metadata) == ("y", {"level": "l", "message": "m"})
    desk.log.bind(self=1).info("z")
    assert desk.metadata == {"self": 1}


def test_a_message_by_keyword_is_the_message(desk: Desk) -> None:
    """A message given only by keyword, as `message` or `msg`, is not refused; without one the entry is empty."""
    desk.log.info(message="by name", a=1)
    assert (desk.last.message, desk.metadata) == ("by name", {"a": 1})
    desk.log.error(msg="as in logging")
    assert desk.last.message == "as in logging"
    desk.log.warning()
    assert (desk.last.message, desk.last.level) == ("", 30)


def test_exception_keeps_the_traceback(desk: Desk) -> None:
    """`exception` is an error whose metadata hold the traceback of what is being handled, causes included."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        desk.log.exception("it broke at %s", "noon", attempt=2)
    assert (desk.last.level, desk.last.message) == (40, "it broke at noon")
    assert desk.metadata["attempt"] == 2
    assert "KeyError: 'inner'" in desk.metadata["traceback"]
    assert desk.metadata["traceback"].endswith("ValueError: outer")


def test_exc_info_means_what_it_means_in_logging(desk: Desk) -> None:
    """`exc_info` is true, an exception or a triple; without an exception there is no traceback."""
    error = ValueError("given")
    desk.log.info("x", exc_info=error)
    assert desk.metadata["traceback"] == "ValueError: given"
    desk.log.info("x", exc_info=(ValueError, error, None))
    assert desk.metadata["traceback"] == "ValueError: given"
    for nothing in (True, False, None, (None, None, None), (ValueError,), (), 0):
        desk.log.info("x", exc_info=nothing)
        assert (desk.last.message, desk.metadata) == ("x", None)
    desk.log.exception("x")
    assert desk.metadata is None


def test_an_exception_that_cannot_be_shown_is_still_logged(desk: Desk) -> None:
    """A hostile exception's traceback stops neither the call nor the entry."""
    try:
        raise HostileError
    except HostileError:
        desk.log.exception("it broke")
    assert desk.last.message == "it broke"
    assert "HostileError" in desk.metadata["traceback"]


def test_stack_info_shows_the_caller(desk: Desk) -> None:
    """`stack_info` keeps the stack of the log call's caller, `stacklevel` that of its caller's."""

    def inner(level: int) -> None:
        desk.log.info("x", stack_info=True, stacklevel=level)

    def outer(level: int) -> None:
        inner(level)

    outer(1)
    assert desk.metadata["stack"].splitlines()[-1].strip().startswith("desk.log.info(")
    outer(2)
    assert desk.metadata["stack"].splitlines()[-1].strip() == "inner(level)"
    outer(10**12)
    assert "stack" in desk.metadata
    desk.log.exception("y", stack_info=True)
    assert desk.metadata["stack"].splitlines()[-1].strip().startswith("desk.log.exception(")
    desk.log.progress(1, stack_info=True)
    assert desk.metadata["stack"].splitlines()[-1].strip().startswith("desk.log.progress(")


def test_what_is_nearer_to_the_call_wins(desk: Desk) -> None:
    """Keywords count over `metadata`, that over `extra`, that over what is bound; none of the mappings is changed."""
    extra, metadata = {"a": "extra", "b": "extra", "c": "extra"}, {"a": "metadata", "b": "metadata"}
    desk.log.bind(a="bound", d="bound", c="bound").info("x", a="keyword", metadata=metadata, extra=extra)
    assert desk.metadata == {"a": "keyword", "b": "metadata", "c": "extra", "d": "bound"}
    assert (len(extra), len(metadata)) == (3, 2)


def test_metadata_of_any_mapping_is_merged(desk: Desk) -> None:
    """`metadata` may be any mapping; what is none is kept under its name."""
    desk.log.info("x", metadata=MappingProxyType({"a": 1}))
    assert desk.metadata == {"a": 1}
    desk.log.info("x", metadata=["a", 1], extra=5)
    assert desk.metadata == {"metadata": ["a", 1], "extra": 5}


def test_metadata_is_as_it_was_at_the_call(desk: Desk) -> None:
    """What a plugin changes afterwards does not change the entry."""
    rows = [1]
    desk.log.info("x", rows=rows)
    rows.append(2)
    assert desk.metadata == {"rows": [1]}


def test_binding_gives_another_logger(desk: Desk) -> None:
    """`with_source`, `bind`, `bind_stage` and `bind_unit` leave the logger they are called on as it was."""
    api = desk.log.with_source("api")
    bound = api.bind(a=1)
    deeper = bound.bind(b=2).bind_unit("u").bind_stage("s")
    for logger in (desk.log, api, bound, deeper):
        logger.info("x")
    shown = [(entry.source, entry.metadata_json, entry.unit, entry.stage) for entry in desk.entries]
    assert shown == [
        ("plugin", None, None, None),
        ("api", None, None, None),
        ("api", '{"a":1}', None, None),
        ("api", '{"a":1,"b":2}', "u", "s"),
    ]
    assert (desk.log.source, api.source, api.task_id) == ("plugin", "api", "t1")
    deeper.with_source("other").info("x")
    assert (desk.last.source, desk.metadata, desk.last.unit, desk.last.stage) == ("other", {"a": 1, "b": 2}, "u", "s")


def test_system_is_not_for_plugins(desk: Desk) -> None:
    """The source `system` becomes `plugin` and its metadata keep the claim, which a later source does not inherit."""
    claimed = desk.log.with_source("system")
    claimed.info("x")
    assert (desk.last.source, desk.metadata) == ("plugin", {"claimed_source": "system"})
    claimed.with_source("api").info("x")
    assert (desk.last.source, desk.metadata) == ("api", None)


def test_long_names_are_cut_and_marked(desk: Desk) -> None:
    """A source has at most 64 characters, stage and unit 256; longer ones end in an ellipsis, empty ones are none."""
    desk.log.with_source("s" * 65).bind_unit("u" * 257).bind_stage("t" * 300).info("x")
    assert desk.last.source == "s" * 63 + "…"
    assert desk.last.unit == "u" * 255 + "…"
    assert desk.last.stage == "t" * 255 + "…"
    desk.log.with_source("s" * 64).info("x")
    assert desk.last.source == "s" * 64
    desk.log.with_source("").bind_unit("").bind_stage("").info("x")
    assert [desk.last.source, desk.last.unit, desk.last.stage] == ["plugin", None, None]


def test_place_labels_only_its_own_task(desk: Desk) -> None:
    """Entries carry stage, unit and step of where the code is, unless that is another task."""
    token = place.set(Place(desk.feed, "stage", "unit", "step"))
    desk.log.info("x")
    assert (desk.last.stage, desk.last.unit, desk.last.step_id) == ("stage", "unit", "step")
    assert (desk.log.stage, desk.log.bind_stage("mine").stage) == ("stage", "mine")
    place.set(Place(Feed("t2"), "stage", "unit", "step"))
    desk.log.info("x")
    assert (desk.last.stage, desk.last.unit, desk.last.step_id) == (None, None, None)
    assert (desk.log.stage, desk.log.bind_stage("mine").stage) == (None, "mine")
    desk.log.move_to_stage("moved")
    desk.log.info("x")
    assert (desk.last.stage, desk.last.unit, desk.last.step_id) == ("moved", None, None)
    place.reset(token)


def test_progress_is_an_entry_and_the_tasks(desk: Desk) -> None:
    """`progress` is an INFO entry with `metadata.progress`, and the task's progress also below the threshold."""
    desk.log.progress(3, 10, "halfway", file="a")
    assert (desk.last.level, desk.last.message) == (20, "halfway")
    assert desk.metadata == {"file": "a", "progress": {"current": 3, "total": 10, "message": "halfway"}}
    assert desk.feed.progress == Progress(current=3, total=10, message="halfway")
    desk.dials.threshold = 30
    desk.log.progress(4)
    assert desk.feed.progress == Progress(current=4)
    assert len(desk.entries) == 1


def test_progress_speaks_for_itself(desk: Desk) -> None:
    """Without a message the entry says the numbers; a message is text and no format."""
    desk.log.progress(1500, 3000)
    assert desk.last.message == "1,500 of 3,000"
    desk.log.progress(0.5)
    assert desk.last.message == "0.5"
    desk.log.progress(1, 2, "100% of %s")
    assert desk.last.message == "100% of %s"


@pytest.mark.parametrize("current", [math.nan, math.inf, 10**400, "many", None, Hostile()], ids=type)
def test_progress_that_is_no_number_is_only_logged(desk: Desk, current: Any) -> None:
    """A progress that is no finite number leaves the task's as it was, and an entry."""
    desk.log.progress(1, 2)
    desk.log.progress(current, 2, "half")
    assert desk.feed.progress == Progress(current=1, total=2)
    assert (desk.last.message, len(desk.entries)) == ("half", 2)


def test_a_long_message_keeps_head_and_tail(desk: Desk) -> None:
    """A message over the limit keeps both ends and says in its metadata how many bytes it had."""
    desk.dials.message_limit = 1000
    desk.log.info("head" + "é" * 5000 + "tail", a=1)
    assert len(desk.last.message.encode()) <= 1000
    assert desk.last.message.startswith("head")
    assert desk.last.message.endswith("tail")
    assert "bytes cut" in desk.last.message
    assert desk.metadata == {"a": 1, "original_size": 10008}


def test_a_limit_of_zero_is_none(desk: Desk) -> None:
    """With a limit of 0 a message of several MiB is kept whole."""
    desk.dials.message_limit = 0
    desk.log.info("x" * (3 << 20))
    assert desk.last.message == "x" * (3 << 20)


def test_a_secret_is_redacted(desk: Desk) -> None:
    """Neither message nor metadata let a password through, however the message is formatted or cut."""
    desk.log.info("url %s", "https://me:hunter2@host/", password="hunter2", nested={"token": "hunter2"})
    desk.dials.message_limit = 300
    desk.log.info("%s https://me:hunter2@host/ %s", "a" * 1000, "b" * 1000)
    for entry in desk.entries:
        assert "hunter2" not in entry.message
        assert "hunter2" not in (entry.metadata_json or "")


def test_a_secret_in_a_label_is_redacted(desk: Desk) -> None:
    """Neither a source, a stage nor a unit lets a password through, nor what is said of progress."""
    token = place.set(Place())
    secret = "password=hunter2"
    desk.log.with_source(secret).bind_stage(secret).bind_unit(secret).info("bound")
    desk.log.move_to_stage(secret)
    desk.log.info("moved")
    desk.log.progress(1, 2, secret)
    place.reset(token)
    shown = "password=[redacted]"
    first, second, third = desk.entries
    assert (first.source, first.stage, first.unit, second.stage) == (shown, shown, shown, shown)
    assert (third.message, desk.feed.progress) == (shown, Progress(current=1, total=2, message=shown))
    assert "hunter2" not in str(third)


def test_after_the_end_nothing_is_kept_but_counted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A call after the seal takes no seq; it is counted and goes to the service's own log."""
    desk.log.info("in time")
    desk.journal.seal(desk.feed, lambda _: b"\xc0")
    for _ in range(3):
        desk.log.info("late %d", 1)
    assert (desk.feed.last_seq, desk.feed.late) == (1, 3)
    assert [record.name for record in caplog.records] == ["asynclog.task"] * 3
    assert "t1" in caplog.text


def test_threads_share_a_logger(desk: Desk) -> None:
    """Eight threads on one logger: every entry once, the seqs dense, each thread's own in its order."""

    def work(number: int) -> None:
        log = desk.log.bind_unit(str(number))
        for index in range(200):
            log.info("%d", index)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.feed.last_seq == 1600
    for number in range(8):
        assert [e.message for e in desk.entries if e.unit == str(number)] == [str(index) for index in range(200)]


def test_belief_scope_tells_entry_coherence_and_exit(desk: Desk) -> None:
    """`belief_scope(logger, name)` is three DEBUG entries of the logger's source."""
    desk.dials.threshold = 10
    with belief_scope(desk.log.with_source("api"), "load"):
        desk.log.info("inside")
    shown = [(entry.level, entry.source, entry.message) for entry in desk.entries]
    assert shown == [
        (10, "api", "[load][Entry]"),
        (20, "plugin", "inside"),
        (10, "api", "[load][Coherence:OK]"),
        (10, "api", "[load][Exit]"),
    ]


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt("boom"), HostileError()], ids=type)
def test_belief_scope_tells_a_failure_and_raises_it(desk: Desk, error: BaseException) -> None:
    """An error in the scope is logged as `[name][Coherence:Failed]` at DEBUG and raised again, the same one."""
    desk.dials.threshold = 10
    with pytest.raises(type(error)) as raised, belief_scope(desk.log, "load"):
        raise error
    assert raised.value is error
    assert [entry.message.split(" ")[0] for entry in desk.entries] == ["[load][Entry]", "[load][Coherence:Failed]"]
    assert {entry.level for entry in desk.entries} == {10}


def test_belief_scope_is_off_by_setting_and_threshold(desk: Desk) -> None:
    """Neither above DEBUG nor with the setting off does it log; it still raises what is raised."""
    with belief_scope(desk.log, "load"):
        pass
    desk.dials.threshold = 10
    desk.dials.belief_scope = False
    with pytest.raises(ValueError, match="boom"), belief_scope(desk.log, "load"):
        raise ValueError("boom")
    assert desk.entries == []


def test_belief_scope_outside_a_task_goes_to_the_services_log(caplog: pytest.LogCaptureFixture) -> None:
    """`belief_scope(name)` outside a task logs to the service's own log, failures with their error."""
    with caplog.at_level(logging.DEBUG, logger="asynclog"):
        with belief_scope("load"):
            pass
        with pytest.raises(ValueError, match="boom"), belief_scope("load"):
            raise ValueError("boom")
    assert [record.getMessage() for record in caplog.records] == [
        "[load][Entry]",
        "[load][Coherence:OK]",
        "[load][Exit]",
        "[load][Entry]",
        "[load][Coherence:Failed] ValueError: boom",
    ]
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_belief_scope_decorates(desk: Desk) -> None:
    """As a decorator it is a scope of every call."""
    desk.dials.threshold = 10

    @belief_scope(desk.log, "load")
    def load() -> int:
        return 5

    assert (load(), load()) == (5, 5)
    assert len(desk.entries) == 6


def test_labels_are_those_of_each_call(desk: Desk) -> None:
    """Whatever was logged before, where and how severe: each entry has the level and the labels of its own call."""
    desk.dials.threshold = 10
    places = [Place(), Place(desk.feed, "s1", "u1", "x1"), Place(desk.feed, "s2"), Place(Feed("t2"), "s3", "u3", "x3")]
    loggers = [desk.log, desk.log.bind_stage("own"), desk.log.with_source("api").bind_unit("mine")]
    dice = random.Random(3)
    expected = []
    before = place.get()
    for _ in range(200):
        here, log, level = dice.choice(places), dice.choice(loggers), dice.choice([10, 20, 30, 40])
        place.set(here)
        log.log(level, "x")
        mine = here.feed is desk.feed
        stage = "own" if log is loggers[1] else here.stage if mine else None
        unit = "mine" if log is loggers[2] else here.unit if mine else None
        expected.append((level, log.source, stage, unit, here.step_id if mine else None))
    place.set(before)
    assert [(each.level, each.source, each.stage, each.unit, each.step_id) for each in desk.entries] == expected


def test_keywords_that_are_bound(desk: Desk) -> None:
    """A keyword that asks for something asks for it beside bound metadata too; bound, it is metadata like any other."""
    bound = desk.log.bind(a=1, extra="bound")
    bound.info("x", b=2)
    assert desk.metadata == {"a": 1, "extra": "bound", "b": 2}
    bound.info("x", metadata={"a": 3, "c": 4}, c=5)
    assert desk.metadata == {"a": 3, "extra": "bound", "c": 5}


class Count:
    """A number of one's own; or none, after all."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __int__(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    __index__ = __float__ = __int__


@pytest.mark.parametrize(
    "template", ["took %d ms", "%d of %.1f", "%s of %d", "password=%d", "sk-%d", "100 %%", "token: %s %d", "%d\n%d"]
)
def test_whatever_is_put_into_a_template(desk: Desk, template: str) -> None:
    """At the first call as later, an entry says what formatting, redacting and cutting make of it."""
    values: list[Any] = [1, -2.5, True, None, 10**30, 10**5000, math.nan, "x", "sk-" + "a1B2" * 10, Hostile(), [3]]
    values += [Count(7), Count("seven"), Count(KeyError("no")), Count(ValueError("no"))]
    expected = []
    for limit in (1 << 20, 40):
        desk.dials.message_limit = limit
        for arguments in [*itertools.product(values, values), *((value,) for value in values), ()]:
            desk.log.info(template, *arguments)
            said, size = clean(format_message(template, arguments), limit, desk.dials.redactor)
            expected.append((said, None if size is None else f'{{"original_size":{size}}}'))
    assert [(each.message, each.metadata_json) for each in desk.entries] == expected
