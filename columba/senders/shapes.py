"""What is asked of senders, pools and countries' rules, and answered about them."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.errors import FieldError
from columba.http.times import Timestamp
from columba.numbers import COUNTRIES, NumberError, sender
from columba.senders.spec import Capability, Kind, Names, Registration

MOST_LISTED = 250

Value = Annotated[
    str, Meta(min_length=1, max_length=64, description="A number, a short code or a name.", examples=["+12025550100"])
]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", examples=["GB"])]
CarrierId = Annotated[
    str, Meta(max_length=100, description="A carrier's id, or its name.", examples=["car_0ajk7w2kn0400"])
]
SenderId = Annotated[str, Meta(max_length=64, examples=["snd_0ajk7w2kn0410"])]
Countries = Annotated[list[Country], Meta(max_length=MOST_LISTED)]
DefaultFor = Annotated[list[Annotated[str, Meta(pattern=r"^([A-Z]{2}|\*)$")]], Meta(max_length=MOST_LISTED)]
Carriers = Annotated[list[CarrierId], Meta(max_length=50)]
Capabilities = Annotated[list[Capability], Meta(min_length=1, max_length=2)]
Description = Annotated[str, Meta(max_length=1_000)]
Rate = Annotated[float, Meta(gt=0, le=100_000, description="Parts a second from this sender.")]
PoolName = Annotated[str, Meta(min_length=1, max_length=100)]


def _known(countries: object, field: str) -> Iterable[FieldError]:
    if isinstance(countries, list):
        for place, country in enumerate(countries):
            if country != "*" and country not in COUNTRIES:
                yield FieldError(f"{field}[{place}]", "invalid_value", f"There is no country {country} with numbers.")


class NewSender(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A sender to be registered.

    capabilities: what it can send
    countries: those that it may send to; all that allow it, if none are named
    carriers: those that it is set up at; all, if none are named. Its messages take no other
    default_for: countries (or `*`) for which messages that name no sender come from it
    registration: what authorities and networks know of it
    rate: its pace; by its 10DLC campaign's class, else as fast as its carrier goes, if it is left out
    """

    sender: Value
    capabilities: Capabilities = msgspec.field(default_factory=lambda: ["sms"])
    countries: Countries = []
    carriers: Carriers = []
    default_for: DefaultFor = []
    registration: Registration = msgspec.field(default_factory=Registration)
    rate: Rate | None = None
    description: Description = ""
    enabled: bool = True

    def check_sender(self) -> Iterable[FieldError]:
        try:
            sender(self.sender)
        except NumberError as error:
            yield FieldError("sender", "invalid_sender", error.detail)

    def check_countries(self) -> Iterable[FieldError]:
        yield from _known(self.countries, "countries")
        yield from _known(self.default_for, "default_for")


class SenderChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays. Lists and `registration` are replaced whole."""

    capabilities: Capabilities | UnsetType = UNSET
    countries: Countries | UnsetType = UNSET
    carriers: Carriers | UnsetType = UNSET
    default_for: DefaultFor | UnsetType = UNSET
    registration: Registration | UnsetType = UNSET
    rate: Rate | None | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET

    def check_countries(self) -> Iterable[FieldError]:
        yield from _known(self.countries, "countries")
        yield from _known(self.default_for, "default_for")


class SenderView(msgspec.Struct, kw_only=True):
    """What messages may come from.

    rate: parts a second; null for as fast as its carrier goes
    """

    id: str
    sender: str
    kind: Kind
    mode: Literal["test", "live"]
    enabled: bool
    capabilities: list[Capability]
    countries: list[str]
    carriers: list[str]
    default_for: list[str]
    registration: Registration
    rate: float | None
    description: str
    created_at: Timestamp
    updated_at: Timestamp


class NewPool(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Senders that messages may come from in turn: `"from": "pool_..."`.

    sticky: a recipient always hears from the same one, while it is there
    local: from numbers of the recipient's area or country, where there are any
    """

    name: PoolName
    senders: Annotated[list[SenderId], Meta(min_length=1, max_length=1_000)]
    sticky: bool = True
    local: bool = True


class PoolChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays."""

    name: PoolName | UnsetType = UNSET
    senders: Annotated[list[SenderId], Meta(min_length=1, max_length=1_000)] | UnsetType = UNSET
    sticky: bool | UnsetType = UNSET
    local: bool | UnsetType = UNSET


class PoolView(msgspec.Struct, kw_only=True):
    """A pool of senders."""

    id: str
    name: str
    mode: Literal["test", "live"]
    senders: list[str]
    sticky: bool
    local: bool
    created_at: Timestamp
    updated_at: Timestamp


class CountryRule(msgspec.Struct, kw_only=True):
    """What a country says of names as senders; numbers and short codes are for its networks to judge.

    names: `allowed`; `registered`: those alone that are registered there; `refused`
    source: who says so
    date: when that was looked up
    own: whether you have set it; else it came with Columba
    """

    country: str
    names: Names
    source: str
    date: str
    own: bool


class CountryRules(msgspec.Struct):
    data: list[CountryRule]


class NewRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule of your own for a country, in place of the one that Columba comes with."""

    names: Names
    source: Annotated[str, Meta(min_length=1, max_length=500)]
    date: Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-11-20"])]
