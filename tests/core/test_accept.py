"""`accept`: the only way in."""

import asyncio
from collections.abc import Sequence

import pytest

from columba.core import status
from columba.core.accept import Idempotency, Repeated
from columba.core.contract import Carrier
from columba.core.model import Message
from columba.core.submission import Submission
from columba.errors import FieldError, Refusal
from columba.store import StoreUnavailable
from tests.core.rig import NORTH, Network, Rig, until

GOOD = "+447700900123"
DAY_MS = 86_400_000


async def refusal(rig: Rig, asked: Submission, **how: object) -> Refusal:
    (outcome,) = await rig.say_all([asked], **how)  # type: ignore[arg-type]
    assert isinstance(outcome, Refusal), outcome
    return outcome


def codes(refused: Refusal) -> list[tuple[str, str]]:
    return [(error.field, error.code) for error in refused.errors]


async def test_an_accepted_message_is_in_the_store_when_it_is_answered(rig: Rig) -> None:
    rig.network.answer = lambda _part: None
    message = await rig.say(GOOD, "Grüße", sender="+12025550100", klass=status.OTP, tags=["a", "b", "a"], valid_for=60)
    ((an_id, state, attempts, due_at, error, code, segments, lane, account),) = await rig.look("messages")
    assert (an_id, state, attempts, error, code, segments, lane, account) == (
        message.id, status.QUEUED, 0, None, None, 1, NORTH.id, 1
    )  # fmt: skip
    assert due_at == rig.clock()
    assert message.expires_at == rig.clock() + 60_000
    assert await rig.events(message) == ["queued"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Submission("+44", "hi"), [("to", "invalid_number")]),
        (Submission("", "hi"), [("to", "invalid_number")]),
        (Submission("07700900123", "hi"), [("to", "invalid_number")]),
        (Submission(GOOD, None), [("text", "required")]),
        (Submission(GOOD, ""), [("text", "required")]),
        (Submission(GOOD, "nul \0"), [("text", "invalid_text")]),
        (Submission(GOOD, "lone \ud800"), [("text", "invalid_text")]),
        (Submission(GOOD, "x" * 1531), [("text", "too_long")]),
        (Submission(GOOD, "hi", sender="a name that is too long"), [("from", "invalid_sender")]),
        (Submission(GOOD, "hi", send_at=1_800_000_000_000), [("send_at", "invalid_time")]),
        (Submission(GOOD, "hi", send_at=1_799_999_999_999), [("send_at", "invalid_time")]),
        (Submission(GOOD, "hi", send_at=1_800_000_000_001 + 366 * DAY_MS), [("send_at", "invalid_time")]),
    ],
)
async def test_what_is_wrong_is_refused(laptop: Rig, asked: Submission, expected: list[tuple[str, str]]) -> None:
    refused = await refusal(laptop, asked)
    assert refused.code == "invalid_request"
    assert codes(refused) == expected
    assert await laptop.look("messages") == []
    assert await laptop.look("events") == []


async def test_all_problems_are_told_at_once(laptop: Rig) -> None:
    refused = await refusal(laptop, Submission("12", "\0", sender="~" * 40, send_at=1))
    assert codes(refused) == [
        ("to", "invalid_number"), ("from", "invalid_sender"), ("text", "invalid_text"), ("send_at", "invalid_time")
    ]  # fmt: skip


async def test_one_refusal_harms_no_neighbour(rig: Rig) -> None:
    asked = [Submission(GOOD, f"text {n}") if n % 3 else Submission("nonsense", "x") for n in range(30)]
    outcomes = await rig.say_all(asked)
    assert [isinstance(each, Refusal) for each in outcomes] == [n % 3 == 0 for n in range(30)]
    kept = [each.id for each in outcomes if isinstance(each, Message)]
    assert [row[0] for row in await rig.look("messages")] == kept
    assert [each.text for each in outcomes if isinstance(each, Message)] == [f"text {n}" for n in range(30) if n % 3]
    assert rig.accept.accepted == 20
    assert rig.accept.refused == {"invalid_number": 10}


async def test_a_gate_may_refuse(laptop: Rig) -> None:
    def gate(message: Message) -> Refusal | None:
        return Refusal("opted_out", errors=[FieldError("to", "opted_out", "No more.")]) if message.to == GOOD else None

    laptop.accept._gates = (gate,)
    assert (await refusal(laptop, Submission(GOOD, "hi"))).code == "opted_out"
    assert isinstance((await laptop.say_all([Submission("+447700900124", "hi")]))[0], Message)


@pytest.mark.parametrize(
    "carriers",
    [
        [],
        [Carrier(64, None, "a", "stand-in", status.LIVE, {}), Carrier(128, None, "b", "stand-in", status.LIVE, {})],
        [Carrier(64, None, "a", "stand-in", status.TEST, {})],
        [Carrier(64, None, "a", "stand-in", status.LIVE, {}, state="off")],
        [Carrier(64, 2, "another account's", "stand-in", status.LIVE, {})],
    ],
)
async def test_without_just_one_way_there_is_no_route(laptop: Rig, carriers: list[Carrier]) -> None:
    laptop.carriers = {carrier.id: carrier for carrier in carriers}
    assert (await refusal(laptop, Submission(GOOD, "hi"))).code == "no_route"


