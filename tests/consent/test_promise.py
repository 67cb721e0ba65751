"""Whatever people say, whatever is sent and however time goes: nothing leaves to who has opted out, or at a quiet hour.

What may be is told by a model that knows no more than what was said and what a clock on the wall shows. The network
notes, for each part that it is handed, what the model says at that moment.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from columba.consent import EVERY_CLASS, OPT_IN, OPT_OUT
from columba.consent.ledger import Said
from columba.core import status
from columba.core.contract import Outcome, Part
from columba.core.model import Message
from columba.core.submission import Submission
from columba.errors import Refusal
from tests.consent.house import OURS, House, living
from tests.core.rig import SENT, Clock, Network, until

# People by the beginning of their numbers, and when they may be sent offers by the clock on their wall.
PLACES: dict[str, tuple[str, Callable[[datetime], bool]]] = {
    "+1202555": ("America/New_York", lambda at: 8 <= at.hour < 21),
    "+1305555": ("America/New_York", lambda at: 8 <= at.hour < 20),
    "+1214555": ("America/Chicago", lambda at: (12 if at.weekday() == 6 else 9) <= at.hour < 21),
    "+1808555": ("Pacific/Honolulu", lambda at: 8 <= at.hour < 21),
    "+44770090": ("Europe/London", lambda at: True),
}
CLASSES = st.sampled_from([status.OTP, status.TRANSACTIONAL, status.MARKETING])
PEOPLE = st.integers(0, len(PLACES) - 1)
SCOPES = st.sampled_from([EVERY_CLASS, EVERY_CLASS, status.MARKETING, status.TRANSACTIONAL])


class Model:
    """What was said by whom, the newest last."""

    def __init__(self) -> None:
        self.said: dict[str, list[tuple[int, int]]] = {}
        self.asked: dict[str, int] = {}

    def may(self, number: str, klass: int) -> bool:
        covering = [action for scope, action in self.said.get(number, ()) if scope in (EVERY_CLASS, klass)]
        if klass == status.MARKETING:
            return bool(covering) and covering[-1] == OPT_IN
        return not covering or covering[-1] == OPT_IN

    def out(self, number: str, klass: int) -> bool:
        covering = [action for scope, action in self.said.get(number, ()) if scope in (EVERY_CLASS, klass)]
        return bool(covering) and covering[-1] == OPT_OUT


def awake(number: str, klass: int, at: int) -> bool:
    if klass != status.MARKETING:
        return True
    zone, allowed = next(place for prefix, place in PLACES.items() if number.startswith(prefix))
    return allowed(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)))


class World:
    """One house for all examples, each with an account and people of its own."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.clock, self.network = Clock(), Network()
        self.house: House = self.runner.run(
            self.stack.enter_async_context(living(Path(self.folder.name), self.network, self.clock))
        )
        # What was stopped is ended when a step says so, not at once: until then the last look alone keeps it.
        self.house.consent.stopping._spawn = lambda: None  # type: ignore[method-assign]
        self.examples = 0

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    try:
        yield world
    finally:
        world.close()


