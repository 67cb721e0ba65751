"""What a number's digits tell about it: kind of line, time zones, how it is written, whose network it began in.

All of it is about ranges of numbers as they were given out; people move and take their numbers along. `describe`
reads its number and so raises `NumberError`; the others answer "unknown", () or "" for what isn't an E.164 number.
The phonenumbers library is loaded at the first question that needs it.
"""

from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from columba.numbers.e164 import COUNTRIES, calling_code_of, country_of, normalise, split
from columba.numbers.plan import SHARED

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

LineType = Literal[
    "mobile",
    "fixed",
    "fixed_or_mobile",
    "toll_free",
    "premium",
    "shared_cost",
    "voip",
    "personal",
    "pager",
    "company",
    "voicemail",
    "unknown",
]

# By the values of phonenumbers.PhoneNumberType.
_LINE_TYPES: Final[dict[int, LineType]] = {
    0: "fixed",
    1: "mobile",
    2: "fixed_or_mobile",
    3: "toll_free",
    4: "premium",
    5: "shared_cost",
    6: "voip",
    7: "personal",
    8: "pager",
    9: "company",
    10: "voicemail",
}


class Description(msgspec.Struct, frozen=True):
    """All that a number's digits tell. `possible` says that its length can be, `valid` that its range is given out."""

    e164: str
    national: str
    international: str
    country: str
    calling_code: str
    line_type: LineType
    time_zones: tuple[str, ...]
    possible: bool
    valid: bool


def describe(raw: str, default_country: str | None = None) -> Description:
    """Everything about a number, read as `normalise` reads it."""
    e164 = normalise(raw, default_country)

    from columba.numbers.library import phonenumbers

    number = _parts(e164)
    assert number is not None
    return Description(
        e164=e164,
        national=phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL),
        international=phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL),
        country=country_of(e164),
        calling_code=calling_code_of(e164),
        line_type=line_type(e164),
        time_zones=time_zones(e164),
        possible=True,
        valid=phonenumbers.is_valid_number(number),
    )


def line_type(e164: str) -> LineType:
    """The kind of line that numbers of this range are; "unknown" for a range that isn't given out."""
    number = _parts(e164)
    if number is None:
        return "unknown"

    from columba.numbers.library import phonenumbers

    return _LINE_TYPES.get(phonenumbers.number_type(number), "unknown")


def time_zones(e164: str) -> tuple[str, ...]:
    """All IANA time zones that the number may be in: its area's where its digits name one, else all of its country."""
    zones = _zones()
    everywhere = zones.by_country.get(country_of(e164), ())
    number = _parts(e164) if len(everywhere) > 1 else None
    if number is None:
        return everywhere

    from columba.numbers.library import phonenumbers

    # A mobile number's digits look like those of some area in many countries, and mean nothing there.
    kind = phonenumbers.number_type(number)
    if phonenumbers.is_number_type_geographical(kind, number.country_code or 0):
        for end in range(zones.longest + 1, 1, -1):
            if area := zones.by_prefix.get(e164[1:end]):
                return tuple(zone for zone in area if zone in everywhere) or everywhere
    return everywhere


def network(e164: str) -> str:
    """The mobile network that the number's range was given to; "" if there is none. First use: 40 MB, 0.13 s."""
    number = _parts(e164)
    if number is None:
        return ""

    from phonenumbers import carrier

    return carrier.name_for_number(number, "en")


def _parts(e164: str) -> "PhoneNumber | None":
    """The number as the library has it, without its parsing."""
    if (parts := split(e164)) is None or not parts[1]:
        return None

    from columba.numbers.library import phonenumbers

    code, national = parts
    # The library keeps a national number as an integer, and its leading zeros beside it.
    zeros = min(len(national) - len(national.lstrip("0")), len(national) - 1)
    return phonenumbers.PhoneNumber(
        country_code=int(code),
        national_number=int(national),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


class _Zones(NamedTuple):
    by_prefix: dict[str, tuple[str, ...]]
    by_country: dict[str, tuple[str, ...]]
    longest: int  # prefix


@cache
def _zones() -> _Zones:
    from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

    # The library's zones of a shared calling code are those of all its countries: Jamaica's mobiles would be in
    # Alaska. So a country has the zones of those prefixes that are its own.
    several = {prefix[:end] for prefix in SHARED for end in range(len(prefix))}
    found: dict[str, set[str]] = {}
    for prefix, zones in TIMEZONE_DATA.items():
        if prefix not in several:
            found.setdefault(country_of(f"+{prefix:0<3}"), set()).update(zones)
    by_country = {
        country: tuple(sorted(found.get(country, TIMEZONE_DATA.get(code, ())))) for country, code in COUNTRIES.items()
    }
    return _Zones(TIMEZONE_DATA, by_country, TIMEZONE_LONGEST_PREFIX)
