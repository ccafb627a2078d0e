"""The JSON of tasks, stages, steps and entries."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog import wire
from asynclog.model import MAX_TIMESTAMP, Gap, Level, Progress, Sealed, Stage, Step, Task
from asynclog.records import EntryRecord, Line

NOW = 1_770_465_600_123_456
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def test_an_entry_is_as_the_contract_shows_it() -> None:
    """All keys in their order, compact, no value left out."""
    record = EntryRecord("t", NOW, 30, "api", None, "dash-7", None, 'a "b"', '{"n":1}')
    assert wire.entry_line(91, 17, record) == (
        b'{"id":91,"task_id":"t","seq":17,"timestamp":"2026-02-07T12:00:00.123456Z","level":"WARNING","source":"api",'
        b'"stage":null,"unit":"dash-7","step_id":null,"message":"a \\"b\\"","metadata":{"n":1}}'
    )


@given(
    st.integers(0, MAX_TIMESTAMP),
    st.sampled_from(list(Level)),
    TEXT,
    st.none() | TEXT,
    st.none() | st.dictionaries(TEXT, TEXT, min_size=1),
)
def test_an_entry_survives_its_json(
    timestamp: int, level: Level, message: str, unit: str | None, metadata: dict[str, str] | None
) -> None:
    """What was written is read back the same."""
    text = None if metadata is None else msgspec.json.encode(metadata).decode()
    entry = wire.parse_entry(
        wire.entry_line(5, 6, EntryRecord("t", timestamp, level, "api", None, unit, "s1", message, text))
    )
    assert (entry.id, entry.seq, entry.timestamp, entry.level) == (5, 6, timestamp, level)
    assert (entry.message, entry.unit, entry.step_id, entry.metadata) == (message, unit, "s1", metadata)


def test_a_line_of_a_batch_is_an_entry() -> None:
    """A line that came over HTTP is shown as every other entry, without a step."""
    line = Line(NOW, 20, "plugin", "s", "u", "m", None)
    assert wire.line_record("t", line) == EntryRecord("t", NOW, 20, "plugin", "s", "u", None, "m", None)


def test_a_task_shows_every_field() -> None:
    """A task has the contract's keys, in order, null where there is nothing, and no field of the store's own."""
    fresh = msgspec.json.decode(wire.encode(wire.task_object(Task(id="t", name="n", plugin="p", created_at=NOW))))
    assert (
        list(fresh)
        == (
            "id name plugin account site parent_id schedule_id run_id external trigger_type trigger_data params status "
            "cancelling progress result error_message error_stack created_at started_at finished_at duration last_seq "
            "counts dropped sealed metadata"
        ).split()
    )
    assert fresh["counts"] == {"DEBUG": 0, "INFO": 0, "WARNING": 0, "ERROR": 0}
    assert (fresh["duration"], fresh["progress"], fresh["sealed"], fresh["params"]) == (None, None, None, None)
    ended = Task(
        id="t",
        name="n",
        plugin="p",
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW + 1_500_000,
        progress=Progress(current=3, total=10),
        sealed=Sealed(count=4, last_seq=5),
        counts={"INFO": 4},
        params_json='{"a":[1,2.5,null]}',
    )
    shown = msgspec.json.decode(wire.encode(wire.task_object(ended)))
    assert shown["duration"] == 1.5
    assert shown["progress"] == {"current": 3, "total": 10, "message": None}
    assert shown["sealed"] == {"count": 4, "last_seq": 5}
    assert shown["counts"] == {"DEBUG": 0, "INFO": 4, "WARNING": 0, "ERROR": 0}
    assert shown["params"] == {"a": [1, 2.5, None]}
    assert shown["finished_at"] == "2026-02-07T12:00:01.623456Z"


@pytest.mark.parametrize("data", [True, False])
def test_a_step_shows_its_data_only_when_asked(data: bool) -> None:
    """A step has the contract's keys in order; input and output come only with the single one."""
    step = Step(
        id="s",
        task_id="t",
        step_index=0,
        node_id="n",
        node_type="http",
        node_name="N",
        started_at=NOW,
        input_json="[1]",
    )
    shown = msgspec.json.decode(wire.encode(wire.step_object(step, data=data)))
    keys = (
        "id task_id parent_id step_index stage unit node_id node_type node_name status started_at finished_at duration "
        "input_data output_data error_message error_stack"
    ).split()
    assert list(shown) == [key for key in keys if data or not key.endswith("_data")]
    assert shown.get("input_data", [1]) == [1]
    assert (shown["status"], shown["duration"]) == ("running", None)


def test_a_stage_shows_elapsed_and_units() -> None:
    """A stage's elapsed time is in seconds, and its units come with their counts."""
    stage = Stage(
        id="g", task_id="t", number=1, name="extract", started_at=NOW, finished_at=NOW + 250_000, result_json="true"
    )
    shown = msgspec.json.decode(wire.encode(wire.stage_object(stage, 12, {"u": 3})))
    assert {
        "elapsed": 0.25,
        "log_count": 12,
        "result": True,
        "units": [{"unit": "u", "log_count": 3}],
    }.items() <= shown.items()


def test_a_gap_is_its_range() -> None:
    """A gap names its first and last seq and the reason."""
    gap = Gap(task_id="t", from_seq=3, to_seq=5, reason="full")
    assert wire.gap_object(gap) == {"from_seq": 3, "to_seq": 5, "reason": "full"}