class Promise(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        world = self.world
        world.examples += 1
        self.house, self.clock = world.house, world.clock
        self.account = 1_000 + world.examples
        self.people = [
            prefix + f"{world.examples:0{(13 if prefix.startswith('+44') else 12) - len(prefix)}d}" for prefix in PLACES
        ]
        self.model = Model()
        self.wrong: list[str] = []
        self.paused = False
        self.accepted: list[Message] = []
        self.replies = 0
        world.network.answer = self.answer
        self.run(self.house.commit("insert_account", [(self.account,)]))
        for person in range(len(PLACES)):
            self.record(person, EVERY_CLASS, OPT_IN)

    def run(self, work: Any) -> Any:
        return self.world.runner.run(work)

    def answer(self, part: Part) -> Outcome:
        if part.to in self.people and part.text.startswith("text"):
            if self.model.out(part.to, part.klass):
                self.wrong.append(f"{part.text} to {part.to} after an opt-out")
            if not awake(part.to, part.klass, self.clock()):
                self.wrong.append(f"{part.text} to {part.to} at {datetime.fromtimestamp(self.clock() / 1000, UTC)}")
        elif part.to in self.people:
            self.replies += 1
        return SENT

    def say(self, number: str, scope: int, action: int) -> None:
        self.model.said.setdefault(number, []).append((scope, action))

    @rule(person=PEOPLE, klass=CLASSES, later=st.sampled_from([0, 0, 0, 30, 600, 1_500]), count=st.integers(1, 3))
    def send(self, person: int, klass: int, later: int, count: int) -> None:
        number = self.people[person]
        asked = [
            Submission(
                number, f"text {klass}", OURS, klass, self.clock() + later * 60_000 if later else None, 14 * 86_400
            )
            for _ in range(count)
        ]
        outcomes = self.run(self.house.say_all(asked, self.account))
        for outcome in outcomes:
            assert isinstance(outcome, Refusal) is not self.model.may(number, klass), outcome
            if isinstance(outcome, Message):
                self.accepted.append(outcome)

    @rule(person=PEOPLE, text=st.sampled_from(["STOP", "stop please!", "Arrêt", "please stop texting me"]))
    def stop(self, person: int, text: str) -> None:
        self.clock.forward(1)
        self.run(self.house.hears(text, self.people[person], account=self.account))
        self.say(self.people[person], EVERY_CLASS, OPT_OUT)

    @rule(person=PEOPLE)
    def start(self, person: int) -> None:
        self.clock.forward(1)
        self.run(self.house.hears("START", self.people[person], account=self.account))
        self.say(self.people[person], EVERY_CLASS, OPT_IN)

    @rule(person=PEOPLE)
    def yes(self, person: int) -> None:
        self.clock.forward(1)
        number = self.people[person]
        self.run(self.house.hears("yes", number, account=self.account))
        covering = [action for scope, action in self.model.said.get(number, ()) if scope == EVERY_CLASS]
        if covering and covering[-1] == OPT_OUT:
            self.say(number, EVERY_CLASS, OPT_IN)

    @rule(person=PEOPLE, scope=SCOPES, action=st.sampled_from([OPT_IN, OPT_OUT]))
    def record(self, person: int, scope: int, action: int) -> None:
        self.clock.forward(1)
        said = Said(self.account, status.LIVE, self.people[person], action, "api", self.clock(), klass=scope)
        self.run(self.house.consent.ledger.record([said]))
        self.say(self.people[person], scope, action)

    @rule(minutes=st.sampled_from([1, 29, 61, 240, 600, 1_440]))
    def wait(self, minutes: int) -> None:
        self.clock.forward(minutes * 60_000)
        self.run(asyncio.sleep(0.02))

    @rule()
    def hold_or_go_on(self) -> None:
        """The network stands still for a while: what is accepted waits."""
        self.paused = not self.paused
        self.house.pause(self.paused)
        self.run(asyncio.sleep(0))

    @precondition(lambda self: not self.paused)
    @rule(person=PEOPLE, hours=st.integers(1, 14), changes_mind=st.booleans())
    def a_queue_that_takes_its_time(self, person: int, hours: int, changes_mind: bool) -> None:
        """What is accepted at a good hour comes to its turn at another, and after a word of its person, perhaps."""
        self.hold_or_go_on()
        for each in range(len(PLACES)):
            self.send(each, status.MARKETING, 0, 1)
        if changes_mind:
            self.stop(person, "STOP")
        self.clock.forward(hours * 3_600_000)
        self.hold_or_go_on()
        self.all_that_can_go_goes()

    @rule()
    def sweep(self) -> None:
        self.run(self.house.consent.stopping.step())

    @precondition(lambda self: not self.paused)
    @rule()
    def all_that_can_go_goes(self) -> None:
        self.run(self.house.past("+447700999999"))

    @invariant()
    def nothing_left_that_must_not(self) -> None:
        assert not self.wrong

    def teardown(self) -> None:
        """Nothing is lost either: each ends as sent, or was stopped by what its person said."""
        try:
            self.house.pause(False)
            wanted = {message.id for message in self.accepted}

            async def all_ended() -> bool:
                self.clock.forward(1_800_000)
                await self.house.consent.stopping.step()
                statuses = await self.house.statuses()
                return all(statuses[an_id] in ("sent", "failed") for an_id in wanted)

            self.run(until(all_ended))
            for message in self.accepted:
                kept = self.run(self.house.message(message))
                assert kept.status == status.SENT or kept.error == "opted_out", kept
            assert not self.wrong
        finally:
            self.world.network.answer = lambda _part: SENT


def test_nothing_leaves_after_an_opt_out_or_at_a_quiet_hour(world: World) -> None:
    Promise.world = world
    how = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Promise, settings=how)
