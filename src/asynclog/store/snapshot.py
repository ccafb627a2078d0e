"""One snapshot for several statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All statements inside see what was committed when the first of them began."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # some errors end it
            connection.execute("COMMIT")
