"""What programs send and get about privacy."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from columba.errors import FieldError
from columba.http.numbers import number_problems
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp

Number = Annotated[
    str,
    Meta(max_length=64, description="E.164, or national with the default country.", examples=["+447700900123"]),
]


class Whom(msgspec.Struct, forbid_unknown_fields=True):
    """A person, by number."""

    number: Number

    def check_number(self) -> Iterable[FieldError]:
        return number_problems("number", self.number)


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


class AuditEntry(msgspec.Struct, kw_only=True):
    """One request that changed something, or was shown what is personal; or one change on the command line.

    n: its place in the account's chain, over both of its modes
    key: the key that asked; null on the command line
    operator: who ran the command, by the name that the system knows; null over HTTP
    address: where the request came from; on the command line the name of the machine
    method: of HTTP, or CLI
    about: the ids that its path named, or the command
    answered: the HTTP status; null on the command line, of which only what was done is noted
    hash: of this entry and the one before
    """

    n: int
    created_at: Timestamp
    key: str | None
    operator: str | None
    address: str
    action: str
    method: str
    about: dict[str, str]
    answered: int | None
    request_id: str | None
    hash: str


class AuditList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries.

    key: those of one key
    action: those of one action, such as `erase_person`
    about: those that name this id
    operator: those of one user of the command line
    created_after: at or after this time
    created_before: before this time
    """

    key: Annotated[str, Meta(max_length=32, pattern="^key_[0-9a-z]*$")] | None = None
    action: Annotated[str, Meta(max_length=64, pattern="^[a-z_]*$")] | None = None
    about: Annotated[str, Meta(max_length=80, pattern="^[A-Za-z0-9_-]*$")] | None = None
    operator: Annotated[str, Meta(max_length=64, pattern="^[A-Za-z0-9_. -]*$")] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


class Verified(msgspec.Struct):
    """What going through the chain came to.

    entries: how many there are, over both modes, with those that were let go
    head: the hash of the newest, to be noted elsewhere
    intact: whether each is as it was written, and none is missing
    broken_at: the first that is not
    waiting: changes on the command line that no server has put into the log yet
    let_go: how many of the entries, the oldest, were too old to be kept
    """

    entries: int
    head: str
    intact: bool
    broken_at: int | None
    why: str
    waiting: int
    let_go: int


Days = Annotated[int, Meta(ge=1, le=3_650)] | None


class ByClass(msgspec.Struct, frozen=True):
    """Days by class of message; null keeps for good. What people send in is transactional."""

    otp: Days = None
    transactional: Days = None
    marketing: Days = None


class Retention(msgspec.Struct, frozen=True):
    """How long what is kept of messages, counted from when they were accepted or came in.

    bodies: the text and the metadata
    media: pictures and files that no other message uses
    numbers: the person's number; what is left of it is its country and two digits. With those of codes go verifications
    messages: the messages themselves, with all that hangs on them: parts, costs, events, deliveries, forwards
    """

    bodies: ByClass = ByClass()
    media: ByClass = ByClass()
    numbers: ByClass = ByClass()
    messages: ByClass = ByClass()
