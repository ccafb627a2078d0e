"""What the redaction of a message costs: prose, structured lines, secrets, the user's own patterns.

A message of a hundred characters without a secret is what matters: it is by far the most common one. The messages are
taken in turn, so that no branch is learnt; each row is the mean of one message.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from asynclog.redaction import REDACTOR, Redactor
from bench.harness import Bench, Row, Sample, at_most

ROUNDS = 9
CALLS = 20_000
TEMPLATE = "fetched %d charts in %.2f s"

COMMON = (
    "fetched 42 charts from dataset 17 in 0.32 s, of which 3 have changed since the last run and 39 have not",
    "wrote 1048576 bytes to /srv/backup/2026/archive.tar.gz.part and renamed it in place after the check of it",
    "user 42 has opened dashboard 7 of workspace 3 from 10.0.0.7 with 3 roles and 12 filters in all, 2 of them new",
    "connection to replica 2 lost after 30 s without an answer, trying again in 2 s, and 5 more attempts after that",
    "processed batch 17 of 120 with 4000 rows, 3 were skipped and 12 were merged with rows of the batch before it",
)
"""A hundred characters of prose and numbers each."""
STRUCTURED = (
    "GET http://superset:8088/api/v1/chart/?page=3&page_size=100 -> 200 in 0.032 s, 48210 bytes, 100 of 4210 charts",
    "[2026-02-07 12:00:00,123] INFO org.apache.hadoop.mapred.Task: Task attempt_200811092030_0001_m_000590_0 is done",
    "sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=218.188.2.4 x y",
)
"""Lines with separators, times and identifiers in them, which have to be looked at more closely."""
SECRET = (
    "connecting to postgres://reporting:hunter2-hunter2@db.example.org:5432/warehouse with password=hunter2 and so",
)
OWN = Redactor(patterns=[r"EMP-\d{1,9}", r"IBAN [A-Z0-9]{15,34}"], keys=["salary"])


def run(bench: Bench) -> list[Row]:
    """Texts of each kind, by the rules that come along and by two patterns and a key more."""
    REDACTOR.look_at(TEMPLATE)
    found = bench.calls(
        {
            "common": _in_turn(COMMON, REDACTOR.redact),
            "structured": _in_turn(STRUCTURED, REDACTOR.redact),
            "secret": _in_turn(SECRET, REDACTOR.redact),
            "own": _in_turn(COMMON, OWN.redact),
            "template": lambda: REDACTOR.templates[TEMPLATE],
            "nothing": _in_turn(COMMON, _nothing),
        },
        rounds=bench.rounds(ROUNDS),
        number=bench.amount(CALLS, 2000),
    )
    bare = found["nothing"]
    return [
        Row("redaction, 100 bytes of prose", _without(found["common"], bare), None, at_most(300, "ns")),
        Row("redaction, 110 bytes, key=value", _without(found["structured"], bare), None, "shown"),
        Row("redaction, 110 bytes, two secrets", _without(found["secret"], bare), None, "shown"),
        Row("redaction, prose, two own patterns", _without(found["own"], bare), None, "shown"),
        Row(
            "redaction, template with numbers", found["template"], None, at_most(300, "ns"), "the text is not looked at"
        ),
    ]


def _in_turn(texts: tuple[str, ...], call: Callable[[str], object]) -> Callable[[], object]:
    turns = itertools.cycle(texts)
    return lambda: call(next(turns))


def _nothing(text: str) -> str:
    return text


def _without(sample: Sample, bare: Sample) -> Sample:
    """What is left when the turns and calls themselves are taken off."""
    return Sample(
        sample.name,
        sample.unit,
        [max(value - base, 0.0) for value, base in zip(sample.values, bare.values, strict=True)],
    )
