"""A lane finds out how much the other side takes, and stays just below it."""

import heapq
from collections.abc import Callable
from typing import NamedTuple

import pytest

from columba.core.rate import Rate

Carrier = Callable[[float], bool]  # whether it takes one at that moment


def by_bucket(limit: Callable[[float], float]) -> Carrier:
    """So many a second, evenly, a tenth of a second's worth at once."""
    tokens, at = limit(0) / 10, 0.0

    def takes(now: float) -> bool:
        nonlocal tokens, at
        tokens, at = min(max(1.0, limit(now) / 10), tokens + (now - at) * limit(now)), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return takes


def by_second(limit: Callable[[float], float]) -> Carrier:
    """So many in each second of its clock."""
    second, count = -1, 0

    def takes(now: float) -> bool:
        nonlocal second, count
        if int(now) != second:
            second, count = int(now), 0
        count += 1
        return count <= limit(now)

    return takes


class Told(NamedTuple):
    taken: float  # a second
    refused: float  # the share


def drive(
    rate: Rate, carrier: Carrier, seconds: float, *, window: int = 100, latency: float = 0.02, measured: float = 20.0
) -> Told:
    """A lane that always has work, for so long; what came of the last seconds of it."""
    now, flying, taken, refused = 0.0, 0, 0, 0
    answers: list[tuple[float, int, bool]] = []
    n = 0
    while now < seconds:
        while answers and answers[0][0] <= now:
            _, _, took = heapq.heappop(answers)
            flying -= 1
            if took:
                rate.taken(1, now)
            else:
                rate.refused(now)
            if now > seconds - measured:
                taken += took
                refused += not took
        room = rate.room(now)
        count = window - flying if room is None else min(window - flying, room)
        for _ in range(count):
            n += 1
            heapq.heappush(answers, (now + latency, n, carrier(now + latency / 2)))
        flying += count
        rate.spend(count)
        then = [now + 0.001]
        if flying >= window or not count:
            then = [rate.next_at(now)] if rate.limit is not None or now < rate.until else []
            then += [answers[0][0]] if answers else []
        now = max(now + 0.0005, min(then, default=now + 0.001))
    return Told(taken / measured, refused / max(1, taken + refused))


@pytest.mark.parametrize("carrier", [by_bucket, by_second])
@pytest.mark.parametrize("limit", [2, 20, 200, 2_000])
@pytest.mark.parametrize("latency", [0.002, 0.2])
@pytest.mark.parametrize("asked", [None, 100_000.0])
def test_it_settles_below_the_limit_and_near_it(
    carrier: Callable[[Callable[[float], float]], Carrier], limit: int, latency: float, asked: float | None
) -> None:
    rate = Rate(asked, 0.0)
    told = drive(rate, carrier(lambda _: limit), 60.0 if limit < 1000 else 40.0, window=2_000, latency=latency)
    assert told.taken >= 0.75 * limit
    assert told.refused <= max(0.03, 0.12 / limit)


def test_it_goes_as_fast_as_it_was_asked_and_no_faster() -> None:
    rate = Rate(50.0, 0.0)
    told = drive(rate, lambda _: True, 10.0, measured=5.0)
    assert told.taken == pytest.approx(50, rel=0.02)
    assert told.refused == 0
    assert rate.found is None


def test_without_a_limit_only_the_window_holds_it() -> None:
    rate = Rate(None, 0.0)
    assert rate.room(1.0) is None
    assert drive(rate, lambda _: True, 2.0, window=10, latency=0.01, measured=1.0).taken > 900


def test_a_limit_that_falls_is_followed() -> None:
    told = drive(Rate(None, 0.0), by_bucket(lambda now: 500 if now < 30 else 50), 60.0, window=500)
    assert 35 <= told.taken <= 51
    assert told.refused < 0.05


def test_a_limit_that_rises_is_found() -> None:
    told = drive(Rate(None, 0.0), by_bucket(lambda now: 50 if now < 20 else 500), 240.0, window=500)
    assert told.taken > 350


def test_a_carrier_that_takes_nothing_for_a_while_is_not_hammered() -> None:
    tries: list[float] = []

    def closed(now: float) -> bool:
        tries.append(now)
        return now > 10

    rate = Rate(None, 0.0)
    told = drive(rate, closed, 60.0, window=50)
    assert sum(10 >= now > 1 for now in tries) < 20
    assert told.taken > 5  # and when it does again, it is gone back to


def test_a_lane_that_is_asked_to_be_slower_is() -> None:
    rate = Rate(100.0, 0.0)
    rate.asked = 10.0
    assert drive(rate, lambda _: True, 10.0, measured=5.0).taken == pytest.approx(10, abs=0.5)
