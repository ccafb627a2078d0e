"""Ids of tasks, stages and steps."""

import re

from asynclog.identity import new_id
from asynclog.values import redact


def test_ids_are_short_and_never_the_same() -> None:
    """An id is safe in a URL and a file name, and ten thousand of them differ."""
    found = {new_id() for _ in range(10_000)}
    assert len(found) == 10_000
    assert all(re.fullmatch(r"[a-z0-9]{12}", one) for one in found)


def test_an_id_is_no_word() -> None:
    """No id holds a word that redaction takes for a secret's name, so that messages naming a task stay as they are."""
    for _ in range(10_000):
        message = f"{new_id()}: 5"
        assert redact(message) == message
    assert not set("aeiouw") & set("".join(new_id() for _ in range(1000)))
