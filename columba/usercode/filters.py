"""The filters and tests of templates. Each is bounded: what it looks at and what it makes is spent from the budget.

All take any value: what is missing counts as nothing, a number as its text where a text is meant. Fails with
UserCodeError.
"""

import base64
import hashlib
import hmac as hmacs
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape as xml_escape

import msgspec

from columba.numbers import NumberError, calling_code_of, country_of, describe, mask, normalise
from columba.usercode import moments, work
from columba.usercode.documents import jsonpath
from columba.usercode.errors import UserCodeError
from columba.usercode.patterns import MOST_SEARCHED, Pattern
from columba.usercode.values import Missing, items_of, json_of, kind_of, number_of, text_of, whole

MOST_DIGITS: Final = 40


def _failed(detail: str) -> UserCodeError:
    return UserCodeError(0, 0, detail)


def _size(value: Any, most: int) -> int:
    if type(value) is bool or not isinstance(value, int):
        raise _failed(f"A whole number was expected, and this is {kind_of(value)}.")
    if not 0 <= value <= most:
        raise _failed(f"A number from 0 to {most} was expected.")
    return value


# Texts


def _text_filter(make: Callable[[str], str]) -> Callable[[Any], str]:
    def run(value: Any) -> str:
        text = text_of(value)
        work.spend(len(text))
        return work.held(make(text))

    return run


def replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = text_of(value), text_of(old), text_of(new)
    work.spend(len(text))
    if not old:
        return text
    if len(text) + text.count(old) * (len(new) - len(old)) > work.MOST_TEXT:
        raise _failed(f"A text becomes too long: at most {work.MOST_TEXT} characters.")
    return work.held(text.replace(old, new))


def truncate(value: Any, length: Any, end: Any = "…") -> str:
    """At most so many characters, of which `end` says that there were more."""
    text, end = text_of(value), text_of(end)
    length = _size(length, work.MOST_TEXT)
    return text if len(text) <= length else work.held(text[: max(0, length - len(end))] + end[:length])


def trim(value: Any, characters: Any = None) -> str:
    text = text_of(value)
    work.spend(len(text))
    return text.strip(None if characters is None else text_of(characters)[:100])


def split(value: Any, separator: Any = None, most: Any = 1_000) -> list[str]:
    text = text_of(value)
    work.spend(len(text))
    parts = text.split(None if separator is None else text_of(separator) or None, _size(most, 1_000))
    work.spend(len(parts) * 4)
    return parts


def lines(value: Any) -> list[str]:
    text = text_of(value)
    work.spend(len(text))
    return text.splitlines()[:1_000]


def join(value: Any, separator: Any = "") -> str:
    separator = text_of(separator)
    made, size = [], 0
    for each in items_of(value):
        text = text_of(each)
        made.append(text)
        size += len(text) + len(separator)
        if size > work.MOST_TEXT:
            raise _failed(f"A text becomes too long: at most {work.MOST_TEXT} characters.")
    return work.held(separator.join(made))


