"""Following sessions: what passes over them, as it passes, for a person who looks for what is wrong.

Of a follower who is slower than the sessions the rest is left out, and counted: nobody waits for him. Fails never.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from columba.http.sse import StreamEvent
from columba.http.times import Timestamp, rfc3339
from columba.smpp.pdu import Pdu
from columba.smpp.trace import describe, fields
from columba.smpp.watch import Tap, Watch

MOST_KEPT: Final = 2_000
LOOK_S: Final = 0.5  # for sessions that are new, or gone

_encode = msgspec.json.Encoder().encode


class SmppPdu(msgspec.Struct, frozen=True):
    """A PDU that passed: the event `pdu` of a trace.

    session: which of those followed; way: `in` is from the other side to us; line: the same in one line, for people
    """

    session: str
    at: Timestamp
    way: Literal["in", "out"]
    pdu: str
    sequence: int
    fields: dict[str, Any]
    line: str


class Followed(msgspec.Struct, frozen=True):
    """Which sessions are followed from here on: the event `sessions` of a trace."""

    sessions: list[str]


class Missed(msgspec.Struct, frozen=True):
    """How many PDUs were left out, as they passed faster than they were read: the event `missed` of a trace."""

    count: int


class _Passed(NamedTuple):
    session: str
    at: int
    way: str
    pdu: Pdu
    sequence: int


class Follower:
    def __init__(self, find: Callable[[], Mapping[str, Watch]], bodies: bool, good: Callable[[], bool]) -> None:
        """`find` says which sessions there are by now; `good` whether to go on."""
        self._find = find
        self._bodies = bodies
        self._good = good
        self._passed: deque[_Passed] = deque()
        self._missed = 0
        self._news = asyncio.Event()
        self._taps: dict[str, tuple[Watch, Tap]] = {}

    async def follow(self) -> AsyncGenerator[StreamEvent, None]:
        number = 0
        self._look()
        known: list[str] | None = None
        try:
            while self._good():
                if known != sorted(self._taps):
                    known = sorted(self._taps)
                    yield StreamEvent(str(number), "sessions", _encode(Followed(known)))
                while self._passed:
                    number += 1
                    yield StreamEvent(str(number), "pdu", _encode(self._shown(self._passed.popleft())))
                if self._missed:
                    missed, self._missed = self._missed, 0
                    yield StreamEvent(str(number), "missed", _encode(Missed(missed)))
                self._news.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
                except TimeoutError:
                    self._look()
        finally:
            for watch, tap in self._taps.values():
                watch.leave(tap)

    def _look(self) -> None:
        found = self._find()
        for name, (watch, tap) in list(self._taps.items()):
            if found.get(name) is not watch:
                watch.leave(tap)
                del self._taps[name]
        for name, watch in found.items():
            if name not in self._taps:
                tap = self._tap(name)
                watch.follow(tap)
                self._taps[name] = (watch, tap)

    def _tap(self, name: str) -> Tap:
        def passed(way: str, pdu: Pdu, sequence: int) -> None:
            if len(self._passed) >= MOST_KEPT:
                self._missed += 1
            else:
                self._passed.append(_Passed(name, time.time_ns() // 1_000_000, way, pdu, sequence))
            self._news.set()

        return passed

    def _shown(self, passed: _Passed) -> SmppPdu:
        pdu, sequence = passed.pdu, passed.sequence
        return SmppPdu(
            passed.session, rfc3339(passed.at), passed.way, pdu.name, sequence,  # type: ignore[arg-type]
            fields(pdu, self._bodies), describe(pdu, sequence, self._bodies),
        )  # fmt: skip
