"""What programs send and get: the request and answer shapes of consent."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from columba.consent.pools import written
from columba.consent.settings import Need
from columba.core import status
from columba.errors import FieldError
from columba.http.numbers import number_problems
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp
from columba.numbers import NumberError

Class = Literal["otp", "transactional", "marketing"]
CLASSES = {name: number for number, name in enumerate(status.CLASSES)}
Number = Annotated[str, Meta(max_length=64, examples=["+447700900123"])]
Sender = Annotated[str, Meta(max_length=64, examples=["+12025550100"])]
Source = Annotated[
    str, Meta(min_length=1, max_length=64, description="Where it comes from.", examples=["web form", "paper"])
]
Proof = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=1_000)] | int | float | bool | None],
    Meta(max_length=50),
]


def sender_problems(name: str | None, where: str = "sender") -> Iterable[FieldError]:
    if name:
        try:
            written(name)
        except NumberError as error:
            yield FieldError(where, "invalid_sender", error.detail)


class NewConsent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a person said about being texted.

    class: the class it is about; every class without it
    sender: your number, short code, name or pool (`pool_...`) it is about; all of them without it
    purpose: what it is for, in your words
    at: when the person said so; now, if left out
    words: what they said, or what they agreed to
    proof: what shows it: the page, the address, the file
    confirm: ask the person first (double opt-in); what the account has set, if left out
    """

    number: Number
    action: Literal["opt_in", "opt_out"]
    class_: Class | None = field(name="class", default=None)
    sender: Sender | None = None
    purpose: Annotated[str, Meta(max_length=200)] | None = None
    source: Source = "api"
    at: Moment | None = None
    words: Annotated[str, Meta(max_length=2_000)] | None = None
    proof: Annotated[str, Meta(max_length=4_000)] | Proof | None = None
    confirm: bool | None = None

    def check_number(self) -> Iterable[FieldError]:
        return number_problems("number", self.number)

    def check_sender(self) -> Iterable[FieldError]:
        return sender_problems(self.sender)

    def check_confirm(self) -> Iterable[FieldError]:
        if self.confirm and self.action == "opt_out":
            yield FieldError("confirm", "invalid_value", "An opt-out needs no confirmation.")


class Consent(msgspec.Struct, kw_only=True):
    """A row of the ledger.

    number: null once the person was erased
    action: `opt_in_requested` is an opt-in that waits for the person's yes
    class: null for every class
    sender: null for every sender
    at: when the person said so
    recorded_at: when it was written down
    message_id: the text in which they said it
    import_id: the file that it came with
    """

    id: str
    number: str | None
    action: Literal["opt_in", "opt_out", "opt_in_requested"]
    class_: Class | None = field(name="class")
    sender: str | None
    purpose: str | None
    source: str
    at: Timestamp
    recorded_at: Timestamp
    words: str | None
    language: str | None
    proof: Any
    message_id: str | None
    import_id: str | None


class Ledger(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows. number: those of one person."""

    number: Number | None = None


class Suppressions(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which suppressions. number: those of one person."""

    number: Number | None = None


class Suppression(msgspec.Struct, kw_only=True):
    """Somebody who must not be texted.

    number: null once the person was erased: what is kept then is a keyed hash
    class: null for every class
    sender: null for every sender
    since: since when
    consent_id: the row of the ledger that says so
    """

    number: str | None
    class_: Class | None = field(name="class")
    sender: str | None
    source: str | None
    since: Timestamp
    consent_id: str


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom, and what for."""

    number: Number
    class_: Class = field(name="class", default="transactional")
    sender: Sender | None = None

    def check_sender(self) -> Iterable[FieldError]:
        return sender_problems(self.sender)


class Answer(msgspec.Struct, kw_only=True):
    """Whether a message would pass.

    code: the refusal it would meet
    detail: why, and how to get on
    consent: the newest word that covers it; null where nothing was said, or it was erased
    """

    allowed: bool
    code: str | None
    detail: str
    consent: Consent | None


class WordSource(msgspec.Struct, kw_only=True):
    """Where words come from."""

    what: str
    source: str
    date: str


class WordsInForce(msgspec.Struct, kw_only=True):
    """The words of a language."""

    stop: list[str]
    start: list[str]
    weak: list[str]
    help: list[str]
    sources: list[WordSource]


class Settings(msgspec.Struct, kw_only=True):
    """What is in force, by all that was set and all that usually holds."""

    marketing: Literal["opt_in", "unless_opted_out"]
    transactional: Need
    otp: Need
    stop_scope: Literal["account", "sender", "pool"]
    double_opt_in: bool
    brand: str
    support: str
    language: str
    phrases: bool
    reply: bool
    keywords: dict[str, WordsInForce]
    replies: dict[str, dict[str, str]]


class Tried(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text that a person might write."""

    text: Annotated[str, Meta(max_length=5_000)]


class Understood(msgspec.Struct, kw_only=True):
    """What it would mean.

    meaning: `stop`, `start`, `weak` or `help`; null for a text that is no matter of consent
    reply: what the person would be answered
    """

    meaning: str | None
    language: str | None
    reply: str | None


class NewImport(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file that is to come: what its rows don't say is said here.

    name: what you call it
    at: when those without a time of their own said so
    overrule: whether an opt-in without a time counts against an opt-out that is known already
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    action: Literal["opt_in", "opt_out"] = "opt_out"
    class_: Class | None = field(name="class", default=None)
    sender: Sender | None = None
    purpose: Annotated[str, Meta(max_length=200)] | None = None
    source: Source = "import"
    at: Moment | None = None
    proof: Annotated[str, Meta(max_length=4_000)] | None = None
    overrule: bool = False

    def check_sender(self) -> Iterable[FieldError]:
        return sender_problems(self.sender)
