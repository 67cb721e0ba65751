"""SMPP's times, both ways."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.smpp.errors import InvalidTime
from columba.smpp.times import format_absolute, format_relative, parse_time

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

PARSED = {
    "": None,
    "261120123456700+": datetime(2026, 11, 20, 12, 34, 56, 700_000, UTC),
    "261120143456008+": datetime(2026, 11, 20, 12, 34, 56, 0, UTC),
    "261120073456020-": datetime(2026, 11, 20, 12, 34, 56, 0, UTC),
    "991231235959948+": datetime(1999, 12, 31, 11, 59, 59, 900_000, UTC),
    "700101000000000+": datetime(2070, 1, 1, tzinfo=UTC),
    "000000000000000R": NOW,
    "000001000000000R": NOW + timedelta(days=1),
    "000000023010000R": NOW + timedelta(hours=2, minutes=30, seconds=10),
    "020610233429000R": datetime(2029, 5, 31, 11, 34, 29, tzinfo=UTC),  # 7.1.1.2's example
    "000300000000000R": datetime(2027, 2, 20, 12, 0, tzinfo=UTC),
}


@pytest.mark.parametrize("text", PARSED)
def test_parse(text: str) -> None:
    assert parse_time(text, NOW) == PARSED[text]


def test_a_month_from_the_31st_ends_with_the_shorter_month() -> None:
    assert parse_time("000100000000000R", datetime(2027, 1, 31, tzinfo=UTC)) == datetime(2027, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2611201234567",
        "26112012345670",
        "261120123456700",
        "261120123456700Z",
        "261120123456700r",
        "261320123456700+",
        "260230123456700+",
        "261120243456700+",
        "261120123456749+",
        "26112012345670 +",
        "-61120123456700+",
        "\u0662\u0666\u0661\u0661\u0662\u06600000000000+",
        "261120123456700++",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime):
        parse_time(text, NOW)


def test_format_absolute() -> None:
    assert format_absolute(datetime(2026, 11, 20, 12, 34, 56, 789_000, UTC)) == "261120123456700+"
    assert format_absolute(datetime(2026, 11, 20, 12, 34, 56, 0, timezone(timedelta(hours=5.75)))) == "261120123456023+"
    assert format_absolute(datetime(2026, 11, 20, 12, 0, 0, 0, timezone(timedelta(hours=-8)))) == "261120120000032-"
    assert format_absolute(datetime(2026, 11, 20, 12, 0, 0, 0, timezone(timedelta(hours=14)))) == "261119220000000+"
    assert format_absolute(datetime(2026, 11, 20, 12, 0, 0, 0, timezone(timedelta(minutes=20)))) == "261120114000000+"
    with pytest.raises(InvalidTime):
        format_absolute(datetime(2026, 11, 20))  # noqa: DTZ001


def test_format_relative() -> None:
    assert format_relative(timedelta(hours=48, minutes=5, seconds=7)) == "000002000507000R"
    assert format_relative(timedelta()) == "000000000000000R"
    for span in (timedelta(days=32), timedelta(seconds=-1)):
        with pytest.raises(InvalidTime):
            format_relative(span)


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2070, 1, 1)),  # noqa: DTZ001
    st.integers(-48, 48),
)
def test_an_absolute_time_comes_back_to_the_tenth(when: datetime, quarters: int) -> None:
    when = when.replace(
        microsecond=when.microsecond // 100_000 * 100_000, tzinfo=timezone(quarters * timedelta(minutes=15))
    )
    assert parse_time(format_absolute(when), NOW) == when


@given(st.timedeltas(timedelta(), timedelta(days=31)))
def test_a_span_comes_back_to_the_second(span: timedelta) -> None:
    span -= timedelta(microseconds=span.microseconds)
    assert parse_time(format_relative(span), NOW) == NOW + span
