"""Idempotency-Keys: done once, answered alike for a day, and nothing readable kept of an answer that holds a secret."""

import asyncio
from pathlib import Path

import pytest

from columba.core import accept, submission
from columba.errors import Refusal
from columba.http.dispatch import Stored
from columba.keys import repeats
from columba.store import Step, plan, statements
from columba.vault import Vault
from tests.keys.house import DAY, SECOND, START, Clock, House, Made, Reply, house

AGAIN = {"idempotency-key": "k-1"}
MINUTE = 60 * SECOND


async def work(home: House, made: Made, key: str = "k-1") -> Reply:
    return await home.ask("POST", "/v1/work", key=made, headers={"idempotency-key": key})


async def test_it_is_done_once_and_answered_alike(home: House) -> None:
    made = await home.make()
    first, second = await work(home, made), await work(home, made)
    assert (first.status, first.json, second.status, second.json) == (201, 1, 201, 1)
    assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in second.headers) == (False, True)
    assert (await work(home, made, "k-2")).json == 2
    assert home.served == 2


async def test_another_request_with_the_same_key_is_refused(home: House) -> None:
    made = await home.make()
    await work(home, made)
    other = await home.ask("POST", "/v1/keys", {"name": "x"}, key=made, headers=AGAIN)
    assert (other.status, other.json["code"]) == (409, "idempotency_mismatch")
    assert len(home.keys.all) == 1


async def test_accounts_and_modes_have_keys_of_their_own(home: House) -> None:
    made = [await home.make(mode=0), await home.make(mode=1), await home.make(account_id=home.ids())]
    assert [(await work(home, each)).json for each in made] == [1, 2, 3]


@pytest.mark.parametrize(
    ("after", "answer"), [(0, 1), (DAY - 1, 1), (DAY, 2), (DAY + MINUTE, 2)], ids=["now", "<24h", "24h", ">24h"]
)
async def test_an_answer_is_kept_for_a_day(home: House, clock: Clock, after: int, answer: int) -> None:
    made = await home.make()
    await work(home, made)
    clock.now += after
    assert (await work(home, made)).json == answer


async def test_of_many_at_once_one_is_done(place: Path | str, clock: Clock) -> None:
    """In two processes, each with its own group of waiting commits."""
    async with house(place, clock, 1) as one, house(place, clock, 2) as two:
        made = await one.make()
        await two.snapshots.refresh()
        replies = await asyncio.gather(*(work(each, made) for each in (one, two) for _ in range(10)))
        assert one.served + two.served == 1
        done = [reply for reply in replies if reply.status == 201]
        assert done
        waiting = [reply.json["code"] for reply in replies if reply.status != 201]
        assert set(waiting) <= {"idempotency_in_progress"}
        assert (await work(two, made)).json == 1


async def test_an_unfinished_one_may_be_taken_over_after_a_minute(home: House, clock: Clock) -> None:
    who = (await home.make()).key
    assert await home.repeats.begin(who, "k", b"body") is None
    clock.now += MINUTE - 1
    assert code(await home.repeats.begin(who, "k", b"body")) == "idempotency_in_progress"
    assert code(await home.repeats.begin(who, "k", b"other")) == "idempotency_mismatch"
    clock.now += 1
    assert await home.repeats.begin(who, "k", b"body") is None


def code(outcome: object) -> str:
    return outcome.code if isinstance(outcome, Refusal) else repr(outcome)


async def test_a_late_answer_does_not_replace_that_of_who_took_over(home: House, clock: Clock) -> None:
    who = (await home.make()).key
    taken_over = asyncio.Event()

    async def late() -> None:
        await home.repeats.begin(who, "k", b"body")
        begun.set()
        await taken_over.wait()
        await home.repeats.finish(who, "k", 201, b'"late"')
        await home.repeats.abandon(who, "k")

    begun = asyncio.Event()
    one = asyncio.create_task(late())
    await begun.wait()
    clock.now += MINUTE
    assert await home.repeats.begin(who, "k", b"body") is None
    taken_over.set()
    await one
    assert code(await home.repeats.begin(who, "k", b"body")) == "idempotency_in_progress"
    await home.repeats.finish(who, "k", 201, b'"mine"')
    assert await home.repeats.begin(who, "k", b"body") == Stored(201, b'"mine"')


async def test_what_came_to_nothing_may_be_tried_again_at_once(home: House) -> None:
    who = (await home.make()).key
    assert await home.repeats.begin(who, "k", b"body") is None
    await home.repeats.abandon(who, "k")
    assert await home.repeats.begin(who, "k", b"other") is None


async def test_no_secret_can_be_read_in_the_store(home: House) -> None:
    admin = await home.make()
    made = await home.ask("POST", "/v1/keys", {"name": "x"}, key=admin, headers=AGAIN)
    rows = await home.store.read(ANSWERS)
    assert len(rows) == 1
    assert made.json["secret"][-20:] not in str(rows)
    assert made.json["id"] in home.vault.open(rows[0][0])


async def test_an_answer_that_can_not_be_opened_any_more_is_not_given_nor_the_work_done_again(
    tmp_path: Path, clock: Clock
) -> None:
    async with house(tmp_path, clock) as one:
        made = await one.make()
        await work(one, made)
    async with house(tmp_path, clock, vault=Vault(b"n" * 32)) as other:
        refused = await work(other, made)
        assert (refused.status, refused.json["code"], other.served) == (409, "conflict", 0)


async def test_the_first_answer_to_a_message(home: House) -> None:
    """Kept in plain text by the transaction that accepts it."""
    who = (await home.make()).key
    caller = submission.Caller(who.account_id, who.mode)
    row = (1, caller.account_id, caller.mode, "k", "hash", 202, '{"id":"msg_1"}', START)
    await home.store.commit(plan(Step(accept.SQL["claim_idempotency"], [row])))
    assert await home.repeats.first_answer(caller, "k", "hash") == (202, b'{"id":"msg_1"}')
    for key, body_hash, refusal in (
        ("k", "other", "idempotency_mismatch"),
        ("gone", "hash", "idempotency_in_progress"),
    ):
        with pytest.raises(Refusal) as refused:
            await home.repeats.first_answer(caller, key, body_hash)
        assert refused.value.code == refusal
    assert code(await home.repeats.begin(who, "k", b"body")) == "idempotency_mismatch"


async def test_what_is_older_than_a_day_is_swept_in_small_batches(
    home: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "SWEPT_AT_ONCE", 3)
    made = await home.make()
    for number in range(7):
        await work(home, made, f"old-{number}")
    clock.now += DAY - 1
    assert await home.repeats.sweep() == 0
    await work(home, made, "new")
    clock.now += 1
    assert await home.repeats.sweep() == 7
    assert len(await home.store.read(ANSWERS)) == 1


ANSWERS = statements(Path(__file__).with_name("repeats.sql"))["answers"]
