"""Senders, what a message says it comes from; and numbers as they may stand in a log.

Owns the rules of the three kinds of sender. `sender` raises `NumberError` for anything else; `mask` takes any text and
never fails.
"""

import re
from typing import Final, Literal

import msgspec

from columba.numbers.e164 import LONGEST_INPUT, LONGEST_NUMBER, NumberError, normalise, split, tidy

LONGEST_NAME: Final = 11  # 3GPP TS 23.040 §9.1.2.5: 10 octets of address are 11 characters of 7 bits
_SHORT_CODE_DIGITS: Final = range(3, 9)

# Networks agree on little more than ASCII letters and digits in a name; other letters arrive as something else.
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9&._-][A-Za-z0-9&._+ -]{0,10}")


class Sender(msgspec.Struct, frozen=True):
    """What a message comes from: a number (E.164), a short code (digits) or a name."""

    kind: Literal["number", "short_code", "name"]
    value: str


def sender(raw: str) -> Sender:
    """Reads a sender.

    Digits alone are a short code up to 8 of them, and from 9 on a number that lacks its `+`. A number of 8 digits or
    fewer (small islands have them) has to be written with `+`. A name has a letter, and doesn't begin with `+`.
    """
    if raw[:1] == "+":
        return Sender("number", normalise(raw))
    if len(raw) <= LONGEST_INPUT and _NAME.fullmatch(name := raw.strip()):
        return Sender("name", name)
    try:
        digits = tidy(raw)
    except NumberError as error:
        if error.reason == "letters":
            raise _refused_name(raw.strip()) from None
        raise
    if digits[0] == "+":
        return Sender("number", normalise(digits))
    if len(digits) in _SHORT_CODE_DIGITS:
        return Sender("short_code", digits)
    if len(digits) < _SHORT_CODE_DIGITS.start:
        raise NumberError("too_short", f"A short code has at least {_SHORT_CODE_DIGITS.start} digits.")
    if len(digits) > LONGEST_NUMBER:
        raise NumberError("too_long", f"A number has at most {LONGEST_NUMBER} digits.")
    return Sender("number", normalise("+" + digits))


def _refused_name(name: str) -> NumberError:
    if len(name) > LONGEST_NAME:
        return NumberError("too_long", f"A sender's name has at most {LONGEST_NAME} characters.")
    return NumberError("symbols", "A sender's name has the letters A to Z, digits, spaces and & . _ - + only.")


def mask(text: str) -> str:
    """For logs: a number with its calling code and last two digits alone, a sender's name as it is, else at most
    two digits at the end. No more than two digits that tell people apart are ever left."""
    if parts := split(text):
        code, national = parts
        return f"+{code}{_stars(national)}"
    if len(text) <= LONGEST_NAME and _NAME.fullmatch(text) and sum(map(str.isdigit, text)) < _SHORT_CODE_DIGITS.start:
        return text
    return _stars(text)


def _stars(text: str) -> str:
    last = text[-2:]
    if len(text) < 5 or not (last.isdigit() and last.isascii()):
        last = ""
    return "*" * min(len(text) - len(last), LONGEST_NUMBER) + last
