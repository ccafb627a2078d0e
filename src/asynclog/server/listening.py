"""Our own server: uvicorn on one socket, closing WebSockets as going away before it goes down."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from asynclog.errors import InvalidError, UnavailableError
from asynclog.server.app import build
from asynclog.server.limits import DEFAULT_LIMITS, Limits
from asynclog.server.names import Names, Network, networks_of
from asynclog.server.ownlog import SERVER
from asynclog.server.protocol import Config, HttpProtocol, relieve
from asynclog.server.service import Service
from asynclog.server.wsprotocol import WebSocketProtocol
from asynclog.tasks.manager import TaskManager

DRAIN_SECONDS: Final = 2
"""How long answers that were begun may take once the server goes down."""
PING_SECONDS: Final = 20.0
PONG_SECONDS: Final = 60.0
"""A slow reader answers a ping only after what was sent before it."""
FRAME_BYTES: Final = 256 * 1024
"""Of a client's frame; a larger one is answered by closing (1009)."""
LOOK_SECONDS: Final = 1.0
"""How often connections are looked after, and the date of answers is made."""
BACKLOG: Final = 512
SPARE_FILES: Final = 200
"""For the database, the journal, run files, plugins."""

_ADD: Final = "`asynclog keys add NAME --role admin --data {folder}`"

_log: Final = logging.getLogger("asynclog.server")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    async def work(self, listener: socket.socket, failed: Callable[[], None]) -> None:
        """Serve until `should_exit`. What fails is told at once, and nobody is left with half a service.

        Raises:
            UnavailableError: uvicorn has failed.
        """
        try:
            await self.serve([listener])
        except Exception as error:
            if not self.started:
                raise
            _log.exception("the server has failed")
            if self.should_exit:
                return  # everything else is being closed already
            failed()
            await self.shutdown([listener])
            raise UnavailableError(f"the server has failed: {error}; its own log says where") from error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def leave(self) -> None:
        """End, now."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):  # uvicorn would look ten times a second, and go on for as long
                await asyncio.wait_for(self._leaving.wait(), LOOK_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        try:
            self._look()
        except Exception:  # noqa: BLE001 - an error here would end the service
            _log.exception("looking after the connections failed")
        return await super().on_tick(counter)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        found = [one for one in self.server_state.connections if isinstance(one, HttpProtocol | WebSocketProtocol)]
        for connection in found:
            connection.look(now)
        if cut := relieve(found):
            _log.warning("%d clients that took too little of too large answers were cut off", cut)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._service.close_sockets()
        if self.server_state.connections or self.server_state.tasks:  # else uvicorn would wait for nobody
            await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `serve`'s: uvicorn would raise them again before the store is closed."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InvalidError: the host is none of this machine's.
        UnavailableError: the port is taken, or not ours to take.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InvalidError("host", f"the host {host!r} is not known here: {error}") from None
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise UnavailableError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another one with --port"
        ) from None
    found.setblocking(False)
    return found


def without_keys(host: str, folder: str | Path) -> InvalidError:
    """Why a service that others can reach does not start."""
    return InvalidError(
        "host",
        f"others could reach this service ({host}, or by the names it is given), and there is no API key: they could"
        f" read every log and run every plugin. Make a key first: {_ADD.format(folder=folder)}",
    )


def _keep_addresses_out_of_the_log() -> None:
    """Below WARNING uvicorn names the addresses of WebSockets with their queries, and so their tickets."""
    log = logging.getLogger(SERVER)
    if log.getEffectiveLevel() < logging.WARNING:
        log.setLevel(logging.WARNING)


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket, one that a program on this machine can use."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _affordable(connections: int) -> int:
    """So many connections, or as many as there can be beside the other files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return connections
    left = max(soft - SPARE_FILES, soft // 2)
    _log.warning("this process may open %d files, so at most %d connections are taken", soft, left)
    return left


def _refuse_without_keys(tasks: TaskManager, names: Names, host: str) -> None:
    """A service that lets everybody in, or nobody, does not start. Raises InvalidError."""
    if tasks.keys.lost:
        raise InvalidError(
            "data",
            "this data directory had API keys, and with its database they are lost: nobody could be let in. Make new"
            f" ones: {_ADD.format(folder=tasks.engine.folder)}",
        )
    if names.beyond and tasks.keys.open:
        raise without_keys(host, tasks.engine.folder)


def _config(app: ASGIApp, networks: tuple[Network, ...], connections: int) -> Config:
    """How uvicorn serves an application."""
    config = Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(networks),
        forwarded_allow_ips=[str(network) for network in networks],
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    config.connections, config.proxies = connections, networks
    return config


@asynccontextmanager
async def listening(
    tasks: TaskManager,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    proxies: Collection[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    failed: Callable[[], None] = lambda: None,
) -> AsyncIterator[str]:
    """Serve a task manager for as long as the block runs; its address.

    On exit: no new connections, WebSockets closed with 1001, answers that were begun get two seconds. The tasks go
    on; closing them is their owner's.

    Args:
        tasks: what is served.
        host: where to listen.
        port: 0 takes a free one.
        hosts: names it is called by besides, such as that of a reverse proxy.
        origins: whose pages may change something besides its own, where a proxy changes the Host.
        proxies: addresses or networks of reverse proxies that say who asks, in X-Forwarded-For.
        limits: how much there may be at a time.
        failed: called when the server ends by an error; the block is to end then.

    Raises:
        InvalidError: others than this machine could reach it, and there is no API key; or see `bind`.
        UnavailableError: see `bind`; or, at the end, the server has failed meanwhile.
    """
    names = Names.of(host, hosts, origins)
    networks = networks_of(proxies)
    _refuse_without_keys(tasks, names, host)
    _keep_addresses_out_of_the_log()
    service = Service(tasks, limits=limits)
    server = _Server(_config(build(service, names), networks, _affordable(limits.connections)), service)
    listener = bind(host, port)
    work = asyncio.create_task(server.work(listener, failed), name="asynclog-server")
    ready = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait((work, ready), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        url = url_of(listener)
        tasks.engine.lock.tell(url)
        yield url
    finally:
        ready.cancel()
        tasks.engine.lock.tell(None)
        server.leave()
        await asyncio.wait((work,))
        listener.close()
    work.result()
