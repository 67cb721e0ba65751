"""What programs send and get: the request and answer shapes of messages.

`NewMessage` and `BatchMessage` are decoded on the hot path and carry no checks; `CheckedMessage` has all of them and is
used when something was wrong, so that one answer names every problem; `asking` says for whom. Answers are made by
`columba.core.model.view`; their shapes here are what the reference shows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core import status
from columba.core.submission import MOST_VALID_S, Submission
from columba.errors import FieldError, Refusal
from columba.http.egress import Policy
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp, milliseconds
from columba.messages.urls import missing, url_problems
from columba.numbers import Description
from columba.templates.params import Values
from columba.templates.room import Made

MOST_IN_BATCH = 10_000

Class = Literal["otp", "transactional", "marketing"]
Status = Literal[
    "scheduled",
    "queued",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "expired",
    "canceled",
    "unknown",
    "received",
]
Direction = Literal["outbound", "inbound"]
Encoding = Literal["gsm7", "ucs2", "binary"]
Number = Annotated[
    str,
    Meta(
        max_length=64,
        description="E.164, or national with the account's default country.",
        examples=["+447700900123"],
    ),
]
Sender = Annotated[
    str,
    Meta(max_length=64, description="A number, a short code or a name of up to 11 characters.", examples=["Columba"]),
]
Text = Annotated[str, Meta(max_length=5_000)]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Media = Annotated[
    list[Url],
    Meta(max_length=10, description="Pictures and the like: URLs, or ids of what `POST /v1/media` was given."),
]
Tags = Annotated[list[Tag], Meta(max_length=20)]
Scalar = Annotated[str, Meta(max_length=1_000)] | int | float | bool | None
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Scalar],
    Meta(max_length=50, description="What you want back with the message; never sent."),
]
Validity = Annotated[int, Meta(ge=1, le=MOST_VALID_S, description="Seconds; nothing is sent after them.")]
Time = Annotated[datetime, Meta(tz=True)]

CLASSES: dict[object, int] = {name: number for number, name in enumerate(status.CLASSES)}
TemplateName = Annotated[str, Meta(min_length=1, max_length=64, examples=["order_shipped"])]
Language = Annotated[str, Meta(min_length=2, max_length=16, examples=["en"])]


# -- Sending


class NewMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A text to one person. Only `to` and one of `text`, `media` and `template` are required.

    template: the name or id of an approved template that makes the text
    params: the values of its parameters
    language: which of its versions; its default one where nothing is said or there is none
    class: decides priority, and what an unanswered hand-over to the carrier becomes; the template's, else transactional
    send_at: when to send it, up to a year ahead; at once without it
    callback_url: where this message's events are posted, besides your webhooks
    smart_encoding: whether typographic characters that would double the price are replaced by plain ones
    tags: words to find it by
    """

    to: Number
    from_: Sender | None = field(name="from", default=None)
    text: Text | None = None
    class_: Class | UnsetType = field(name="class", default=UNSET)
    send_at: Time | None = None
    valid_for: Validity | None = None
    media: Media = []
    callback_url: Url | None = None
    smart_encoding: bool = True
    tags: Tags = []
    metadata: Metadata = {}
    template: TemplateName | None = None
    params: Values | None = None
    language: Language | None = None

    def submission(self, made: Made | None = None) -> Submission:
        """What is asked of the main path; `made` is what the template gave."""
        text, sender = self.text, self.from_
        klass = status.TRANSACTIONAL if self.class_ is UNSET else CLASSES[self.class_]
        if made is not None:
            text, klass, sender = made.for_message(text, CLASSES.get(self.class_), sender)
        return Submission(
            self.to,
            text,
            sender,
            klass,
            None if self.send_at is None else milliseconds(self.send_at),
            self.valid_for,
            self.media,
            self.callback_url,
            self.smart_encoding,
            self.tags,
            self.metadata,
        )


Make = Callable[[str, Mapping[str, Any] | None, str | None], Made]
"""From a template's name, values and language to what it makes; raises the Refusal that names every problem."""


class Asking(NamedTuple):
    """For whom a message is checked: what is wrong with a submission of theirs, and where callbacks may go."""

    problems: Callable[[Submission], Sequence[FieldError]]
    policy: Policy
    make: Make
    media: Sequence[str] | None = None  # the message's, as they were looked up


