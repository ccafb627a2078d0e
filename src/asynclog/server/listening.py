"""Our own server: uvicorn on one socket, closing WebSockets as going away before it goes down."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asynclog.errors import InvalidError, UnavailableError
from asynclog.server.app import build
from asynclog.server.guard import LOOPBACK
from asynclog.server.service import Service
from asynclog.tasks.manager import TaskManager

DRAIN_SECONDS: Final = 2
"""How long answers that were begun may take once the server goes down."""
PING_SECONDS: Final = 20.0
PONG_SECONDS: Final = 60.0
"""A slow reader answers a ping only after what was sent before it."""
FRAME_BYTES: Final = 256 * 1024
"""Of a client's frame; a larger one is answered by closing (1009)."""
ABORT_SECONDS: Final = 1.0
BACKLOG: Final = 512


class _WebSocket(WebSocketsSansIOProtocol):
    """Uvicorn's, but a peer that takes nothing more is let go: closing would wait for it for ever."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._let_go()

    def shutdown(self) -> None:
        super().shutdown()
        self._let_go()

    def _let_go(self) -> None:
        if self.transport.get_write_buffer_size():
            self.loop.call_later(ABORT_SECONDS, self.transport.abort)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._service.close_sockets()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `serve`'s: uvicorn would raise them again before the store is closed."""
        yield


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket, one that a program on this machine can use."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def names_of(host: str) -> set[str]:
    """What clients may call a service that listens on this host."""
    names = {*LOOPBACK, host}
    return names if is_loopback(host) else {*names, "*", socket.gethostname()}


@asynccontextmanager
async def listening(tasks: TaskManager, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a task manager for as long as the block runs; its address.

    On exit: no new connections, WebSockets closed with 1001, answers that were begun get two seconds. The tasks go
    on; closing them is their owner's.

    Raises:
        InvalidError, UnavailableError: see `bind`.
    """
    service = Service(tasks)
    listener = bind(host, port)
    url = url_of(listener)
    config = uvicorn.Config(
        build(service, names_of(host)),
        http="httptools",
        ws=_WebSocket,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config, service)
    work = asyncio.create_task(server.serve([listener]), name="asynclog-server")
    ready = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait((work, ready), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        tasks.engine.lock.tell(url)
        yield url
    finally:
        ready.cancel()
        tasks.engine.lock.tell(None)
        server.should_exit = True
        await asyncio.wait((work,))
        listener.close()
