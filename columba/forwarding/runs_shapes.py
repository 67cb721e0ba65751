"""What programs send and get about forwards and the other things that rules do."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.errors import FieldError
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp

Status = Literal["pending", "waiting", "delivered", "failed", "dead", "skipped", "canceled"]
Kind = Literal["forward", "reply", "tag", "text", "email", "drop", "look"]
Id = Annotated[str, Meta(max_length=64)]
EDITABLE = ("from", "to", "text", "media", "keyword", "groups", "contact", "metadata")


class ForwardError(msgspec.Struct, kw_only=True):
    """Why an attempt was no success.

    code: `http_...` with the status that was answered, else the kind of trouble: `timeout`, `connect`, `schema`, ...
    """

    code: str
    detail: str


class Forward(msgspec.Struct, kw_only=True):
    """What a rule does with a text: a text on its way to one destination, or another of its actions.

    kind: `look` is a text that its account's rules could not be asked about, which is seen when it is dead
    status: `waiting` for another action of its rule; `failed` where the next destination took over; `dead` when it was given
        up, and can be replayed
    rule_version: what the rule was when the text came
    action: the action's place in the rule, from 1
    destination: of a forward
    made: the message that a reply or text became
    edited: it was changed since
    next_attempt_at: when it is tried, while it is pending
    waits_for: what keeps it from being tried
    last_status: the HTTP status that the last attempt was answered with
    error: why the last attempt failed
    """

    id: str
    kind: Kind
    status: Status
    message_id: str
    rule: str
    rule_version: int
    action: int
    destination: str | None
    made: str | None
    edited: bool
    attempt_count: int
    last_attempt_at: Timestamp | None
    next_attempt_at: Timestamp | None
    waits_for: str | None
    last_status: int | None
    latency_ms: int | None
    error: ForwardError | None
    created_at: Timestamp
    updated_at: Timestamp


class ForwardAttempt(msgspec.Struct, kw_only=True):
    """One attempt.

    request: what was sent, `***` for its secrets; of an e-mail or a text, whom it went to and what it said; null once the
        text was redacted
    status: the HTTP status of the answer; null when there was none
    answer: its body, up to 20,000 bytes of it
    exchanges: all requests and their answers, where the destination has steps
    """

    at: Timestamp
    request: dict[str, Any] | None
    status: int | None
    latency_ms: int | None
    answer: str | None
    error: ForwardError | None
    exchanges: list[dict[str, Any]]


class ForwardDetail(Forward, kw_only=True):
    """With its attempts, the first one first; of more than 100 the last 100.

    values: what templates see instead of what the text says, where it was edited
    """

    values: dict[str, Any]
    attempts: list[ForwardAttempt]


class ForwardChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different when it is replayed.

    values: what templates see instead of what the text says: any of from, to, text, media, keyword, groups, contact,
        metadata; null takes the edit back
    destination: where it goes
    """

    values: dict[str, Any] | None | UnsetType = UNSET
    destination: Id | UnsetType = UNSET

    def check_values(self) -> Iterable[FieldError]:
        if isinstance(self.values, dict):
            for name in self.values:
                if name not in EDITABLE:
                    yield FieldError(f"values.{name}", "unknown_field", f"Expected one of {', '.join(EDITABLE)}.")


class Again(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which are to be replayed: all of what is given.

    status: those that are dead, if left out
    kind: forwards, if left out; `all` is every kind
    error: those whose last attempt failed with this code, such as `http_503` or `timeout`
    since: of texts that came from this moment on
    until: of texts that came up to this moment
    """

    rule: Id | None = None
    destination: Id | None = None
    message_id: Id | None = None
    status: Literal["dead", "failed", "canceled", "skipped", "delivered"] = "dead"
    kind: Kind | Literal["all"] = "forward"
    error: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    since: Moment | None = None
    until: Moment | None = None


class ForwardsReplayed(msgspec.Struct, kw_only=True):
    """count: how many are tried again"""

    count: int


class ForwardList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rule: Annotated[Id, Meta(description="Only those of this rule.")] | None = None
    destination: Annotated[Id, Meta(description="Only those to this destination.")] | None = None
    status: Annotated[Status, Meta(description="Only those of this status.")] | None = None
    message_id: Annotated[Id, Meta(description="Only those of this text.")] | None = None
    error: (
        Annotated[
            str,
            Meta(max_length=64, description="Only those whose last attempt failed with this code, such as http_503."),
        ]
        | None
    ) = None
    since: Annotated[Moment, Meta(description="Only those made from this moment on.")] | None = None
    until: Annotated[Moment, Meta(description="Only those made before this moment.")] | None = None
    kind: Annotated[Kind | Literal["all"], Meta(description="Only those of this kind: forwards, if left out.")] = (
        "forward"
    )
