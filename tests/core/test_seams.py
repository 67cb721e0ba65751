"""How capabilities join the main path: gates in the accepting transaction, last looks, followers of inbound texts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from columba.core import status
from columba.core.accept import Idempotency, Repeated
from columba.core.contract import Inbound, Outcome
from columba.core.inbound import RECORDED, Heard
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.store import Results, Row, Statement, Step, plan, statements
from tests.core.rig import NORTH, Clock, Network, Rig, running

SQL = statements(Path(__file__).with_name("seams.sql"))
ANNA, BEN = "+447700900123", "+447700900124"


class Barred:
    """Refuses whom the store bars, and counts those that are kept."""

    refuses: Statement = SQL["refused"]
    keeps: Statement | None = SQL["note"]

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def row(self, ref: int, message: Message) -> Row | None:
        return None if message.text == "free" else (ref, message.id, message.account_id, message.to, self.tag)

    def kept(self, message: Message) -> Row | None:
        return (message.id, message.account_id, f"kept by {self.tag}")

    def refusal(self, message: Message, code: str) -> Refusal:
        return Refusal("opted_out", f"{code}: {message.to}")


class Keyword:
    """Notes texts that say stop; those after it see that it did."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        rows = []
        for each in heard:
            if each.message.text == "stop":
                each.handled = True
                rows.append((each.message.id, each.message.account_id, f"stop {each.message.sender}"))
        return [Step(SQL["note"], rows, given=RECORDED)]

    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None:
        self.told += [each.message.id for each in recorded if each.handled]


class Rule:
    def __init__(self) -> None:
        self.left: list[bool] = []

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        self.left += [each.handled for each in heard]
        rows = [(each.message.id, each.message.account_id, "seen") for each in heard]
        return [Step(SQL["note"], rows, given=RECORDED)]

    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None:
        pass


@pytest.fixture
async def gated(place: Path | str) -> AsyncIterator[Rig]:
    async with running(place, Network(), Clock(), store_gates=(Barred("stop "), Barred("poor "))) as rig:
        yield rig


async def note(rig: Rig, tag: str) -> None:
    await rig.store.commit(plan(Step(SQL["note"], [(1, 1, tag)])))


async def noted(rig: Rig) -> list[Row]:
    return await rig.store.read(SQL["noted"])


async def test_a_gate_refuses_in_the_accepting_transaction(gated: Rig) -> None:
    await note(gated, f"stop {ANNA}")
    await note(gated, f"poor {BEN}")
    asked = [Submission(ANNA, "a"), Submission(BEN, "b"), Submission("+447700900125", "c"), Submission(ANNA, "free")]
    first, second, third, free = await gated.say_all(asked)
    assert isinstance(first, Refusal)
    assert first.detail == f"stop : {ANNA}"
    assert isinstance(second, Refusal)
    assert second.detail == f"poor : {BEN}"
    assert isinstance(third, Message)
    assert isinstance(free, Message)
    assert {row[0] for row in await gated.look("messages")} == {third.id, free.id}
    kept = [row for row in await noted(gated) if row[0].startswith("kept")]
    assert kept == [(f"kept by {tag} ", an_id) for tag in ("poor", "stop") for an_id in (third.id, free.id)]
    assert gated.accept.refused == {"opted_out": 2}


async def test_one_message_is_refused_and_its_neighbours_of_the_same_moment_are_not(gated: Rig) -> None:
    await note(gated, f"stop {ANNA}")
    caller = Caller(1, status.LIVE)
    refused = gated.accept.one(caller, Submission(ANNA, "a"))
    taken = gated.accept.one(caller, Submission(BEN, "b"))
    outcomes = await asyncio.gather(refused, taken, return_exceptions=True)
    assert isinstance(outcomes[0], Refusal)
    assert outcomes[0].code == "opted_out"
    assert isinstance(outcomes[1], Message)
    await gated.reaches(outcomes[1], "sent")


async def test_the_answer_kept_with_an_idempotency_key_is_the_one_given(gated: Rig) -> None:
    await note(gated, f"stop {ANNA}")
    answers = []

    def answer(outcomes: Sequence[Message | Refusal]) -> str:
        answers.append(["refused" if isinstance(each, Refusal) else "kept" for each in outcomes])
        return "{}"

    asked = [Submission(ANNA, "a"), Submission(BEN, "b")]
    outcomes = await gated.say_all(asked, idempotency=Idempotency("k", "h", answer))
    assert [isinstance(each, Refusal) for each in outcomes] == [True, False]
    assert answers[-1] == ["refused", "kept"]
    with pytest.raises(Repeated):
        await gated.say_all(asked, idempotency=Idempotency("k", "h", answer))
    assert len(await gated.look("messages")) == 1


async def test_a_message_with_an_id_of_its_own_is_accepted_once(gated: Rig) -> None:
    an_id = gated.ids()
    for _ in range(2):
        assert (await gated.say(ANNA, "hi", id=an_id)).id == an_id
        assert (await gated.accept.one(Caller(1, status.LIVE), Submission(ANNA, "hi", id=an_id))).id == an_id
    assert [row[0] for row in await gated.look("messages")] == [an_id]
    await gated.past()
    assert gated.network.ids.count(an_id) == 1


async def test_steps_of_others_are_in_the_same_plan(gated: Rig) -> None:
    def also(messages: Sequence[Message], first: int) -> Sequence[Step]:
        rows = [(message.id, message.account_id, "also") for message in messages]
        return [Step(SQL["note"], rows, given=first)]

    await note(gated, f"stop {ANNA}")
    _, taken = await gated.say_all([Submission(ANNA, "a"), Submission(BEN, "b")], also=also)
    assert isinstance(taken, Message)
    assert [row[1] for row in await noted(gated) if row[0] == "also"] == [taken.id]


async def test_a_last_look_ends_a_message_or_puts_it_off(place: Path | str) -> None:
    found = {ANNA: Outcome("failed", None, "opted_out"), BEN: Outcome("unsent", wait_ms=60_000)}
    async with running(place, Network(), Clock(), looks=(lambda message: found.get(message.to),)) as rig:
        ended, later = await rig.say(ANNA), await rig.say(BEN)
        await rig.reaches(ended, "failed")
        assert (await rig.message(ended)).error == "opted_out"
        await rig.past()
        assert rig.network.to(ANNA) + rig.network.to(BEN) == []
        del found[BEN]
        await rig.passes(lambda: rig.network.to(BEN) == ["hello"], 1_000)
        assert (await rig.message(later)).due_at >= 1_800_000_060_000


async def test_followers_add_to_the_transaction_of_an_inbound_text(place: Path | str) -> None:
    keyword, rule = Keyword(), Rule()
    async with running(place, Network(), Clock(), followers=(keyword, rule)) as rig:
        texts = [Inbound(ANNA, "+12025550100", "stop", carrier_message_id="1"), Inbound(BEN, "+12025550100", "hello")]
        recorded = await rig.receive.inbound(NORTH, texts, 1)
        assert [message.text for message in recorded] == ["stop", "hello"]
        again = await rig.receive.inbound(NORTH, texts[:1], 1)
        assert again == []
        assert rule.left == [True, False, True]
        assert keyword.told == [recorded[0].id]
        assert await noted(rig) == [
            *(("seen", message.id) for message in recorded), (f"stop {ANNA}", recorded[0].id)
        ]  # fmt: skip
