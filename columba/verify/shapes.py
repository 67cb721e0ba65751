"""What programs send and get about verifications, and what accounts set for them."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from columba.errors import FieldError
from columba.http.numbers import number_problems
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp
from columba.numbers import COUNTRIES, NumberError, sender
from columba.spend import money
from columba.templates.params import Values
from columba.verify.codes import Alphabet

Status = Literal["pending", "approved", "expired", "canceled"]
Number = Annotated[
    str,
    Meta(max_length=64, description="E.164, or national with the default country.", examples=["+447700900123"]),
]
Length = Annotated[int, Meta(ge=4, le=10)]
Expiry = Annotated[int, Meta(ge=30, le=86_400, description="Seconds.")]
Sender = Annotated[str, Meta(max_length=64)]
Brand = Annotated[str, Meta(max_length=32)]
Template = Annotated[str, Meta(min_length=1, max_length=64)]
Language = Annotated[str, Meta(min_length=2, max_length=16, examples=["en", "pt-BR"])]
Domain = Annotated[str, Meta(max_length=253, examples=["example.com"])]
Country = Annotated[str, Meta(min_length=2, max_length=2, examples=["GB"])]
Kind = Literal["number", "prefix", "country", "network", "address", "device"]
Pace = Annotated[int, Meta(ge=0, le=1_000_000, description="Sends in 10 minutes; 0 for any number.")]
Spare = Annotated[int, Meta(ge=0, le=1_000_000)]
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.I)


def sender_problems(name: str | None) -> Iterable[FieldError]:
    if name:
        try:
            sender(name)
        except NumberError as error:
            yield FieldError("from", "invalid_sender", error.detail)


def domain_problems(name: str | None) -> Iterable[FieldError]:
    if name and not _DOMAIN.fullmatch(name):
        yield FieldError("domain", "invalid_value", "Expected a domain such as example.com.")


class NewVerification(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A code for a number. What is not said here, the settings say.

    expires_in: seconds for which the code is good
    template: one with a parameter `code`; it may have `brand` and `minutes` too
    params: values of the template's other parameters
    domain: the site whose pages phones may fill the code in on
    address: of whoever asks for the code at your end, for the guard
    device: what tells their device from others, for the guard
    metadata: what you want back with it; never sent
    """

    to: Number
    length: Length | None = None
    alphabet: Alphabet | None = None
    expires_in: Expiry | None = None
    template: Template | None = None
    params: Values = {}
    language: Language | None = None
    brand: Brand | None = None
    from_: Sender | None = field(name="from", default=None)
    domain: Domain | None = None
    address: Annotated[str, Meta(max_length=64, examples=["203.0.113.7"])] | None = None
    device: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    metadata: Annotated[dict[str, Any], Meta(max_length=50)] = {}

    def check_to(self) -> Iterable[FieldError]:
        return number_problems("to", self.to)

    def check_from(self) -> Iterable[FieldError]:
        return sender_problems(self.from_)

    def check_domain(self) -> Iterable[FieldError]:
        return domain_problems(self.domain)

    def check_address(self) -> Iterable[FieldError]:
        if self.address is not None:
            try:
                ipaddress.ip_address(self.address)
            except ValueError:
                yield FieldError("address", "invalid_value", "Expected an IP address.")

    def check_metadata(self) -> Iterable[FieldError]:
        if len(msgspec.json.encode(self.metadata)) > 4_000:
            yield FieldError("metadata", "too_long", "Expected at most 4,000 bytes of JSON.")

    def check_params(self) -> Iterable[FieldError]:
        if "code" in self.params:
            yield FieldError("params.code", "invalid_value", "The code is made here.")


class Check(msgspec.Struct, forbid_unknown_fields=True):
    """What a person entered. Case, spaces and dashes make no difference."""

    code: Annotated[str, Meta(min_length=1, max_length=64, examples=["123456"])]


class CheckByNumber(msgspec.Struct, forbid_unknown_fields=True):
    """What a person entered, for the code that was last sent to their number."""

    to: Number
    code: Annotated[str, Meta(min_length=1, max_length=64, examples=["123456"])]


class Checked(msgspec.Struct):
    """Whether the code was right. It is so once.

    id: null where nothing is to be told about the number
    """

    id: str | None
    status: Status
    valid: bool


