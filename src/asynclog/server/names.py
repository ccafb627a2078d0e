"""What the service may be called, and whose pages may change something. Decides without I/O."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from typing import Final, Self
from urllib.parse import urlsplit

from asynclog.errors import InvalidError
from asynclog.model import Value

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine for itself."""
ANY_ADDRESS: Final = "*"
"""Among names: every address, but no name that somebody could let point here."""

_HOST: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?")
_SCHEME: Final = re.compile(r"https?://")


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Names(Value, frozen=True):
    """The names that are ours.

    ``hosts``: without port where every port is good, None for every name; ``origins``: besides the own address, exact;
    ``beyond``: whether others than this machine are meant to come.
    """

    hosts: frozenset[str] | None = None
    origins: frozenset[str] = frozenset()
    beyond: bool = False

    @classmethod
    def of(cls, host: str, hosts: Collection[str] = (), origins: Collection[str] = ()) -> Self:
        """The names of a service that listens on a host.

        Args:
            host: a name or an address of this machine.
            hosts: what it is called besides: names, or names with a port. Without them, when others can reach the
                host, any address and this machine's name.
            origins: ``https://NAME`` or ``http://NAME``, with the port if it has one.

        Raises:
            InvalidError: one of them cannot be.
        """
        called = frozenset(_host(name) for name in hosts)
        pages = frozenset(_origin(origin) for origin in origins)
        beyond = not is_loopback(host)
        own = {*LOOPBACK, host.lower()}
        if beyond and not called:
            own |= {ANY_ADDRESS, socket.gethostname().lower()}
        meant = [name if _is_address(name) else _name(name) for name in called]
        meant += [_name(origin.partition("//")[2]) for origin in pages]
        return cls(called | own, pages, beyond or not all(is_loopback(name) for name in meant))

    def knows(self, host: str) -> bool:
        """Whether a request's Host is one of ours."""
        if self.hosts is None:
            return True
        if not _HOST.fullmatch(host.lower()):
            return False
        name = _name(host)
        return name in self.hosts or host.lower() in self.hosts or (ANY_ADDRESS in self.hosts and _is_address(name))

    def welcomes(self, origin: str, host: str, scheme: str) -> bool:
        """Whether a page may change something: one of this very host and port, or of the origins.

        Where origins are given, the scheme counts too, and a name of theirs is not the service's own address: behind a
        proxy that brings TLS, a page that came in the clear would be taken for it.
        """
        if origin in self.origins:
            return True
        if self.origins:
            theirs = {_name(known.partition("//")[2]) for known in self.origins}
            return _name(host) not in theirs and origin.lower() == f"{scheme}://{host.lower()}" != f"{scheme}://"
        try:
            return urlsplit(origin).netloc.lower() == host.lower() != ""
        except ValueError:
            return False


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(proxies: Collection[str]) -> tuple[Network, ...]:
    """Addresses and networks of reverse proxies.

    Raises:
        InvalidError: one of them is none.
    """
    try:
        return tuple(ipaddress.ip_network(proxy.strip()) for proxy in proxies)
    except ValueError as error:
        raise InvalidError("proxies", f"proxies: {error}; give an address such as 127.0.0.1 or 10.0.0.0/8") from None


def is_of(address: str, networks: Collection[Network]) -> bool:
    """Whether an address is of one of the networks; a text that is no address is of none."""
    try:
        return any(ipaddress.ip_address(address) in network for network in networks)
    except ValueError:
        return False


def _host(name: str) -> str:
    host = name.strip().lower()
    if not _HOST.fullmatch(host):
        raise InvalidError("hosts", f"hosts: {name!r} is no name; give one such as logs.example.org, or with its port")
    return host[1:-1] if host.endswith("]") else host


def _origin(text: str) -> str:
    origin = text.strip().lower().rstrip("/")
    if not _SCHEME.match(origin) or not _HOST.fullmatch(_SCHEME.sub("", origin, 1)):
        raise InvalidError("origins", f"origins: {text!r} is none; give one such as https://logs.example.org")
    return origin


def _name(host: str) -> str:
    """The host without its port, lower case, an IPv6 address without brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
