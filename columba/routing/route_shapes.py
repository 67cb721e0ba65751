"""What is asked of routes and answered about them."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core import ids
from columba.errors import FieldError
from columba.http.times import Timestamp
from columba.messages.shapes import CLASSES, Class, Encoding
from columba.numbers import COUNTRIES, NumberError, sender
from columba.routing import rules
from columba.routing.rules import Range, Strategy
from columba.spend.money import Amount, Currency

MOST_LISTED = 1_000  # values of one condition
MOST_CARRIERS = 50

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", examples=["GB"])]
Prefix = Annotated[str, Meta(pattern=r"^\+?[1-9][0-9]{0,14}$", examples=["+4477"])]
Value = Annotated[str, Meta(min_length=1, max_length=64)]
CarrierId = Annotated[
    str, Meta(max_length=100, description="A carrier's id, or its name.", examples=["car_0ajk7w2kn0400"])
]
Position = Annotated[int, Meta(ge=1, le=100_000, description="Its place among the routes, from 1.")]
Weight = Annotated[float, Meta(gt=0, le=1_000_000)]


class Conditions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a message must be like: all of these, and of each list one. Without any it is every message.

    country: of the recipient, ISO 3166-1 alpha-2
    prefix: what the recipient's number begins with, calling code first
    sender: numbers, short codes or names that the message comes from
    tag: the message has one of them
    length: characters of its text
    segments: parts that it takes
    """

    country: Annotated[list[Country], Meta(max_length=MOST_LISTED)] = []
    prefix: Annotated[list[Prefix], Meta(max_length=MOST_LISTED)] = []
    sender: Annotated[list[Value], Meta(max_length=MOST_LISTED)] = []
    class_: Annotated[list[Class], Meta(max_length=3)] = field(name="class", default=[])
    account: Annotated[list[Value], Meta(max_length=MOST_LISTED)] = []
    tag: Annotated[list[Value], Meta(max_length=MOST_LISTED)] = []
    length: Range | None = None
    segments: Range | None = None

    def check_country(self) -> Iterable[FieldError]:
        for place, country in enumerate(self.country):
            if country not in COUNTRIES:
                yield FieldError(f"country[{place}]", "invalid_value", f"There is no country {country} with numbers.")

    def check_sender(self) -> Iterable[FieldError]:
        for place, each in enumerate(self.sender):
            try:
                sender(each)
            except NumberError as error:
                yield FieldError(f"sender[{place}]", "invalid_sender", error.detail)

    def check_account(self) -> Iterable[FieldError]:
        for place, each in enumerate(self.account):
            if ids.read("acc", each) is None:
                yield FieldError(f"account[{place}]", "invalid_value", "Expected the id of an account (acc_...).")

    def check_ranges(self) -> Iterable[FieldError]:
        for name, each in (("length", self.length), ("segments", self.segments)):
            if each is not None and each.max is not None and each.max < each.min:
                yield FieldError(f"{name}.max", "out_of_range", "Expected at least `min`.")

    def read(self) -> rules.When:
        return rules.When(
            tuple(self.country),
            tuple("+" + each.lstrip("+") for each in self.prefix),
            tuple(sender(each).value for each in self.sender),
            tuple(CLASSES[each] for each in self.class_),
            tuple(an_id for each in self.account if (an_id := ids.read("acc", each)) is not None),
            tuple(self.tag),
            self.length,
            self.segments,
        )


def conditions(when: rules.When) -> Conditions:
    names: list[Class] = ["otp", "transactional", "marketing"]
    return Conditions(
        country=list(when.country),
        prefix=list(when.prefix),
        sender=list(when.sender),
        class_=[names[each] for each in when.klass],
        account=[ids.show("acc", each) for each in when.account],
        tag=list(when.tag),
        length=when.length,
        segments=when.segments,
    )


class RouteCarrier(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A carrier of a route.

    weight: its share, for the strategies `weight` and `sticky`
    """

    carrier: CarrierId
    weight: Weight = 1.0


class RouteFailover(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """When a message goes on to another carrier of the route.

    submit: at once, when a carrier can't take it or is down; never when it may have been sent already
    on: also after a carrier has taken it. `undelivered`: its receipt says that it did not arrive. `no_receipt`: none has
      come `after` so many seconds, which risks a second copy; codes are left alone
    max_cost: what all tries may cost together; a carrier without a known price is then left out
    """

    submit: bool = True
    on: Annotated[list[Literal["undelivered", "no_receipt"]], Meta(max_length=2)] = []
    after: Annotated[int, Meta(ge=5, le=86_400)] | None = None
    max_cost: Amount | None = None

    def check_after(self) -> Iterable[FieldError]:
        if "no_receipt" in self.on and self.after is None:
            yield FieldError("after", "required", "`no_receipt` needs to know how many seconds to wait.")


class NewRoute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A route to be added.

    strategy: `order`: the first carrier that is well. `weight`: each has its share. `price`: the cheapest that is well,
      by your price table. `sticky`: a recipient keeps their carrier
    position: the last, if it is left out; those from there on move down
    """

    name: Name
    carriers: Annotated[list[RouteCarrier], Meta(min_length=1, max_length=MOST_CARRIERS)]
    when: Conditions = field(default_factory=Conditions)
    strategy: Strategy = "order"
    position: Position | None = None
    failover: RouteFailover = field(default_factory=RouteFailover)
    enabled: bool = True


class RouteChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays. `when`, `carriers` and `failover` are replaced whole."""

    name: Name | UnsetType = UNSET
    carriers: Annotated[list[RouteCarrier], Meta(min_length=1, max_length=MOST_CARRIERS)] | UnsetType = UNSET
    when: Conditions | UnsetType = UNSET
    strategy: Strategy | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    failover: RouteFailover | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RouteView(msgspec.Struct, kw_only=True):
    """Which carriers take which messages. The first route by position that is for a message takes it.

    position: its place, from 1
    """

    id: str
    name: str
    mode: Literal["test", "live"]
    position: int
    enabled: bool
    when: Conditions
    carriers: list[RouteCarrier]
    strategy: Strategy
    failover: RouteFailover
    created_at: Timestamp
    updated_at: Timestamp


# -- Explaining


class Explained(msgspec.Struct):
    """A route that was looked at.

    taken: whether the message goes by it
    why: why not
    """

    id: str
    name: str
    position: int
    taken: bool
    why: str


class ExplainedCarrier(msgspec.Struct):
    """A carrier of the route that the message takes.

    health: 1 for one without a flaw, 0 for one that is down; null where it was not looked at
    price: of the whole message, where it is known
    why: why it is not this one
    """

    id: str
    name: str
    taken: bool
    health: float | None
    price: Amount | None
    why: str


class RouteName(msgspec.Struct):
    id: str
    name: str


class Refused(msgspec.Struct):
    """Why the message would not be accepted."""

    code: str
    detail: str


class Explanation(msgspec.Struct, kw_only=True):
    """What would become of a message.

    route: null where it takes none: it is refused, or there are none and only one carrier
    from: what it would come from; null for whatever the carrier has
    price: what it would cost, where that is known
    refused: why it would not be accepted; what only the store can tell (opt-outs, the balance) is not looked at
    routes: all of them, in their order
    carriers: those of the route
    """

    route: RouteName | None
    carrier: RouteName | None
    to: str
    from_: str | None = field(name="from")
    country: str
    encoding: Encoding
    segments: int
    price: Amount | None
    currency: Currency | None
    refused: Refused | None
    routes: list[Explained]
    carriers: list[ExplainedCarrier]
