"""An Idempotency-Key: however often and however much at once a request comes, it is done once and answered alike."""

import asyncio
from pathlib import Path

from tests.api import Api, Columba, running
from tests.messages.conftest import messages_of

ONE = {"to": "+447700900123", "text": "Hi"}
MANY = {"messages": [{"to": "+447700900123", "text": "Hi"}, {"to": "12", "text": "Hi"}]}
KEY = {"idempotency-key": "k-1"}


async def count(api: Api) -> int:
    return len((await api("GET", "/v1/messages?limit=1000")).json["data"])


async def test_twenty_at_once_are_one_message(api: Api) -> None:
    replies = await asyncio.gather(*(api("POST", "/v1/messages", ONE, headers=KEY) for _ in range(20)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 19
    assert await count(api) == 1
    again = await api("POST", "/v1/messages", ONE, headers=KEY)
    assert again.body == replies[0].body
    assert (await api("GET", f"/v1/messages/{again.json['id']}")).status == 200


async def test_other_requests_at_the_same_moment_are_not_touched(api: Api) -> None:
    keys = [f"k-{n % 5}" for n in range(20)]
    replies = await asyncio.gather(
        *(api("POST", "/v1/messages", ONE, headers={"idempotency-key": key}) for key in keys),
        *(api("POST", "/v1/messages", ONE) for _ in range(5)),
    )
    by_key = {key: {r.body for k, r in zip(keys, replies, strict=False) if k == key} for key in keys}
    assert all(len(bodies) == 1 for bodies in by_key.values())
    assert len({reply.json["id"] for reply in replies}) == 10
    assert await count(api) == 10


async def test_twenty_batches_at_once_are_one_batch(api: Api) -> None:
    replies = await asyncio.gather(*(api("POST", "/v1/messages/batch", MANY, headers=KEY) for _ in range(20)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1
    assert await count(api) == 1


async def test_a_batch_of_nothing_but_bad_rows_is_remembered_too(api: Api) -> None:
    body = {"messages": [{"to": "12", "text": "Hi"}]}
    first = await api("POST", "/v1/messages/batch", body, headers=KEY)
    again = await api("POST", "/v1/messages/batch", body, headers=KEY)
    assert (first.status, first.json["accepted"], first.body) == (202, 0, again.body)


async def test_another_body_is_refused(api: Api) -> None:
    await api("POST", "/v1/messages", ONE, headers=KEY)
    reply = await api("POST", "/v1/messages", {**ONE, "text": "Ho"}, headers=KEY)
    assert (reply.status, reply.json["code"]) == (409, "idempotency_mismatch")
    batch = await api("POST", "/v1/messages/batch", MANY, headers=KEY)
    assert (batch.status, batch.json["code"]) == (409, "idempotency_mismatch")
    assert await count(api) == 1


async def test_a_key_belongs_to_its_account_and_mode(api: Api, columba: Columba) -> None:
    stranger = await columba.key(account_id=await columba.another_account())
    mine = await api("POST", "/v1/messages", ONE, headers=KEY)
    theirs = await api("POST", "/v1/messages", ONE, headers=KEY, key=stranger)
    assert (mine.status, theirs.status) == (202, 202)
    assert mine.json["id"] != theirs.json["id"]


async def test_a_refused_message_takes_no_key(api: Api) -> None:
    refused = await api("POST", "/v1/messages", {"to": "12", "text": "Hi"}, headers=KEY)
    assert refused.status == 422
    assert (await api("POST", "/v1/messages", ONE, headers=KEY)).status == 202


async def test_two_processes_take_one_key_once(tmp_path: Path, tables_url: str) -> None:
    async with running(tmp_path / "a", tables_url) as one, running(tmp_path / "b", tables_url) as two:
        await two.app.snapshots.refresh()
        apis = [messages_of(one), messages_of(two)]
        replies = await asyncio.gather(
            *(
                apis[n % 2]("POST", "/v1/messages", ONE, key=one.test_key, headers={"idempotency-key": f"k-{n % 7}"})
                for n in range(40)
            )
        )
        assert {reply.status for reply in replies} == {202}
        assert len({reply.body for reply in replies}) == 7
        assert await count(apis[0]) == 7
