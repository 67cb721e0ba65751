"""Reading numbers: every usual way to write one ends in the same E.164 form, and what can't be read says why."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columba.numbers import (
    COUNTRIES,
    NumberError,
    calling_code_of,
    country_of,
    line_type,
    mask,
    network,
    normalise,
    sender,
    time_zones,
)

INTERNATIONAL = [
    ("+447700900123", "+447700900123"),
    ("+12025550100", "+12025550100"),
    ("+44 7700 900123", "+447700900123"),
    ("  +44-7700-900-123\n", "+447700900123"),
    ("+44.7700.900123", "+447700900123"),
    ("+44/7700/900123", "+447700900123"),
    ("(+44) 7700 900123", "+447700900123"),
    ("+44 (0)7700 900123", "+447700900123"),
    ("+4407700900123", "+447700900123"),
    ("+1 (202) 555-0100", "+12025550100"),
    ("+1 1 202 555 0100", "+12025550100"),
    ("+49 (0)151 23456789", "+4915123456789"),
    ("+39 06 1234 5678", "+390612345678"),  # an Italian zero belongs to the number
    ("+7 8 912 345-67-89", "+79123456789"),
    ("+36 06 20 123 4567", "+36201234567"),
    ("+54 11 15 2345 6789", "+5491123456789"),
    ("+370 8 612 34567", "+37061234567"),
    ("+683 4002", "+6834002"),  # seven digits in all are enough for an island
    ("+800 1234 5678", "+80012345678"),
    ("tel:+447700900123", "+447700900123"),
    ("TEL:+44-7700-900123;npdi", "+447700900123"),
    ("tel:7700-900123;phone-context=+44", "+447700900123"),
    ("\u202a+44\u00a07700\u2011900123\u202c", "+447700900123"),
    ("\uff0b\uff14\uff14\uff17\uff17\uff10\uff10\uff19\uff10\uff10\uff11\uff12\uff13", "+447700900123"),
    ("+\u0664\u0664\u0667\u0667\u0660\u0660\u0669\u0660\u0660\u0661\u0662\u0663", "+447700900123"),
    ("+\u06f9\u06f8 \u06f9\u06f1\u06f2 \u06f3\u06f4\u06f5 \u06f6\u06f7\u06f8\u06f9", "+989123456789"),
]

NATIONAL = [
    ("AE", "050 123 4567", "+971501234567"),
    ("AR", "011 15-2345-6789", "+5491123456789"),
    ("AT", "0664 123456", "+43664123456"),
    ("AU", "0412 345 678", "+61412345678"),
    ("AU", "0011 44 7700 900123", "+447700900123"),
    ("BD", "01812-345678", "+8801812345678"),
    ("BE", "0470 12 34 56", "+32470123456"),
    ("BR", "(11) 91234-5678", "+5511912345678"),
    ("BR", "0 31 11 91234-5678", "+5511912345678"),  # through a chosen long-distance company
    ("BY", "8 029 491-19-11", "+375294911911"),
    ("CA", "416-555-0100", "+14165550100"),
    ("CH", "078 123 45 67", "+41781234567"),
    ("CN", "138 1234 5678", "+8613812345678"),
    ("CO", "321 1234567", "+573211234567"),
    ("CZ", "601 123 456", "+420601123456"),
    ("DE", "0151 23456789", "+4915123456789"),
    ("DE", "00 44 7700 900123", "+447700900123"),
    ("DK", "32 12 34 56", "+4532123456"),
    ("EG", "0100 123 4567", "+201001234567"),
    ("ES", "612 345 678", "+34612345678"),
    ("FI", "041 2345678", "+358412345678"),
    ("FR", "06 12 34 56 78", "+33612345678"),
    ("GB", "07700 900123", "+447700900123"),
    ("GB", "7700900123", "+447700900123"),
    ("GB", "447700900123", "+447700900123"),
    ("GB", "(020) 7946 0000", "+442079460000"),
    ("GB", "0044 7700 900123", "+447700900123"),
    ("GB", "001 202 555 0100", "+12025550100"),
    ("GB", "\uff10\uff17\uff17\uff10\uff10 900123", "+447700900123"),
    ("GB", "+1 202 555 0100", "+12025550100"),  # a + says it all
    ("gb", "07700 900123", "+447700900123"),
    ("HK", "5123 4567", "+85251234567"),
    ("HU", "06 20 123 4567", "+36201234567"),
    ("ID", "0812-3456-7890", "+6281234567890"),
    ("IE", "085 012 3456", "+353850123456"),
    ("IL", "050-123-4567", "+972501234567"),
    ("IN", "098765 43210", "+919876543210"),
    ("IR", "0912 345 6789", "+989123456789"),
    ("IT", "347 123 4567", "+393471234567"),
    ("IT", "06 1234 5678", "+390612345678"),
    ("JM", "876-555-1234", "+18765551234"),
    ("JP", "090-1234-5678", "+819012345678"),
    ("JP", "010 44 7700 900123", "+447700900123"),
    ("KE", "0712 123456", "+254712123456"),
    ("KR", "010-1234-5678", "+821012345678"),
    ("KZ", "8 (777) 123 4567", "+77771234567"),
    ("LT", "8 612 34567", "+37061234567"),
    ("MX", "55 1234 5678", "+525512345678"),
    ("NG", "0802 123 4567", "+2348021234567"),
    ("NL", "06 12345678", "+31612345678"),
    ("NO", "406 12 345", "+4740612345"),
    ("NZ", "021 123 4567", "+64211234567"),
    ("PH", "0917 123 4567", "+639171234567"),
    ("PK", "0301 2345678", "+923012345678"),
    ("PL", "512 345 678", "+48512345678"),
    ("RU", "8 (912) 345-67-89", "+79123456789"),
    ("RU", "810 44 7700 900123", "+447700900123"),
    ("SA", "051 234 5678", "+966512345678"),
    ("SE", "070-123 45 67", "+46701234567"),
    ("SG", "8123 4567", "+6581234567"),
    ("TH", "081 234 5678", "+66812345678"),
    ("TR", "0501 234 56 78", "+905012345678"),
    ("TW", "0912 345 678", "+886912345678"),
    ("UA", "050 123 4567", "+380501234567"),
    ("US", "(202) 555-0100", "+12025550100"),
    ("US", "1-202-555-0100", "+12025550100"),
    ("US", "202.555.0100", "+12025550100"),
    ("US", "011 44 7700 900123", "+447700900123"),
    ("VN", "091 234 56 78", "+84912345678"),
    ("ZA", "071 123 4567", "+27711234567"),
    ("GB", "tel:07700-900123;phone-context=example.com", "+447700900123"),
]

REFUSED = [
    ("", None, "empty"),
    ("   ", None, "empty"),
    ("+", None, "empty"),
    ("(-)", "GB", "empty"),
    ("tel:", None, "empty"),
    ("+44 77OO 900123", None, "letters"),
    ("1-800-FLOWERS", "US", "letters"),
    ("+12025550100x12", None, "letters"),
    ("Alice", None, "letters"),
    ("+1202555\u0967\u0966\u0915", None, "letters"),
    ("+44770090012\x00", None, "symbols"),
    ("+44770090012\ud800", None, "symbols"),
    ("+44+7700900123", None, "symbols"),
    ("++447700900123", None, "symbols"),
    ("+44770090012\u00b2", None, "symbols"),
    ("+447700900123, +447700900124", None, "symbols"),
    ("*100#", "GB", "symbols"),
    ("\U0001f4f1", None, "symbols"),
    ("tel:+12025550100;ext=12", None, "symbols"),
    ("+1", None, "too_short"),
    ("+44", None, "too_short"),
    ("+1202555010", None, "too_short"),
    ("5550100", "US", "too_short"),
    ("12", "GB", "too_short"),
    ("+120255501000", None, "too_long"),
    ("+4477009001234", None, "too_long"),
    ("+491512345678901234", None, "too_long"),
    ("+4915123456789012", None, "too_long"),  # German plans would allow it, E.164 doesn't
    ("+44" + "7" * 1_000_000, None, "too_long"),
    (" " * 1_000_000, None, "too_long"),
    ("\ud800" * 1_000_000, "GB", "too_long"),
    ("+4477009001", None, "impossible_length"),
    ("+999123456789", None, "unknown_calling_code"),
    ("+07700900123", None, "unknown_calling_code"),
    ("+0", "GB", "too_short"),
    ("+07700900123", "GB", "unknown_calling_code"),
    ("07700900123", None, "needs_country"),
    ("447700900123", None, "needs_country"),
    ("00447700900123", None, "needs_country"),
    ("07700900123", "UK", "unknown_country"),
    ("07700900123", "", "unknown_country"),
    ("07700900123", "\ud800", "unknown_country"),
]


@pytest.mark.parametrize(("raw", "e164"), INTERNATIONAL)
def test_international_forms_need_no_country(raw: str, e164: str) -> None:
    assert normalise(raw) == e164
    assert normalise(raw, "US") == e164


@pytest.mark.parametrize(("country", "raw", "e164"), NATIONAL)
def test_national_forms_are_read_as_dialled_in_the_country(country: str, raw: str, e164: str) -> None:
    assert normalise(raw, country) == e164


@pytest.mark.parametrize(("raw", "country", "reason"), REFUSED)
def test_a_refusal_names_its_reason_and_not_the_number(raw: str, country: str | None, reason: str) -> None:
    with pytest.raises(NumberError) as refused:
        normalise(raw, country)
    assert refused.value.reason == reason
    assert 10 < len(str(refused.value)) < 120
    assert len(raw) < 5 or raw not in str(refused.value)


def test_a_wrong_length_says_which_are_right() -> None:
    with pytest.raises(NumberError) as refused:
        normalise("+4477009001")
    assert refused.value.detail == "After +44 come 7, 9 or 10 digits; here are 8."


DIGITS = "0123456789\u0660\u0661\uff11"
TYPED = st.text(st.sampled_from(DIGITS + "+ -.()/\u00a0"), max_size=24)


@settings(deadline=None)
@given(raw=st.one_of(TYPED, TYPED.map("+{}".format)), country=st.sampled_from([None, *COUNTRIES]))
def test_what_was_read_is_read_the_same_again(raw: str, country: str | None) -> None:
    try:
        e164 = normalise(raw, country)
    except NumberError:
        return
    assert e164[0] == "+"
    assert e164[1:].isascii()
    assert e164[1:].isdecimal()
    assert len(e164) <= 16
    assert normalise(e164) == normalise(e164, "US") == normalise(e164, country) == e164
    assert e164.startswith("+" + calling_code_of(e164))


NONSENSE = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=80),  # lone surrogates too
    st.text(st.sampled_from("+0123456789\x00\ud800 -;=Aa\u0660\u00b2\u0301\u202a*#"), max_size=20),
    st.sampled_from(["+44", "tel:", "tel:;phone-context=+44", "tel:;;=;", "+" * 20, "0" * 64, "+" + "0" * 60]),
)


@settings(deadline=None)
@given(raw=NONSENSE, country=st.sampled_from([None, "GB", "US", "IT", "BR", "ZZ", "\x00"]))
def test_nonsense_raises_nothing_else(raw: str, country: str | None) -> None:
    attempts: tuple[Callable[[], object], ...] = (lambda: normalise(raw, country), lambda: sender(raw))
    for attempt in attempts:
        with suppress(NumberError):
            attempt()
    for ask in (country_of, calling_code_of, line_type, time_zones, mask):
        ask(raw)


@pytest.mark.parametrize(
    "raw", ["", "+", "+1", "447700900123", "Columba", "+999123456", "+\u0664\u0664", "x" * 1_000_000]
)
def test_what_is_no_number_has_no_country(raw: str) -> None:
    assert country_of(raw) == ""
    assert calling_code_of(raw) in ("", "1")
    assert line_type(raw) == "unknown"
    assert time_zones(raw) == ()


def test_the_usual_number_needs_no_library_and_none_needs_the_geocoder() -> None:
    program = """
