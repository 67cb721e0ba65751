"""What programs send and get of alerts. A rule's parts are kept as they are sent; what is secret in a channel is sealed."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core.model import TYPES, WEBHOOK_TEST
from columba.errors import FieldError
from columba.http.paging import Paging
from columba.http.times import Timestamp
from columba.mail import ADDRESS
from columba.numbers import NumberError, normalise, sender
from columba.usercode import Template, UserCodeError

NAMES: Final = frozenset(("name", "summary", "lines", "opened", "ongoing", "recovered", "test", "account", "at"))
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Source = Annotated[str, Meta(min_length=1, max_length=5_000)]
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Hour = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]
Zone = Annotated[str, Meta(max_length=64, examples=["Europe/Berlin"])]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Class = Literal["otp", "transactional", "marketing"]


# -- Channels


class Email(msgspec.Struct, frozen=True, tag_field="kind", tag="email", forbid_unknown_fields=True, omit_defaults=True):
    """By the operator's mail server, to each address by itself.

    subject, text: templates; the usual ones without them
    """

    to: Annotated[list[Annotated[str, Meta(max_length=254)]], Meta(min_length=1, max_length=20)]
    subject: Source | None = None
    text: Source | None = None


class Webhook(
    msgspec.Struct, frozen=True, tag_field="kind", tag="webhook", forbid_unknown_fields=True, omit_defaults=True
):
    """A POST of the notice as JSON.

    secret: `whsec_...`, to sign it as webhooks are
    """

    url: Url
    secret: Annotated[str, Meta(max_length=200, pattern="^whsec_[A-Za-z0-9+/=]+$")] | None = None


class Slack(msgspec.Struct, frozen=True, tag_field="kind", tag="slack", forbid_unknown_fields=True, omit_defaults=True):
    """A message in a channel of Slack, or of what takes the same.

    url: the address of an incoming webhook; whoever has it may post
    text: a template
    """

    url: Url
    text: Source | None = None


class Text(msgspec.Struct, frozen=True, tag_field="kind", tag="text", forbid_unknown_fields=True, omit_defaults=True):
    """A text, sent like any other of the account; with a test key to the sandbox.

    text: a template
    """

    to: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=10)]
    from_: Annotated[str, Meta(max_length=64)] | None = field(name="from", default=None)
    text: Source | None = None


Channel = Email | Webhook | Slack | Text
Channels = Annotated[list[Channel], Meta(min_length=1, max_length=10)]


# -- Rules


class DeliveryRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fewer messages are delivered than should be, of those that ended one way or another.

    below: the share of them, 0 to 1
    window: seconds to look back
    least: how many must have ended; fewer say nothing
    """

    below: Annotated[float, Meta(gt=0, le=1)]
    window: Annotated[int, Meta(ge=60, le=86_400)] = 900
    least: Annotated[int, Meta(ge=1, le=10_000)] = 20
    carrier: Word | None = None
    class_: Class | None = field(name="class", default=None)


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages it is about, for events of messages. All that is named must hold, of each list one.

    error: codes such as `unknown_number`
    """

    tag: Annotated[list[Word], Meta(max_length=20)] = []
    class_: Annotated[list[Class], Meta(max_length=3)] = field(name="class", default_factory=list)
    carrier: Annotated[list[Word], Meta(max_length=20)] = []
    error: Annotated[list[Word], Meta(max_length=20)] = []


class Quiet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When nothing is sent: it waits for the end.

    days: those on which it begins; every day without them
    """

    from_: Hour = field(name="from")
    until: Hour
    time_zone: Zone = "UTC"
    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] | None = None

    def check_zone(self) -> Iterable[FieldError]:
        return _zone(self.time_zone)

    def check_hours(self) -> Iterable[FieldError]:
        if self.from_ == self.until:
            yield FieldError("until", "invalid_value", "Expected another time than `from`.")


class Digest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Times of the day at which all that has happened is told together, and at no others."""

    at: Annotated[list[Hour], Meta(min_length=1, max_length=24)]
    time_zone: Zone = "UTC"

    def check_zone(self) -> Iterable[FieldError]:
        return _zone(self.time_zone)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an alert is about, and when it tells."""

    on: Annotated[list[Word], Meta(max_length=30)] = []
    delivery_rate: DeliveryRate | None = None
    where: Where = Where()
    wait: Annotated[int, Meta(ge=0, le=3_600)] = 5
    every: Annotated[int, Meta(ge=10, le=604_800)] = 300
    settle: Annotated[int, Meta(ge=60, le=604_800)] = 3_600
    recovery: bool = True
    quiet: Quiet | None = None
    digest: Digest | None = None


