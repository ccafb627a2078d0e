"""Roles, keys and principals as values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.model import EVERYTHING, AccessScope
from asynclog.principal import LOCAL, ApiKey, Principal, Role, new_key, parse_key, secret_hash

MADE = new_key()
KEY = ApiKey(
    id=MADE.id, name="ann", role=Role.OPERATOR, account="acme", secret_hash=secret_hash(MADE.secret),
    created_at=10, created_by="root", expires_at=100,
)  # fmt: skip


def test_each_role_may_what_the_ones_before_may() -> None:
    """Roles are ordered; what reaches beyond a scope takes everything to be seen."""
    assert Role.VIEWER < Role.OPERATOR < Role.ADMIN
    for has in Role:
        everywhere = Principal("k", "n", has, EVERYTHING)
        scoped = Principal("k", "n", has, AccessScope("acme"))
        for needed in Role:
            assert everywhere.may(needed) == everywhere.may(needed, everywhere=True) == (has >= needed)
            assert scoped.may(needed) == (has >= needed)
            assert not scoped.may(needed, everywhere=True)
    assert LOCAL.may(Role.ADMIN, everywhere=True)


def test_labels_are_read_back() -> None:
    """A role's label is its name in lower case, and nothing else is one."""
    assert [role.label for role in Role] == ["viewer", "operator", "admin"]
    assert [Role.parse(role.label) for role in Role] == list(Role)
    for wrong in ("", "Admin", "root", "3"):
        with pytest.raises(ValueError, match="there are viewer, operator, admin"):
            Role.parse(wrong)


def test_a_key_counts_until_it_ends() -> None:
    """A key counts up to its expiry or revocation, excluding the moment itself."""
    assert KEY.is_valid(99)
    assert not KEY.is_valid(100)
    assert not msgspec.structs.replace(KEY, revoked_at=5).is_valid(50)
    assert msgspec.structs.replace(KEY, expires_at=None).is_valid(1 << 62)


def test_a_key_fits_its_secret_alone() -> None:
    """Only the secret itself fits, and it is not in the value."""
    assert KEY.fits(MADE.secret)
    assert not any(KEY.fits(wrong) for wrong in ("", MADE.secret[:-1], MADE.secret + "A", MADE.text))
    assert MADE.secret not in repr(KEY)
    assert KEY.principal == Principal(MADE.id, "ann", Role.OPERATOR, AccessScope("acme"))


def test_new_keys_are_read_back() -> None:
    """Keys differ from each other, and the text of each gives its parts."""
    made = [new_key() for _ in range(100)]
    assert len({key.id for key in made}) == len({key.secret for key in made}) == 100
    assert [parse_key(key.text) for key in made] == made


@given(st.text() | st.from_regex(r"asynclog_[0-9a-f]{0,13}_.{0,44}"))
def test_nothing_else_is_a_key(text: str) -> None:
    """Whatever is read as a key is exactly the text of one."""
    found = parse_key(text)
    assert found is None or (found.text == text and text.isascii() and len(text) == 65)
