"""What the service is called, and whose pages may change something."""

from __future__ import annotations

import pytest

from asynclog.errors import InvalidError
from asynclog.server.names import Names


@pytest.mark.parametrize(
    ("host", "hosts", "origins", "beyond"),
    [
        ("127.0.0.1", (), (), False),
        ("localhost", ("localhost:8700", "[::1]"), ("http://localhost:3000",), False),
        ("0.0.0.0", (), (), True),  # noqa: S104 - compared, not listened on
        ("10.0.0.1", (), (), True),
        ("127.0.0.1", ("logs.example.org",), (), True),
        ("127.0.0.1", (), ("https://logs.example.org",), True),
        ("127.0.0.1", ("localhost.example.org",), (), True),
    ],
)
def test_it_is_known_when_others_are_meant(
    host: str, hosts: tuple[str, ...], origins: tuple[str, ...], beyond: bool
) -> None:
    """A host that others reach, a name or an origin that is not this machine's: then a key is needed."""
    assert Names.of(host, hosts, origins).beyond is beyond


def test_a_list_of_hosts_is_exact() -> None:
    """With a list, that and this machine's own names are known, and no address by chance; a port given counts."""
    names = Names.of("0.0.0.0", ("Logs.Example.org", "other.example.org:8443", "[fd00::1]"))  # noqa: S104 - as above
    for known in ("logs.example.org", "LOGS.example.org:99", "other.example.org:8443", "127.0.0.1:1", "[fd00::1]:80"):
        assert names.knows(known), known
    for foreign in (
        "", "evil.example", "logs.example.org.evil.example", "xlogs.example.org", "other.example.org",
        "other.example.org:80", "10.0.0.1", "10.0.0.1:8700", "*", "[fd00::2]", "[", "logs.example.org:x:y",
    ):  # fmt: skip
        assert not names.knows(foreign), foreign


def test_without_a_list_any_address_but_no_name() -> None:
    """A service that others reach, without a list, is called by any address, but by no name that points to it."""
    names = Names.of("0.0.0.0")  # noqa: S104 - as above
    assert names.knows("10.1.2.3:8700")
    assert not names.knows("evil.example:8700")
    assert not Names.of("127.0.0.1").knows("10.1.2.3:8700")


@pytest.mark.parametrize(
    ("origins", "origin", "host", "welcome"),
    [
        ((), "http://127.0.0.1:8700", "127.0.0.1:8700", True),
        ((), "https://logs.example.org", "logs.example.org", True),  # a proxy brings TLS and passes the Host on
        ((), "http://127.0.0.1:8701", "127.0.0.1:8700", False),
        ((), "http://localhost:8700", "127.0.0.1:8700", False),
        ((), "null", "127.0.0.1:8700", False),
        ((), "", "", False),
        (("https://logs.example.org",), "https://logs.example.org", "127.0.0.1:8700", True),
        (("https://logs.example.org",), "http://127.0.0.1:8700", "127.0.0.1:8700", True),
        (("https://logs.example.org",), "http://logs.example.org", "127.0.0.1:8700", False),
        (("https://logs.example.org",), "http://logs.example.org", "logs.example.org", False),
        (("https://logs.example.org",), "http://logs.example.org:80", "logs.example.org:80", False),
        (("https://logs.example.org",), "https://logs.example.org:444", "127.0.0.1:8700", False),
        (("https://logs.example.org",), "https://logs.example.org.evil.example", "127.0.0.1:8700", False),
        (("https://logs.example.org",), "https://127.0.0.1:8700", "127.0.0.1:8700", False),
        (("HTTPS://Logs.example.org/",), "https://logs.example.org", "127.0.0.1:8700", True),
    ],
)
def test_pages_are_told_apart(origins: tuple[str, ...], origin: str, host: str, welcome: bool) -> None:
    """A page is welcome from the very address that is called, or from exactly an origin of the list."""
    assert Names.of("127.0.0.1", ("logs.example.org",), origins).welcomes(origin, host, "http") is welcome


@pytest.mark.parametrize(
    "name", ["", " ", "*", "a b", "ftp://x", "x/y", "https://x/y", "x:y", "x:123456", ".x", "é.example", "a,b"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """A wrong entry in a list stops the service with a sentence, instead of never matching."""
    with pytest.raises(InvalidError, match="hosts: "):
        Names.of("127.0.0.1", (name,))
    with pytest.raises(InvalidError, match="origins: "):
        Names.of("127.0.0.1", (), (name,))
