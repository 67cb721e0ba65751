"""What programs send and get: the request and answer shapes of webhooks and their deliveries."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.errors import FieldError
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp
from columba.webhooks.endpoints import check_patterns
from columba.webhooks.signature import decode_secret

Url = Annotated[str, Meta(min_length=1, max_length=2_000, examples=["https://example.org/hooks/sms"])]
Pattern = Annotated[str, Meta(min_length=1, max_length=64)]
Patterns = Annotated[
    list[Pattern],
    Meta(
        min_length=1,
        max_length=50,
        description="Event types, or patterns such as `message.*` and `*`.",
        examples=[["message.delivered", "message.failed"], ["message.*"]],
    ),
]
Description = Annotated[str, Meta(max_length=500)]
Schedule = Annotated[
    list[Annotated[int, Meta(ge=0, le=604_800)]],
    Meta(max_length=20, description="Seconds after each failed attempt; null for the usual schedule."),
]
Timeout = Annotated[float, Meta(ge=1, le=30, description="Seconds for the whole answer; 15 if left out.")]
Concurrency = Annotated[int, Meta(ge=1, le=200, description="Attempts under way at once; 64 if left out.")]
Secret = Annotated[str, Meta(max_length=128, description="`whsec_` and Base64 of 24 to 64 bytes; made if left out.")]
Status = Literal["pending", "delivered", "failed"]


def check_secret(secret: str | None) -> Iterable[FieldError]:
    if secret is not None:
        try:
            decode_secret(secret)
        except ValueError as error:
            yield FieldError("secret", "invalid_value", str(error))


class NewWebhook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An endpoint of yours that events are to be sent to."""

    url: Url
    events: Patterns
    description: Description = ""
    retry_schedule: Schedule | None = None
    timeout: Timeout | None = None
    concurrency: Concurrency | None = None
    secret: Secret | None = None

    def check_events(self) -> Iterable[FieldError]:
        return check_patterns(self.events)

    def check_secret(self) -> Iterable[FieldError]:
        return check_secret(self.secret)


class WebhookChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays.

    enabled: false stops it, and what waits goes on waiting; true starts it again, whyever it was disabled
    """

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    retry_schedule: Schedule | None | UnsetType = UNSET
    timeout: Timeout | None | UnsetType = UNSET
    concurrency: Concurrency | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET

    def check_events(self) -> Iterable[FieldError]:
        return () if self.events is UNSET else check_patterns(self.events)


class SecretRotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the secret is to be replaced."""

    secret: Secret | None = None

    def check_secret(self) -> Iterable[FieldError]:
        return check_secret(self.secret)


class Recovery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which events are to be delivered again.

    since: from this moment on
    until: up to this moment; now, if it is left out
    """

    since: Moment
    until: Moment | None = None

    def check_window(self) -> Iterable[FieldError]:
        if self.until is not None and self.until <= self.since:
            yield FieldError("until", "invalid_time", "Expected a time after `since`.")


class Webhook(msgspec.Struct, kw_only=True):
    """A webhook endpoint.

    enabled: false when it was disabled, by request, by an answer 410 or after failing for five days
    disabled_reason: why, where it is disabled
    failing_since: when the first of the attempts that have failed since the last success was made
    rotating_until: until when the replaced secret signs too
    """

    id: str
    url: str
    events: list[str]
    description: str
    enabled: bool
    disabled_reason: str | None
    failing_since: Timestamp | None
    retry_schedule: list[int]
    timeout: float
    concurrency: int
    rotating_until: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class WebhookWithSecret(Webhook, kw_only=True):
    """A webhook endpoint as it is made, and when its secret is replaced.

    secret: what its requests are signed with; shown this once
    """

    secret: str


class CallbackSecret(msgspec.Struct, kw_only=True):
    """What signs requests to the `callback_url` of messages.

    rotating_until: until when the replaced secret signs too
    """

    secret: str
    rotating_until: Timestamp | None


class Recovered(msgspec.Struct, kw_only=True):
    """count: how many deliveries were made or begin anew"""

    count: int


class DeliveryError(msgspec.Struct, kw_only=True):
    """Why an attempt was no success, and what to do about it.

    code: `http_...` with the status that was answered, else the kind of trouble: `timeout`, `connect`, `dns`, `tls`, ...
    """

    code: str
    detail: str


class DeliveryRequest(msgspec.Struct, kw_only=True):
    """What was sent. The signature is left out; the body is made anew from the event, so what was redacted since is not
    in it."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class DeliveryAttempt(msgspec.Struct, kw_only=True):
    """One POST.

    status: the HTTP status of the answer; null when there was none
    answer: its body, up to 20,000 bytes of it
    """

    at: Timestamp
    request: DeliveryRequest
    status: int | None
    latency_ms: int | None
    answer: str | None
    error: DeliveryError | None


class Delivery(msgspec.Struct, kw_only=True):
    """One event on its way to one endpoint.

    endpoint: the webhook's id; of a message's `callback_url`, that of its origin, which is in no list
    url: where it is sent
    next_attempt_at: when it is tried again, while it is pending
    waits_for: what keeps a pending delivery from being sent
    last_status: the HTTP status that the last attempt was answered with
    error: why the last attempt failed
    """

    id: str
    status: Status
    endpoint: str
    event: str
    event_type: str
    attempt_count: int
    last_attempt_at: Timestamp | None
    next_attempt_at: Timestamp | None
    waits_for: str | None
    last_status: int | None
    latency_ms: int | None
    error: DeliveryError | None
    created_at: Timestamp


class DeliveryDetail(Delivery, kw_only=True):
    """A delivery with its attempts, the first one first; of more than 100 the last 100."""

    attempts: list[DeliveryAttempt]


class Tested(msgspec.Struct, kw_only=True):
    """What came back from a test.

    ok: whether the answer was a 2xx
    delivery: the test as a delivery, to be read again
    """

    ok: bool
    event: str
    delivery: str
    request: DeliveryRequest
    status: int | None
    latency_ms: int | None
    answer: str | None
    error: DeliveryError | None


class DeliveryList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    endpoint: Annotated[str, Meta(max_length=64, description="Only those to this webhook.")] | None = None
    status: Annotated[Status, Meta(description="Only those of this status.")] | None = None
    event: (
        Annotated[str, Meta(max_length=64, description="Only those of this event (`evt_...`) or type of event.")] | None
    ) = None
