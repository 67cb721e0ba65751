"""Types, values and paths in plain words, for the details of problems. Pure, and safe for any value."""

import json
import math
import re
from typing import Any, Final

import msgspec.inspect as mi

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch

TIME: Final = "a time such as 2026-01-31T09:30:00Z"
_NAMED: Final[dict[type[mi.Type], str]] = {
    mi.AnyType: "any value",
    mi.RawType: "any value",
    mi.NoneType: "null",
    mi.BoolType: "true or false",
    mi.IntType: "a whole number",
    mi.FloatType: "a number",
    mi.StrType: "a string",
    mi.DateTimeType: TIME,
    mi.DateType: "a date such as 2026-01-31",
    mi.TimeType: "a time of day such as 09:30:00Z",
    mi.TimeDeltaType: "a duration such as PT1H30M",
    mi.BytesType: "Base64 text",
    mi.UUIDType: "a UUID",
    mi.DecimalType: "a decimal number",
    mi.StructType: "an object",
    mi.TypedDictType: "an object",
    mi.DataclassType: "an object",
    mi.DictType: "an object",
}


def strip(kind: mi.Type) -> mi.Type:
    """The type without its annotations."""
    while isinstance(kind, mi.Metadata):
        kind = kind.type
    return kind


def at(path: str, name: str) -> str:
    """The path of a name within `path`; a name that is no plain word is quoted and shortened."""
    if _PLAIN(name):
        return f"{path}.{name}" if path else name
    return f"{path}[{short(name)}]"


def short(value: Any) -> str:
    """A value for a person to recognise: at most 40 characters, safe in any answer."""
    if isinstance(value, str):
        text = json.dumps(value[:40], ensure_ascii=False) + ("..." if len(value) > 40 else "")
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and math.isinf(value):
        return "a number too large to hold"
    return json.dumps(value)[:40] if isinstance(value, bool | int | float) or value is None else came(value)


def came(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"


def expected(kind: mi.Type) -> str:
    """A type in plain words."""
    match kind:
        case mi.Metadata():
            return expected(kind.type)
        case mi.UnionType(types=members):
            return " or ".join(dict.fromkeys(expected(member) for member in members))
        case mi.LiteralType() | mi.EnumType():
            values = [short(value) for value in choices_of(kind)]
            return values[0] if len(values) == 1 else f"one of {', '.join(values[:40])}"
    return _NAMED.get(type(kind), "an array")


def choices_of(kind: mi.LiteralType | mi.EnumType) -> list[Any]:
    return list(kind.values) if isinstance(kind, mi.LiteralType) else [member.value for member in kind.cls]


def takes(kind: mi.Type, value: Any) -> bool:
    """Whether a member of a union is the one meant by this value, going by the kind of JSON it is."""
    match kind:
        case mi.Metadata():
            return takes(kind.type, value)
        case mi.AnyType() | mi.RawType():
            return True
        case mi.NoneType():
            return value is None
        case mi.BoolType():
            return isinstance(value, bool)
        case mi.IntType() | mi.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case mi.LiteralType() | mi.EnumType():
            return any(type(choice) is type(value) for choice in choices_of(kind))
        case mi.StructType() | mi.TypedDictType() | mi.DataclassType() | mi.DictType():
            return isinstance(value, dict)
        case mi.CollectionType() | mi.TupleType() | mi.NamedTupleType():
            return isinstance(value, list)
    return isinstance(value, str)


def between(low: float | None, high: float | None, unit: str = "") -> str:
    if low is not None and high is not None:
        return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
    return f"at least {low}{unit}" if high is None else f"at most {high}{unit}"
