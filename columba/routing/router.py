"""Which carrier takes a message: the account's routes, the carriers as they are, and how they do.

`Router` is the main path's Route, and the same code says why for `explain` and where else a message may go. It works on
snapshots in memory, compiled anew when one of them has been replaced. Never fails: what no carrier takes is a Refusal.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from columba.core import status
from columba.core.contract import Carrier
from columba.core.model import Message
from columba.errors import Refusal
from columba.numbers import country_of
from columba.routing.health import DEAD, WELL, Healths
from columba.routing.routes import Route, Routes
from columba.routing.rules import Rule, Table, Way

NOBODY: Final[Collection[int]] = frozenset()
DEAREST: Final = 1 << 62  # where a price isn't known

Price = Callable[[Message, int], int | None]
"""What a part of a message costs with a carrier, in millionths; None where that is not known."""
Allowed = Callable[[Message], Collection[int] | None]
"""The carriers that may carry a message for the sake of its sender; None for all."""


class Option(NamedTuple):
    """A carrier of a message's route, and why it can't have the message; "" if it can."""

    carrier: Carrier
    weight: float
    standing: float
    price: int | None
    no: str


class Taken(NamedTuple):
    """Where a message goes. Without a route it goes to the only carrier that there is."""

    carrier: Carrier
    rule: Rule | None


class Passed(NamedTuple):
    """A route or a carrier that was looked at; `why` it doesn't take the message, "" for the one that does."""

    id: int
    name: str
    why: str
    option: Option | None = None


class _Compiled(NamedTuple):
    """An account's routes in one mode, as far as messages can go anywhere by them."""

    table: Table
    usable: Mapping[int, Carrier]
    only: Carrier | Refusal  # without any route


