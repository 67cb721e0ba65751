"""The slow look at a value: every problem it has, each with its path.

Walks plain JSON objects (or texts, for query strings and forms: `lax`) along a type as msgspec.inspect tells it,
collects FieldErrors and builds the value where it can. Never raises for what the value holds; stops at 100 problems.
The nesting is bounded by whoever calls.
"""

import datetime as dt
import decimal
import difflib
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

from columba.errors import FieldError
from columba.http.checks import MOST, checks_of, placed
from columba.http.words import TIME, at, between, came, choices_of, expected, short, strip, takes

BAD: Final = object()  # what stands for a value that has problems

_INT64: Final = 2**63
_SURROGATE: Final = re.compile("[\ud800-\udfff]").search
_SECRET: Final = re.compile(r"(?i)pass|secret|token|auth|credential|key|code|\bpin\b").search
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII).fullmatch
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII).fullmatch
_PLACE: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")

# Texts that msgspec itself turns into something: the Python type and the code of a text that can't be.
_TEXTS: Final[dict[type[mi.Type], tuple[type, str]]] = {
    mi.DateType: (dt.date, "invalid_time"),
    mi.TimeType: (dt.time, "invalid_time"),
    mi.TimeDeltaType: (dt.timedelta, "invalid_time"),
    mi.BytesType: (bytes, "invalid_value"),
    mi.UUIDType: (uuid.UUID, "invalid_value"),
    mi.DecimalType: (decimal.Decimal, "invalid_value"),
}
_COLLECTIONS: Final[dict[type[mi.Type], Callable[[Iterable[Any]], Any]]] = {
    mi.ListType: list,
    mi.SetType: set,
    mi.FrozenSetType: frozenset,
    mi.VarTupleType: tuple,
    mi.CollectionType: list,
}


