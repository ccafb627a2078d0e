"""Any Python value -> text that a database, a terminal and JSON can hold; text of any size -> text of a bounded one.

Nothing here raises, whatever it is given and whatever that does when it is looked at: what fails, with any exception
but KeyboardInterrupt and SystemExit (those are about the process, not the value), becomes text that says so. The time
a value's own ``__str__`` takes, and the memory it asks for, cannot be bounded from here; all else is. Safe from any
thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from asynclog.redaction import NUMBERS, REDACTOR, Redactor

MANY: Final = 1000
"""A container with more items than this is shown in a message by its first ones."""
_SHOWN: Final = 20
_LONG_INT_BITS: Final = 2000
"""Longer integers are written in hexadecimal: decimal takes quadratic time, and Python refuses it."""
_HEAD_BITS: Final = 4096
_CHUNK: Final = 1 << 20
_SLACK: Final = 4
"""Text up to so many times the limit is searched for secrets as a whole, before it is cut."""
_TEMPLATES: Final = 4096
_TEMPLATE_LENGTH: Final = 1024
_CUT_ROOM: Final = 64
_HARMFUL: Final = re.compile(r"%[^%a-zA-Z]{0,64}(?:\d{5}|\*)")
"""A field width or precision that could ask for gigabytes."""

_harmless: dict[str, None] = {}
_PLAIN: Final = NUMBERS | {str}
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, bytes, bytearray)


def text(value: object) -> str:
    """The value's `str`, with lone surrogates and NUL escaped; ``<unprintable TypeName: error>`` when it has none."""
    if type(value) is str:
        return _storable(value)
    try:
        return _storable(_str(value))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # the promise: never raise
        return unprintable(value, error)


def format_message(message: object, args: tuple[Any, ...] = ()) -> str:
    """The message with its % arguments, as `logging` puts them in (a single mapping serves named fields).

    When they do not fit, the message comes back as it is, with the arguments and the reason behind it.
    """
    template = message if type(message) is str else text(message)
    if not args:
        return _storable(template)
    try:
        if template not in _harmless:
            _look_at(template)
        for argument in args:
            if type(argument) not in _PLAIN:
                return _storable(template % _readied(args))
        filled = template % args
        return filled if filled.isascii() and "\0" not in filled else _storable(filled)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # the promise: never raise
        shown = ", ".join(_repr(argument) for argument in islice(args, _SHOWN))
        return f"{_storable(template)} [arguments ({shown}) do not fit: {_reason(error)}]"


def compose(
    message: object, args: tuple[Any, ...], facts: dict[str, Any], limit: int, redactor: Redactor = REDACTOR
) -> str:
    """What is kept of a message: `format_message`, then `clean`. When it is cut, its size goes into the facts."""
    if args and type(message) is str:
        try:
            if redactor.templates[message] and NUMBERS.issuperset(map(type, args)):  # what a look would find is known
                filled: str = message % args
                if len(filled) * 4 <= limit:
                    return filled
        except KeyError:
            redactor.look_at(message)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001, S110  # the arguments do not fit: that is said below
            pass
    filled = format_message(message, args)
    if len(filled) * 4 <= limit:
        return redactor.redact(filled)
    filled, size = clean(filled, limit, redactor)
    if size is not None:
        facts["original_size"] = size
    return filled


