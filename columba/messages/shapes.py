"""What programs send and get: the request and answer shapes of messages.

`NewMessage` is decoded on the hot path and carries no checks; `CheckedMessage` is the same with all of them, used when
something was wrong, so that one answer names every problem.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core import status
from columba.core.accept import MOST_VALID_S, Submission
from columba.errors import FieldError
from columba.http.times import milliseconds
from columba.numbers import NumberError, normalise, sender
from columba.text import check

Class = Literal["otp", "transactional", "marketing"]
Number = Annotated[str, Meta(max_length=64, description="E.164, or national with the account's default country")]
Sender = Annotated[str, Meta(max_length=64, description="A number, a short code or a name of up to 11 characters")]
Text = Annotated[str, Meta(max_length=5_000)]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Scalar = str | int | float | bool | None
Time = Annotated[datetime, Meta(tz=True)]

CLASSES = {name: number for number, name in enumerate(status.CLASSES)}
country: ContextVar[str | None] = ContextVar("default_country", default=None)


class NewMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A text to one person."""

    to: Number
    from_: Sender | None = field(name="from", default=None)
    text: Text | None = None
    class_: Class = field(name="class", default="transactional")
    send_at: Time | None = None
    valid_for: Annotated[int, Meta(ge=1, le=MOST_VALID_S, description="Seconds; nothing is sent after it")] | None = (
        None
    )
    media: Annotated[list[Url], Meta(max_length=10)] = []
    callback_url: Url | None = None
    smart_encoding: bool = True
    tags: Annotated[list[Tag], Meta(max_length=20)] = []
    metadata: Annotated[dict[Annotated[str, Meta(max_length=64)], Scalar], Meta(max_length=50)] = {}

    def submission(self) -> Submission:
        return Submission(
            self.to,
            self.text,
            self.from_,
            CLASSES[self.class_],
            None if self.send_at is None else milliseconds(self.send_at),
            self.valid_for,
            self.media,
            self.callback_url,
            self.smart_encoding,
            self.tags,
            self.metadata,
        )


class CheckedMessage(NewMessage, forbid_unknown_fields=True, kw_only=True):
    """The same, saying everything that is wrong with itself."""

    def check_to(self) -> Iterable[FieldError]:
        try:
            normalise(self.to, country.get())
        except NumberError as error:
            yield FieldError("to", "invalid_number", error.detail)

    def check_from(self) -> Iterable[FieldError]:
        if self.from_ is not None:
            try:
                sender(self.from_)
            except NumberError as error:
                yield FieldError("from", "invalid_sender", error.detail)

    def check_text(self) -> Iterable[FieldError]:
        for index, reason in check(self.text or "", 1):
            yield FieldError("text", "invalid_text", f"character {index + 1}: {reason}")

    def check_content(self) -> Iterable[FieldError]:
        if not self.text and not self.media:
            yield FieldError("text", "required", "a message needs text, media or a template")


class BatchDefaults(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What holds for each message of a batch that doesn't say otherwise."""

    to: Number | UnsetType = UNSET
    from_: Sender | None | UnsetType = field(name="from", default=UNSET)
    text: Text | None | UnsetType = UNSET
    class_: Class | UnsetType = field(name="class", default=UNSET)
    send_at: Time | None | UnsetType = UNSET
    valid_for: Annotated[int, Meta(ge=1, le=MOST_VALID_S)] | None | UnsetType = UNSET
    media: Annotated[list[Url], Meta(max_length=10)] | UnsetType = UNSET
    callback_url: Url | None | UnsetType = UNSET
    smart_encoding: bool | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=20)] | UnsetType = UNSET
    metadata: Annotated[dict[Annotated[str, Meta(max_length=64)], Scalar], Meta(max_length=50)] | UnsetType = UNSET


class NewBatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Up to 10,000 messages at once. A bad one refuses itself, not the batch."""

    messages: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=10_000)]
    defaults: BatchDefaults = field(default_factory=BatchDefaults)


class Part(msgspec.Struct):
    n: int
    carrier: str
    carrier_message_id: str | None
    status: str
    error: dict[str, Any] | None
    sent_at: str | None
    done_at: str | None