class NewAlert(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be told, to whom and how often.

    on: types of events, and patterns such as `message.*`
    wait: seconds to gather what comes together, before the first notice
    every: seconds at least between two notices
    settle: seconds without another, after which what nothing tells the end of is over
    recovery: whether it is told when it is over
    """

    name: Name
    channels: Channels
    enabled: bool = True

    def check_on(self) -> Iterable[FieldError]:
        return check_on(self.on)

    def check_something(self) -> Iterable[FieldError]:
        if not self.on and self.delivery_rate is None:
            yield FieldError("on", "required", "Expected types of events, or a delivery_rate.")

    def check_channels(self) -> Iterable[FieldError]:
        return check_channels(self.channels)


class AlertChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be otherwise. `channels` are replaced as a whole, with their secrets."""

    name: Name | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    on: Annotated[list[Word], Meta(max_length=30)] | UnsetType = UNSET
    delivery_rate: DeliveryRate | None | UnsetType = UNSET
    where: Where | UnsetType = UNSET
    wait: Annotated[int, Meta(ge=0, le=3_600)] | UnsetType = UNSET
    every: Annotated[int, Meta(ge=10, le=604_800)] | UnsetType = UNSET
    settle: Annotated[int, Meta(ge=60, le=604_800)] | UnsetType = UNSET
    recovery: bool | UnsetType = UNSET
    quiet: Quiet | None | UnsetType = UNSET
    digest: Digest | None | UnsetType = UNSET

    def check_on(self) -> Iterable[FieldError]:
        return () if self.on is UNSET else check_on(self.on)

    def check_channels(self) -> Iterable[FieldError]:
        return () if self.channels is UNSET else check_channels(self.channels)


class Alert(msgspec.Struct, kw_only=True):
    """An alert.

    state: `alerting` while something is wrong
    open: how many things are
    channels: without what is secret in them
    last_notice_at: when something was told the last time
    next_notice_at: when what there is to tell will be
    """

    id: str
    name: str
    enabled: bool
    state: Literal["ok", "alerting"]
    open: int
    on: list[str]
    delivery_rate: DeliveryRate | None
    where: Where
    channels: list[dict[str, Any]]
    wait: int
    every: int
    settle: int
    recovery: bool
    quiet: Quiet | None
    digest: Digest | None
    last_notice_at: Timestamp | None
    next_notice_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class Incident(msgspec.Struct, kw_only=True):
    """Something that goes wrong.

    thing: what it goes wrong with
    count: how many times it was heard of
    """

    thing: str
    title: str
    latest: str
    opened_at: Timestamp
    last_at: Timestamp
    closed_at: Timestamp | None
    count: int


class Incidents(msgspec.Struct):
    """What goes wrong now, the oldest first; and what is over and not told yet."""

    data: list[Incident]


class Notice(msgspec.Struct, kw_only=True):
    """What was told, over one channel to one recipient.

    recipient: an address, a number, or the host of a URL
    next_attempt_at: when it is tried again
    error: why it was not taken, the last time
    """

    id: str
    channel: Literal["email", "webhook", "slack", "text"]
    recipient: str
    status: Literal["pending", "sent", "failed"]
    summary: str
    text: str
    test: bool
    attempts: int
    next_attempt_at: Timestamp | None
    error: str | None
    created_at: Timestamp
    updated_at: Timestamp


class Tried(msgspec.Struct, kw_only=True):
    """What became of a test, for one recipient."""

    channel: str
    recipient: str
    ok: bool
    detail: str
    took_ms: int


class Tested(msgspec.Struct):
    """What became of a test.

    ok: whether everybody was reached
    """

    ok: bool
    results: list[Tried]


class Notices(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which notices."""


# -- Checks


def matches(pattern: str, name: str) -> bool:
    return pattern in (name, "*") or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


def types_of(patterns: Sequence[str]) -> list[int]:
    return [n for n, name in TYPES.items() if n != WEBHOOK_TEST and any(matches(each, name) for each in patterns)]


def check_on(patterns: Sequence[str]) -> Iterable[FieldError]:
    for place, pattern in enumerate(patterns):
        if not types_of([pattern]):
            known = ", ".join(name for n, name in TYPES.items() if n != WEBHOOK_TEST)
            yield FieldError(f"on[{place}]", "invalid_value", f"There is no event type {pattern}. There are {known}.")


def check_channels(channels: Sequence[Channel]) -> Iterable[FieldError]:
    for place, channel in enumerate(channels):
        at = f"channels[{place}]"
        if isinstance(channel, Email):
            for n, address in enumerate(channel.to):
                if not ADDRESS.fullmatch(address) or not address.isascii():
                    yield FieldError(f"{at}.to[{n}]", "invalid_value", "Expected an e-mail address.")
        if isinstance(channel, Text):
            for n, number in enumerate(channel.to):
                try:
                    normalise(number)
                except NumberError as error:
                    yield FieldError(f"{at}.to[{n}]", "invalid_number", error.detail)
            if channel.from_ is not None:
                try:
                    sender(channel.from_)
                except NumberError as error:
                    yield FieldError(f"{at}.from", "invalid_sender", error.detail)
        for name in ("subject", "text"):
            source = getattr(channel, name, None)
            if source is not None:
                try:
                    Template.parse(source, NAMES)
                except UserCodeError as error:
                    yield error.at(f"{at}.{name}")


def _zone(name: str) -> Iterable[FieldError]:
    try:
        if not re.fullmatch(r"[A-Za-z0-9_+/-]+", name):
            raise ValueError
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield FieldError("time_zone", "invalid_value", f"There is no time zone {name}.")
