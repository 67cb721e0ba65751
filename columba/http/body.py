"""Request bodies: bytes to the declared type, or one Refusal that names every problem.

The common case is one pass of msgspec's decoder and a few looks at the bytes. Only what those do not like is read
again, slowly and with an eye on the whole, by `walk`. Raises Refusal and nothing else: `invalid_json` (400) for what is
not JSON, `invalid_request` (422) with its fields for all else.

Refused although the decoder would let it pass: a name given twice in one object, NUL in any string (no store keeps it),
integers beyond 64 bits, nesting beyond 32 levels. Declare structs with `forbid_unknown_fields=True`.

A struct may say more about itself in methods named `check` or `check_...`, giving FieldErrors with paths of its own:

    def check_content(self) -> Iterable[FieldError]:
        if self.text is None and not self.media:
            yield FieldError("text", "required", "Expected one of text, media, template.")

Each runs by itself. Where other fields are wrong it still runs, and is left out if it reads one of those.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, overload

import msgspec
import msgspec.inspect as mi

from columba.errors import FieldError, Refusal
from columba.http.checks import leads_to_checks, run_checks
from columba.http.walk import Repeated, Walk
from columba.http.words import strip

DEPTH: Final = 32

T = TypeVar("T")

# One that is cut off matches too: else each quote in it would be tried in turn, to the end of the body every time.
_STRING: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)\s*+(:?)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")


class _Plan(NamedTuple):
    """What is known of a type before any bytes come."""

    read: Callable[[bytes], Any]
    type: mi.Type
    open: bool  # holds Any, Raw or itself: the type does not bound the nesting
    wide: bool  # holds integers without both bounds
    checked: bool  # it, or a struct within it, has checks


@overload
def decode(kind: type[T], raw: bytes | msgspec.Raw) -> T: ...
@overload
def decode(kind: Any, raw: bytes | msgspec.Raw) -> Any: ...
def decode(kind: Any, raw: bytes | msgspec.Raw) -> Any:
    """`raw` as a `kind` (a struct, a union of structs, `list[...]` ...)."""
    plan = _plan(kind)
    if type(raw) is not bytes:
        raw = bytes(raw)
    try:
        value = plan.read(raw)
    except (ValueError, RecursionError) as error:
        _refuse(plan, raw, str(error))
    if _doubtful(plan, raw):
        _check_closely(plan, raw)
    if plan.checked and (errors := run_checks(value)):
        raise invalid(errors)
    return value


def invalid(errors: list[FieldError]) -> Refusal:
    """The Refusal of a request for what its fields hold."""
    first = f"{errors[0].field}: {errors[0].detail}"
    return Refusal(
        "invalid_request", first if len(errors) == 1 else f"{len(errors)} problems. The first: {first}", errors
    )


@cache
def _plan(kind: Any) -> _Plan:
    info = mi.type_info(kind)
    found = {"open": False, "wide": False}

    def look(node: mi.Type, above: tuple[type, ...]) -> None:
        node = strip(node)
        if isinstance(node, mi.AnyType):
            found["open"] = found["wide"] = True
        elif isinstance(node, mi.RawType):
            found["open"] = True
        elif isinstance(node, mi.IntType):
            low, high = (node.ge, node.gt), (node.le, node.lt)
            found["wide"] |= low == (None, None) or high == (None, None)
        elif isinstance(node, mi.StructType):
            if node.cls in above:
                found["open"] = True
                return
            for field in node.fields:
                look(field.type, (*above, node.cls))
        elif isinstance(node, mi.UnionType):
            for member in node.types:
                look(member, above)
        elif isinstance(node, mi.TupleType):
            for member in node.item_types:
                look(member, above)
        elif isinstance(node, mi.CollectionType):
            look(node.item_type, above)
        elif isinstance(node, mi.DictType):
            look(node.value_type, above)

    look(info, ())
    return _Plan(msgspec.json.Decoder(kind).decode, info, **found, checked=leads_to_checks(info))


def _doubtful(plan: _Plan, raw: bytes) -> bool:
    """Whether something the decoder let pass may have to be refused. Errs on the side of yes."""
    return (
        b"\\u0000" in raw
        or (plan.open and raw.count(b"[") + raw.count(b"{") > DEPTH)
        or (plan.wide and _has_long_number(raw))
        or _may_repeat_names(raw)
    )


def _may_repeat_names(raw: bytes) -> bool:
    if len(raw) > 65_536:  # a batch: its rows have the same names
        return True
    if b"\\" not in raw:
        strings = raw.split(b'"')[1::2]
        if len(set(strings)) == len(strings):
            return False
    names = [name for name, colon in _STRING.findall(raw) if colon]
    return len(set(names)) != len(names) or any(b"\\" in name for name in names)


def _has_long_number(raw: bytes) -> bool:
    """Whether 19 digits stand in a row, as in every integer beyond 64 bits."""
    return b"0" * 19 in raw.translate(_ZEROS)


def _check_closely(plan: _Plan, raw: bytes) -> None:
    """Refuse what the decoder let pass and should not have."""
    if plan.open:
        _check_depth(raw)
    seen = _parse(raw)
    if seen.repeated or b"\\u0000" in raw or (plan.wide and _has_long_number(raw)):
        walk = Walk()
        walk.run(seen.value, plan.type)
        if walk.errors:
            raise invalid(walk.errors)


def _refuse(plan: _Plan, raw: bytes, message: str) -> NoReturn:
    """Refuse what the decoder did not take: with all of its problems, or at least with the decoder's own words."""
    _check_depth(raw)
    walk = Walk()
    walk.run(_parse(raw).value, plan.type)
    raise invalid(walk.errors or [walk.from_decoder(message)])


def _check_depth(raw: bytes) -> None:
    """Only what stands outside strings counts."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH:
            detail = f"Expected at most {DEPTH} levels of nesting."
            raise invalid([FieldError("body", "out_of_range", detail)])


class _Parsed(NamedTuple):
    value: Any
    repeated: bool


def _parse(raw: bytes) -> _Parsed:
    """Plain objects, with objects that name something twice as Repeated, and numbers beyond bounds as infinite."""
    if not raw.strip():
        raise Refusal("invalid_json", "The body is empty; JSON was expected.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("invalid_json", f"The body is not UTF-8: byte {error.start} is no part of it.") from None
    repeated = False

    def unite(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        united = dict(pairs)
        if len(united) == len(pairs):
            return united
        repeated = True
        counts = Counter(name for name, _ in pairs)
        return Repeated(united, tuple(name for name, count in counts.items() if count > 1))

    try:
        value = json.loads(text, object_pairs_hook=unite, parse_int=_integer, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refusal("invalid_json", f"The body stops being JSON at {where}: {error.msg}.") from None
    except RecursionError:
        raise Refusal("invalid_json", f"The body nests deeper than {DEPTH} levels.") from None
    except _NotJson as error:
        raise Refusal("invalid_json", f"The body is not JSON: it has no {error}.") from None
    return _Parsed(value, repeated)


class _NotJson(Exception):
    """A word that some parsers take for a number."""


def _no_constant(word: str) -> NoReturn:
    raise _NotJson(word)


def _integer(digits: str) -> int | float:
    # int() of thousands of digits takes its time, and past 4,300 raises; nothing beyond 64 bits is ever taken
    return int(digits) if len(digits) <= 20 else float("-inf" if digits[0] == "-" else "inf")
