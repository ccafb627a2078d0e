"""CSV of entries with hostile cells: read back as they were, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from asynclog import values
from asynclog.model import Level
from asynclog.records import EntryRecord
from asynclog.rendering import CSV_COLUMNS, csv_header, csv_rows
from asynclog.wire import entry_line
from tests.property.fuzzing import JSON, TEXTS, fuzz

FORMULAS = ("=", "+", "-", "@", "\t=", "\r=", " =", "\u00a0=", "\ufeff=", "\u200b@", "\n-", "\uff1d", "\x1f=", "'=")
CELLS = st.builds(str.__add__, st.sampled_from(["", *FORMULAS]), TEXTS.map(values.text))


def _runs(cell: str) -> bool:
    """Whether a spreadsheet may take the cell for a formula: judged by what Unicode says of its beginning."""
    if cell[:1] in ("\t", "\r", "\n"):
        return True
    for character in cell:
        if unicodedata.category(character)[0] not in "CZ":  # what can be seen
            return unicodedata.normalize("NFKC", character)[0] in "=+-@\u2212"
    return False


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, JSON), min_size=1, max_size=4))
@example([("=1+1", "+1", "-1", "@SUM(A1)", {})])
@example([("\t=1", "\r=1", " =1", "\u00a0\u00a0=1", ["=1"])])
@fuzz(250)
def test_cells_come_back_and_run_nothing(entries: list[tuple[str, str, str, str, object]]) -> None:
    """Each row has its columns, whatever separators, quotes and line ends its cells hold; a cell is as it was, or has
    an apostrophe in front where a spreadsheet would otherwise run it.
    """
    lines = []
    for number, (source, stage, unit, message, value) in enumerate(entries, 1):
        metadata = values.metadata_json({"k": value})
        record = EntryRecord("t", 1, Level.INFO, source, stage, unit, None, message, metadata)
        lines.append(entry_line(number, number, record))
    rows = list(csv.reader(io.StringIO(csv_header() + csv_rows(lines), newline=""), strict=True))
    assert rows[0] == list(CSV_COLUMNS)
    assert len(rows) == len(entries) + 1
    for row, (source, stage, unit, message, _) in zip(rows[1:], entries, strict=True):
        assert len(row) == len(CSV_COLUMNS)
        found = dict(zip(CSV_COLUMNS, row, strict=True))
        for name, text in (("source", source), ("stage", stage), ("unit", unit), ("message", message)):
            assert found[name] in (text, f"'{text}")
            assert found[name] == text or _runs(text) or text[:1].isspace() or not text.isprintable()
        assert not [ascii(cell) for cell in row if _runs(cell)]
