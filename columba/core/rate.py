"""How fast a lane may go: at most as fast as it was asked, and no faster than the other side turned out to take.

Owns two numbers a lane: jobs a second, and the jobs that may go at this moment. When the other side refuses some for
being too many, the lane stands still until the refusals have come in, goes on with what was really taken in that second,
and feels its way up: very fast as long as nothing is known, fast while it is well below what was refused, hardly at all
near it, faster again once that is behind it. So it settles just below the limit, and finds it again when it moves.
Pure: the time comes in, in seconds. Never fails.
"""

from collections import deque
from math import inf
from typing import Final

STILL_S: Final = 1.0  # the first time, when nothing is known: carriers count by the second
SHORT_S: Final = 0.3  # later
STILL_MOST_S: Final = 10.0  # at most, when nothing at all is taken
LEAST: Final = 0.5
_FIRST, _FAR, _NEAR, _BEYOND = 0.7, 0.1, 0.003, 0.02  # how much each job that was taken adds to the rate
_GONE: Final = 20  # times what was refused once: there is no such limit any more
_SAMPLE_S: Final = 0.05


class Rate:
    __slots__ = (
        "_ceiling",
        "_empty",
        "_filled_at",
        "_refused_at",
        "_samples",
        "_tokens",
        "_total",
        "asked",
        "found",
        "until",
    )

    def __init__(self, asked: float | None, now: float) -> None:
        self.asked = asked
        self.found: float | None = None  # what the other side takes, once it has refused something
        self.until = 0.0  # nothing goes before
        self._ceiling = 0.0  # the rate at which it last refused something
        self._refused_at: float | None = None
        self._empty = 0  # how often nothing at all was taken
        self._tokens = 1.0
        self._filled_at = now
        self._total = 0
        self._samples: deque[tuple[float, int]] = deque(((now, 0),))  # how much had been taken, and when

    @property
    def limit(self) -> float | None:
        """Jobs a second at present; None for as many as there is room for."""
        if self.found is None or self.asked is None:
            return self.asked if self.found is None else self.found
        return min(self.asked, self.found)

    def room(self, now: float) -> int | None:
        """How many may go now; None for as many as there is other room for."""
        if now < self.until:
            return 0
        if self._refused_at is not None:
            self._slow_down(self._refused_at, now)
            if now < self.until:
                return 0
        limit = self.limit
        if limit is None:
            return None
        self._tokens = min(max(1.0, limit / 20), self._tokens + (now - self._filled_at) * limit)
        self._filled_at = now
        return max(0, int(self._tokens))

    def spend(self, count: int) -> None:
        """So many go."""
        if self.limit is not None:
            self._tokens -= count

    def next_at(self, now: float) -> float:
        """When the next may go."""
        limit = self.limit
        if now < self.until or limit is None:
            return self.until
        return now + max(0.001, (1.0 - self._tokens) / limit)

    def taken(self, count: int, now: float) -> None:
        """The other side had room for so many."""
        self._total += count
        if now >= self._samples[-1][0] + _SAMPLE_S:
            self._samples.append((now, self._total - count))
            while len(self._samples) > 2 and self._samples[1][0] <= now - 1.0 - STILL_S:
                self._samples.popleft()
        if self.found is None:
            return
        if self._ceiling == inf:
            step = _FIRST
        elif self.found < 0.9 * self._ceiling:
            step = _FAR
        else:
            step = _NEAR if self.found < self._ceiling else _BEYOND
        self.found += step * count
        if (self.asked is not None and self.found >= self.asked) or self.found > _GONE * max(1.0, self._ceiling):
            self.found = None

    def refused(self, now: float) -> None:
        """The other side has no room for some. What went out before it said so may be refused too: that is waited for."""
        still = STILL_S if self.found is None else SHORT_S
        if self._refused_at is None:
            self._refused_at = now
        self.until = max(self.until, min(now + still, self._refused_at + STILL_MOST_S))

    def _slow_down(self, refused_at: float, now: float) -> None:
        taken = float(self._total - self._total_at(refused_at - 1.0))
        was = self.found
        if taken:
            self._empty = 0
            self._ceiling = inf if was is None else was
            self.found = max(LEAST, 0.9 * taken if was is None else min(max(0.9 * taken, 0.5 * was), 0.95 * was))
        else:  # one at a time is tried, until one is taken
            self._empty = min(self._empty + 1, 8)
            self._ceiling = inf
            self.found = LEAST
            self.until = now + min(STILL_MOST_S, SHORT_S * 2**self._empty)
        self._refused_at = None
        self._tokens = min(self._tokens, 1.0)
        self._filled_at = max(now, self.until)

    def _total_at(self, moment: float) -> int:
        total = self._samples[0][1]
        for sampled_at, so_far in self._samples:
            if sampled_at > moment:
                break
            total = so_far
        return total