def ascii_(value: Any) -> str:
    """The same in ASCII letters, as far as they are the same letters."""
    import unicodedata

    text = text_of(value)
    work.spend(len(text) * 4)
    return work.held(unicodedata.normalize("NFKD", text[: work.MOST_TEXT // 4]).encode("ascii", "ignore").decode())


# Patterns


def _pattern(source: Any) -> Pattern:
    return Pattern.parse(text_of(source))


def regex_replace(value: Any, pattern: Any, replacement: Any = "") -> str:
    text, compiled = text_of(value), _pattern(pattern)
    work.spend(min(len(text), MOST_SEARCHED) * compiled.price)
    return work.held(compiled.replace(text, text_of(replacement), work.MOST_TEXT))


def regex_search(value: Any, pattern: Any, group: Any = 0) -> str:
    """What a group found; nothing where the pattern doesn't match."""
    text, compiled = text_of(value), _pattern(pattern)
    work.spend(min(len(text), MOST_SEARCHED) * compiled.price)
    groups = compiled.match(text)
    return "" if groups is None else groups.get(text_of(group), "")


def regex_match(value: Any, pattern: Any) -> bool:
    text, compiled = text_of(value), _pattern(pattern)
    work.spend(min(len(text), MOST_SEARCHED) * compiled.price)
    return compiled.matches(text)


# Numbers


def int_(value: Any, default: Any = 0) -> Any:
    try:
        if isinstance(value, float | bool | int):
            return whole(int(value))
        text = text_of(value).strip()
        return whole(int(text)) if 0 < len(text) <= MOST_DIGITS else default
    except (ValueError, OverflowError):
        return default


def float_(value: Any, default: Any = 0.0) -> Any:
    try:
        if isinstance(value, float | bool | int):
            return float(value)
        text = text_of(value).strip()
        return float(text) if 0 < len(text) <= MOST_DIGITS else default
    except (ValueError, OverflowError):
        return default


def round_(value: Any, digits: Any = 0) -> int | float:
    number = number_of(value, "round")
    digits = _size(digits, 15)
    try:
        return round(number, digits) if digits else whole(round(number))
    except (ValueError, OverflowError):
        return number


def abs_(value: Any) -> int | float:
    return whole(abs(number_of(value, "abs")))


# Values


def default(value: Any, instead: Any = "", empty_too: Any = False) -> Any:
    """Another value for one that is missing or null, or empty too if that is said."""
    if value is None or isinstance(value, Missing) or (empty_too and not value):
        return instead
    return value


def length(value: Any) -> int:
    if isinstance(value, list | tuple | dict | str):
        return len(value)
    return len(text_of(value))


def first(value: Any) -> Any:
    return _at(value, 0)


def last(value: Any) -> Any:
    return _at(value, -1)


def _at(value: Any, place: int) -> Any:
    if not isinstance(value, str):
        value = items_of(value)
    return value[place] if value else Missing(name="item")


def keys(value: Any) -> list[Any]:
    return list(_mapping(value))


def values(value: Any) -> list[Any]:
    return list(_mapping(value).values())


def items(value: Any) -> list[Any]:
    found = _mapping(value)
    work.spend(len(found) * 4)
    return [[name, each] for name, each in found.items()]


def _mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    if value is None or isinstance(value, Missing):
        return {}
    raise _failed(f"A mapping was expected, and this is {kind_of(value)}.")


def sort(value: Any, attribute: Any = None) -> list[Any]:
    return sorted(_many(value), key=_key(attribute))


def unique(value: Any) -> list[Any]:
    seen: dict[str, Any] = {}
    for each in _many(value):
        seen.setdefault(json_of(each), each)
    return list(seen.values())


def reverse(value: Any) -> Any:
    if isinstance(value, str):
        return work.held(value[::-1])
    return _many(value)[::-1]


def pluck(value: Any, attribute: Any) -> list[Any]:
    """One field of each."""
    name = text_of(attribute)
    return [each.get(name) if isinstance(each, dict) else None for each in _many(value)]


def sum_(value: Any) -> int | float:
    total: int | float = 0
    for each in _many(value):
        total = whole(total + number_of(each, "sum"))
    return total


def _many(value: Any) -> list[Any]:
    found = items_of(value)
    work.spend(len(found) * 8)
    work.still_time()
    if len(found) > work.MOST_ITEMS:
        raise _failed(f"A list is too large: at most {work.MOST_ITEMS} values.")
    return found


def _key(attribute: Any) -> Callable[[Any], tuple[bool, float, str]]:
    name = None if attribute is None else text_of(attribute)

    def key(each: Any) -> tuple[bool, float, str]:
        if name is not None:
            each = each.get(name) if isinstance(each, dict) else None
        if isinstance(each, int | float):
            return False, float(each), ""
        text = text_of(each)
        work.spend(len(text))
        return True, 0.0, text

    return key


def merge(value: Any, other: Any) -> dict[Any, Any]:
    made = {**_mapping(value), **_mapping(other)}
    work.count(made)
    return made


# JSON


def json_(value: Any, pretty: Any = False) -> str:
    return json_of(value, bool(pretty))


def parse_json(value: Any) -> Any:
    """The value that a text is JSON of; missing, if it is none."""
    text = text_of(value)
    work.spend(len(text))
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return Missing(name="parse_json")
    work.count(found)
    return found


def jsonpath_(value: Any, query: Any) -> Any:
    """The first value that a JSONPath finds."""
    return jsonpath(text_of(query), value)


# Digests and encodings

_HASHES: Final = ("sha256", "sha512", "sha1", "sha384", "md5")
_ENCODINGS: Final = ("hex", "base64", "base64url")


def _encoded(raw: bytes, encoding: Any) -> str:
    match text_of(encoding):
        case "hex":
            return raw.hex()
        case "base64":
            return base64.b64encode(raw).decode()
        case "base64url":
            return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    raise _failed(f"Expected one of {', '.join(_ENCODINGS)}.")


def _algorithm(name: Any) -> str:
    text = text_of(name)
    if text not in _HASHES:
        raise _failed(f"Expected one of {', '.join(_HASHES)}.")
    return text


def _bytes(value: Any) -> bytes:
    text = text_of(value)
    work.spend(len(text) * 4)
    return text.encode("utf-8", "surrogatepass")


def hash_(value: Any, algorithm: Any = "sha256", encoding: Any = "hex") -> str:
    return _encoded(hashlib.new(_algorithm(algorithm), _bytes(value), usedforsecurity=False).digest(), encoding)


def hmac(value: Any, key: Any, algorithm: Any = "sha256", encoding: Any = "hex") -> str:
    return _encoded(hmacs.digest(_bytes(key), _bytes(value), _algorithm(algorithm)), encoding)


def base64_(value: Any) -> str:
    return work.held(base64.b64encode(_bytes(value)).decode())


def base64_decode(value: Any) -> str:
    raw = _bytes(value)
    try:
        return work.held(base64.b64decode(raw + b"=" * (-len(raw) % 4), b"-_" if b"-" in raw or b"_" in raw else None)
                         .decode("utf-8", "replace"))  # fmt: skip
    except ValueError:
        raise _failed("That is no Base64.") from None


# Times and numbers of phones


def date(value: Any, form: Any = "iso", zone: Any = "UTC") -> str:
    """A time in a format (`%d.%m.%Y %H:%M`, `iso`, `date`, `time`, `rfc2822`, `unix`, `unix_ms`) and a zone."""
    work.spend(200)
    return moments.show(moments.read(value).astimezone(moments.zone(text_of(zone))), text_of(form))


def timestamp(value: Any) -> int:
    """Seconds since 1970."""
    return int(moments.read(value).timestamp())


def shift(value: Any, days: Any = 0, hours: Any = 0, minutes: Any = 0, seconds: Any = 0) -> str:
    """A time so much later; earlier, where the numbers are negative."""
    from datetime import timedelta

    parts = [float(number_of(each, "shift")) for each in (days, hours, minutes, seconds)]
    try:
        later = moments.read(value) + timedelta(days=parts[0], hours=parts[1], minutes=parts[2], seconds=parts[3])
    except (ValueError, OverflowError):
        raise _failed("A time becomes too large.") from None
    return moments.show(later, "iso")


_PHONES: Final = ("e164", "national", "international", "digits", "significant", "rfc3966", "masked")


def phone(value: Any, form: Any = "e164", country: Any = None) -> str:
    """A phone number written in another way; what is none stays as it is."""
    raw, form = text_of(value)[:64], text_of(form)
    work.spend(500)
    if form not in _PHONES:
        raise _failed(f"Expected one of {', '.join(_PHONES)}.")
    try:
        e164 = normalise(raw, text_of(country) or None)
        if form == "e164":
            return e164
        if form == "digits":
            return e164[1:]
        if form == "significant":  # without the country's code
            return e164[1 + len(calling_code_of(e164)) :]
        if form == "masked":
            return mask(e164)
        if form == "rfc3966":
            return f"tel:{e164}"
        found = describe(e164)
        return found.national if form == "national" else found.international
    except NumberError:
        return raw


def country(value: Any) -> str:
    """The country of a phone number, by its two letters."""
    work.spend(100)
    try:
        return country_of(text_of(value)[:64])
    except NumberError:
        return ""


class Raw(str):
    """A text that goes into XML or a URL as it is."""

    __slots__ = ()


def raw(value: Any) -> str:
    return Raw(text_of(value))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": abs_, "ascii": ascii_, "base64": base64_, "base64_decode": base64_decode,
    "capitalize": _text_filter(str.capitalize), "country": country, "d": default, "date": date, "default": default,
    "first": first, "float": float_, "hash": hash_, "hmac": hmac, "int": int_, "items": items, "join": join,
    "json": json_, "jsonpath": jsonpath_, "keys": keys, "last": last, "length": length, "lines": lines,
    "lower": _text_filter(str.lower), "merge": merge, "parse_json": parse_json, "phone": phone, "pluck": pluck,
    "raw": raw, "regex_match": regex_match, "regex_replace": regex_replace, "regex_search": regex_search,
    "replace": replace, "reverse": reverse, "round": round_, "shift": shift, "sort": sort, "split": split,
    "string": _text_filter(str), "sum": sum_, "timestamp": timestamp, "title": _text_filter(str.title),
    "tojson": json_, "trim": trim, "truncate": truncate, "unique": unique, "upper": _text_filter(str.upper),
    "urlencode": _text_filter(lambda text: quote_plus(text.encode("utf-8", "replace"))), "values": values,
    "xml": _text_filter(lambda text: xml_escape(text, {'"': "&quot;", "'": "&#39;"})),
}  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TESTS: Final[dict[str, Callable[..., bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: value is not None and not isinstance(value, Missing),
    "empty": lambda value: value is None or isinstance(value, Missing) or (not _number(value) and not value),
    "even": lambda value: _number(value) and value % 2 == 0,
    "list": lambda value: isinstance(value, list | tuple),
    "mapping": lambda value: isinstance(value, dict),
    "none": lambda value: value is None,
    "null": lambda value: value is None,
    "number": _number,
    "odd": lambda value: _number(value) and value % 2 == 1,
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: value is None or isinstance(value, Missing),
}