async def test_a_person_is_always_on_the_same_lane(laptop: Rig) -> None:
    laptop.carriers = {64: Carrier(64, None, "wide", "stand-in", status.LIVE, {}, lanes=4)}
    numbers = [f"+44770090{n:04}" for n in range(40)]
    first = await laptop.say_all([Submission(number, "one") for number in numbers])
    again = await laptop.say_all([Submission(number, "two") for number in numbers])
    lanes = [each.lane for each in first if isinstance(each, Message)]
    assert lanes == [each.lane for each in again if isinstance(each, Message)]
    assert set(lanes) == {64, 65, 66, 67}


async def test_a_scheduled_message_waits_and_is_valid_from_then_on(rig: Rig) -> None:
    at = rig.clock() + 3_600_000
    message = await rig.say(send_at=at, valid_for=60)
    assert message.status == status.SCHEDULED
    assert (message.due_at, message.expires_at) == (at, at + 60_000)
    assert await rig.events(message) == ["scheduled"]


async def test_the_validity_has_bounds(laptop: Rig) -> None:
    """Whatever door it comes through."""
    for valid_for in (0, -5, 14 * 86_400 + 1):
        assert codes(await refusal(laptop, Submission(GOOD, "hi", valid_for=valid_for))) == [
            ("valid_for", "out_of_range")
        ]
    longest = await laptop.say(valid_for=14 * 86_400)
    assert longest.expires_at == laptop.clock() + 14 * DAY_MS
    assert (await laptop.say()).expires_at == laptop.clock() + 2 * DAY_MS


async def test_callers_that_wait_together_get_their_own(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.say(text=f"text {n}", account=1 + n % 3) for n in range(200)))
    assert [each.text for each in outcomes] == [f"text {n}" for n in range(200)]
    assert len({each.id for each in outcomes}) == 200
    assert {row[0]: row[8] for row in await rig.look("messages")} == {each.id: each.account_id for each in outcomes}


# Idempotency


def once(key: str, body: str = "body") -> Idempotency:
    def answer(outcomes: Sequence[Message | Refusal]) -> str:
        return ",".join(str(each.id) if isinstance(each, Message) else each.code for each in outcomes)

    return Idempotency(key, body, answer)


async def say_once(rig: Rig, key: str, account: int = 1, count: int = 1) -> list[Message | Refusal]:
    asked = [Submission(GOOD, f"text {n}") for n in range(count)]
    return await rig.say_all(asked, account, idempotency=once(key), batch_id=rig.ids() if count > 1 else None)


async def test_a_key_is_taken_with_its_message(rig: Rig) -> None:
    await say_once(rig, "key")
    with pytest.raises(Repeated):
        await say_once(rig, "key")
    await say_once(rig, "another")
    await say_once(rig, "key", account=2)
    assert len(await rig.look("messages")) == 3
    assert len(await rig.look("events")) >= 3


async def test_of_those_that_come_at_once_just_one_is_accepted(rig: Rig) -> None:
    """Also in company of others: results are shared."""
    kinds = [say_once(rig, f"key {n % 5}", count=1 + n % 3) for n in range(30)]
    plain = [rig.say(text=f"plain {n}") for n in range(10)]
    outcomes = await asyncio.gather(*kinds, return_exceptions=True)
    await asyncio.gather(*plain)
    accepted = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(accepted) == 5
    assert all(isinstance(each, Repeated) for each in outcomes if isinstance(each, BaseException))
    told = {message.id for each in accepted for message in each if isinstance(message, Message)}
    kept = {row[0] for row in await rig.look("messages")}
    assert told <= kept
    assert len(kept) == len(told) + 10
    assert {row[0] for row in await rig.look("events")} == kept  # nothing is told of those that were not accepted


async def test_a_key_counts_for_a_body_of_refusals_too(rig: Rig) -> None:
    asked = [Submission("nonsense", "x"), Submission("nonsense", "y")]
    batch = rig.ids()
    await rig.say_all(asked, idempotency=once("key"), batch_id=batch)
    with pytest.raises(Repeated):
        await rig.say_all(asked, idempotency=once("key", "other body"), batch_id=rig.ids())


async def test_a_key_is_free_again_after_a_day(rig: Rig) -> None:
    await say_once(rig, "key")
    rig.clock.forward(DAY_MS)
    with pytest.raises(Repeated):
        await say_once(rig, "key")
    rig.clock.forward(2)
    await say_once(rig, "key")
    assert len(await rig.look("messages")) == 2


# What the store does not take


async def test_nothing_is_kept_and_nothing_sent_when_the_store_is_away(laptop: Rig, network: Network) -> None:
    await laptop.store.close()
    with pytest.raises(StoreUnavailable):
        await laptop.say()
    assert network.sent == []


async def test_an_id_that_is_there_already_is_an_error_and_no_silence(rig: Rig) -> None:
    """Never 202 for a message that was not kept."""
    await rig.say()
    message = await rig.say()
    await until(lambda: len(rig.network.sent) == 2)
    now = rig.clock.now

    async def say_again() -> list[Message | Refusal]:
        rig.ids._last = message.id - 1  # as if a second process drew the same numbers
        rig.clock.now = 0
        return await rig.say_all([Submission(GOOD, "lost?")])

    (outcome,) = await asyncio.gather(say_again(), return_exceptions=True)
    rig.clock.now = now
    assert isinstance(outcome[0] if isinstance(outcome, list) else outcome, Exception)
    assert len(await rig.look("messages")) == 2
