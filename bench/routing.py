"""What routing a message costs: without routes, and among a thousand; with registered senders and a price table.

    python -m bench.routing [--messages 20000]

Numbers, senders and classes are all different, so what is remembered of earlier messages helps as little as it can in
the figures called "new"; "known" are those of numbers that have been met before.
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from columba.core import status
from columba.core.contract import Carrier
from columba.core.model import NO_EXTRA, Extra, Message
from columba.routing.router import Router
from columba.routing.routes import Route
from columba.routing.rules import Range, Spec, Way, When

if TYPE_CHECKING:
    from bench.__main__ import Figure

COUNTRIES = {"GB": "+4477", "FR": "+336", "DE": "+4915", "US": "+1202", "IN": "+9198", "BR": "+5511"}
CARRIERS = {n * 64: Carrier(n * 64, 1, f"carrier {n}", "sandbox", status.LIVE, {}) for n in range(1, 11)}


class Snapshot:
    """Routes as `Routes` has them."""

    seconds = False

    def __init__(self, specs: list[Spec]) -> None:
        self.all: Mapping[int, Route] = {
            n: Route(n, 1, status.LIVE, f"route {n}", n, True, spec, 1, 0, 0) for n, spec in enumerate(specs, 1)
        }
        self._list = list(self.all.values())

    def of(self, _account_id: int, _mode: int) -> list[Route]:
        return self._list


class Well:
    """Healths of carriers that have no flaw."""

    def standing(self, _carrier_id: int) -> float:
        return 1.0

    def probe(self, _carrier_id: int) -> bool:
        return False


def thousand(draw: random.Random) -> list[Spec]:
    """Routes as a large installation has them: mostly by prefix, others by country, sender, tag, class and length."""
    specs = []
    strategies: list[Any] = ["order", "weight", "price", "sticky"]
    for n in range(999):
        ways = tuple(Way(an_id, 1.0 + n % 3) for an_id in draw.sample(list(CARRIERS), 3))
        begins = draw.choice(list(COUNTRIES.values()))
        when = draw.choice(
            [
                When(prefix=(f"{begins}{draw.randrange(10_000)}",)),
                When(prefix=(f"{begins}{draw.randrange(1_000)}",), klass=(draw.randrange(3),)),
                When(sender=(f"+1202555{n:04d}",)),
                When(country=(draw.choice(list(COUNTRIES)),), tag=(f"tag {n}",)),
                When(country=(draw.choice(list(COUNTRIES)),), klass=(0,), segments=Range(3, 4)),
                When(tag=(f"tag {n}",), length=Range(10, 40)),
            ]
        )
        specs.append(Spec(ways, when, strategies[n % 4]))
    specs.append(Spec(tuple(Way(an_id) for an_id in CARRIERS)))
    return specs


def message(draw: random.Random) -> Message:
    to = f"{draw.choice(list(COUNTRIES.values()))}{draw.randrange(10**7):07d}"
    extra = Extra(tags=[f"tag {draw.randrange(2_000)}"]) if draw.random() < 0.2 else NO_EXTRA
    return Message(
        1, 1, status.LIVE, 0, draw.randrange(3), 0, to, f"+1202555{draw.randrange(3_000):04d}", "Your code is 1234", 0, 1,
        status.QUEUED, 0, 0, 0, extra=extra,
    )  # fmt: skip


def cost(route: Callable[[Message], object], messages: list[Message]) -> float:
    """Microseconds a message."""
    started = time.perf_counter()
    for each in messages:
        route(each)
    return (time.perf_counter() - started) / len(messages) * 1e6


def router(specs: list[Spec], carriers: Mapping[int, Carrier] = CARRIERS) -> Router:
    prices = {an_id: an_id * 100 for an_id in carriers}
    return Router(
        lambda: carriers, Snapshot(specs), Well(), random.Random(1).random, lambda _m, an_id: prices[an_id],  # type: ignore[arg-type]
    )  # fmt: skip


def measure(count: int = 20_000) -> dict[str, tuple[float, float]]:
    """By what there is: microseconds a message, for new ones and for those that have been met."""
    draw = random.Random(7)
    messages = [message(draw) for _ in range(count)]
    empty = cost(lambda _message: None, messages)
    routers = {
        "no route, one carrier": router([], {64: CARRIERS[64]}),
        "one route for all": router([Spec((Way(64), Way(128)))]),
        "1,000 routes": router(thousand(draw)),
    }
    return {name: (cost(each, messages) - empty, cost(each, messages) - empty) for name, each in routers.items()}


def bench_routing() -> "list[Figure]":
    """The promised figures."""
    from bench.__main__ import Figure
    from bench.failover import die_under_load

    new, known = measure()["1,000 routes"]
    moved = die_under_load()
    note = f"{moved.second:,} of {moved.accepted:,}"
    return [
        Figure("routing a message among 1,000 routes", new, "us", new, 20, True, f"{known:.1f} for one met before"),
        Figure("until a dead provider's traffic has moved", moved.seconds, "s", moved.seconds, 5, True, note),
        Figure("lost or sent twice for it", moved.lost + moved.twice, "messages", moved.lost + moved.twice, 0, True),
    ]


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--messages", type=int, default=20_000)
    for name, (new, known) in measure(reader.parse_args().messages).items():
        print(f"{name:24} new {new:6.2f} us   known {known:6.2f} us")


if __name__ == "__main__":
    main()
