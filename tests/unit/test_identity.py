"""Ids of tasks, stages and steps."""

import re

from asynclog.identity import new_id


def test_ids_are_short_and_never_the_same() -> None:
    """An id is safe in a URL and a file name, and ten thousand of them differ."""
    found = {new_id() for _ in range(10_000)}
    assert len(found) == 10_000
    assert all(re.fullmatch(r"[a-z0-9]{8,40}", one) for one in found)
