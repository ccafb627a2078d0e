"""The indexer: the one owner of the block index, which it builds behind the writer, a segment at a time.

The work for a segment is done on a reading connection and mostly without the GIL; only its finished rows are written,
in a few transactions of some 5 ms between the writer's. What is not indexed yet is looked through by those who ask, so
the indexer may be behind, fail, be off or be killed at any time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from asynclog.errors import StoreError
from asynclog.protocols import BlockStore, Clock

IDLE_SECONDS: Final = 1.0
"""Between two looks whether there is something to do, and before the first."""
PATIENCE: Final = 131_072
"""While records come in, up to so many wait for a quieter second: reading them takes some 30 ms."""
RETRY_SECONDS: Final = 30.0
TIDY_SECONDS: Final = 600.0
"""How often segments of which entries were removed are looked for."""

_log = logging.getLogger("asynclog.indexer")


class Indexer:
    """Builds, tidies and, when it is turned off, removes the block index.

    Args:
        store: where the entries and the index are.
        clock: for pauses.
        enabled: whether there should be an index, asked each time.
        stored: the newest record that is stored.
        behind: whether the writer needs the processors itself; then nothing is built.
    """

    def __init__(
        self,
        store: BlockStore,
        clock: Clock,
        enabled: Callable[[], bool],
        stored: Callable[[], int],
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._enabled = enabled
        self._stored = stored
        self._behind = behind
        self._through = 0
        """The newest record up to which everything is indexed."""
        self._removed = False
        self._seen = -1
        """What was stored when there was nothing to do."""
        self._latest = -1
        """What was stored when it was looked at last."""
        self.error: str | None = None
        """Why the index cannot be built now; None when it can."""
        self.segments = 0
        """Built since the start."""

    @property
    def lag(self) -> int:
        """Stored records that are not indexed; all of them while it is off. The newest few thousand never are."""
        return max(0, self._stored() - self._through)

    async def run(self) -> None:
        """Work for ever. May be cancelled or fail anywhere and be called again."""
        tidied_at: float | None = None
        while True:
            await self._clock.sleep(IDLE_SECONDS)
            try:
                if tidied_at is None or self._clock.monotonic() - tidied_at >= TIDY_SECONDS:
                    await self._tidy()
                    tidied_at = self._clock.monotonic()
                await (self._catch_up() if self._enabled() else self._remove())
            except StoreError as error:
                if self.error is None:
                    _log.warning("the search index waits: %s", error)
                self.error = str(error)
                await self._clock.sleep(RETRY_SECONDS)
            else:
                self.error = None

    async def _catch_up(self) -> None:
        """Index every segment that is whole, when nothing is written or much waits."""
        self._removed = False
        stored = self._stored()
        resting, self._latest = stored == self._latest, stored
        while self._enabled() and not self._behind() and stored != self._seen:
            if not resting and self.lag <= PATIENCE:
                return
            self._through, segment = await self._store.unindexed(self._through)
            if segment is None:
                self._seen = stored
                return
            began = self._clock.monotonic()
            await self._store.index(segment)
            self.segments += 1
            if self._stored() != stored:
                resting = False
                # Half of the time belongs to those who write.
                await self._clock.sleep(self._clock.monotonic() - began)

    async def _remove(self) -> None:
        """Let nothing be left of the index."""
        self._through, self._seen = 0, -1
        if self._removed:
            return
        for segment in await self._store.indexed(empty=False):
            await self._store.unindex(segment)
            await asyncio.sleep(0)
        self._removed = True

    async def _tidy(self) -> None:
        """Forget segments of which nothing is left; others of which entries were removed are indexed again."""
        for segment in await self._store.indexed(empty=True):
            await self._store.unindex(segment)
        self._through, self._seen = 0, -1
