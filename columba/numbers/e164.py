"""Phone numbers in E.164 form: reading them, and the country and calling code they belong to.

Owns the one form in which Columba keeps a number: `+` and at most 15 digits, of a length that the country's plan has.
Whether anybody holds the number is not asked: numbers set aside for tests and films are as good as others. What can't
be read raises `NumberError` with a reason to act on, and its detail never repeats the input; the questions about a
number that was read (`country_of`, `calling_code_of`) answer "" for anything else and never raise.

A number that is in the form already takes one look into a table. Any other takes the phonenumbers library, loaded then.
"""

import re
from array import array
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, NoReturn

from columba.numbers.plan import CODES, SHARED, TRUNK

LONGEST_NUMBER: Final = 15  # digits, calling code included; ITU-T E.164 §6
LONGEST_INPUT: Final = 64  # characters; a tel: URI with its context fits

Reason = Literal[
    "empty",
    "letters",
    "symbols",
    "too_short",
    "too_long",
    "impossible_length",
    "unknown_calling_code",
    "needs_country",
    "unknown_country",
]


class NumberError(Exception):
    """A number or sender that can't be: `reason` for programs, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(reason, detail)

    def __str__(self) -> str:
        return self.detail


class Block(NamedTuple):
    """All numbers that begin with the same three digits."""

    calling_code: str
    country: str
    finer: tuple[tuple[int, dict[str, str]], ...]  # (where a prefix ends, countries by prefix), the longest first


def _under(prefix: str, digits: int) -> range:
    """All numbers of so many digits that begin with `prefix`."""
    size = 10 ** (digits - len(prefix))
    return range(int(prefix) * size, int(prefix) * size + size)


def _blocks() -> dict[str, Block]:
    finer: dict[str, dict[int, dict[str, str]]] = {}
    for prefix, country in SHARED.items():
        if len(prefix) > 3:
            finer.setdefault(prefix[:3], {}).setdefault(len(prefix) + 1, {})[prefix] = country
    blocks = {}
    for code, (countries, _) in CODES.items():
        main = countries.partition(" ")[0]
        for digits in map(str, _under(code, 3)):
            country = SHARED.get(digits) or SHARED.get(digits[:2]) or main
            blocks[digits] = Block(code, country, tuple(sorted(finer.get(digits, {}).items(), reverse=True)))
    return blocks


def _final_lengths() -> "array[int]":
    """By the first four digits of a number: bit n is set where a number of n digits needs no closer look."""
    masks = array("H", bytes(2 * 10_000))
    for code, (_, lengths) in CODES.items():
        totals = [len(code) + length for length in lengths]
        mask = sum(1 << total for total in totals if total <= LONGEST_NUMBER)
        for index in _under(code, 4):
            masks[index] = mask
    for prefix, lengths in TRUNK.items():
        code = _BLOCKS[prefix.ljust(3, "0")[:3]].calling_code
        mask = sum(1 << len(code) + length for length in lengths)
        for index in _under(prefix, 4):
            masks[index] &= ~mask
    return masks


_BLOCKS: Final = _blocks()
_FINAL: Final = _final_lengths()

# ISO 3166-1 alpha-2 code of each country that has numbers: its calling code.
COUNTRIES: Final[Mapping[str, str]] = {
    country: code for code, (countries, _) in CODES.items() for country in countries.split()
}


def normalise(raw: str, default_country: str | None = None) -> str:
    """The number in E.164 form. `default_country` (ISO alpha-2) says how to read one without `+`: as dialled there."""
    digits = raw[1:17]
    if (
        raw[:1] == "+"
        and digits.isdigit()
        and digits.isascii()
        and _FINAL[int(digits[:4])] >> len(raw) - 1 & 1  # all of raw: what is cut off from digits makes it too long
    ):
        return raw
    return _read(tidy(raw), default_country)


def calling_code_of(e164: str) -> str:
    """The digits after `+` that lead to the country: "44"; "" if it is no number."""
    block = _BLOCKS.get(e164[1:4]) if e164[:1] == "+" else None
    return block.calling_code if block else ""


def country_of(e164: str) -> str:
    """The number's country (ISO alpha-2); "" if it is no number, or of no country (+800, satellites).

    Where countries share a calling code, ranges that aren't assigned count as the main country's.
    """
    block = _BLOCKS.get(e164[1:4]) if e164[:1] == "+" else None
    if block is None:
        return ""
    for end, countries in block.finer:
        if country := countries.get(e164[1:end]):
            return country
    return block.country


def split(e164: str) -> tuple[str, str] | None:
    """The calling code and the national number; None if it is no number."""
    code, digits = calling_code_of(e164), e164[1 : LONGEST_NUMBER + 2]
    if not code or len(e164) > LONGEST_NUMBER + 1 or not (digits.isdigit() and digits.isascii()):
        return None
    return code, digits[len(code) :]


# Between digits people write spaces, dashes, dots, slashes and brackets; invisible marks of writing direction come
# along when a number is copied from a screen.
_BETWEEN = re.compile(
    "[ \t\\-./()\\[\\]\u00a0\u00ad\u2000-\u2015\u202a-\u202f\u2060-\u2069\u2212\u3000\ufeff\uff08\uff09\uff0d-\uff0f]+"
)


def tidy(raw: str) -> str:
    """Only the ASCII digits, after a `+` if there was one."""
    if len(raw) > LONGEST_INPUT:
        raise NumberError("too_long", f"A number has at most {LONGEST_NUMBER} digits.")
    text = raw.strip()
    if text[:4].lower() == "tel:":
        text = _of_uri(text[4:])
    text = _BETWEEN.sub("", text)
    plus = "+" if text[:1] in ("+", "\uff0b") else ""
    digits = text[len(plus) :]
    if not digits:
        raise NumberError("empty", "There are no digits.")
    if not digits.isdecimal():
        if any(map(str.isalpha, digits)):
            raise NumberError("letters", "A number has digits only: replace the letters by their digits.")
        raise NumberError("symbols", "A number has digits only, after one + at most.")
    if not digits.isascii():
        digits = "".join(str(int(digit)) for digit in digits)
    return plus + digits


def _of_uri(uri: str) -> str:
    """The number of a tel: URI, global where its context makes it so. RFC 3966 §3"""
    number, *parameters = uri.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.lower() in ("ext", "isub"):
            raise NumberError("symbols", "An extension can't receive texts: leave it out.")
        if name.lower() == "phone-context" and value.startswith("+") and not number.startswith("+"):
            number = value + number
    return number


def _read(text: str, default_country: str | None) -> str:
    region = None
    if text[0] == "+":
        if _FINAL[int(text[1:5])] >> len(text) - 1 & 1:
            return text
    elif default_country is None:
        raise NumberError("needs_country", "Begin with + and the country's calling code: +44 for the United Kingdom.")
    else:
        region = default_country.upper()
        if region not in COUNTRIES:
            raise NumberError("unknown_country", "The default country is not an ISO 3166 code of two letters: GB, US.")

    from columba.numbers.library import phonenumbers

    # A trunk prefix is taken away once a time ("+49 0 0170..."); repeated, so that the result is one that stays.
    for _ in range(LONGEST_NUMBER):
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            _refuse(error.error_type)
        code, national = str(number.country_code), phonenumbers.national_significant_number(number)
        e164 = f"+{code}{national}"
        if len(national) not in CODES[code][1]:
            raise _wrong_length(code, len(national))
        if e164 == text or _FINAL[int(e164[1:5])] >> len(e164) - 1 & 1:
            if len(e164) > LONGEST_NUMBER + 1:
                raise _wrong_length(code, len(national))
            return e164
        text, region = e164, None
    raise NumberError("impossible_length", "After the calling code comes nothing but trunk prefixes.")


def _refuse(error_type: int) -> NoReturn:
    from columba.numbers.library import phonenumbers

    kinds = phonenumbers.NumberParseException
    if error_type == kinds.INVALID_COUNTRY_CODE:
        raise NumberError("unknown_calling_code", "No country has the calling code that comes after the +.") from None
    if error_type == kinds.TOO_LONG:
        raise NumberError("too_long", f"A number has at most {LONGEST_NUMBER} digits.") from None
    raise NumberError("too_short", "There are too few digits.") from None


def _wrong_length(code: str, length: int) -> NumberError:
    allowed = [n for n in CODES[code][1] if len(code) + n <= LONGEST_NUMBER]
    reason: Reason = "impossible_length"
    if length < allowed[0]:
        reason = "too_short"
    elif length > allowed[-1]:
        reason = "too_long"
    said = " or ".join(filter(None, (", ".join(map(str, allowed[:-1])), str(allowed[-1]))))
    return NumberError(reason, f"After +{code} come {said} digits; here are {length}.")
