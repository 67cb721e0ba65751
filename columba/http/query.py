"""Query strings and forms: texts to a typed struct, or one Refusal that names every parameter that is wrong.

A parameter given twice fills a list, and is refused where the type is no list. A `+` counts as a plus sign where a
space would make no sense (before a number, before a time's offset): `?to=+447700900123` is what people write.
"""

import re
from functools import cache
from typing import Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
import msgspec.inspect as mi

from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.checks import leads_to_checks
from columba.http.walk import Walk
from columba.http.words import at, strip, takes

MOST: Final = 200

Fields = TypeVar("Fields", bound=msgspec.Struct)

# `+` as form encoding has it, where it can only have been meant as itself
_NUMBER: Final = re.compile(r" ([0-9]+)", re.ASCII).fullmatch
_TIME: Final = re.compile(r"([0-9-]{10}T[0-9:.]+) ([0-9:]{5})", re.ASCII).fullmatch


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of an endpoint that takes none."""


class _Shape(NamedTuple):
    """What is known of a struct before any text comes."""

    type: mi.Type
    lists: frozenset[str]  # the names that may be given more than once
    may_be_empty: bool


@cache
def _shape(kind: type[msgspec.Struct]) -> _Shape:
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    lists = frozenset(field.encode_name for field in info.fields if _takes_list(field.type))
    return _Shape(info, lists, not leads_to_checks(info) and not any(field.required for field in info.fields))


def _takes_list(kind: mi.Type) -> bool:
    kind = strip(kind)
    return any(map(_takes_list, kind.types)) if isinstance(kind, mi.UnionType) else takes(kind, [])


def decode_query(kind: type[Fields], raw: bytes) -> Fields:
    """A query string as a `kind`."""
    return _decode(kind, _pairs(raw, "The query string"))


def decode_form(kind: type[Fields], raw: bytes) -> Fields:
    """An application/x-www-form-urlencoded body as a `kind`."""
    return _decode(kind, _pairs(raw, "The form"))


def _pairs(raw: bytes, what: str) -> list[tuple[str, str]]:
    if not raw:
        return []
    try:
        text = raw.decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST)
    except UnicodeDecodeError:
        raise Refusal("invalid_request", f"{what} is not UTF-8.") from None
    except ValueError:
        raise Refusal("invalid_request", f"{what} has more than {MOST} parameters.") from None


def _decode(kind: type[Fields], pairs: list[tuple[str, str]]) -> Fields:
    shape = _shape(kind)
    if not pairs and shape.may_be_empty:
        return kind()
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(_with_plus(text))
    walk = Walk(lax=True)
    texts = {name: each if name in shape.lists else each[0] for name, each in given.items()}
    built = walk.run(texts, shape.type)
    twice = [
        FieldError(at("", name), "invalid_value", "It is given more than once.")
        for name, each in given.items()
        if len(each) > 1 and name not in shape.lists
    ]
    if errors := walk.errors + twice:
        raise invalid(errors)
    assert isinstance(built, kind)
    return built


def _with_plus(text: str) -> str:
    if " " in text:
        if number := _NUMBER(text):
            return f"+{number[1]}"
        if time := _TIME(text):
            return f"{time[1]}+{time[2]}"
    return text