import sys
from columba.numbers import country_of, describe, mask, normalise, sender
for number in sys.argv[1:]:
    assert normalise(number) == number and country_of(number)
assert normalise("+44 7700 900 123") == "+447700900123"
mask("+447700900123"), sender("+12025550100"), sender("Columba"), sender("12345")
assert "phonenumbers" not in sys.modules
describe("07700 900123", "GB")
assert "phonenumbers" in sys.modules
assert not {"phonenumbers.geocoder", "phonenumbers.carrier"} & set(sys.modules)
"""
    usual = {e164 for _, e164 in INTERNATIONAL if e164 != "+80012345678"} | {e164 for _, _, e164 in NATIONAL}
    subprocess.run([sys.executable, "-c", program, *usual], check=True)


COUNTRY = [
    ("+447700900123", "GB", "44"),
    ("+447781123456", "GG", "44"),
    ("+447797123456", "JE", "44"),
    ("+447624123456", "IM", "44"),
    ("+12025550100", "US", "1"),
    ("+18005550100", "US", "1"),
    ("+14165550100", "CA", "1"),
    ("+17875551234", "PR", "1"),
    ("+18765551234", "JM", "1"),
    ("+18095551234", "DO", "1"),
    ("+18685551234", "TT", "1"),
    ("+15555550100", "US", "1"),  # nobody's area code
    ("+79121234567", "RU", "7"),
    ("+77771234567", "KZ", "7"),
    ("+390612345678", "IT", "39"),
    ("+390669812345", "VA", "39"),
    ("+4791234567", "NO", "47"),
    ("+4779123456", "SJ", "47"),
    ("+61412345678", "AU", "61"),
    ("+61891621234", "CC", "61"),
    ("+262692123456", "RE", "262"),
    ("+262639123456", "YT", "262"),
    ("+590690001234", "GP", "590"),
    ("+59995181234", "CW", "599"),
    ("+5997151234", "BQ", "599"),
    ("+8613812345678", "CN", "86"),
    ("+85251234567", "HK", "852"),
    ("+80012345678", "", "800"),
    ("+881612345678", "", "881"),
]


@pytest.mark.parametrize(("e164", "country", "code"), COUNTRY)
def test_country_and_calling_code(e164: str, country: str, code: str) -> None:
    assert country_of(e164) == country
    assert calling_code_of(e164) == code
    assert COUNTRIES.get(country, code) == code


def test_a_network_is_known_where_ranges_are_given_to_networks() -> None:
    assert network("+8613812345678") == "China Mobile"
    assert network("+12025550100") == network("nonsense") == ""
