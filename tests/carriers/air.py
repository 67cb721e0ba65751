"""What a carrier's session is given in tests: it notes what comes, and can be as bad as a store on a bad day."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from columba.carriers import connect
from columba.core import status
from columba.core.contract import Air, Carrier, Inbound, Outcome, Part, Receipt, Session
from columba.store import StoreUnavailable

PATIENCE = 30.0


def now_ms() -> int:
    return int(time.time() * 1000)


def part(text: str = "hello", **other: Any) -> Part:
    """A part as the main path hands it over."""
    whole = {
        "message_id": 1,
        "n": 1,
        "of": 1,
        "ref": 0x1234,
        "to": "+447700900123",
        "sender": "+12025550100",
        "text": text,
        "encoding": 0,
        "klass": status.TRANSACTIONAL,
        "attempt": 0,
        "expires_at": 0,
        "flight": None,
    }
    return Part(**{**whole, **other})


class Ground:
    """What has come of a session: receipts, texts, outcomes, and each time it was up or down."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.texts: list[Inbound] = []
        self.outcomes: dict[int, Outcome] = {}  # by the message's id
        self.states: list[tuple[bool, str]] = []
        self.unavailable = False  # the store, for the moment
        self.hold: asyncio.Event | None = None  # what the store waits for before it is done
        self.kept = 0  # calls that the store has finished
        self._changed = asyncio.Event()

    async def _keep(self) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.unavailable:
            raise StoreUnavailable("a bad day")
        self.kept += 1

    async def _receipts(self, receipts: Sequence[Receipt]) -> None:
        await self._keep()
        self.receipts += receipts
        self._changed.set()

    async def _inbound(self, texts: Sequence[Inbound]) -> None:
        await self._keep()
        self.texts += texts
        self._changed.set()

    def _ready(self, up: bool, why: str) -> None:
        self.states.append((up, why))
        self._changed.set()

    async def _unresolved(self, _since: int) -> Sequence[object]:
        return ()

    @property
    def air(self) -> Air:
        return Air(self._receipts, self._inbound, self._ready, self._unresolved, now_ms, lambda: 0.5)

    @property
    def up(self) -> bool:
        return bool(self.states) and self.states[-1][0]

    @property
    def why(self) -> str:
        return self.states[-1][1] if self.states else ""

    def send(self, session: Session, *parts: Part) -> None:
        session.send(parts, self.done)

    def done(self, part: Part, outcome: Outcome) -> None:
        assert part.message_id not in self.outcomes, "an outcome came twice"
        self.outcomes[part.message_id] = outcome
        self._changed.set()

    async def until(self, look: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(seconds):
            while not look():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.05)
                except TimeoutError:
                    pass


def carrier(config: Any, kind: str = "smpp", window: int = 100) -> Carrier:
    return Carrier(128, 1, "test", kind, status.LIVE, config, window=window)


def session(ground: Ground, config: Any, *, kind: str = "smpp", window: int = 100) -> Session:
    return connect(carrier(config, kind, window), 0, ground.air)
