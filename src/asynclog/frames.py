"""Records as they travel from the journal to the store: numbered, still encoded, by column.

A list for each column and no object for each record: the garbage collector, which looks at every tuple that stays for a
while, took some 7 % of the time in which twenty tasks log as fast as they can, and takes some 3 % now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self, overload

from asynclog.records import Frame


class Frames(Sequence[Frame]):
    """Some records in the order of their ids, each as in `Frame`. Grows at the end only.

    Args:
        ids: the (first) id of each.
        seqs: the seq of each one's (first) entry, 0 for a record that is no entry.
        spans: how many ids and seqs each takes.
        payloads: each one encoded.
    """

    __slots__ = ("ids", "payloads", "seqs", "spans")

    def __init__(
        self,
        ids: list[int] | None = None,
        seqs: list[int] | None = None,
        spans: list[int] | None = None,
        payloads: list[bytes] | None = None,
    ) -> None:
        self.ids = [] if ids is None else ids
        self.seqs = [] if seqs is None else seqs
        self.spans = [] if spans is None else spans
        self.payloads = [] if payloads is None else payloads

    @classmethod
    def of(cls, frames: Iterable[Frame]) -> Self:
        """These."""
        found = cls()
        for frame in frames:
            found.append(frame)
        return found

    def append(self, frame: Frame) -> None:
        """One more."""
        record_id, seq, span, payload = frame
        self.ids.append(record_id)
        self.seqs.append(seq)
        self.spans.append(span)
        self.payloads.append(payload)

    def extend(self, frames: Frames) -> None:
        """Others that come behind."""
        self.ids += frames.ids
        self.seqs += frames.seqs
        self.spans += frames.spans
        self.payloads += frames.payloads

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Frame]:
        return zip(self.ids, self.seqs, self.spans, self.payloads, strict=True)

    @overload
    def __getitem__(self, place: int) -> Frame: ...
    @overload
    def __getitem__(self, place: slice) -> Frames: ...
    def __getitem__(self, place: int | slice) -> Frame | Frames:
        if isinstance(place, slice):
            return Frames(self.ids[place], self.seqs[place], self.spans[place], self.payloads[place])
        return self.ids[place], self.seqs[place], self.spans[place], self.payloads[place]

    @property
    def last_id(self) -> int:
        """The newest id that they take."""
        return self.ids[-1] + self.spans[-1] - 1

    @property
    def size(self) -> int:
        """Bytes of the payloads."""
        return sum(map(len, self.payloads))

    @property
    def dense_ids(self) -> int:
        """How many ids they take; 0 when one is missing between them."""
        taken = sum(self.spans)
        return taken if self.ids[0] + taken - 1 == self.last_id else 0
