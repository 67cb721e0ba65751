"""The tables say what the library's metadata says: nothing has drifted, and no shortcut decides differently."""

import random
from pathlib import Path

import phonenumbers
import pytest

from columba.numbers import COUNTRIES, NumberError, country_of, normalise, plan
from columba.numbers.generate import paths, source


def test_the_plan_is_the_metadata_of_this_library() -> None:
    assert plan.__file__
    written = Path(plan.__file__).read_text(encoding="utf-8")
    assert written == source(), "phonenumbers has changed: run `python -m columba.numbers.generate`"


def test_countries_are_those_of_the_library() -> None:
    assert set(COUNTRIES) == phonenumbers.SUPPORTED_REGIONS
    assert all(int(code) == phonenumbers.country_code_for_region(country) for country, code in COUNTRIES.items())


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        ("12", {("1", "2")}),
        ("[13-5]", {("1345",)}),
        ("1|23?", {("1",), ("2",), ("2", "3")}),
        ("(?:1|2)3", {("1", "3"), ("2", "3")}),
        ("(1{2})$", {("1", "1")}),
        ("4{1,2}", {("4",), ("4", "4")}),
        (r"\d5{0,1}", {("0123456789",), ("0123456789", "5")}),
    ],
)
def test_ways_through_a_pattern(pattern: str, ways: set[tuple[str, ...]]) -> None:
    assert paths(pattern) == ways


def test_a_pattern_of_unknown_syntax_stops_the_generator() -> None:
    with pytest.raises(AssertionError):
        paths("1(?=2)")


def expected(text: str) -> str | None:
    """What the library makes of it, trunk prefixes taken away until there are no more; None: no possible number."""
    while True:
        try:
            number = phonenumbers.parse(text)
        except phonenumbers.NumberParseException:
            return None
        if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
            return None
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if e164 == text:
            return e164 if len(e164) <= 16 else None
        text = e164


def given(text: str) -> str | None:
    try:
        return normalise(text)
    except NumberError:
        return None


@pytest.mark.parametrize("lead", "0123456789")
def test_possible_is_what_the_library_finds_possible(lead: str) -> None:
    chance = random.Random(lead)
    for code in plan.CODES:
        for length in range(1, 16):
            text = f"+{code}{lead}{''.join(chance.choices('0123456789', k=length - 1))}"
            assert given(text) == expected(text), text


@pytest.mark.parametrize("prefix", plan.TRUNK)
def test_trunk_prefixes_are_taken_away_as_the_library_does(prefix: str) -> None:
    chance = random.Random(prefix)
    for total in range(6, 17):
        for _ in range(4):
            text = f"+{prefix}{''.join(chance.choices('0123456789', k=total - len(prefix)))}"
            assert given(text) == expected(text), text


def test_codes_that_no_country_has_are_refused() -> None:
    for code in range(100, 1000):
        if not str(code).startswith(tuple(plan.CODES)):
            with pytest.raises(NumberError) as refused:
                normalise(f"+{code}12345678")
            assert refused.value.reason == "unknown_calling_code"


def test_countries_are_told_apart_as_the_library_does() -> None:
    chance = random.Random(1)
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(country, kind)
            if example is None:
                continue
            text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            for keep in range(8):
                other = text[: len(text) - keep] + "".join(chance.choices("0123456789", k=keep))
                if given(other) is None:  # among them a few dialled without their area, as 310 xxxx in Canada
                    continue
                region = phonenumbers.region_code_for_number(phonenumbers.parse(other))
                assert region is None or country_of(other) == region, other
