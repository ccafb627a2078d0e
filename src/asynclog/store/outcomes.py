"""How the tasks of a plugin, and the nodes within them, have fared. Plain functions on a connection: see entries.py."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import orjson

from asynclog.model import ENDED, TASK_STATUSES, AccessScope
from asynclog.queries import NodeStats, PluginStats
from asynclog.store.scope import visible

NODE_TASKS: Final = 1000
"""Nodes are judged by so many of the plugin's newest tasks: their steps may be millions, and old ones say little."""

# From one index alone.
_STATUSES: Final = """
SELECT json_group_array(json_array(status, tasks, timed)) FROM
  (SELECT status, count(*) AS tasks, count(duration) AS timed FROM tasks INDEXED BY tasks_outcome
    WHERE plugin = ? AND {visible} GROUP BY status)"""

_PLACE: Final = """
SELECT duration FROM tasks INDEXED BY tasks_outcome
 WHERE plugin = ? AND {visible} AND duration IS NOT NULL ORDER BY duration LIMIT 1 OFFSET ?"""

_NODES: Final = """
WITH mine AS MATERIALIZED (
  SELECT node_id, node_type, node_name, steps.status, steps.duration
    FROM (SELECT id FROM tasks INDEXED BY tasks_plugin WHERE plugin = ? AND {visible}
           ORDER BY rank DESC LIMIT ?) AS newest
    CROSS JOIN steps ON steps.task_id = newest.id),
placed AS (
  SELECT node_id, node_type, node_name, duration, count(*) OVER node AS steps,
         row_number() OVER (PARTITION BY node_id, node_type, node_name ORDER BY duration) AS place
    FROM mine WHERE duration IS NOT NULL WINDOW node AS (PARTITION BY node_id, node_type, node_name))
SELECT (SELECT json_group_array(json_array(node_id, node_type, node_name, status, steps)) FROM
          (SELECT node_id, node_type, node_name, status, count(*) AS steps FROM mine GROUP BY 1, 2, 3, 4)),
       (SELECT json_group_array(json_array(node_id, node_type, node_name, p50, p95)) FROM
          (SELECT node_id, node_type, node_name, max(duration) FILTER (WHERE place = (steps * 50 + 99) / 100) AS p50,
                  max(duration) FILTER (WHERE place = (steps * 95 + 99) / 100) AS p95 FROM placed GROUP BY 1, 2, 3))"""


class _Node(NamedTuple):
    node_id: str
    node_type: str
    node_name: str


def plugin_stats(connection: sqlite3.Connection, plugin: str, access: AccessScope) -> PluginStats:
    """Tasks of a plugin in numbers: percentiles by nearest rank, over the tasks that have run and ended."""
    condition, params = visible(access)
    [groups] = connection.execute(_STATUSES.format(visible=condition), (plugin, *params)).fetchone()
    by_status = {status: tasks for status, tasks, _ in orjson.loads(groups)}
    timed = sum(number for _, _, number in orjson.loads(groups))
    ended = sum(by_status.get(status, 0) for status in ENDED)

    def percentile(percent: int) -> float | None:
        place = _PLACE.format(visible=condition)
        found = connection.execute(place, (plugin, *params, (timed * percent + 99) // 100 - 1)).fetchone()
        return None if found is None else found[0] / 1_000_000

    return PluginStats(
        plugin=plugin,
        total=sum(by_status.values()),
        by_status={status: by_status.get(status, 0) for status in TASK_STATUSES},
        success_rate=by_status.get("success", 0) / ended if ended else None,
        p50=percentile(50) if timed else None,
        p95=percentile(95) if timed else None,
    )


def node_stats(connection: sqlite3.Connection, plugin: str, access: AccessScope) -> list[NodeStats]:
    """Nodes of a plugin's newest tasks (`NODE_TASKS`) in numbers, by name; percentiles as for tasks."""
    condition, params = visible(access)
    counts, durations = connection.execute(_NODES.format(visible=condition), (plugin, *params, NODE_TASKS)).fetchone()
    by_node: dict[_Node, dict[str, int]] = {}
    for *node, status, steps in orjson.loads(counts):
        by_node.setdefault(_Node(*node), {})[status] = steps
    percentiles = {_Node(*node): (p50, p95) for *node, p50, p95 in orjson.loads(durations)}
    found = []
    for node, by_status in sorted(by_node.items()):
        p50, p95 = percentiles.get(node, (None, None))
        found.append(
            NodeStats(
                **node._asdict(),
                total=sum(by_status.values()),
                by_status=by_status,
                p50=None if p50 is None else p50 / 1_000_000,
                p95=None if p95 is None else p95 / 1_000_000,
            )
        )
    return found
