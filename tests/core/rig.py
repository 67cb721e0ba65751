"""The main path of one process over a store, with a clock that stands still and a network that does as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from columba.core import rate, status
from columba.core.accept import Accept, StoreGate
from columba.core.contract import Air, Carrier, Outcome, Part, Receipt
from columba.core.events import Publisher
from columba.core.ids import Ids
from columba.core.inbound import Follower
from columba.core.lanes import Lanes, Pace, join
from columba.core.model import Message
from columba.core.receive import Receive
from columba.core.sending import Look, Sending
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.store import (
    Plan,
    Results,
    Row,
    Statement,
    Step,
    Store,
    StoreUnavailable,
    Value,
    open_store,
    plan,
    statements,
)
from tests import tables
from tests.route import router

LOOK = statements(Path(__file__).with_name("look.sql"))
NORTH = Carrier(64, None, "north", "stand-in", status.LIVE, {})
SENT = Outcome("sent")
RETRY = Outcome("retry", None, "carrier_failed", "SYSERR")
THROTTLED = Outcome("throttled", None, "throttled", "THROTTLED")
FAILED = Outcome("failed", None, "unknown_number", "INVDST")
UNKNOWN = Outcome("unknown", None, "no_answer")
UNSENT = Outcome("unsent")
QUICK = Pace(tick_s=0.05, poll_s=0.1)
SHORT = Pace(lease_ms=2_000, tick_s=0.05, poll_s=0.1)


# A lane that was throttled stands still for moments here, not for seconds. How long it should: see test_rate.py.
MOMENTS = {"STILL_S": 0.02, "SHORT_S": 0.01, "STILL_MOST_S": 0.05, "LEAST": 100.0}


class Clock:
    """Milliseconds that pass when told."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def forward(self, ms: int) -> None:
        self.now += ms


class Sent(NamedTuple):
    """A part that was put on the wire."""

    part: Part
    done: Callable[[Part, Outcome], None]
    session: "Session"

    @property
    def carrier_id(self) -> str:
        return f"{self.part.message_id}-{self.part.n}"


class Network:
    """What all sessions lead to: keeps every part in the order in which it came, and answers."""

    def __init__(self, answer: Callable[[Part], Outcome | None] = lambda _part: SENT) -> None:
        self.answer = answer
        self.sent: list[Sent] = []
        self.waiting: list[Sent] = []
        self.sessions: list[Session] = []

    def connect(self, carrier: Carrier, n: int, air: Air) -> "Session":
        session = Session(self, carrier, n, air)
        self.sessions.append(session)
        air.ready(True, "")
        return session

    def took(self, sent: Sent) -> None:
        self.sent.append(sent)
        outcome = self.answer(sent.part)
        if outcome is None:
            self.waiting.append(sent)
        else:
            asyncio.get_running_loop().call_soon(self.give, sent, outcome)

    def give(self, sent: Sent, outcome: Outcome) -> None:
        """The answer to a part, if its session is still there to hear it."""
        if sent in self.waiting:
            self.waiting.remove(sent)
        if outcome.kind == "sent" and outcome.id is None:
            outcome = Outcome("sent", sent.carrier_id)
        if not sent.session.closed:
            sent.done(sent.part, outcome)

    def give_all(self, outcome: Outcome = SENT) -> None:
        for sent in list(self.waiting):
            self.give(sent, outcome)

    async def tell(
        self, carrier_id: str, told: int, error: str | None = None, session: "Session | None" = None
    ) -> None:
        """A receipt."""
        session = session or next(each for each in reversed(self.sessions) if not each.closed)
        await session.air.receipts([Receipt(carrier_id, told, error, None, 1_800_000_000_500)])

    def to(self, number: str | None = None) -> list[str]:
        """The texts that went out, in their order."""
        return [each.part.text for each in self.sent if number is None or each.part.to == number]

    @property
    def ids(self) -> list[int]:
        return [each.part.message_id for each in self.sent]


class Session:
    def __init__(self, network: Network, carrier: Carrier, n: int, air: Air) -> None:
        self.network, self.carrier, self.n, self.air = network, carrier, n, air
        self.closed = False

    def send(self, parts: Sequence[Part], done: Callable[[Part, Outcome], None]) -> None:
        assert not self.closed
        for part in parts:
            self.network.took(Sent(part, done, self))

    async def close(self) -> None:
        self.closed = True
        self.network.waiting = [each for each in self.network.waiting if each.session is not self]