asking: ContextVar[Asking] = ContextVar("asking")
SOMEBODY = "+12025550100"  # where a check is not about the number


class CheckedMessage(NewMessage, forbid_unknown_fields=True, kw_only=True):
    """The same, saying everything that is wrong with itself. Each check reads only the fields that it is about."""

    def check_to(self) -> Iterable[FieldError]:
        return asking.get().problems(Submission(self.to, "x"))

    def check_from(self) -> Iterable[FieldError]:
        return asking.get().problems(Submission(SOMEBODY, "x", self.from_))

    def check_text(self) -> Iterable[FieldError]:
        if self.template is not None:
            return ()
        asked = Submission(SOMEBODY, self.text, media=self.media, smart=self.smart_encoding)
        return asking.get().problems(asked)

    def check_template(self) -> Iterable[FieldError]:
        if self.template is None:
            for name, value in (("params", self.params), ("language", self.language)):
                if value is not None:
                    yield FieldError(name, "invalid_value", "It is for messages with a `template`.")
            return
        try:
            made = asking.get().make(self.template, self.params, self.language)
            text, _, _ = made.for_message(self.text, CLASSES.get(self.class_), self.from_)
        except Refusal as refusal:
            yield from refusal.errors
            return
        asked = Submission(SOMEBODY, text, media=self.media, smart=self.smart_encoding)
        for error in asking.get().problems(asked):
            yield error._replace(field="template")

    def check_send_at(self) -> Iterable[FieldError]:
        if self.send_at is None:
            return ()
        return asking.get().problems(Submission(SOMEBODY, "x", send_at=milliseconds(self.send_at)))

    def check_callback(self) -> Iterable[FieldError]:
        return url_problems(self.callback_url, (), asking.get().policy)

    def check_media(self) -> Iterable[FieldError]:
        about = asking.get()
        return [*url_problems(None, self.media, about.policy, kept=True), *missing(about.media or ())]


class BatchMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A message of a batch: what it doesn't say, the batch's defaults do."""

    to: Number | UnsetType = UNSET
    from_: Sender | None | UnsetType = field(name="from", default=UNSET)
    text: Text | None | UnsetType = UNSET
    class_: Class | UnsetType = field(name="class", default=UNSET)
    send_at: Time | None | UnsetType = UNSET
    valid_for: Validity | None | UnsetType = UNSET
    media: Media | UnsetType = UNSET
    callback_url: Url | None | UnsetType = UNSET
    smart_encoding: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    template: TemplateName | None | UnsetType = UNSET
    params: Values | None | UnsetType = UNSET
    language: Language | None | UnsetType = UNSET


class NewBatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Up to 10,000 messages at once.

    messages: each like the body of `POST /v1/messages`; a bad one refuses itself, not the batch
    defaults: what holds for each message that doesn't say otherwise; `params` name by name
    """

    messages: Annotated[list[BatchMessage], Meta(min_length=1, max_length=MOST_IN_BATCH)]
    defaults: BatchMessage = field(default_factory=BatchMessage)


