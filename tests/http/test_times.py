"""Times go out with milliseconds and Z, and come in with any offset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.http.times import parse_time, rfc3339


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_769_851_800_123, "2026-01-31T09:30:00.123Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.000Z"),
        (10**30, "9999-12-31T23:59:59.000Z"),
        (-(10**30), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_written(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-31T09:30:00Z", 1_769_851_800_000),
        ("2026-01-31T09:30:00.123999Z", 1_769_851_800_123),
        ("2026-01-31T10:30:00.123+01:00", 1_769_851_800_123),
        ("2026-01-31T00:30:00-09:00", 1_769_851_800_000),
        ("9999-12-31T23:59:59.999-23:59", 253_402_387_139_999),
    ],
)
def test_a_time_is_read(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-31", "20260131T093000Z", "2026-01-31T09:30:00", "2026-13-01T00:00Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        parse_time(text)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_written_is_read_again(ms: int) -> None:
    assert parse_time(rfc3339(ms)) == ms
