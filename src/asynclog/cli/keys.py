"""``asynclog keys``: who may speak to the service."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from urllib.parse import quote

import click

from asynclog.cli import options, terminal
from asynclog.cli.finding import by_id
from asynclog.cli.options import Place
from asynclog.cli.service import Object
from asynclog.principal import Role

PATH: Final = "/api/keys"
ROLES: Final = [role.label for role in Role]

_DAYS: Final = {"h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.0}
_LIFE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([hdwy])")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    As long as there is none, everybody on this machine may do everything. With the first key, an admin's, everybody
    needs one: commands send the one in ASYNCLOG_API_KEY, or in the file that --api-key-file names.
    """


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What its holder may do.")
@click.option("--account", metavar="NAME", help="The one account its holder sees; all without it.")
@click.option("--site", metavar="NAME", help="The one site its holder sees; all without it.")
@click.option("--expires", metavar="TIME", help="How long it counts: 12h, 90d, 2w, 1y; for ever without it.")
@options.place
def add(place: Place, name: str, role: str, expires: str | None, **scope: str | None) -> None:
    """Make a key for NAME, whoever or whatever that is, and print it, this once."""
    asked: Object = {"name": name, "role": role, **{what: which for what, which in scope.items() if which is not None}}
    if expires is not None:
        asked["expires_in_days"] = _days(expires)
    made: Object = asyncio.run(_ask(place, "POST", PATH, asked, create=True))
    terminal.write(made["key"])
    end = f", until {made['expires_at'][:19].replace('T', ' ')} UTC" if made["expires_at"] else ""
    terminal.remark(f"key {made['id']} ({role}{end}); it is shown this once")


def _days(text: str) -> float:
    found = _LIFE.fullmatch(text.strip().lower())
    if found is None:
        raise click.UsageError(f"--expires takes a time such as 12h, 90d, 2w or 1y, not {text!r}")
    return float(found[1]) * _DAYS[found[2]]


@keys.command(name="list")
@options.table()
@options.place
def show(place: Place, *, as_table: bool) -> None:
    """List the keys, oldest first; of each all but the key itself."""
    found: list[Object] = asyncio.run(_ask(place, "GET", PATH))["keys"]
    if not as_table:
        for key in found:
            terminal.write_object(key)
    elif found:
        columns = ("ID", "NAME", "ROLE", "SEES", "LAST USED (UTC)", "ENDS (UTC)")
        terminal.show_table(columns, [_row(key) for key in found], cut="NAME SEES")
    else:
        terminal.remark("no keys yet: everybody on this machine may do everything")


def _row(key: Object) -> list[str]:
    ends = f"revoked {_moment(key['revoked_at'])[:10]}" if key["revoked_at"] else _moment(key["expires_at"])
    sees = " / ".join(f"{what} {key[what]}" for what in ("account", "site") if key[what] is not None) or "all"
    cells = (key["id"], key["name"], key["role"], sees, _moment(key["last_used_at"]), ends)
    return [terminal.visible(cell) for cell in cells]


def _moment(time: str | None) -> str:
    return (time or "")[:16].replace("T", " ")


@keys.command()
@click.argument("key")
@options.place
def revoke(place: Place, key: str) -> None:
    """Let KEY, an id or its beginning, count no more: at once, and for connections that are open too."""

    async def go() -> Object:
        async with place.connect() as service:
            found = by_id("key", key, (await service.call("GET", PATH))["keys"])
            await service.call("DELETE", f"{PATH}/{quote(found['id'], safe='')}")
            return found

    found = asyncio.run(go())
    shown = f"{found['id']} ({found['name']})"
    terminal.remark(f"revoked {terminal.visible(shown)}")


async def _ask(place: Place, method: str, path: str, body: Object | None = None, *, create: bool = False) -> Any:
    async with place.connect(create=create) as service:
        return await service.call(method, path, [], body)
