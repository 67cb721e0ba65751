"""What a struct says about itself beyond its types: its methods named `check` or `check_...`, run after decoding.

Each gives FieldErrors whose paths are its own (`text`, `media[2]`); the place of the struct is put before them. A check
that raises anything raises it through: a Refusal is answered as such, the rest is a defect.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

from columba.errors import FieldError

Check = Callable[[Any], Iterable[FieldError] | None]

MOST: Final = 100  # problems in one answer; nobody reads more


@cache
def checks_of(cls: type) -> tuple[Check, ...]:
    """The checks of a struct, inherited ones first, in the order they are written in."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    members = (getattr(cls, name) for name in names if name == "check" or name.startswith("check_"))
    return tuple(member for member in members if inspect.isfunction(member))


def leads_to_checks(node: mi.Type, above: tuple[type, ...] = ()) -> bool:
    """Whether a value of this type may hold a struct that has checks."""
    match node:
        case mi.Metadata():
            return leads_to_checks(node.type, above)
        case mi.StructType():
            if node.cls in above:
                return False
            inner = (*above, node.cls)
            return bool(checks_of(node.cls)) or any(leads_to_checks(field.type, inner) for field in node.fields)
        case mi.UnionType(types=members) | mi.TupleType(item_types=members):
            return any(leads_to_checks(member, above) for member in members)
        case mi.CollectionType(item_type=item) | mi.DictType(value_type=item):
            return leads_to_checks(item, above)
    return False


@cache
def _ways_on(cls: type) -> tuple[tuple[str, str], ...]:
    """The fields of a struct that lead to further checks: their names in Python and in JSON."""
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return tuple((field.name, field.encode_name) for field in info.fields if leads_to_checks(field.type))


def run_checks(value: Any, path: str = "") -> list[FieldError]:
    """What the checks of a decoded value, and of all structs within it, find."""
    found: list[FieldError] = []
    if isinstance(value, msgspec.Struct):
        cls = type(value)
        for check in checks_of(cls):
            found += (placed(error, path) for error in check(value) or ())
        for name, shown in _ways_on(cls):
            found += run_checks(getattr(value, name), f"{path}.{shown}" if path else shown)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            found += run_checks(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            found += run_checks(item, f"{path}.{name}" if path else str(name))
    return found[:MOST]


def placed(error: FieldError, path: str) -> FieldError:
    """The same problem with its struct's place before its own path."""
    if not path:
        return error
    if not error.field:
        return error._replace(field=path)
    joint = "" if error.field.startswith("[") else "."
    return error._replace(field=f"{path}{joint}{error.field}")
