"""Times in templates: read from texts and numbers, shown in formats and zones of a closed set.

The system's own formatting isn't used: its widths can ask for any length, and its names follow the server's language.
Fails with UserCodeError.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from columba.usercode.errors import UserCodeError
from columba.usercode.values import kind_of

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def _offset(at: datetime, colon: str) -> str:
    text = at.strftime("%z")
    return f"{text[:3]}{colon}{text[3:5]}"


_CODES: Final[dict[str, Callable[[datetime], str]]] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "e": lambda at: str(at.day),
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{at.hour % 12 or 12:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "f": lambda at: f"{at.microsecond // 1000:03}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "A": lambda at: _DAYS[at.weekday()],
    "a": lambda at: _DAYS[at.weekday()][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "u": lambda at: str(at.isoweekday()),
    "V": lambda at: f"{at.isocalendar().week:02}",
    "z": lambda at: _offset(at, ""),
    "Z": lambda at: at.tzname() or "",
    "%": lambda at: "%",
}
_NAMED: Final[dict[str, str]] = {
    "date": "%Y-%m-%d",
    "time": "%H:%M:%S",
    "rfc2822": "%a, %d %b %Y %H:%M:%S %z",
    "http": "%a, %d %b %Y %H:%M:%S GMT",
    "sigv4": "%Y%m%dT%H%M%SZ",
}
_CODE: Final = re.compile(r"%(.?)", re.DOTALL)
_SECONDS: Final = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,9})?")
_IN_MS: Final = 100_000_000_000  # a number beyond it counts milliseconds


def read(value: Any) -> datetime:
    """RFC 3339 or ISO 8601, without an offset taken as UTC; or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            text = value.strip()
            if not _SECONDS.fullmatch(text):
                found = datetime.fromisoformat(text[:64])
                return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
            value = float(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > _IN_MS else value, UTC)
    except (ValueError, OverflowError, OSError):
        raise UserCodeError(0, 0, "That is no time: expected 2026-01-31T09:30:00Z, or seconds since 1970.") from None
    raise UserCodeError(0, 0, f"A time was expected, and this is {kind_of(value)}.")


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    try:
        return UTC if name in ("UTC", "Z") else ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise UserCodeError(0, 0, f"There is no time zone {name[:64]!r}: expected one such as Europe/London.") from None


def show(at: datetime, form: str) -> str:
    if form == "iso":
        moment = at.isoformat(timespec="milliseconds")
        return f"{moment[:-6]}Z" if moment.endswith("+00:00") else moment
    if form == "unix":
        return str(int(at.timestamp()))
    if form == "unix_ms":
        return str(int(at.timestamp() * 1000))
    if form == "http":
        at = at.astimezone(UTC)
    form = _NAMED.get(form, form)
    if len(form) > 200:
        raise UserCodeError(0, 0, "The format is longer than 200 characters.")
    return _CODE.sub(lambda found: _code(found[1])(at), form)


def _code(letter: str) -> Callable[[datetime], str]:
    found = _CODES.get(letter)
    if found is None:
        raise UserCodeError(
            0, 0, f"A date format has no %{letter}: there are {' '.join('%' + each for each in _CODES)}."
        )
    return found
