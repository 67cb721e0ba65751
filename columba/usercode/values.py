"""How templates see and show values: plain JSON values, and nothing that has methods.

What is missing is `Missing`: it shows as nothing, and what is looked up in it is missing too. Fails with UserCodeError.
"""

from typing import Any, Final

import msgspec
from jinja2 import ChainableUndefined

from columba.usercode import work
from columba.usercode.errors import UserCodeError

LARGEST: Final = 2**63  # of a whole number

_encode = msgspec.json.Encoder(enc_hook=lambda value: None).encode


class Missing(ChainableUndefined):
    """What isn't there."""

    __slots__ = ()


def text_of(value: Any) -> str:
    """A value as it is shown: nothing for what is missing or null, JSON for lists and mappings."""
    if type(value) is str:
        return value
    if value is None or isinstance(value, Missing):
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str | int | float):
        return str(value)
    return json_of(value)


def json_of(value: Any, pretty: bool = False) -> str:
    """As JSON on one line, or on several."""
    if not isinstance(value, str | int | float):
        work.count(value)
    raw = _encode(plain(value))
    return work.held((msgspec.json.format(raw, indent=2) if pretty else raw).decode())


def plain(value: Any) -> Any:
    """The same without what is missing: null stands for it."""
    if isinstance(value, Missing):
        return None
    if isinstance(value, dict):
        return {text_of(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def number_of(value: Any, what: str) -> int | float:
    if type(value) is bool or not isinstance(value, int | float):
        raise UserCodeError(0, 0, f"{what} takes numbers, and this is {kind_of(value)}: use the filters int or float.")
    return value


def whole(value: int | float) -> int | float:
    if type(value) is int and not -LARGEST <= value < LARGEST:
        raise UserCodeError(0, 0, "A number becomes too large.")
    return value


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Missing):
        return "missing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    return "a mapping" if isinstance(value, dict) else "a list"


def items_of(value: Any) -> list[Any]:
    """What a list has in it; the names of a mapping."""
    if isinstance(value, list | tuple | dict):
        return list(value)
    if value is None or isinstance(value, Missing):
        return []
    raise UserCodeError(0, 0, f"A list was expected, and this is {kind_of(value)}.")