class Router:
    def __init__(
        self,
        carriers: Callable[[], Mapping[int, Carrier]],
        routes: Routes,
        healths: Healths,
        random: Callable[[], float],
        price: Price = lambda _message, _carrier: None,
        allowed: Allowed = lambda _message: None,
    ) -> None:
        self._carriers = carriers
        self._routes = routes
        self._healths = healths
        self._random = random
        self._price = price
        self._allowed = allowed
        self._seen: tuple[object, object] = (None, None)
        self._compiled: dict[tuple[int, int], _Compiled] = {}

    # For the main path

    def __call__(self, message: Message) -> int | Refusal:
        """The lane that takes a message."""
        taken = self.choose(message)
        return taken if isinstance(taken, Refusal) else taken.carrier.lane_of(message.to)

    def choose(self, message: Message, tried: Collection[int] = NOBODY) -> Taken | Refusal:
        """Where a message goes, now, if not to one of those that had it."""
        compiled = self._of(message.account_id, message.mode)
        table = compiled.table
        allowed = self._allowed(message)
        if not table.rules:
            only = compiled.only
            if isinstance(only, Refusal):
                return only
            if only.id in tried or (allowed is not None and only.id not in allowed):
                return _nowhere()
            return Taken(only, None)
        rule = table.first(message)
        if rule is None:
            return _nowhere()
        carrier = self._pick(rule, compiled.usable, message, allowed, tried)
        if carrier is None and not tried:  # its sender may go through none of that route's: the next one's, then
            for rule in table.matching(message):
                carrier = self._pick(rule, compiled.usable, message, allowed, tried)
                if carrier is not None:
                    break
        return _nowhere() if carrier is None else Taken(carrier, rule)

    def rule(self, message: Message) -> Rule | None:
        """The route that a message takes."""
        return self._of(message.account_id, message.mode).table.first(message)

    @property
    def seconds(self) -> bool:
        """Whether any route has a second one for what a receipt says."""
        return self._routes.seconds

    def _of(self, account_id: int, mode: int) -> _Compiled:
        carriers, routes = self._carriers(), self._routes.all
        if self._seen[0] is not carriers or self._seen[1] is not routes:
            self._seen = (carriers, routes)
            self._compiled = {}
        who = (account_id, mode)
        compiled = self._compiled.get(who)
        if compiled is None:
            compiled = self._compiled[who] = self._compile(account_id, mode, carriers)
        return compiled

    def _compile(self, account_id: int, mode: int, carriers: Mapping[int, Carrier]) -> _Compiled:
        usable = {
            carrier.id: carrier
            for carrier in carriers.values()
            if carrier.mode == mode and carrier.account_id in (None, account_id) and why_unusable(carrier) == ""
        }
        routes = self._routes.of(account_id, mode)
        enabled = [route for route in routes if route.enabled]
        table = Table(rule for route in enabled if (rule := _rule(route, usable)).ways)
        if enabled:
            return _Compiled(table, usable, Refusal("no_route", "None of the routes has a carrier that is enabled."))
        if len(usable) == 1:
            (only,) = usable.values()
            return _Compiled(table, usable, only)
        refusal = Refusal(
            "no_route",
            "Several live carriers are set up and no route chooses between them."
            if usable
            else "No live carrier is set up: add one with POST /v1/carriers, or use a test key for the sandbox.",
        )
        return _Compiled(table, usable, refusal)

    # Among a route's carriers

    def _pick(
        self,
        rule: Rule,
        usable: Mapping[int, Carrier],
        message: Message,
        allowed: Collection[int] | None,
        tried: Collection[int],
    ) -> Carrier | None:
        ways, strategy = rule.ways, rule.spec.strategy
        standing = self._healths.standing
        if strategy == "order" and allowed is None and not tried:  # mostly the first is well
            first = usable[ways[0].carrier]
            if (
                standing(first.id) >= WELL and first.state == "on" and (first.can.names or not is_name(message.sender))
            ):  # fmt: skip
                return first
        options = [
            option
            for way in ways
            if not (option := self._option(way, usable[way.carrier], strategy, message, allowed, tried)).no
        ]
        if not options:
            return None
        if len(options) == 1:
            return options[0].carrier
        if message.klass != status.OTP and not tried:
            for option in options:
                if 0.0 < option.standing < WELL and self._healths.probe(option.carrier.id):
                    return option.carrier
        well = [option for option in options if option.standing >= WELL]
        if strategy == "weight":
            return _weighted(well or options, self._random())
        if not well:
            return max(options, key=lambda option: option.standing).carrier
        if strategy == "price":
            return min(well, key=lambda option: DEAREST if option.price is None else option.price).carrier
        if strategy == "sticky":
            return max(well, key=lambda option: _affinity(message.to, option)).carrier
        return well[0].carrier

    def _option(
        self,
        way: Way,
        carrier: Carrier,
        strategy: str,
        message: Message,
        allowed: Collection[int] | None,
        tried: Collection[int],
    ) -> Option:
        no = ""
        if carrier.id in tried:
            no = "It had the message already."
        elif allowed is not None and carrier.id not in allowed:
            no = f"Its sender {message.sender} is not set up there."
        elif not carrier.can.names and is_name(message.sender):
            no = "It can't send from a name."
        price = self._price(message, carrier.id) if strategy == "price" else None
        standing = self._healths.standing(carrier.id) if carrier.state == "on" else 0.0
        return Option(carrier, way.weight, standing, price, no)

    # For explain

    def explain(self, message: Message, carrier: Carrier | None) -> tuple[list[Passed], list[Passed]]:
        """The account's routes, and the carriers of the one that the message takes to `carrier`: why each is passed over."""
        compiled = self._of(message.account_id, message.mode)
        allowed = self._allowed(message)
        country = country_of(message.to)
        routes: list[Passed] = []
        carriers: list[Passed] = []
        taken: Rule | None = None
        for route in self._routes.of(message.account_id, message.mode):
            rule = _rule(route, compiled.usable)
            why = "" if route.enabled else "It is not enabled."
            why = why or rule.why_not(message, country) or ("" if rule.ways else "None of its carriers is enabled.")
            if not why:
                options = [
                    self._option(way, compiled.usable[way.carrier], "price", message, allowed, NOBODY)
                    for way in rule.ways
                ]
                if taken is not None:
                    why = f"An earlier route, {taken.name}, takes it."
                elif all(option.no for option in options):
                    why = f"None of its carriers takes it: {options[0].no}"
                else:
                    taken = rule
                    carriers = self._explain(route, options, carrier)
            routes.append(Passed(route.id, route.name, why))
        if not compiled.table.rules:
            carriers = [
                Passed(each.id, each.name, "" if carrier is each else why_unusable(each) or "Others are enabled too.")
                for each in self._carriers().values()
                if each.mode == message.mode
                and each.account_id in (None, message.account_id)
                and each.state != "deleted"
            ]
        return routes, carriers

    def _explain(self, route: Route, options: Sequence[Option], carrier: Carrier | None) -> list[Passed]:
        known = {option.carrier.id: option for option in options}
        taken = known.get(carrier.id) if carrier is not None else None
        tried_out = taken is not None and taken.standing < WELL
        found = []
        for way in route.spec.ways:
            option = known.get(way.carrier)
            if option is None:
                there = self._carriers().get(way.carrier)
                why = "It was deleted." if there is None else why_unusable(there) or "It is not this account's."
                found.append(Passed(way.carrier, there.name if there is not None else "", why))
                continue
            why = ""
            if carrier is None or option.carrier.id != carrier.id:
                health = self._healths.of(option.carrier.id)
                later = _TRIED_OUT if tried_out else _LATER[route.spec.strategy]
                why = option.no or ("" if option.carrier.state == "on" else "It is paused.")
                why = why or (health.why if health.standing < WELL else "") or later
            found.append(Passed(option.carrier.id, option.carrier.name, why, option))
        return found

    def well(self, carrier_id: int) -> bool:
        return self._healths.standing(carrier_id) >= WELL

    def has_routes(self, carrier: Carrier) -> bool:
        """Whether routes lead to a carrier: without any there is no other way."""
        return self._routes.lead_to(carrier.id)

    def dead(self, carrier_id: int) -> bool:
        return self._healths.standing(carrier_id) <= DEAD


