"""What travels through the journal: payloads and back."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from asynclog.records import ENTRY, EntryRecord, decode, encode

labels = st.none() | st.text()
numbers = st.integers(-(2**63), 2**63 - 1)


@given(
    st.builds(
        EntryRecord, timestamp=numbers, level=numbers, stage=labels, unit=labels, step_id=labels, metadata_json=labels
    )
)
def test_a_tuple_in_place_of_an_entry(record: EntryRecord) -> None:
    """A tuple of the mark and an entry's fields has the very payload that the entry has, and is decoded to it."""
    payload = encode((ENTRY, *msgspec.structs.astuple(record)))
    assert payload == encode(record)
    assert decode(payload) == record
