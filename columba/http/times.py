"""Times on the API: RFC 3339 in UTC with exactly milliseconds and `Z`, held inside as milliseconds since 1970.

`rfc3339` never fails: a time beyond the years 1 to 9999 is shown as the nearest one within. `parse_time` raises
ValueError.
"""

import datetime as dt
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

Moment = Annotated[dt.datetime, Meta(tz=True, examples=["2026-01-31T09:30:00.000Z"])]
"""The type of a time in a request: any RFC 3339 offset; `milliseconds` turns it into a number."""

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time", "examples": ["2026-01-31T09:30:00.000Z"]})]
"""The type of a time in an answer: what `rfc3339` returns."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_FIRST: Final = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


def rfc3339(ms: int) -> str:
    """`1769851800123` as `2026-01-31T09:30:00.123Z`."""
    second, rest = divmod(ms, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=4096)  # rows of one answer share their seconds far more often than not
def _second(second: int) -> str:
    return (_EPOCH + dt.timedelta(seconds=min(max(second, _FIRST), _LAST))).isoformat()[:19]


def milliseconds(moment: dt.datetime) -> int:
    """An aware datetime as milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def parse_time(text: str) -> int:
    """RFC 3339 text, any offset, as milliseconds since 1970. ValueError for anything else."""
    try:
        return milliseconds(msgspec.convert(text, Moment))
    except msgspec.ValidationError:
        raise ValueError("not an RFC 3339 time") from None
