"""Lists: `?limit=` and `?cursor=` in, `{"data": [...], "next_cursor": ...}` out.

A cursor is opaque to its holder and holds only the sort key of the last row, so a forged one can ask for nothing that
the query itself would not give. One that is nonsense is refused on the field `cursor`.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from columba.errors import FieldError, Refusal

Row = TypeVar("Row")
Item = TypeVar("Item")
Key = TypeVar("Key", bound=tuple[int | str, ...])

_WIDEST: Final = 2**63
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{1,512}").fullmatch


class Paging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of every list; a list with filters adds them in a struct that inherits this one."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="How many at most.")] = 50
    cursor: Annotated[str, Meta(max_length=512, description="`next_cursor` of the page before.")] | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list.

    data: the things themselves
    next_cursor: what to send as `cursor` for the next page; null on the last one
    """

    data: Sequence[Item]
    next_cursor: str | None = None


def encode_cursor(*key: int | str) -> str:
    """The sort key of a page's last row as an opaque word."""
    return urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str | None, kind: type[Key]) -> Key | None:
    """The sort key again, of the shape `kind` (`tuple[int, str]`); None for the first page."""
    if cursor is None:
        return None
    try:
        if not _SHAPE(cursor):
            raise ValueError
        key = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
        if any(not -_WIDEST <= part < _WIDEST if isinstance(part, int) else "\x00" in part for part in key):
            raise ValueError
    except (ValueError, RecursionError):
        detail = "Expected the `next_cursor` of an earlier page, as it was."
        raise Refusal("invalid_request", f"cursor: {detail}", [FieldError("cursor", "invalid_value", detail)]) from None
    return key


def page(
    rows: Sequence[Row], limit: int, show: Callable[[Row], Item], key: Callable[[Row], tuple[int | str, ...]]
) -> Page[Item]:
    """A page of `rows`. The store was asked for `limit + 1` of them: the one too many says that a next page exists."""
    shown = rows[:limit]
    return Page([show(row) for row in shown], encode_cursor(*key(shown[-1])) if len(rows) > limit else None)
