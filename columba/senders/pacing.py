"""The pace of senders that have one: a last look at a message before it goes to the wire.

A message that comes too soon is put off to the moment at which its sender may go on, once: that moment is kept for it.
In memory of the process that sends; where several processes have sessions of a sender's carriers, each has its share of
the pace. Never fails; what it forgets at a restart costs a moment.
"""

from collections.abc import Callable, Mapping
from typing import Final

from columba.core.contract import Outcome
from columba.core.model import Message

EARLY_MS: Final = 50  # what is so near its moment goes
BURST_MS: Final = 1_000  # what a sender that was idle may send at once is worth so much time
MOST_KEPT: Final = 200_000

Who = tuple[int, int, str]


class Pacing:
    def __init__(
        self, paces: Callable[[], Mapping[Who, float]], processes: Callable[[], int], clock: Callable[[], int]
    ) -> None:
        self._paces = paces
        self._processes = processes
        self._clock = clock
        self._next: dict[Who, float] = {}  # when each may go on
        self._moments: dict[int, float] = {}  # those of messages that were put off

    def __call__(self, message: Message) -> Outcome | None:
        paces = self._paces()
        if not paces:
            return None
        who = (message.account_id, message.mode, message.sender)
        rate = paces.get(who)
        if rate is None:
            return None
        now = self._clock()
        kept = self._moments.pop(message.id, None)
        if kept is not None and kept <= now + EARLY_MS:
            return None
        if kept is None:
            took = 1000 * message.segments * max(1, self._processes()) / rate
            kept = max(self._next.get(who, 0.0), now - min(BURST_MS, took))
            self._next[who] = kept + took
            if kept <= now + EARLY_MS:
                return None
        if len(self._moments) >= MOST_KEPT:
            self._moments.clear()
        self._moments[message.id] = kept
        return Outcome("unsent", None, "throttled", wait_ms=int(kept - now))
