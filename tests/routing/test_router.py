"""Among the carriers of a route: in order, by weight, by price, by recipient; those that are well, and may."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from columba.core import status
from columba.core.contract import Can, Carrier
from columba.core.model import Message
from columba.errors import Refusal
from columba.routing.health import FINE, Health
from columba.routing.router import Router, Taken
from columba.routing.routes import Route
from columba.routing.rules import Spec, Way, When
from tests.routing.test_rules import message

A, B, C, TEST, OFF = 64, 128, 192, 256, 320
CARRIERS = {
    A: Carrier(A, 1, "A", "x", status.LIVE, {}),
    B: Carrier(B, 1, "B", "x", status.LIVE, {}, can=Can(names=False)),
    C: Carrier(C, None, "C", "x", status.LIVE, {}, lanes=4),
    TEST: Carrier(TEST, None, "test", "x", status.TEST, {}),
    OFF: Carrier(OFF, 1, "off", "x", status.LIVE, {}, state="off"),
}


class House:
    """A Router over routes, healths and prices that are set by hand."""

    seconds = False

    def __init__(self, *specs: Spec, carriers: dict[int, Carrier] | None = None, enabled: bool = True) -> None:
        self.all = {n: Route(n, 1, 1, f"route {n}", n, enabled, spec, 1, 0, 0) for n, spec in enumerate(specs, 1)}
        self.healths: dict[int, Health] = {}
        self.draw = 0.0
        self.prices: dict[int, int] = {}
        self.allowed: tuple[int, ...] | None = None
        self.probed: list[int] = []
        self.may_probe = False
        self.router = Router(
            lambda: CARRIERS if carriers is None else carriers, self, self, lambda: self.draw,  # type: ignore[arg-type]
            lambda _message, an_id: self.prices.get(an_id), lambda _message: self.allowed,
        )  # fmt: skip

    def of(self, account_id: int, mode: int = -1) -> Any:
        if mode == -1:  # a carrier's health
            return self.healths.get(account_id, FINE)
        return tuple(self.all.values()) if (account_id, mode) == (1, status.LIVE) else ()

    def standing(self, carrier_id: int) -> float:
        return self.healths.get(carrier_id, FINE).standing

    def probe(self, carrier_id: int) -> bool:
        self.probed.append(carrier_id)
        return self.may_probe

    def set(self, **standings: float) -> None:
        self.healths = {globals()[name]: Health(value, "It does badly.") for name, value in standings.items()}

    def takes(self, each: Message | None = None, tried: Sequence[int] = ()) -> str:
        taken = self.router.choose(each or message(), tried)
        assert isinstance(taken, Taken), taken
        return taken.carrier.name


def ways(*an_ids: int) -> tuple[Way, ...]:
    return tuple(Way(an_id) for an_id in an_ids)


def test_in_order_the_first_that_is_well() -> None:
    house = House(Spec(ways(OFF, A, C)))
    assert house.takes() == "A"
    house.set(A=0.4)
    assert house.takes() == "C"
    house.set(A=0.4, C=0.0)
    assert house.takes() == "A"  # the best of the bad
    house.set(A=0.0, C=0.0)
    assert house.takes() == "A"


def test_one_that_is_not_well_is_tried_with_few_messages_and_no_code() -> None:
    house = House(Spec(ways(A, C)))
    house.set(A=0.3)
    house.may_probe = True
    assert house.takes() == "A"
    assert house.takes(message(klass="otp")) == "C"
    house.set(A=0.0)  # it is down: that is seen without a message
    assert house.takes() == "C"


def test_by_weight_and_health() -> None:
    house = House(Spec((Way(A, 3.0), Way(C, 1.0)), strategy="weight"))
    counts: Counter[str] = Counter()
    for n in range(100):
        house.draw = n / 100
        counts[house.takes()] += 1
    assert counts == {"A": 75, "C": 25}
    house.set(A=0.6)
    house.draw = 0.7
    assert house.takes() == "C"
    house.set(A=0.3)
    house.draw = 0.0
    assert house.takes() == "C"


def test_the_cheapest_that_is_well() -> None:
    house = House(Spec(ways(OFF, A, C), strategy="price"))
    house.prices = {C: 10, OFF: 1}
    assert house.takes() == "C"  # what costs nobody knows how much comes last
    house.prices[A] = 9
    assert house.takes() == "A"
    house.set(A=0.1)
    assert house.takes() == "C"


def test_a_recipient_keeps_their_carrier_and_the_others_theirs_when_one_is_gone() -> None:
    house = House(Spec((Way(A, 1.0), Way(C, 1.0), Way(B, 2.0)), strategy="sticky"))
    numbers = [f"+4477009{n:05}" for n in range(400)]
    before = {to: house.takes(message(to)) for to in numbers}
    assert before == {to: house.takes(message(to)) for to in numbers}
    counts = Counter(before.values())
    assert counts["A"] == pytest.approx(100, abs=40)
    assert counts["B"] == pytest.approx(200, abs=40)
    house.set(C=0.0)
    after = {to: house.takes(message(to)) for to in numbers}
    assert all(after[to] == name for to, name in before.items() if name != "C")
    assert "C" not in after.values()


def test_who_may_not_is_passed_over() -> None:
    house = House(Spec(ways(B, A)))
    assert house.takes(message(sender="Columba")) == "A"  # B takes no names
    assert house.takes(message(sender="+12025550100")) == "B"
    assert house.takes(message(sender="12345")) == "B"
    house.allowed = (A,)
    assert house.takes() == "A"
    house.allowed = (C,)
    assert isinstance(house.router(message()), Refusal)
    house = House(Spec(ways(B), When(country=("GB",))), Spec(ways(A)))
    house.allowed = (A,)
    assert house.takes() == "A"  # the next route has one that may


def test_those_that_had_it_do_not_get_it_again() -> None:
    house = House(Spec(ways(A, B, C)))
    assert house.takes(tried=[A]) == "B"
    assert house.takes(tried=[A, B]) == "C"
    assert isinstance(house.router.choose(message(), [A, B, C]), Refusal)


def test_without_routes_the_only_carrier() -> None:
    only = {A: CARRIERS[A], OFF: CARRIERS[OFF], TEST: CARRIERS[TEST]}
    assert House(carriers=only).takes() == "A"
    assert House(Spec(ways(C)), carriers=only, enabled=False).takes() == "A"
    for house in (House(), House(carriers={}), House(Spec(ways(OFF)), carriers=only)):
        refusal = house.router(message())
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no_route"


def test_no_route_leads_a_test_key_to_a_live_carrier() -> None:
    house = House(Spec(ways(A, C)))
    tested = message()
    tested.mode = status.TEST
    assert house.takes(tested) == "test"
    house.all[1] = Route(1, 1, status.LIVE, "x", 1, True, Spec(ways(TEST)), 1, 0, 0)
    assert isinstance(house.router(message()), Refusal)  # nor the other way round


def test_a_recipients_messages_take_one_lane() -> None:
    house = House(Spec(ways(C)))
    lanes = {house.router(message(f"+4477009{n:05}")) for n in range(100)}
    assert lanes == {C, C + 1, C + 2, C + 3}
    assert len({house.router(message()) for _ in range(9)}) == 1


def test_explain_tells_of_each_route_and_each_carrier_why_it_is_not_the_one() -> None:
    house = House(
        Spec(ways(A), When(country=("FR",))),
        Spec(ways(OFF)),
        Spec((Way(B), Way(OFF), Way(A), Way(C)), When(prefix=("+44",))),
        Spec(ways(A)),
    )
    house.set(A=0.2)
    text = message(sender="Columba")
    taken = house.router.choose(text)
    assert isinstance(taken, Taken)
    routes, carriers = house.router.explain(text, taken.carrier)
    assert [(each.id, each.why) for each in routes] == [
        (1, "The number is of GB, not of FR."),
        (2, "None of its carriers is enabled."),
        (3, ""),
        (4, "An earlier route, route 3, takes it."),
    ]
    assert [(each.name, each.why) for each in carriers] == [
        ("B", "It can't send from a name."),
        ("off", "It is not enabled."),
        ("A", "It does badly."),
        ("C", ""),
    ]


def test_one_that_is_paused_is_passed_over_while_another_is_there() -> None:
    carriers = {A: msgspec.structs.replace(CARRIERS[A], state="paused"), C: CARRIERS[C]}
    house = House(Spec(ways(A, C)), carriers=carriers)
    assert house.takes() == "C"
    _, passed = house.router.explain(message(), CARRIERS[C])
    assert [each.why for each in passed] == ["It is paused.", ""]
    alone = House(Spec(ways(A)), carriers=carriers)
    assert alone.takes() == "A"  # and keeps it until it is resumed