class Verification(msgspec.Struct, kw_only=True):
    """A code that was sent to a number.

    checks_left: how often something may still be entered
    sends_left: how often it may still be sent
    message_id: the message that it was last sent with
    """

    id: str
    status: Status
    to: str
    length: int
    alphabet: Alphabet
    template: str | None
    language: str | None
    from_: str | None = field(name="from")
    domain: str | None
    checks: int
    checks_left: int
    sends: int
    sends_left: int
    message_id: str | None
    metadata: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp
    sent_at: Timestamp
    expires_at: Timestamp


class Verifications(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which verifications.

    created_after: at or after this time
    created_before: before this time
    """

    to: Annotated[str, Meta(max_length=64)] | None = None
    status: Status | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


# Settings


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom an entry of a list is about.

    value: a number, the beginning of numbers, a country, a network's name, an address or network (CIDR), a device
    """

    kind: Kind
    value: Annotated[str, Meta(min_length=1, max_length=200)]

    def check_value(self) -> Iterable[FieldError]:
        wrong = ""
        if self.kind in ("number", "prefix") and not re.fullmatch(r"\+[0-9]{1,15}", self.value):
            wrong = "Expected + and digits."
        elif self.kind == "country" and self.value not in COUNTRIES:
            wrong = "Expected a country's two letters, such as GB."
        elif self.kind == "address":
            try:
                ipaddress.ip_network(self.value, strict=False)
            except ValueError:
                wrong = "Expected an IP address or network."
        if wrong:
            yield FieldError("value", "invalid_value", wrong)


class Guard(msgspec.Struct, frozen=True):
    """How the sending of codes is kept from those who profit by it.

    number_sends: sends to one number in 10 minutes
    address_sends: sends that one address asks for in 10 minutes
    device_sends: sends that one device asks for in 10 minutes
    country_sends: sends to one country in 10 minutes
    network_sends: sends to the numbers of one network in 10 minutes
    daily_sends: sends in a day, altogether; 0 for any number
    daily_spend: what codes may cost in a day, in the currency of the price table; those without a price are not counted
    spare: codes that numbers with a common beginning may leave unentered beyond those that they enter, before they are
      blocked for an hour; 0 never blocks
    country_spare: the same for all numbers of a country
    """

    number_sends: Pace = 5
    address_sends: Pace = 30
    device_sends: Pace = 10
    country_sends: Pace = 0
    network_sends: Pace = 0
    daily_sends: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    daily_spend: money.Amount | None = None
    spare: Spare = 44
    country_spare: Spare = 1_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for verifications that don't say otherwise, and the guard.

    checks: how often something may be entered for one code
    sends: how often one code may be sent
    second_carrier_after: seconds without a receipt after which the same code goes over another carrier; 0 never
    countries: where codes may be sent; left out, it is the default country for live keys and all for test keys
    allow: whom the guard lets pass, but for the limits of single numbers
    deny: to whom and for whom no code is sent
    """

    brand: Brand = ""
    length: Length = 6
    alphabet: Alphabet = "digits"
    expires_in: Expiry = 600
    checks: Annotated[int, Meta(ge=1, le=20)] = 5
    sends: Annotated[int, Meta(ge=1, le=20)] = 5
    template: Template | None = None
    language: Language | None = None
    from_: Sender | None = field(name="from", default=None)
    domain: Domain | None = None
    second_carrier_after: Annotated[int, Meta(ge=0, le=600)] = 30
    countries: Annotated[list[Country], Meta(max_length=300)] | None = None
    guard: Guard = Guard()
    allow: Annotated[list[Listed], Meta(max_length=1_000)] = []
    deny: Annotated[list[Listed], Meta(max_length=1_000)] = []

    def check_from(self) -> Iterable[FieldError]:
        return sender_problems(self.from_)

    def check_domain(self) -> Iterable[FieldError]:
        return domain_problems(self.domain)

    def check_countries(self) -> Iterable[FieldError]:
        for n, country in enumerate(self.countries or ()):
            if country not in COUNTRIES:
                yield FieldError(f"countries[{n}]", "invalid_value", "Expected a country's two letters, such as GB.")


class Block(msgspec.Struct):
    """What the guard blocks.

    id: what to name to end it
    unentered: codes that were sent and not entered
    """

    id: str
    kind: Kind
    value: str
    sent: int
    unentered: int
    until: Timestamp
