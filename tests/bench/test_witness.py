"""The bench's own judges: what is in a mix, what a witness notices, what a row says."""

import asyncio
import random
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.filters import LogFilter
from asynclog.model import Level
from asynclog.records import EntryRecord
from bench import mix
from bench.catalogue import scenarios
from bench.harness import Bench, Row, Sample, at_least, at_most, spread
from bench.latency import Latencies
from bench.lateness import EVERY, Lateness
from bench.mix import LANES, Lane
from bench.pace import due
from bench.witness import FrameReader, Witness, read_frame


def record(number: int) -> EntryRecord:
    """Entry ``number`` of the mix, as the service knows it."""
    line = mix.line(number, 0)
    metadata = msgspec.json.encode(line["metadata"]).decode()
    return EntryRecord(
        "t", 0, Level[line["level"]], line["source"], None, line["unit"], None, line["message"], metadata
    )


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)
def test_a_lane_is_what_its_filter_lets_through(lane: Lane) -> None:
    """What the bench expects of a filter is exactly what the filter does."""
    log_filter = LogFilter.parse_mapping(lane.filter)
    matching = [number for number in range(300) if log_filter.matches(record(number))]
    assert matching == list(range(lane.next(0), 300, lane.step))
    assert lane.count(300) == len(matching)
    assert all(lane.next(number) == min(m for m in [*matching, 10**9] if m >= number) for number in range(200))


def frame(numbers: list[int]) -> bytes:
    """A frame of these entries."""
    entries = [{"seq": number + 3, "metadata": {"n": number, "due": 5}} for number in numbers]
    return msgspec.json.encode({"type": "entries", "entries": entries, "through": 0})


def seen_by(lane: Lane, numbers: list[int], total: int, cuts: list[int]) -> Witness:
    """A witness that got these entries, in frames cut at these places."""
    witness, reader = Witness(lane), FrameReader()
    for begin, end in zip([0, *cuts], [*cuts, len(numbers)], strict=True):
        witness.take(reader.read(frame(numbers[begin:end])))
    witness.finish(total)
    return witness


@given(lane=st.sampled_from(LANES), total=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_a_witness_notices(lane: Lane, total: int, seed: int) -> None:
    """Whatever the frames: all entries in order are no fault, and any one lost, repeated or exchanged is one."""
    dice = random.Random(seed)
    numbers = list(range(lane.next(0), total, lane.step))
    cuts = sorted(dice.randint(0, len(numbers)) for _ in range(dice.randint(0, 5)))
    honest = seen_by(lane, numbers, total, cuts)
    assert (honest.lost, honest.disordered, honest.received) == (0, 0, len(numbers))
    if len(numbers) < 2:
        return
    place = dice.randrange(len(numbers) - 1)
    lossy = seen_by(lane, numbers[:place] + numbers[place + 1 :], total, [])
    assert (lossy.lost, lossy.disordered) == (1, 0)
    twice = seen_by(lane, numbers[: place + 1] + numbers[place:], total, [])
    assert twice.lost == 0
    assert twice.disordered > 0
    exchanged = [*numbers[:place], numbers[place + 1], numbers[place], *numbers[place + 2 :]]
    assert seen_by(lane, exchanged, total, []).disordered > 0


def test_a_witness_knows_declared_loss_and_the_end() -> None:
    """A gap frame counts what it declares; the end is noticed; entries of the service itself are no part of the mix."""
    witness = Witness(LANES[0])
    witness.take(read_frame(b'{"type":"gap","from_seq":4,"to_seq":9,"reason":"memory"}'))
    witness.take(read_frame(b'{"type":"entries","entries":[{"seq":1,"metadata":null}],"through":1}'))
    assert (witness.declared, witness.received, witness.ended) == (6, 0, False)
    witness.take(read_frame(b'{"type":"end","last_seq":9}'))
    assert witness.ended


async def test_everything_due_comes() -> None:
    """An open-loop clock gives each number once, in order, with the time at which it was due, however late it is."""
    turns = [turn async for turn in due(rate=20_000, seconds=0.05)]
    start = turns[0][2]
    assert [number for first, count, _ in turns for number in range(first, first + count)] == list(range(1000))
    assert all(at == start + round(first / 20_000 * 1e9) for first, _, at in turns)


def test_latencies_survive_the_way_between_processes() -> None:
    """Percentiles are those of all that was added, also after encoding, decoding and merging."""
    one, other = Latencies(), Latencies()
    for number in range(1, 1001):
        (one if number % 2 else other).add(number * 1000)
    one.merge(Latencies.decode(other.encode()))
    assert one.count == 1000
    assert one.percentile_ms(99) == pytest.approx(990, rel=0.01)
    assert one.longest_ms == pytest.approx(1000, rel=0.01)


def test_a_row_is_judged_by_its_target() -> None:
    """A ratio is the median of the rounds' ratios; a target with a unit is about ours alone; words judge nothing."""
    ours, theirs = Sample("a", "ns", [1.0, 2.0, 90.0]), Sample("b", "ns", [2.0, 4.0, 10.0])
    assert Row("r", ours, theirs, at_most(0.5)).ratio == 0.5
    assert Row("r", ours, theirs, at_most(0.5)).met
    assert not Row("r", ours, theirs, at_least(0.75)).met
    assert Row("r", ours, theirs, at_most(3, "ns")).met
    assert Row("r", ours, None, at_least(3, "ns")).met is False
    assert Row("r", ours, None, "flat").met is None
    assert spread([1.0, 1.0, 1.0, 1.0]) == 0


def test_contenders_take_turns() -> None:
    """Every contender has as many rounds, and none is always the first."""
    said: list[str] = []

    def contender(name: str) -> Callable[[], float]:
        def speak() -> float:
            said.append(name)
            return len(said)

        return speak

    values = Bench("b").turns({name: contender(name) for name in "ab"}, 4)
    assert "".join(said) == "abbaabba"
    assert values == {"a": [1, 4, 5, 8], "b": [2, 3, 6, 7]}


def test_every_scenario_says_what_it_measures() -> None:
    """The list of scenarios has a line for each of them."""
    found = scenarios()
    assert {"log_call", "sustained", "ingest", "overhead", "fan_out", "pages"} <= set(found)
    assert all(line.endswith((".", ",")) for line in found.values())


async def test_a_standstill_counts_for_as_long_as_it_was() -> None:
    """A load that stands still once for most of the time is late, although it is so at one of its looks only."""
    start = time.monotonic()
    async with Lateness() as lateness:
        while time.monotonic() < start + 3 * EVERY:
            await asyncio.sleep(EVERY)
        end = time.monotonic() + 10 * (time.monotonic() - start)
        while time.monotonic() < end:
            pass
        await asyncio.sleep(EVERY)
        await asyncio.sleep(EVERY)
    assert lateness._latencies.percentile_ms(50) > 1000 * (end - start) / 4
