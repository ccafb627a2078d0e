"""The plugins that come along. They use the public names of asynclog only: what they do, anybody's plugin can do.

They are offered by their entry points; ``PLUGINS`` is the same for programs that take no entry points.
"""

from typing import Final

from asynclog.plugins import backup, command, git, legacy, migration, replay

PLUGINS: Final[dict[str, object]] = {
    "backup": backup.run,
    "migration": migration.run,
    "git": git.run,
    "command": command.run,
    "replay": replay.run,
    "levels": legacy.LevelCount(),
}
"""Name to plugin."""
