"""Whatever happens in whatever order: nothing is lost, nothing goes backwards, a code never goes out twice."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from columba.core import status
from columba.core.contract import Outcome, Part
from columba.core.lanes import Pace
from columba.core.model import Message
from columba.core.submission import Submission
from tests.core.rig import FAILED, RETRY, SENT, THROTTLED, UNKNOWN, UNSENT, Clock, Network, Rig, Sent, running, until

LONG = "This text is so long that it takes three parts. " * 9
PACE = Pace(lease_ms=200, tick_s=0.02, poll_s=0.05, room=6)
PERSONS = ("+447700900001", "+447700900002", "+447700900003")
OUTCOMES = (SENT, SENT, SENT, RETRY, THROTTLED, UNKNOWN, UNSENT, FAILED)
TOLD = (status.SENT, status.UNKNOWN, status.DELIVERED, status.UNDELIVERED, status.EXPIRED)


class MainPath(RuleBasedStateMachine):
    """One process after the other on one store, and a carrier that answers as it likes, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.network = Network(self.answer)
        self.lives = 0
        self.accepted: dict[int, Message] = {}
        self.seen: dict[int, int] = {}
        self.with_carrier: set[tuple[int, int]] = set()  # parts of which it has, or may have, a copy
        self.twice: list[Part] = []
        self.stack: AsyncExitStack
        self.rig: Rig
        self.run(self.start())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    async def start(self) -> None:
        self.lives += 1
        self.stack = AsyncExitStack()
        self.rig = await self.stack.enter_async_context(
            running(self.folder, self.network, self.clock, f"life {self.lives}", pace=PACE)
        )
        await until(lambda: 64 in self.rig.lanes.owned)
        await self.quiet()

    async def quiet(self) -> None:
        """All that is to be done by now is done."""
        rig = self.rig
        still = 0
        while still < 3:
            await asyncio.sleep(0.001)
            idle = all(lane.is_idle() or lane.flying for lane in rig.lanes.owned.values())
            busy = rig.store.backlog or rig.lanes._tasks or rig.lanes._looking or not idle or rig.receive._recording
            still = 0 if busy or not rig.lanes.owned else still + 1

    def answer(self, part: Part) -> None:
        key = (part.message_id, part.n)
        if part.klass == status.OTP and key in self.with_carrier:
            self.twice.append(part)
        self.with_carrier.add(key)

    @rule(
        person=st.sampled_from(PERSONS),
        klass=st.sampled_from((0, 1, 2)),
        text=st.sampled_from(("short", LONG)),
        count=st.integers(1, 8),
        valid_for=st.sampled_from((None, 3)),
        ahead=st.sampled_from((None, None, 1_500)),
    )
    def say(self, person: str, klass: int, text: str, count: int, valid_for: int | None, ahead: int | None) -> None:
        async def work() -> None:
            send_at = None if ahead is None else self.clock() + ahead
            asked = [Submission(person, text, klass=klass, valid_for=valid_for, send_at=send_at)] * count
            for each in await self.rig.say_all(asked):
                assert isinstance(each, Message)
                self.accepted[each.id] = each
            await self.quiet()

        self.run(work())

    def give(self, sent: Sent, outcome: Outcome) -> None:
        if outcome in (RETRY, THROTTLED, UNSENT, FAILED):
            self.with_carrier.discard((sent.part.message_id, sent.part.n))
        self.network.give(sent, outcome)

    @precondition(lambda self: self.network.waiting)
    @rule(which=st.integers(0, 50), count=st.integers(1, 5), outcome=st.sampled_from(OUTCOMES))
    def carrier_answers(self, which: int, count: int, outcome: Outcome) -> None:
        async def work() -> None:
            for n in range(count):
                if self.network.waiting:
                    self.give(self.network.waiting[(which + n) % len(self.network.waiting)], outcome)
            await self.quiet()

        self.run(work())

    @precondition(lambda self: self.network.sent)
    @rule(which=st.integers(0, 200), told=st.sampled_from(TOLD), early=st.booleans())
    def carrier_tells(self, which: int, told: int, early: bool) -> None:
        async def work() -> None:
            sent = self.network.sent[-1 - which % len(self.network.sent)]
            if early or sent not in self.network.waiting:
                await self.network.tell(sent.carrier_id, told)
            await self.quiet()

        self.run(work())

    @rule(ms=st.sampled_from((50, 300, 2_000, 5_000, 60_000)))
    def time_passes(self, ms: int) -> None:
        async def work() -> None:
            self.clock.forward(ms)
            for lane in self.rig.lanes.owned.values():
                lane.poke()
            await self.quiet()
            await self.rig.sending.expire()
            await self.quiet()

        self.run(work())

    @rule()
    def crash(self) -> None:
        async def work() -> None:
            self.rig.crash()
            await self.stack.aclose()
            for sent in list(self.network.waiting):
                self.network.waiting.remove(sent)
            await self.start()

        self.run(work())

    @rule()
    def restart(self) -> None:
        """In order: what is on the wire comes back first."""

        async def work() -> None:
            for sent in list(self.network.waiting):
                self.give(sent, SENT)
            await self.quiet()
            await self.rig.stop()
            self.rig.crashed = True
            await self.stack.aclose()
            await self.start()

        self.run(work())

    @invariant()
    def promises_are_kept(self) -> None:
        async def work() -> None:
            rows = await self.rig.look("messages")
            assert {row[0] for row in rows} == set(self.accepted), "a message was lost"
            for an_id, now in [(int(row[0]), int(row[1])) for row in rows]:
                was: int = self.seen.get(an_id, now)
                assert was == now or status.may_become(was, now), f"{was} became {now}"
                self.seen[an_id] = now
            events = [(row[0], row[1]) for row in await self.rig.look("events")]
            assert max(Counter(events).values(), default=1) == 1, "an event twice"
            finals = Counter(subject for subject, kind in events if status.is_final(kind))
            assert max(finals.values(), default=1) == 1, "two final events"
            assert {an_id for an_id, now in self.seen.items() if status.is_final(now)} == set(finals)
            assert not self.twice, "a code went out twice"

        self.run(work())

    def teardown(self) -> None:
        async def all_answered() -> None:
            for _ in range(60):
                self.network.answer = lambda part: self.answer(part) or SENT  # type: ignore[func-returns-value]
                for sent in list(self.network.waiting):
                    self.give(sent, SENT)
                await self.quiet()
                statuses = {row[1] for row in await self.rig.look("messages")}
                if not statuses & {status.SCHEDULED, status.QUEUED}:
                    break
                self.clock.forward(20_000)
                for lane in self.rig.lanes.owned.values():
                    lane.poke()
            else:
                raise AssertionError("a message never left")
            for sent in self.network.sent:
                await self.network.tell(sent.carrier_id, status.DELIVERED)
            await self.quiet()
            ends = {row[1] for row in await self.rig.look("messages")}
            assert all(status.is_final(each) or each == status.UNKNOWN for each in ends), ends
            assert not self.twice
            await self.stack.aclose()

        try:
            self.run(all_answered())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)


TestMainPath = MainPath.TestCase
TestMainPath.settings = settings(
    max_examples=4,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