class RawRows(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A batch whose rows are to be read one by one."""

    messages: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_IN_BATCH)]
    defaults: BatchMessage = field(default_factory=BatchMessage)


class RowProblem(msgspec.Struct):
    """One problem of a row."""

    field: str
    code: str
    detail: str


class RowError(msgspec.Struct, omit_defaults=True):
    """Why a row was refused.

    errors: all of its problems, where there are several
    """

    code: str
    detail: str
    errors: list[RowProblem] = []


class RowAnswer(msgspec.Struct, omit_defaults=True):
    """What became of a row: `id` and `status`, or `error`."""

    to: str | None
    id: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    error: RowError | UnsetType = UNSET


class BatchAnswer(msgspec.Struct):
    """What became of a batch.

    data: one for each row, in the order given
    """

    batch_id: str
    accepted: int
    refused: int
    data: list[RowAnswer]


# -- Reading


class MessageError(msgspec.Struct):
    """What went wrong with a message after it was accepted.

    code: one of those listed at /docs/errors
    carrier_code: the carrier's own word for it
    """

    code: str
    detail: str
    carrier_code: str | None


class Waiting(msgspec.Struct):
    """Why a message is scheduled although nobody asked for that.

    until: when it goes; null where that is for a person to say
    """

    reason: Literal["quiet_hours", "approval"]
    detail: str
    until: Timestamp | None


class Advised(msgspec.Struct):
    """What speaks against its text, where that is much.

    score: 100 is well
    reasons: their codes; `POST /v1/messages/advice` says more of each
    """

    score: int
    reasons: list[str]


class Message(msgspec.Struct, kw_only=True):
    """One text to or from one person.

    text: as it is sent; null for media alone, and once it is redacted
    segments: how many parts it takes
    """

    id: str
    status: Status
    direction: Direction
    to: str
    from_: str | None = field(name="from")
    text: str | None
    media: list[str]
    class_: Class = field(name="class")
    encoding: Encoding
    segments: int
    created_at: Timestamp
    updated_at: Timestamp
    send_at: Timestamp | None
    expires_at: Timestamp | None
    tags: list[str]
    metadata: dict[str, Any]
    callback_url: str | None
    batch_id: str | None
    redacted: bool
    error: MessageError | None
    waiting_for: Waiting | UnsetType = UNSET
    advice: Advised | UnsetType = UNSET


class Part(msgspec.Struct):
    """One SMS on the wire.

    hop: which of the message's carriers this was, from 1: it goes on to another when one can't deliver it
    carrier: the id of the carrier that it was handed to
    carrier_message_id: the carrier's id of it, which its receipt names
    price: what it cost, where the price table says
    """

    n: int
    hop: int
    carrier: str
    carrier_message_id: str | None
    status: Status
    error: MessageError | None
    sent_at: Timestamp
    done_at: Timestamp | None
    price: str | None


class TimelineStep(msgspec.Struct):
    """One event of a message.

    status: what the message became; null for an event that doesn't change it
    event: the event's id
    data: what else there is to say of it
    """

    status: Status | None
    type: str
    at: Timestamp
    event: str
    data: dict[str, Any] | None


class MessageDetail(Message, kw_only=True):
    """A message with all that is known of its way.

    parts: what was handed to carriers, part by part
    timeline: what happened to it, oldest first
    price: what its parts cost together, where the price table says
    """

    parts: list[Part]
    timeline: list[TimelineStep]
    price: str | None
    currency: str | None


class Messages(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages.

    to: a number; of inbound messages, yours
    from: a number, short code or name; of inbound messages, the person's
    batch_id: those of one batch
    created_after: at or after this time
    created_before: before this time
    """

    status: Status | None = None
    direction: Direction | None = None
    to: Annotated[str, Meta(max_length=64)] | None = None
    from_: Annotated[str, Meta(max_length=64)] | None = field(name="from", default=None)
    tag: Annotated[str, Meta(max_length=64)] | None = None
    batch_id: Annotated[str, Meta(max_length=64)] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


# -- Previewing


class NewPreview(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A text that is not sent.

    to: whom it would go to, to learn about the number
    """

    text: Text
    to: Number | None = None
    from_: Sender | None = field(name="from", default=None)
    smart_encoding: bool = True


class PreviewPart(msgspec.Struct):
    """What one SMS would hold.

    units: septets for gsm7, UTF-16 units for ucs2
    """

    text: str
    units: int


class Forcing(msgspec.Struct):
    """A character that has the text sent as UCS-2.

    index: its place in the text given, counted from 0
    replacement: what smart encoding would put in its place
    """

    index: int
    character: str
    code_point: str
    name: str
    replacement: str | None


class PreviewProblem(msgspec.Struct):
    """A reason for which the message would be refused."""

    field: str
    code: str
    detail: str


class Preview(msgspec.Struct, kw_only=True):
    """How a text would be sent.

    text: as it would be sent, smart encoding done
    units: septets or UTF-16 units of the whole text
    left: how many the last part could still take
    forced: the characters of the text given that are not in the GSM alphabet, the first 100
    number: what is known about `to` from its digits
    problems: why it would be refused; empty when it would be accepted
    """

    text: str
    encoding: Literal["gsm7", "ucs2"]
    segments: int
    units: int
    left: int
    parts: list[PreviewPart]
    forced: list[Forcing]
    number: Description | None
    problems: list[PreviewProblem]