def cut(value: str, limit: int) -> tuple[str, int | None]:
    """The text in at most ``limit`` bytes of UTF-8, and its original size in bytes when it was longer, else None.

    Head and tail stay, ``… [N bytes cut] …`` stands between them, no character is split. A limit of 0 is none.
    """
    if limit <= 0 or len(value) * 4 <= limit or (len(value) <= limit and value.isascii()):
        return value, None
    size = _size(value)
    if size <= limit:
        return value, None
    if limit <= _CUT_ROOM:
        return _encoded(value[:limit])[:limit].decode("utf-8", "ignore"), size
    mark = f"… [{size - limit} bytes cut] …"
    room = limit - len(mark.encode()) - 2  # the number below can be a digit or two longer
    head = _encoded(value[:room])[: room - room // 2].decode("utf-8", "ignore")
    tail = _tail(_encoded(value[-room:]), room // 2)
    kept = len(head.encode()) + len(tail.encode())
    return f"{head}… [{size - kept} bytes cut] …{tail}", size


def clean(value: str, limit: int, redactor: Redactor = REDACTOR) -> tuple[str, int | None]:
    """The text without its secrets, then `cut`: in this order, so that no secret survives by being cut in two."""
    if limit <= 0 or len(value) <= limit * _SLACK:
        bounded, size = value, None
    else:
        bounded, size = cut(value, limit * _SLACK)
    result, original = cut(redactor.redact(bounded), limit)
    return result, size or original


def exact(value: str) -> str:
    """A str of the very type, whatever the subclass says it is."""
    return value if type(value) is str else str.__str__(value)


def integer(value: int) -> str:
    """The integer as text, in time linear to its size: a very long one in hexadecimal, cut, with its size."""
    bits = int.bit_length(value)
    if bits <= _LONG_INT_BITS:
        return int.__repr__(value)
    if bits <= _HEAD_BITS:
        return int.__format__(value, "#x")
    return f"{int.__rshift__(value, bits - _HEAD_BITS):#x}… [integer of {bits} bits]"


def unprintable(value: object, error: BaseException) -> str:
    """What stands for a value that cannot be shown."""
    return f"<unprintable {_storable(_type_name(value))}: {_reason(error)}>"


def _storable(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-8", "backslashreplace").decode()
    return value.replace("\0", "\\x00") if "\0" in value else value


def _str(value: object) -> str:
    kind = type(value)
    if kind is int:
        return integer(value)  # type: ignore[arg-type]  # mypy does not narrow by `type(x) is`
    if kind in _CONTAINERS and len(value) > MANY:  # type: ignore[arg-type]  # they all have one
        return _first_items(value)
    return exact(str(value))


def _first_items(value: Any) -> str:
    """The first items of a large builtin container, without walking the others."""
    if isinstance(value, bytes | bytearray):
        return f"{bytes(value[:MANY])!r}… [{len(value)} bytes]"
    if isinstance(value, dict):
        shown = [f"{_repr(key)}: {_repr(item)}" for key, item in islice(value.items(), _SHOWN)]
    else:
        shown = [_repr(item) for item in islice(value, _SHOWN)]
    opening, closing = "[]" if isinstance(value, list) else "()" if isinstance(value, tuple) else "{}"
    return f"{opening}{', '.join(shown)}, … {len(value) - _SHOWN} more{closing}"


def _repr(value: object) -> str:
    try:
        if type(value) is int:
            return integer(value)
        if type(value) in _CONTAINERS and len(value) > MANY:  # type: ignore[arg-type]  # they all have one
            return _first_items(value)
        return cut(_storable(exact(repr(value))), MANY)[0]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # the promise: never raise
        return unprintable(value, error)


def _reason(error: BaseException) -> str:
    try:
        said = cut(_storable(exact(str(error))), MANY)[0]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  # the promise: never raise
        said = ""
    name = _storable(_type_name(error))
    return f"{name}: {said}" if said else name


def _type_name(value: object) -> str:
    name = type.__getattribute__(type(value), "__name__")
    return cut(exact(name), MANY)[0] if isinstance(name, str) else "object"


class _Bounded:
    """Stands for a large argument: shows what `text` and `_repr` make of it."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return _first_items(self._value)

    __repr__ = __str__


def _readied(args: tuple[Any, ...]) -> Any:
    """The arguments as ``%`` takes them: a single mapping by itself, large containers bounded."""
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        return args[0]
    return tuple(_Bounded(each) if type(each) in _CONTAINERS and len(each) > MANY else each for each in args)


def _look_at(template: str) -> None:
    """Remember a template that asks for no enormous field. Raises ValueError for one that may."""
    if _HARMFUL.search(template):
        raise ValueError("a field is too wide, or its width an argument")
    if len(template) <= _TEMPLATE_LENGTH:
        if len(_harmless) >= _TEMPLATES:
            _harmless.clear()
        _harmless[template] = None


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", "backslashreplace")


def _size(value: str) -> int:
    if value.isascii():
        return len(value)
    return sum(len(_encoded(value[start : start + _CHUNK])) for start in range(0, len(value), _CHUNK))


def _tail(data: bytes, room: int) -> str:
    """The last characters that fit whole into so many bytes."""
    start = len(data) - room
    while start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode()
