"""What run directories are called: inside, distinct, whatever users and clocks say."""

from hypothesis import given
from hypothesis import strategies as st

from asynclog.model import TRIGGER_TYPES
from asynclog.tasks.runname import LONGEST, RunNames, component

NAMES = st.one_of(st.none(), st.text(), st.text(alphabet="._/\\%~\0- a", max_size=5))
MOMENTS = st.integers(min_value=0, max_value=253_402_300_799_999_999)
START = 1_770_465_600_000_000


@given(NAMES)
def test_a_component_stays_inside(name: str | None) -> None:
    """Whatever the name, it becomes one path component: not empty, not hidden, no way up, not too long."""
    made = component(name)
    assert made
    assert made.isascii()
    assert made.isprintable()
    assert not set(made) & set("/\\:\0\n ")
    assert not made.startswith(".")
    assert not made.endswith(".")
    assert len(made) <= LONGEST + 17


@given(NAMES, NAMES)
def test_two_names_are_two_components(one: str | None, other: str | None) -> None:
    """Two accounts never share a directory; none at all is no account's either."""
    assert (component(one) == component(other)) == (one == other)


@given(st.lists(st.tuples(st.integers(0, 3_600_000_000), st.sampled_from(TRIGGER_TYPES)), max_size=60), st.data())
def test_run_ids_are_distinct(starts: list[tuple[int, str]], data: st.DataObject) -> None:
    """Run ids of tasks started in any order of times are distinct, also when another process goes on in between."""
    names = RunNames()
    given_out: list[str] = []
    restart = data.draw(st.integers(0, len(starts)))
    for number, (offset, trigger) in enumerate(starts):
        if number == restart:
            names = RunNames(reversed(given_out))
        given_out.append(names.next(START + offset, trigger))
    assert len(set(given_out)) == len(given_out)


@given(MOMENTS, st.sampled_from(TRIGGER_TYPES))
def test_a_run_id_tells_time_and_trigger(moment: int, trigger: str) -> None:
    """The first of a second is run_YYYYMMDD_HHMMSS_trigger, also after a time that was wrong by years."""
    names = RunNames(["run_99990101_000000_manual", "something else", "run_20000101_000000_manual_7"])
    name = names.next(START, "schedule")
    assert name == "run_20260207_120000_schedule"
    assert names.next(START, "schedule") == f"{name}_2"
    assert RunNames().next(moment, trigger).endswith(f"_{trigger}")
    assert len(RunNames().next(moment, trigger)) == len("run_20260207_120000_") + len(trigger)
