"""A kind of carrier for tests of failover: providers that take texts, refuse them, hang and die as they are told.

What a provider has taken is counted, whether it came to answer for it or not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from columba.carriers import CarrierKind
from columba.core import status
from columba.core.contract import Air, Carrier, Outcome, Part, Receipt

REFUSALS = {
    "refuses": Outcome("retry", None, "carrier_failed", "SYSERR"),
    "reroutes": Outcome("reroute", None, "rejected", "NOROUTE"),
    "rejects": Outcome("failed", None, "rejected", "RINVSRCADR"),
    "no such number": Outcome("failed", None, "unknown_number", "INVDST"),
    "throttles": Outcome("throttled", None, "throttled", "THROTTLED", alone=True),
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str


class Provider:
    """One network, by its name."""

    all: dict[str, "Provider"] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.does = "takes"
        self.receipt: tuple[int, str | None] | None = (status.DELIVERED, None)
        self.taken: Counter[tuple[int, int]] = Counter()
        self.senders: list[str] = []
        self.answers_s = 0.001
        self.sessions: list[Session] = []
        self.held: list[tuple[Session, Part]] = []
        Provider.all[name] = self

    def die(self) -> None:
        """From one moment to the next: nothing more is taken, and nothing answered, what it has taken neither."""
        self.does = "is dead"
        for session in self.sessions:
            session.break_off()

    def live(self) -> None:
        self.does = "takes"
        for session in self.sessions:
            session.air.ready(True, "")

    async def tell(self, told: int, error: str | None = None) -> None:
        """Receipts for all that it holds."""
        held, self.held = self.held, []
        for session, part in held:
            await session.air.receipts([Receipt(self.id_of(part), told, error, None, session.air.clock())])

    def id_of(self, part: Part) -> str:
        return f"{self.name}-{part.message_id:x}-{part.n}"


class Session:
    def __init__(self, carrier: Carrier, _n: int, air: Air) -> None:
        self.provider = Provider.all[carrier.config.provider]
        self.air = air
        self.open: dict[tuple[int, int], tuple[Part, Callable[[Part, Outcome], None]]] = {}
        self.provider.sessions.append(self)
        self._loop = asyncio.get_running_loop()
        air.ready(self.provider.does != "is dead", "The provider is dead." if self.provider.does == "is dead" else "")

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        does = self.provider.does
        for part in parts:
            self.open[part.message_id, part.n] = (part, done)
            if does in ("takes", "hangs"):
                self.provider.taken[part.message_id, part.n] += 1
                self.provider.senders.append(part.sender)
        if does != "hangs":
            self._loop.call_later(self.provider.answers_s, self._answer, [*parts], does)

    def _answer(self, parts: list[Part], does: str) -> None:
        for part in parts:
            part, done = self.open.pop((part.message_id, part.n), (part, None))
            if done is None:
                continue
            if does != "takes":
                done(part, REFUSALS[does])
                continue
            done(part, Outcome("sent", self.provider.id_of(part)))
            if self.provider.receipt is None:
                self.provider.held.append((self, part))
            else:
                told, error = self.provider.receipt
                receipt = Receipt(self.provider.id_of(part), told, error, None, self.air.clock())
                self._loop.create_task(self._tell(receipt))

    async def _tell(self, receipt: Receipt) -> None:
        await self.air.receipts([receipt])

    def break_off(self) -> None:
        self.air.ready(False, "The provider is dead.")
        unanswered, self.open = self.open, {}
        for part, done in unanswered.values():
            done(part, Outcome("unknown", None, "no_answer"))

    async def close(self) -> None:
        if self in self.provider.sessions:
            self.provider.sessions.remove(self)
        self.break_off()


def kind() -> dict[str, Any]:
    return {"provider": KIND}


KIND = CarrierKind("provider", Config, Session, window=50)
