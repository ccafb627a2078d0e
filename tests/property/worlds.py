"""Accounts that share a service: what each of them has there, made from a few numbers, over HTTP as anybody would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from asynclog.model import AccessScope
from asynclog.principal import Role
from tests.server.running import DEADLINE, Running

ACCOUNTS = (None, "a", "b", "A")
SITES = (None, "s", "t")


@dataclass(frozen=True)
class TaskPlan:
    """A task of some account and site, and what happens in it."""

    account: str | None
    site: str | None
    external: bool
    entries: int
    ended: bool


@dataclass(frozen=True)
class Plan:
    """Who asks, and what there is."""

    scope: AccessScope
    role: Role
    tasks: list[TaskPlan]
    schedules: list[tuple[str | None, str | None]]


accounts, sites = st.sampled_from(ACCOUNTS), st.sampled_from(SITES)
scopes = st.builds(AccessScope, account=accounts, site=sites).filter(lambda scope: not scope.everywhere)
plans = st.builds(
    Plan,
    scope=scopes,
    role=st.sampled_from(Role),
    tasks=st.lists(
        st.builds(
            TaskPlan,
            account=accounts,
            site=sites,
            external=st.booleans(),
            entries=st.integers(0, 3),
            ended=st.booleans(),
        ),
        min_size=2,
        max_size=5,
    ),
    schedules=st.lists(st.tuples(accounts, sites), min_size=1, max_size=3),
)


@dataclass
class Made:
    """Something of a world: its id, its plugin, whether the scope sees it, and ids of what belongs to it."""

    id: str
    plugin: str
    seen: bool
    step: str = "000000000000"
    stage: str = "000000000000"


@dataclass
class World:
    """A service with several accounts, as its admin (``root``) and as the one who asks (``caller``) speak to it."""

    service: Running
    plan: Plan
    root: dict[str, str] = field(default_factory=dict)
    caller: dict[str, str] = field(default_factory=dict)
    tasks: list[Made] = field(default_factory=list)
    schedules: list[Made] = field(default_factory=list)
    keys: list[Made] = field(default_factory=list)

    async def make(self) -> World:
        """Fill it."""
        _, root = await self.service.tasks.keys.create("root", Role.ADMIN, AccessScope())
        key, caller = await self.service.tasks.keys.create("caller", self.plan.role, self.plan.scope)
        self.root, self.caller = {"Authorization": f"Bearer {root}"}, {"Authorization": f"Bearer {caller}"}
        self.keys = [Made(key.id, "", seen=False)]
        for number, plan in enumerate(self.plan.tasks):
            self.tasks.append(await self._task(number, plan))
        for account, site in self.plan.schedules:
            made = await self.post("/api/schedules", 201, plugin="talk", interval=3600, account=account, site=site)
            self.schedules.append(Made(made["id"], "talk", seen=self.plan.scope.allows(account, site)))
        return self

    async def _task(self, number: int, plan: TaskPlan) -> Made:
        where: dict[str, Any] = {"account": plan.account, "site": plan.site}
        seen = self.plan.scope.allows(plan.account, plan.site)
        if not plan.external:
            made = await self.post("/api/tasks", 201, plugin="staged", **where)
            await self.service.tasks.wait(made["id"])
            steps = await self.service.tasks.reader.steps(made["id"])
            stages = [view.stage.id for view in await self.service.tasks.reader.stages(made["id"]) if view.stage]
            return Made(made["id"], "staged", seen, steps[0].id, stages[0])
        plugin = f"plugin-{number}"
        made = await self.post("/api/tasks", 201, external=True, name="n", plugin=plugin, **where)
        path = f"/api/tasks/{made['id']}"
        lines = b"".join(b'{"message": "m", "stage": "label", "unit": "u"}\n' for _ in range(plan.entries))
        sent = await self.service.client.post(f"{path}/logs?batch_id=b", content=lines, headers=self.root)
        assert sent.status_code == 200, sent.text
        stage = await self.post(f"{path}/stages", name="extract")
        step = await self.post(f"{path}/steps", node_id="n", input_data={"url": "u"})
        if plan.ended:
            await self.post(f"{path}/finish", status="success")
        return Made(made["id"], plugin, seen, step["id"], stage["id"])

    async def post(self, path: str, expected: int = 200, /, **body: Any) -> Any:
        """What the admin does."""
        return await self.service.post(path, body, expected, headers=self.root)

    async def state(self) -> list[Any]:
        """Everything that there is, as the admin sees it."""
        assert await self.service.tasks.engine.settle(DEADLINE)
        paths = ["/api/tasks?limit=500", "/api/logs?limit=5000", "/api/schedules"]
        paths += [f"/api/tasks/{task.id}/{part}" for task in self.tasks for part in ("stages", "steps")]
        return [(await self.service.client.get(path, headers=self.root)).json() for path in paths]
