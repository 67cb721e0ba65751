"""What a number's digits tell: kind, places, and how to write it."""

import phonenumbers
import pytest
from phonenumbers import timezone

from columba.numbers import Description, NumberError, describe, line_type, plan, time_zones
from columba.numbers.lookup import LineType


def test_description_of_a_number() -> None:
    assert describe("020 7946 0000", "GB") == Description(
        e164="+442079460000",
        national="020 7946 0000",
        international="+44 20 7946 0000",
        country="GB",
        calling_code="44",
        line_type="fixed",
        time_zones=("Europe/London",),
        possible=True,
        valid=True,
    )


def test_a_number_that_nobody_holds_is_possible_and_not_valid() -> None:
    found = describe("+447700900123")
    assert (found.possible, found.valid, found.line_type) == (True, False, "unknown")
    assert found.country == "GB"
    assert "Europe/London" in found.time_zones


def test_leading_zeros_of_a_number_are_kept() -> None:
    assert describe("+390612345678").national == "06 1234 5678"
    assert describe("+225 01 23 45 67 89").international == "+225 01 23 45 6789"


@pytest.mark.parametrize("zeros", [0, 1, 2, 5, 9])
def test_every_form_of_a_number_has_all_its_digits(zeros: int) -> None:
    for code, (_, lengths) in plan.CODES.items():
        e164 = f"+{code}{'0' * zeros}12345678901234"[: 1 + len(code) + lengths[-1]]
        try:
            found = describe(e164)
        except NumberError:
            continue  # longer than any number
        digits = "".join(filter(str.isdigit, found.international))
        assert f"+{digits}" == found.e164


def test_description_of_no_number_says_why() -> None:
    with pytest.raises(NumberError) as refused:
        describe("Columba")
    assert refused.value.reason == "letters"


LINES: list[tuple[str, LineType]] = [
    ("+447400123456", "mobile"),
    ("+442079460000", "fixed"),
    ("+12025550100", "fixed_or_mobile"),
    ("+18002345678", "toll_free"),
    ("+19002345678", "premium"),
    ("+445612345678", "voip"),
    ("+447012345678", "personal"),
    ("+447640123456", "pager"),
    ("+445512345678", "company"),
    ("+611300123456", "shared_cost"),
    ("+3538551234567", "voicemail"),
    ("+61190000000", "unknown"),
    ("+80012345678", "toll_free"),
    ("+4912345", "unknown"),
    ("12025550100", "unknown"),
    ("+44", "unknown"),
    ("+1 202", "unknown"),
    ("+" + "1" * 1_000_000, "unknown"),
]


@pytest.mark.parametrize(("e164", "kind"), LINES)
def test_kind_of_line(e164: str, kind: LineType) -> None:
    assert line_type(e164) == kind


ZONES = [
    ("+12025550100", ("America/New_York",)),
    ("+13105550100", ("America/Los_Angeles",)),
    ("+14165550100", ("America/Toronto",)),
    ("+18765551234", ("America/Jamaica",)),  # a mobile, yet not all of North America
    ("+447781123456", ("Europe/Guernsey",)),
    ("+8613812345678", ("Asia/Shanghai",)),
    ("+5511912345678", ("America/Sao_Paulo",)),
    ("+77771234567", ("Asia/Almaty", "Asia/Aqtobe")),
    ("+80012345678", ()),
    ("+881612345678", ()),
    ("Columba", ()),
]


@pytest.mark.parametrize(("e164", "zones"), ZONES)
def test_time_zones(e164: str, zones: tuple[str, ...]) -> None:
    assert time_zones(e164) == zones


@pytest.mark.parametrize(
    ("e164", "among"),
    [
        ("+61412345678", {"Australia/Perth", "Australia/Sydney"}),  # a mobile: anywhere in the country
        ("+79121234567", {"Europe/Moscow", "Asia/Vladivostok"}),
        ("+34612345678", {"Atlantic/Canary", "Europe/Madrid"}),
        ("+18005550100", {"America/New_York", "Pacific/Honolulu"}),
        ("+15555550100", {"America/New_York", "Pacific/Honolulu"}),  # nobody's area code
    ],
)
def test_where_digits_name_no_area_all_zones_of_the_country_are_candidates(e164: str, among: set[str]) -> None:
    assert among <= set(time_zones(e164))
    assert "America/Toronto" not in time_zones(e164)


def test_zones_are_the_areas_of_the_library_and_never_more_than_its_countries() -> None:
    compared = 0
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(country, kind)
            if number is None:
                continue
            found = time_zones(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
            theirs = timezone.time_zones_for_number(number)
            assert found
            assert set(found) <= set(theirs)
            if phonenumbers.is_number_geographical(number):
                assert found == theirs
                compared += 1
    assert compared > 200
