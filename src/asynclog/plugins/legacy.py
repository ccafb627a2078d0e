"""The plugin ``levels``, as plugins looked before there was a context: it runs unchanged and knows no asynclog.

It stays as it is. What it prints nobody sees; what it returns or raises is its task's result or failure.
"""

import collections
import re

LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")


class LevelCount:
    """Old signature, old habits."""

    role = "admin"  # the one thing that was added: it opens whatever file it is told to

    def execute(self, params: dict) -> dict:  # type: ignore[type-arg]  # as such plugins were written
        """Counts the lines of a log file by their level; takes the file's path."""
        counts: collections.Counter[str] = collections.Counter()
        lines = 0
        with open(params["path"], errors="replace") as log:  # noqa: PTH123  # older than pathlib's habits
            for line in log:
                lines += 1
                found = LEVEL.search(line)
                counts[found.group(1) if found else "none"] += 1
        return {"lines": lines, "levels": dict(counts.most_common())}
