"""How fast a key may ask and how often an address may be wrong, at any hour and with the clock set back."""

import msgspec
import pytest

from columba.keys import Settings, limits
from columba.keys.limits import Failures, Limits, neighbourhood
from tests.keys.house import START, Clock, House


@pytest.mark.parametrize(
    ("rate", "asked_at", "remaining"),
    [
        (2, [0, 0, 0], [1, 0, -1]),
        (2, [0, 0, 499, 500], [1, 0, -1, 0]),  # half a second a request
        (2, [0, 0, 0, 0, 500, 500], [1, 0, -1, -1, 0, -1]),  # what is refused costs nothing
        (2, [0, 0, 10_000, 10_000, 10_000], [1, 0, 1, 0, -1]),  # never more than a second's worth
        (1, [0, 999, 1000], [0, -1, 0]),
        (5, [0, 0, -50_000, -49_800], [4, 3, 2, 2]),  # the clock is set back
        (1000, [0, 1, 2], [999, 999, 999]),
    ],
)
async def test_a_rate(small: House, clock: Clock, rate: int, asked_at: list[int], remaining: list[int]) -> None:
    key = (await small.make(rate_limit=rate)).key
    seen = []
    for at in asked_at:
        clock.now = START + at
        allowance = small.limits.take(key)
        assert allowance is not None
        assert allowance.limit == rate
        assert allowance.reset >= 1
        seen.append(allowance.remaining)
    assert seen == remaining


async def test_without_a_rate_there_is_no_limit(small: House) -> None:
    made = await small.make()
    assert [small.limits.take(made.key) for _ in range(1000)] == [None] * 1000


async def test_keys_have_budgets_of_their_own_and_a_new_rate_holds_at_once(small: House) -> None:
    one, other = (await small.make(rate_limit=1)).key, (await small.make(rate_limit=1)).key
    seen = [small.limits.take(key) for key in (one, other, one)]
    assert [allowance and allowance.remaining for allowance in seen] == [0, 0, -1]
    faster = small.limits.take(msgspec.structs.replace(one, settings=Settings(10)))
    assert faster is not None
    assert faster.remaining == 9


async def test_buckets_are_bounded(small: House, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 10)
    key = (await small.make(rate_limit=1)).key
    counted = Limits(clock)
    for number in range(100):
        counted.take(msgspec.structs.replace(key, id=number))
        assert len(counted._buckets) <= 10
    refused = counted.take(msgspec.structs.replace(key, id=99))  # the newest stay
    assert refused is not None
    assert refused.remaining == -1


async def test_the_api_says_what_is_left_and_when_to_go_on(small: House, clock: Clock) -> None:
    made = await small.make(rate_limit=1)
    first = await small.ask("GET", "/v1/keys", key=made)
    assert first.status == 200
    assert {name: value for name, value in first.headers.items() if name.startswith("ratelimit")} == {
        "ratelimit-limit": "1",
        "ratelimit-remaining": "0",
        "ratelimit-reset": "1",
    }
    second = await small.ask("GET", "/v1/keys", key=made)
    assert (second.status, second.json["code"], second.headers["retry-after"]) == (429, "rate_limited", "1")
    clock.now += 1000
    assert (await small.ask("GET", "/v1/keys", key=made)).status == 200


@pytest.mark.parametrize(
    ("client", "who"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "20010db800010002"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "20010db800010002"),
        ("2001:db8:1:3::1", "20010db800010003"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("no:address", "no:address"),
        ("testclient", "testclient"),
    ],
)
def test_who_counts_as_one_client(client: str, who: str) -> None:
    assert neighbourhood(client) == who


@pytest.mark.parametrize(
    ("failed_at", "waits"),
    [
        ([0] * 50, 0),
        ([0] * 51, 60),
        ([0] * 50 + [59_001], 1),
        ([0] * 50 + [30_000], 30),
        ([0] * 50 + [60_000], 0),
        ([0] * 50 + [-1], 0),  # the clock is set back
        ([0] * 60 + [60_000] * 50, 0),
        ([0] * 60 + [60_000] * 51, 60),
    ],
)
def test_failures(clock: Clock, failed_at: list[int], waits: int) -> None:
    failures = Failures(clock)
    for at in failed_at:
        clock.now = START + at
        wait = failures.wait("203.0.113.7")
    assert wait == waits


def test_addresses_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ADDRESSES", 100)
    failures = Failures(clock)
    for number in range(1_000):
        failures.wait(f"203.0.{number // 256}.{number % 256}")
        assert len(failures._counts) <= 100


def test_who_has_no_address_is_never_told_to_wait(clock: Clock) -> None:
    failures = Failures(clock)
    assert {failures.wait("") for _ in range(100)} == {0}
