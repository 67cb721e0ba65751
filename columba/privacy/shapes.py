"""What programs send and get about privacy."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from columba.http.paging import Paging
from columba.http.times import Timestamp

Number = Annotated[
    str,
    Meta(max_length=64, description="E.164, or national with the default country.", examples=["+447700900123"]),
]


class Whom(msgspec.Struct, forbid_unknown_fields=True):
    """A person, by number."""

    number: Number


class Job(msgspec.Struct, kw_only=True):
    """An export or an erasure.

    number: whom it is about; null once it is erased, or a week after it was exported
    counts: how many things of each kind were erased so far
    """

    id: str
    kind: Literal["export", "erase"]
    status: Literal["running", "done"]
    number: str | None
    counts: dict[str, int]
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
    done_at: Timestamp | None


class Export(Job, kw_only=True):
    """An export.

    url: where all of it is, as lines of JSON
    data: all of it by what holds it, where that is no more than 1,000 things; else null
    """

    url: str
    data: dict[str, list[dict[str, Any]]] | None


class Jobs(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs.

    number: those about this number, erased or not
    """

    number: Annotated[str, Meta(max_length=64)] | None = None
