"""A message's own `callback_url`: its events go there, signed with the account's callback secret."""

import asyncio
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from columba.core import ids
from columba.webhooks import endpoints as room
from tests.program import Reply, Request, Sink
from tests.webhooks.conftest import House

TYPES = ["message.delivered", "message.queued", "message.sent"]


async def secret(house: House, key: str | None = None) -> str:
    reply = await house.api("GET", "/v1/webhooks/callback-secret", key=key)
    assert reply.status == 200, reply.body
    found: str = reply.json["secret"]
    return found


def verified(secret: str, request: Request) -> Any:
    return Webhook(secret).verify(request.body, dict(request.headers))


async def test_its_events_come_signed_and_nobody_elses(house: House, sink: Sink, other: Sink) -> None:
    known = await secret(house)
    first = await house.columba.send(callback_url=f"{sink.url}/status?order=1")
    second = await house.columba.send(callback_url=f"{other.url}/status?order=2")
    await house.columba.send()
    for message, there, path in ((first, sink, "/status?order=1"), (second, other, "/status?order=2")):
        requests = await house.arrived(there, 3)
        told = [verified(known, request) for request in requests]
        assert sorted(each["type"] for each in told) == TYPES
        assert {each["data"]["id"] for each in told} == {ids.show("msg", message.id)}
        assert {request.path for request in requests} == {path}
    assert await secret(house) == known
    assert (len(sink.requests), len(other.requests)) == (3, 3)


async def test_its_endpoint_is_in_no_list_but_its_deliveries_are(house: House, sink: Sink) -> None:
    await house.columba.send(callback_url=f"{sink.url}/status")
    await house.arrived(sink, 3)
    assert (await house.get("/v1/webhooks"))["data"] == []
    found = await house.deliveries(3, status="delivered")
    place = found[0]["endpoint"]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate-secret")):
        body: Any = {} if method == "PATCH" else None
        assert (await house.api(method, f"/v1/webhooks/{place}{path}", body)).status == 404
    detail = await house.get(f"/v1/deliveries/{found[0]['id']}")
    assert detail["attempts"][0]["request"]["url"] == f"{sink.url}/status"
    await house.post(f"/v1/deliveries/{found[0]['id']}/replay")
    again = (await house.arrived(sink, 4))[3]
    assert (again.path, again.headers["webhook-id"]) == ("/status", detail["event"])


async def test_the_secret_is_replaced_as_others_are(house: House, sink: Sink) -> None:
    old = await secret(house)
    await house.columba.send(callback_url=sink.url)
    for request in await house.arrived(sink, 3):
        verified(old, request)
    changed = await house.post("/v1/webhooks/callback-secret/rotate", status=200)
    assert changed["rotating_until"] is not None
    await house.columba.send(callback_url=sink.url)
    for request in (await house.arrived(sink, 6))[3:]:
        assert verified(old, request) == verified(changed["secret"], request)
    assert await secret(house) == changed["secret"]


async def test_each_mode_has_a_secret_of_its_own(house: House) -> None:
    assert await secret(house) != await secret(house, house.columba.live_key)


async def test_a_dead_origin_is_tried_again_and_slows_no_other(house: House, sink: Sink, other: Sink) -> None:
    await secret(house)
    sink.reply = Reply(delay=60)
    for _ in range(30):
        await house.columba.send(callback_url=sink.url)
    for _ in range(30):
        await house.columba.send(callback_url=other.url)
    assert len(await house.arrived(other, 90)) == 90


async def test_gone_ends_the_delivery_and_not_the_origin(house: House, sink: Sink) -> None:
    sink.reply = Reply(410)
    message = await house.columba.send("+447700900002", callback_url=sink.url)

    async def failed() -> Any:
        return await house.deliveries(3, status="failed")

    found = await failed()
    assert {each["attempt_count"] for each in found} == {1}
    assert await house.events("webhook.disabled") == []
    assert len(await house.events("delivery.exhausted")) == 3
    sink.reply = Reply(200)
    await house.columba.send(callback_url=sink.url)
    await house.arrived(sink, 6)
    assert message.callback is not None


async def test_many_origins_share_the_last_lane(house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_CALLBACKS", 3)
    for n in range(1, 6):
        await house.columba.send(callback_url=f"http://127.0.0.{n}:{sink.port}/{n}")
    kinds = [each.kind for each in house.app.endpoints.all.values()]
    assert kinds == ["callback"] * 3
    assert (await house.arrived(sink, 3))[0].path == "/1"  # only this address of the sink is listened on


async def test_two_first_callbacks_at_once_share_a_secret(house: House, sink: Sink) -> None:
    await asyncio.gather(*(house.columba.send(callback_url=f"{sink.url}/{n}") for n in range(5)))
    known = await secret(house)
    for request in await house.arrived(sink, 15):
        verified(known, request)
