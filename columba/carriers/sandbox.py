"""The simulated carrier: takes parts as a network does, and its last four digits choose what becomes of a message.

It goes through the same lanes, settling and receipts as a real one, and keeps no state but what is on its air: after a
restart it asks for the parts that it had taken and sends their receipts. Faults for tests are in its configuration.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta

from columba.carriers import SECRET, CarrierKind
from columba.core import status
from columba.core.contract import Air, Can, Carrier, Outcome, Part, Receipt
from columba.errors import FieldError
from columba.store import StoreUnavailable

Share = Annotated[float, Meta(ge=0, le=1)]
Ms = Annotated[int, Meta(ge=0, le=600_000)]

# What the last four digits of `to` mean for the receipt: status, error, the code a carrier would send.
RECEIPTS: dict[str, tuple[int, str | None, str | None]] = {
    "0002": (status.UNDELIVERED, "unreachable", "UNDELIV"),
    "0003": (status.EXPIRED, "expired", "EXPIRED"),
    "0009": (status.UNDELIVERED, "filtered", "SPAM"),
}
DELIVERED = (status.DELIVERED, None, None)
SLOW_MS = 30_000
THROTTLED = Outcome("throttled", None, "throttled", "THROTTLED")
THROTTLED_ALONE = Outcome("throttled", None, "throttled", "THROTTLED", alone=True)
REFUSED = {
    "0001": Outcome("failed", None, "unknown_number", "INVDST"),
    "0004": Outcome("failed", None, "opted_out", "OPTOUT"),
}
UNKNOWN = Outcome("unknown", None, "no_answer", final=True)
HANGS = Outcome("unknown", None, "no_answer")

log = structlog.get_logger()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the simulated network behaves. Shares are drawn for each part, in this order."""

    latency_ms: Annotated[Ms, Meta(description="How long the answer to a part takes.")] = 5
    receipt_ms: Annotated[Ms, Meta(description="How long after that its receipt comes.")] = 100
    hang_ms: Annotated[Ms, Meta(description="How long it takes to notice that no answer comes.")] = 2_000
    error_rate: Annotated[Share, Meta(description="The share of parts that it fails to take, for now.")] = 0.0
    hang_rate: Annotated[Share, Meta(description="The share of parts that it takes and never answers.")] = 0.0
    throttle_rate: Annotated[Share, Meta(description="The share of parts for which it has no room.")] = 0.0
    disconnect_every: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Every so many parts the session breaks; 0 for never.")
    ] = 0
    media: Annotated[bool, Meta(description="Whether it takes media; else links to them stand in texts.")] = True
    record: (
        Annotated[
            str,
            Meta(
                max_length=1000,
                extra_json_schema=SECRET,
                description="A file to which each part that it takes is written; only where the operator allows it.",
            ),
        ]
        | None
    ) = None


def recording(beside: str) -> Callable[[Config], Iterable[FieldError]]:
    """What `record` may be for those who can't reach this machine otherwise: a file beside the operator's, if any."""

    def check(config: Config) -> Iterable[FieldError]:
        if config.record and not (beside and Path(config.record).parent.resolve() == Path(beside).parent.resolve()):
            detail = (
                "Expected a file in the folder of the server's --sandbox-record." if beside else "It is not allowed."
            )
            yield FieldError("config.record", "invalid_value", detail)

    return check


class Sandbox:
    """One session with the simulated network."""

    def __init__(self, carrier: Carrier, n: int, air: Air) -> None:
        self._config: Config = carrier.config
        self._air = air
        self._loop = asyncio.get_running_loop()
        self._taken: list[tuple[Part, Callable[[Part, Outcome], None]]] = []
        self._count = 0
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._record = (
            os.open(self._config.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if self._config.record else -1
        )
        air.ready(True, "")
        self._spawn(self._resume())

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        if not self._taken:
            self._loop.call_later(self._config.latency_ms / 1000, self._answer)
        self._taken += [(part, done) for part in parts]
        if self._record >= 0:
            lines = "".join(
                f"{' '.join(map(str, (part.message_id, part.n, part.to, *part.media)))}\n" for part in parts
            )
            os.write(self._record, lines.encode())

    def _answer(self) -> None:
        taken, self._taken = self._taken, []
        if self._closed:
            return
        config = self._config
        at = self._air.clock()
        soon: list[Receipt] = []
        late: list[Receipt] = []
        faulty = config.error_rate or config.hang_rate or config.throttle_rate or config.disconnect_every
        for part, done in taken:
            outcome = self._fault() if faulty else None
            tail = part.to[-4:]
            if outcome is None and tail.startswith("000"):
                if tail in REFUSED:
                    outcome = REFUSED[tail]
                elif tail == "0007" and part.attempt < 2:
                    outcome = THROTTLED_ALONE
                elif tail == "0008":
                    outcome = UNKNOWN
            if outcome is None:
                an_id = f"{part.message_id:x}-{part.n}"
                done(part, Outcome("sent", an_id))
                if tail != "0006":
                    receipt = Receipt(an_id, *RECEIPTS.get(tail, DELIVERED), at + config.receipt_ms)
                    (late if tail == "0005" else soon).append(receipt)
            elif outcome.kind == "unknown":
                self._loop.call_later(config.hang_ms / 1000, done, part, outcome)
            else:
                done(part, outcome)
        if soon:
            self._loop.call_later(config.receipt_ms / 1000, self._emit, soon)
        if late:
            self._loop.call_later(SLOW_MS / 1000, self._emit, late)

    def _fault(self) -> Outcome | None:
        config = self._config
        self._count += 1
        if config.disconnect_every and self._count % config.disconnect_every == 0:
            self._air.ready(False, "disconnected")
            self._loop.call_later(0.2, self._air.ready, True, "")
            return HANGS
        drawn = self._air.random()
        if drawn < config.error_rate:
            return Outcome("retry", None, "carrier_failed", "SYSERR")
        if drawn < config.error_rate + config.hang_rate:
            return HANGS
        if drawn < config.error_rate + config.hang_rate + config.throttle_rate:
            return THROTTLED
        return None

    def _emit(self, receipts: list[Receipt]) -> None:
        if not self._closed:
            self._spawn(self._tell(receipts))

    async def _tell(self, receipts: list[Receipt]) -> None:
        """A network sends a receipt again until it is taken."""
        while not self._closed:
            try:
                await self._air.receipts(receipts)
                return
            except StoreUnavailable:
                await asyncio.sleep(0.3)

    async def _resume(self) -> None:
        since = 0
        while not self._closed:
            try:
                rows = await self._air.unresolved(since)
            except StoreUnavailable:
                await asyncio.sleep(0.3)
                continue
            now = self._air.clock()
            by_delay: dict[int, list[Receipt]] = {}
            for message_id, _, an_id, to, sent_at in rows:
                since = message_id
                tail = to[-4:]
                if an_id is None or tail == "0006":
                    continue
                after = SLOW_MS if tail == "0005" else self._config.receipt_ms
                receipt = Receipt(an_id, *RECEIPTS.get(tail, DELIVERED), now)
                by_delay.setdefault(max(0, sent_at + after - now) // 1000, []).append(receipt)
            for seconds, receipts in by_delay.items():
                self._loop.call_later(seconds, self._emit, receipts)
            if len(rows) < 5_000:
                return
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._closed = True
        if self._record >= 0:
            os.close(self._record)
            self._record = -1
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def can(config: Config) -> Can:
    return Can(media=config.media, raw=())


KIND = CarrierKind("sandbox", Config, Sandbox, can=can)