_LATER: Final = {
    "order": "Another is before it, and well.",
    "weight": "The draw fell on another; each has its share by weight and health.",
    "price": "Another is cheaper.",
    "sticky": "This recipient belongs to another.",
}


_TRIED_OUT: Final = "One that isn't well is tried with a message a second, and it is this one's turn."


def why_unusable(carrier: Carrier) -> str:
    """Why nothing may be routed to a carrier. One that is paused takes messages, and keeps them."""
    if carrier.state == "deleted":
        return "It was deleted."
    if carrier.state == "off":
        return "It is not enabled."
    return "" if carrier.sends else "It only receives."


def is_name(sender: str) -> bool:
    return sender != "" and sender[0] != "+" and not sender.isdigit()


def _rule(route: Route, usable: Mapping[int, Carrier]) -> Rule:
    ways = tuple(way for way in route.spec.ways if way.carrier in usable)
    return Rule(route.id, route.name, route.spec, ways)


def _nowhere() -> Refusal:
    return Refusal("no_route", "No route takes this message: POST /v1/routes/explain says why.")


def _weighted(options: Sequence[Option], draw: float) -> Carrier:
    sums = list(accumulate(option.weight * max(option.standing, 0.001) for option in options))
    return options[min(bisect_right(sums, draw * sums[-1]), len(options) - 1)].carrier


def _affinity(to: str, option: Option) -> float:
    """Rendezvous hashing: a recipient keeps their carrier while it is there, and weights are kept on average."""
    digest = hashlib.blake2b(f"{to}/{option.carrier.id}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest) + 1) / ((1 << 64) + 1)
    return float(share ** (1 / option.weight))