class Repeated(dict[str, Any]):
    """An object that gave some of its names more than once."""

    def __init__(self, united: dict[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(united)
        self.names = names


class _Enough(Exception):
    """There are as many problems as anyone will read."""


class _Unreadable(Exception):
    """A check reads a field that is wrong."""


class _Partly:
    """A struct as far as it is right, for its checks: reading any other field ends the check."""

    def __init__(self, kind: mi.StructType, good: dict[str, Any]) -> None:
        self._kind = kind
        self.__dict__.update((name, held) for name, held in good.items() if held is not BAD)
        self.__dict__.update((field.name, _default(field)) for field in kind.fields if field.name not in good)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._kind.cls, name, None)
        if member is None or any(field.name == name for field in self._kind.fields):
            raise _Unreadable
        return member.__get__(self) if hasattr(member, "__get__") else member


def _default(field: mi.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return msgspec.UNSET if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _sound(value: Any) -> bool:
    """Whether free-form JSON holds nothing to refuse. Quick, as there may be much of it."""
    kind = type(value)
    if kind is str:
        return "\x00" not in value and not _SURROGATE(value)
    if kind is int:
        return bool(-_INT64 <= value < _INT64)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(_sound, value))
    if isinstance(value, dict):
        return kind is dict and all(map(_sound, value)) and all(map(_sound, value.values()))
    return True


class Walk:
    """One walk over one value. `lax`: the leaves come as text."""

    def __init__(self, *, lax: bool = False) -> None:
        self.errors: list[FieldError] = []
        self._lax = lax

    def run(self, value: Any, kind: mi.Type, path: str = "") -> Any:
        """The value built, or BAD with `errors` filled."""
        try:
            return self._visit(value, kind, path)
        except _Enough:
            return BAD

    def from_decoder(self, message: str) -> FieldError:
        """The decoder's own words, where the walk found nothing: types that only the decoder knows."""
        place = _PLACE.search(message)
        path = place[1].lstrip(".") if place else ""
        return FieldError(path or "body", "invalid_value", f"{_PLACE.sub('', message).replace('`', '')}.")

    def _add(self, path: str, code: str, detail: str) -> Any:
        self.errors.append(FieldError(path or "body", code, detail))
        if len(self.errors) >= MOST:
            raise _Enough
        return BAD

    def _wrong(self, path: str, code: str, wanted: str, value: Any) -> Any:
        """A problem told as what was expected and what came; what may be a secret is not repeated."""
        got = came(value) if code == "wrong_type" and not self._lax else short(value)
        return self._add(path, code, f"Expected {wanted}." if _SECRET(path) else f"Expected {wanted}, got {got}.")

    def _visit(self, value: Any, kind: mi.Type, path: str) -> Any:
        match kind:
            case mi.Metadata():
                return self._visit(value, kind.type, path)
            case mi.StrType():
                return self._string(value, kind, path)
            case mi.StructType() if not kind.array_like:
                return self._struct(value, kind, path)
            case mi.UnionType():
                return self._union(value, kind, path)
            case mi.NoneType():
                return None if value is None else self._wrong(path, "wrong_type", "null", value)
            case mi.BoolType():
                return self._boolean(value, path)
            case mi.IntType() | mi.FloatType():
                return self._number(value, kind, path)
            case mi.LiteralType() | mi.EnumType():
                return self._choice(value, kind, path)
            case mi.DateTimeType():
                return self._moment(value, kind, path)
            case mi.DictType():
                return self._mapping(value, kind, path)
            case mi.CollectionType():
                return self._collection(value, kind, path)
            case mi.TupleType():
                return self._tuple(value, kind, path)
            case mi.AnyType() | mi.RawType():
                return self._open(value, kind, path)
        if type(kind) in _TEXTS:
            return self._text(value, kind, path)
        return self._by_decoder(value, kind, path)

    # -- Leaves

    def _string(self, value: Any, kind: mi.StrType, path: str) -> Any:
        if not isinstance(value, str):
            return self._wrong(path, "wrong_type", "a string", value)
        if not self._clean(value, path):
            return BAD
        low, high = kind.min_length, kind.max_length
        if (high is not None and len(value) > high) or (low is not None and len(value) < low):
            code = "too_short" if low is not None and len(value) < low else "too_long"
            return self._add(path, code, f"Expected {between(low, high, ' characters')}, got {len(value)}.")
        if kind.pattern is not None and not re.search(kind.pattern, value):
            return self._wrong(path, "invalid_value", f"a string that matches {kind.pattern}", value)
        return value

    def _clean(self, text: str, path: str) -> bool:
        if "\x00" in text:
            self._add(path, "invalid_value", "NUL characters are not allowed.")
        elif _SURROGATE(text):
            self._add(path, "invalid_value", "Half a surrogate pair is not a character.")
        else:
            return True
        return False

    def _boolean(self, value: Any, path: str) -> Any:
        if self._lax and isinstance(value, str):
            value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
        return value if isinstance(value, bool) else self._wrong(path, "wrong_type", "true or false", value)

    def _number(self, value: Any, kind: mi.IntType | mi.FloatType, path: str) -> Any:
        whole = isinstance(kind, mi.IntType)
        wanted = expected(kind)
        if self._lax and isinstance(value, str) and (_INTEGER if whole else _NUMBER)(value):
            value = int(value) if whole else float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong(path, "wrong_type", wanted, value)
        if isinstance(value, float) and math.isinf(value):
            return self._wrong(path, "out_of_range", wanted, value)
        if whole and isinstance(value, float):
            return self._add(path, "wrong_type", f"Expected {wanted}, got {short(value)}.")
        low = kind.ge if kind.ge is not None else kind.gt
        high = kind.le if kind.le is not None else kind.lt
        outside = (
            (kind.ge is not None and value < kind.ge)
            or (kind.gt is not None and value <= kind.gt)
            or (kind.le is not None and value > kind.le)
            or (kind.lt is not None and value >= kind.lt)
        )
        if outside:
            exclusive = "" if kind.gt is None and kind.lt is None else ", exclusive"
            return self._wrong(path, "out_of_range", f"{wanted}, {between(low, high)}{exclusive}", value)
        if whole and not -_INT64 <= value < _INT64:
            return self._add(path, "out_of_range", "Expected a whole number of at most 64 bits.")
        if kind.multiple_of is not None and value % kind.multiple_of:
            return self._wrong(path, "invalid_value", f"a multiple of {kind.multiple_of}", value)
        return value if whole else float(value)

    def _choice(self, value: Any, kind: mi.LiteralType | mi.EnumType, path: str) -> Any:
        choices = choices_of(kind)
        for choice in choices:
            if (type(choice) is type(value) and choice == value) or (self._lax and str(choice) == value):
                return choice if isinstance(kind, mi.LiteralType) else kind.cls(choice)
        if not any(type(choice) is type(value) for choice in choices) and not self._lax:
            return self._wrong(path, "wrong_type", expected(kind), value)
        return self._wrong(path, "invalid_value", expected(kind), value)

    def _moment(self, value: Any, kind: mi.DateTimeType, path: str) -> Any:
        if not isinstance(value, str):
            return self._wrong(path, "wrong_type", TIME, value)
        try:
            moment = msgspec.convert(value, dt.datetime)
        except msgspec.ValidationError:
            return self._wrong(path, "invalid_time", TIME, value)
        if kind.tz is not None and (moment.tzinfo is not None) != kind.tz:
            wanted = f"a time with its offset, {TIME}" if kind.tz else "a time without an offset"
            return self._wrong(path, "invalid_time", wanted, value)
        return moment

    def _text(self, value: Any, kind: mi.Type, path: str) -> Any:
        python, code = _TEXTS[type(kind)]
        if not isinstance(value, str) and not (python is decimal.Decimal and isinstance(value, int | float)):
            return self._wrong(path, "wrong_type", expected(kind), value)
        try:
            built: Any = msgspec.convert(value, python)
        except msgspec.ValidationError:
            return self._wrong(path, code, expected(kind), value)
        if isinstance(kind, mi.BytesType):
            return self._sized(built, kind.min_length, kind.max_length, " bytes", path)
        return built

    def _anything(self, value: Any, path: str) -> None:
        match value:
            case str():
                self._clean(value, path)
            case bool() | None:
                pass
            case int() | float():
                if math.isinf(value) or (isinstance(value, int) and not -_INT64 <= value < _INT64):
                    self._add(path, "out_of_range", "Expected a number of at most 64 bits.")
            case list():
                for index, item in enumerate(value):
                    self._anything(item, f"{path}[{index}]")
            case dict():
                self._names_once(value, path)
                for name, item in value.items():
                    if self._clean(name, at(path, name)):
                        self._anything(item, at(path, name))

    def _open(self, value: Any, kind: mi.Type, path: str) -> Any:
        if isinstance(kind, mi.RawType):  # is looked at when it is itself decoded
            return msgspec.Raw(json.dumps(value).encode("ascii"))
        if _sound(value):
            return value
        self._anything(value, path)
        return BAD

    def _by_decoder(self, value: Any, kind: mi.Type, path: str) -> Any:
        """Kinds that requests hardly use: msgspec's own check, which stops at the first problem."""
        python = getattr(kind, "cls", None)
        if self._open(value, mi.AnyType(), path) is BAD:
            return BAD
        if python is None:
            return value
        try:
            return msgspec.convert(value, python)
        except msgspec.ValidationError as error:
            found = self.from_decoder(str(error))
            return self._add(path if found.field == "body" else at(path, found.field), found.code, found.detail)

    # -- What holds others

    def _sized(self, value: Any, low: int | None, high: int | None, unit: str, path: str) -> Any:
        if (high is not None and len(value) > high) or (low is not None and len(value) < low):
            code = "too_short" if low is not None and len(value) < low else "too_many"
            return self._add(path, code, f"Expected {between(low, high, unit)}, got {len(value)}.")
        return value

    def _collection(self, value: Any, kind: mi.CollectionType, path: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(path, "wrong_type", "an array", value)
        if self._sized(value, kind.min_length, kind.max_length, " items", path) is BAD:
            return BAD  # its items are not looked at: there may be very many
        items = [self._visit(item, kind.item_type, f"{path}[{index}]") for index, item in enumerate(value)]
        if any(item is BAD for item in items):
            return BAD
        try:
            return _COLLECTIONS[type(kind)](items)
        except TypeError:  # a set of what can't be in one
            return items

    def _tuple(self, value: Any, kind: mi.TupleType, path: str) -> Any:
        count = len(kind.item_types)
        if not isinstance(value, list):
            return self._wrong(path, "wrong_type", f"an array of {count}", value)
        if self._sized(value, count, count, " items", path) is BAD:
            return BAD
        items = [self._visit(item, kind.item_types[index], f"{path}[{index}]") for index, item in enumerate(value)]
        return BAD if any(item is BAD for item in items) else tuple(items)

    def _mapping(self, value: Any, kind: mi.DictType, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "wrong_type", "an object", value)
        bad = self._names_once(value, path)
        if self._sized(value, kind.min_length, kind.max_length, " names", path) is BAD:
            return BAD
        built: dict[Any, Any] = {}
        for name, item in value.items():
            place = at(path, name)
            key = Walk(lax=True)
            made = key.run(name, kind.key_type, place)
            for error in key.errors:
                self._add(error.field, error.code, f"The name: {error.detail}")
            held = self._visit(item, kind.value_type, place)
            bad |= held is BAD or bool(key.errors)
            if not bad:
                built[made] = held
        return BAD if bad else built

    def _names_once(self, value: dict[str, Any], path: str) -> bool:
        names = value.names if isinstance(value, Repeated) else ()
        for name in names:
            self._add(at(path, name), "invalid_value", "It is given more than once.")
        return bool(names)

    def _struct(self, value: Any, kind: mi.StructType, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "wrong_type", "an object", value)
        given = dict(value)
        whole = not self._names_once(value, path)
        if kind.tag_field is not None and kind.tag_field in given:
            tag = given.pop(kind.tag_field)
            if type(tag) is not type(kind.tag) or tag != kind.tag:
                self._wrong(at(path, kind.tag_field), "invalid_value", short(kind.tag), tag)
                whole = False
        good: dict[str, Any] = {}
        for field in kind.fields:
            place = at(path, field.encode_name)
            if field.encode_name in given:
                good[field.name] = self._visit(given.pop(field.encode_name), field.type, place)
            elif field.required:
                good[field.name] = self._add(place, "required", f"Expected {expected(field.type)}, got nothing.")
        if given and kind.forbid_unknown_fields:
            for name in given:
                self._unknown(name, kind, path)
        whole = whole and not any(held is BAD for held in good.values())
        built = self._build(kind, good, path) if whole else BAD
        self._check(kind, built, good, path)
        return BAD if given and kind.forbid_unknown_fields else built

    def _unknown(self, name: str, kind: mi.StructType, path: str) -> None:
        known = [field.encode_name for field in kind.fields]
        near = difflib.get_close_matches(name, known, 1, 0.7) if len(name) <= 64 else []
        what = "parameter" if self._lax else "field"
        question = f"; is `{near[0]}` meant?" if near else "."
        self._add(at(path, name), "unknown_field", f"There is no such {what}{question}")

    def _build(self, kind: mi.StructType, good: dict[str, Any], path: str) -> Any:
        try:
            return kind.cls(**good)
        except (ValueError, TypeError) as error:  # from __post_init__, which msgspec too takes as a problem
            return self._add(path, "invalid_value", str(error))

    def _check(self, kind: mi.StructType, built: Any, good: dict[str, Any], path: str) -> None:
        """The struct's own checks, as far as what they read is right."""
        checks = checks_of(kind.cls)
        if not checks:
            return
        subject = built if built is not BAD else _Partly(kind, good)
        told = {error.field for error in self.errors}
        for check in checks:
            try:
                for error in check(subject) or ():
                    error = placed(error, path)
                    if error.field not in told:
                        self._add(*error)
            except _Unreadable:
                continue

    def _union(self, value: Any, kind: mi.UnionType, path: str) -> Any:
        members = [strip(member) for member in kind.types]
        if self._lax and isinstance(value, str):
            return self._first_that_fits(value, kind, path)
        fitting = [member for member in members if takes(member, value)]
        structs = [member for member in fitting if isinstance(member, mi.StructType)]
        if len(structs) > 1:
            return self._tagged(value, structs, path)
        if not fitting:
            return self._wrong(path, "wrong_type", expected(kind), value)
        fitting.sort(key=lambda member: isinstance(value, float) and isinstance(member, mi.IntType))
        return self._visit(value, fitting[0], path)

    def _tagged(self, value: dict[str, Any], structs: list[mi.StructType], path: str) -> Any:
        field = structs[0].tag_field
        assert field is not None  # msgspec takes no union of structs without tags
        tags = f"one of {', '.join(short(struct.tag) for struct in structs)}"
        if field not in value:
            return self._add(at(path, field), "required", f"Expected {tags}, got nothing.")
        tag = value[field]
        for struct in structs:
            if type(tag) is type(struct.tag) and tag == struct.tag:
                return self._struct(value, struct, path)
        return self._wrong(at(path, field), "invalid_value", tags, tag)

    def _first_that_fits(self, value: str, kind: mi.UnionType, path: str) -> Any:
        """A text that may mean several things: the members in turn, plain strings last."""
        members = [member for member in kind.types if not isinstance(strip(member), mi.NoneType)]
        members.sort(key=lambda member: isinstance(strip(member), mi.StrType))
        errors: list[FieldError] = []
        for member in members:
            attempt = Walk(lax=True)
            built = attempt.run(value, member, path)
            if built is not BAD:
                return built
            errors = attempt.errors
        for error in errors:
            self._add(*error)
        return BAD
