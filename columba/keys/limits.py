"""How fast a key may ask, and how often an address may be wrong. In memory, bounded, never failing.

Each process counts by itself: behind a load balancer with three of them a key gets up to three times its rate. That
keeps the hot path off the store; whoever needs an exact figure for the whole sets a third of it.
"""

from collections.abc import Callable
from ipaddress import IPv6Address
from math import ceil
from typing import Final

from columba.http.dispatch import Allowance
from columba.http.endpoint import Caller, Endpoint
from columba.keys import Key

MOST_BUCKETS: Final = 10_000
MOST_ADDRESSES: Final = 10_000
FAILURES: Final = 50  # that an address has in each WINDOW
WINDOW_MS: Final = 60_000


class _Bucket:
    __slots__ = ("at", "left", "rate")

    def __init__(self, rate: int, at: int) -> None:
        self.rate = rate
        self.left = float(rate)
        self.at = at


class Limits:
    """Token buckets: a key with a rate has a second's worth of requests at once, filled up again as time goes by."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}

    def __call__(self, caller: Caller, endpoint: Endpoint | None = None) -> Allowance | None:
        """One request of a key, whatever it asks for (a batch is one). None without a limit."""
        return self.take(caller) if isinstance(caller, Key) else None

    def take(self, key: Key) -> Allowance | None:
        rate = key.settings.rate_limit
        if rate is None:
            return None
        now = self._clock()
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.rate != rate:
            bucket = self._new(key.id, rate, now)
        left = bucket.left + max(0, now - bucket.at) * rate / 1000
        bucket.left = left = min(left, float(rate))
        bucket.at = now
        if left < 1:
            return Allowance(rate, -1, _seconds((1 - left) / rate))
        bucket.left = left = left - 1
        return Allowance(rate, int(left), _seconds((rate - left) / rate))

    def _new(self, key_id: int, rate: int, now: int) -> _Bucket:
        if len(self._buckets) >= MOST_BUCKETS:  # one that nobody took from for a second is as good as new
            kept = [(an_id, each) for an_id, each in self._buckets.items() if 0 <= now - each.at < 1000]
            self._buckets = dict(kept[-MOST_BUCKETS // 2 :])
        bucket = self._buckets[key_id] = _Bucket(rate, now)
        return bucket


class Failures:
    """Who tried keys that are not good. Only those who keep failing are told to wait: a good key is never asked."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, int]] = {}  # address: when its window began, how many in it

    def wait(self, client: str) -> int:
        """Count one more; the seconds for which there is nothing more to be told, or 0."""
        if not client:
            return 0
        now = self._clock()
        who = neighbourhood(client)
        began, count = self._counts.get(who, (now, 0))
        if not 0 <= now - began < WINDOW_MS:
            began, count = now, 0
        if who not in self._counts and len(self._counts) >= MOST_ADDRESSES:
            self._forget(now)
        self._counts[who] = (began, count + 1)
        return _seconds((began + WINDOW_MS - now) / 1000) if count >= FAILURES else 0

    def _forget(self, now: int) -> None:
        """Make room: of those whose minute is not over, the newer half stays."""
        kept = [(who, each) for who, each in self._counts.items() if 0 <= now - each[0] < WINDOW_MS]
        self._counts = dict(kept[-MOST_ADDRESSES // 2 :])


def neighbourhood(client: str) -> str:
    """What stands for one client: an IPv4 address, or the /64 that an IPv6 host has to itself (RFC 4291 §2.5.4)."""
    if ":" not in client:
        return client
    try:
        address = IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.packed[:8].hex()


def _seconds(time: float) -> int:
    """Rounded up, and at least one: a wait of 0 would be asked again at once."""
    return max(1, ceil(time))
