"""The API key that a command sends: from a variable or a file, never from an argument, which every process can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from asynclog.errors import InvalidError
from asynclog.principal import parse_key

VARIABLE: Final = "ASYNCLOG_API_KEY"
FILE_VARIABLE: Final = "ASYNCLOG_API_KEY_FILE"
LONGEST: Final = 4096
"""Bytes of a file that are read."""


def api_key(environment: Mapping[str, str], file: str | None = None) -> str | None:
    """The key of a file that was named, else of the variables; None when there is none.

    Raises:
        InvalidError: what is there is no key; what it is instead is not told.
    """
    file = file or (None if environment.get(VARIABLE) else environment.get(FILE_VARIABLE) or None)
    if file is not None:
        return _checked(_content(file), f"the file {file}")
    given = environment.get(VARIABLE)
    return _checked(given, VARIABLE) if given else None


def _content(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(LONGEST).decode("ascii", "replace")
    except OSError as error:
        raise InvalidError("api_key_file", f"the key file {file} cannot be read: {error.strerror}") from None


def _checked(text: str, where: str) -> str:
    key = text.strip()
    if parse_key(key) is None:
        raise InvalidError("api_key", f"{where} holds no API key: one is `asynclog_`, an id, `_` and a secret")
    return key