class Door:
    """A store that can be away for its process: what it is asked for fails, until it is back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.before_commit: Callable[[], None] = lambda: None

    def commit(self, a_plan: Plan, *, apart: bool = False) -> Awaitable[Results]:
        self.before_commit()
        if self.away:
            failed: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
            failed.set_exception(StoreUnavailable("away"))
            return failed
        return self._store.commit(a_plan, apart=apart)

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        if self.away:
            raise StoreUnavailable("away")
        return await self._store.read(statement, rows, **params)

    def ring(self, topic: str) -> None:
        if not self.away:
            self._store.ring(topic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Kept(NamedTuple):
    """A message as the store has it."""

    id: int
    status: int
    attempts: int
    due_at: int
    error: str | None
    carrier_code: str | None
    segments: int
    lane: int
    account_id: int


class Rig:
    """One process."""

    def __init__(self, store: Door, network: Network, clock: Clock, token: str) -> None:
        self.store, self.network, self.clock, self.token = store, network, clock, token
        self.carriers: dict[int, Carrier] = {NORTH.id: NORTH}
        self.lanes: Lanes
        self.sending: Sending
        self.receive: Receive
        self.accept: Accept
        self.publisher = Publisher()
        self.crashed = False

    async def start(
        self,
        pace: Pace = QUICK,
        random: Callable[[], float] = lambda: 0.5,
        store_gates: Sequence[StoreGate] = (),
        followers: Sequence[Follower] = (),
        looks: Sequence[Look] = (),
    ) -> None:
        store, clock = self.store, self.clock
        self.ids = Ids(await join(store, self.token), clock)
        self.receive = Receive(store, self.ids, clock, self.publisher, followers)
        self.sending = Sending(
            store, self.ids, clock, random, lambda: self.carriers, self.network.connect, self.receive, self.publisher,
            looks=looks,
        )  # fmt: skip
        self.lanes = Lanes(store, (self.sending,), self.ids.node, self.token, clock, self.ids.renumber, pace)
        self.sending.lanes_of = self.lanes
        self.accept = Accept(
            store, self.ids, clock, self.lanes, self.publisher, router(lambda: self.carriers), store_gates=store_gates
        )
        self.store.on_bell(self.lanes.heard)
        await self.commit("insert_account", [(1,), (2,), (3,)])
        await self.lanes.start()

    async def stop(self) -> None:
        await self.lanes.stop(5.0)
        await self.sending.stop()

    def crash(self) -> None:
        """Gone from one moment to the next: nothing is released, closed or settled."""
        self.crashed = True
        for session in self.sessions:
            session.closed = True
        for lane in self.lanes.owned.values():
            lane.gone = True
        self.freeze()
        for task in self.lanes._tasks:
            task.cancel()

    def freeze(self) -> None:
        """Stopped, but not dead: it renews nothing, and what comes back to it is only seen later."""
        assert self.lanes._ticking is not None
        self.lanes._ticking.cancel()
        self.lanes._ticking = None

    def wake(self) -> None:
        """Continued."""
        self.lanes._ticking = asyncio.create_task(self.lanes._run())

    @property
    def sessions(self) -> list[Session]:
        """Those that are open here."""
        return [each for each in self.network.sessions if each in self.sending._sessions.values()]

    # Doing

    async def commit(self, name: str, rows: Iterable[Row]) -> None:
        await self.store.commit(plan(Step(LOOK[name], list(rows))))

    async def say(self, to: str = "+447700900123", text: str = "hello", account: int = 1, **how: Any) -> Message:
        (message,) = await self.say_all([Submission(to, text, **how)], account)
        assert isinstance(message, Message), message
        return message

    async def say_all(self, asked: Sequence[Submission], account: int = 1, **how: Any) -> list[Message | Refusal]:
        return await self.accept(Caller(account, status.LIVE), asked, **how)

    async def past(self, *to: str) -> None:
        """All that could go out by now has: something to another person, accepted last, was sent."""
        for number in to or ("+447700909999",):
            seen = len(self.network.to(number))
            await self.say(number, "mark")
            await until(lambda number=number, seen=seen: len(self.network.to(number)) > seen)  # type: ignore[misc]

    async def passes(self, true: Callable[[], bool], ms: int = 1) -> None:
        """Time passes, by so much now and then, until something comes true."""

        def later() -> bool:
            self.clock.forward(ms)
            return true()

        await until(later)

    # Looking

    async def look(self, name: str) -> list[Row]:
        found: list[Row] = await self.store._store.read(LOOK[name])
        return found

    async def message(self, message: Message) -> Kept:
        (found,) = [row for row in await self.look("messages") if row[0] == message.id]
        return Kept(*found)

    async def statuses(self) -> dict[int, str]:
        return {row[0]: status.NAMES[row[1]] for row in await self.look("messages")}

    async def status(self, message: Message) -> str:
        return (await self.statuses())[message.id]

    async def events(self, message: Message) -> list[str]:
        return [status.NAMES[row[1]] for row in await self.look("events") if row[0] == message.id]

    async def reaches(self, message: Message, name: str) -> None:
        async def there() -> bool:
            return await self.status(message) == name

        await until(there)

    async def tried(self, message: Message, attempts: int) -> Kept:
        """The message once it has been tried so often, in vain."""

        async def there() -> bool:
            return (await self.message(message)).attempts == attempts

        await until(there)
        return await self.message(message)


async def until(true: Callable[[], bool | Awaitable[bool]], patience: float = 30.0) -> None:
    """Wait for something to come true. What has to be asked for is asked less and less often: that is work, too."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience, 0.005
    while True:
        found = true()
        if isinstance(found, Awaitable):
            found = await found
            pause = min(0.05, pause * 1.1)
        if found:
            return
        assert loop.time() < deadline, "it did not come true in time"
        await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def running(
    place: Path | str,
    network: Network,
    clock: Clock,
    token: str = "one",
    carriers: Iterable[Carrier] = (NORTH,),
    **how: Any,
) -> AsyncIterator[Rig]:
    tables.lay(place)
    store = Door(await open_store(place))
    rig = Rig(store, network, clock, token)
    rig.carriers = {carrier.id: carrier for carrier in carriers}
    try:
        with mock.patch.multiple(rate, **MOMENTS):  # type: ignore[call-overload]
            await rig.start(**how)
            yield rig
        if not rig.crashed:
            network.answer = lambda _part: SENT
            network.give_all()
            await rig.stop()
    finally:
        await store.close()
