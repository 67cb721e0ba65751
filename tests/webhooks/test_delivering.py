"""Webhooks as their receivers see them: signed, tried again by the schedule, and never held up by another endpoint."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from columba.core import ids
from columba.webhooks.endpoints import SQL
from tests.program import Reply, Request, Sink
from tests.webhooks.conftest import House, waited

DEAD = Reply(delay=60.0)
BROKEN = Reply(500, b"oh no")


def verified(secret: str, request: Request) -> Any:
    """What a receiver with the reference package makes of a request."""
    return Webhook(secret).verify(request.body, dict(request.headers))


async def test_what_is_sent_is_the_event_signed(house: House, sink: Sink) -> None:
    hook = await house.hook(f"{sink.url}/hook?for=sms")
    message = await house.columba.send(text="Grüße \U0001f600", metadata={"user": "42"})
    await house.settled(hook)
    (request,) = sink.requests
    assert (request.method, request.path) == ("POST", "/hook?for=sms")
    assert request.headers["content-type"] == "application/json"
    told = verified(hook["secret"], request)
    assert request.headers["webhook-id"] == told["id"]
    assert told["type"] == "message.queued"
    assert told["account_id"] == ids.show("acc", house.columba.account_id)
    assert told["data"]["id"] == ids.show("msg", message.id)
    assert told["data"]["text"] == "Grüße \U0001f600"
    assert told["data"]["metadata"] == {"user": "42"}


async def test_each_status_is_an_event_and_patterns_choose(house: House, sink: Sink, other: Sink) -> None:
    await house.hook(sink.url, ["message.*"])
    await house.hook(other.url, ["message.delivered", "message.failed"])
    await house.columba.send()
    told = [request.json["type"] for request in (await house.arrived(sink, 3))]
    assert sorted(told) == ["message.delivered", "message.queued", "message.sent"]
    assert [request.json["type"] for request in (await house.arrived(other, 1))] == ["message.delivered"]


async def test_while_a_secret_is_replaced_both_sign(house: House, sink: Sink) -> None:
    hook = await house.hook(sink.url)
    old = hook["secret"]
    new = (await house.post(f"/v1/webhooks/{hook['id']}/rotate-secret", status=200))["secret"]
    await house.columba.send()
    (request,) = await house.arrived(sink, 1)
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    assert verified(old, request) == verified(new, request)
    await house.forward(24 * 3_600_000)
    await house.columba.send()
    late = (await house.arrived(sink, 2))[1]
    assert len(late.headers["webhook-signature"].split(" ")) == 1
    with pytest.raises(WebhookVerificationError):
        verified(old, late)


async def test_a_failing_delivery_follows_the_schedule_and_is_given_up(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    await house.columba.send()
    for n, seconds in enumerate((5, 300, 1_800, 7_200, 18_000, 36_000, 36_000), 1):
        delivery = await house.settled(hook, n)
        assert delivery["status"] == "pending"
        assert 0.8 * seconds <= waited(delivery) <= 1.2 * seconds + 1
        await house.until(delivery)
    delivery = await house.settled(hook, 8)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("failed", None)
    assert [(each["status"], each["answer"]) for each in delivery["attempts"]] == [(500, "oh no")] * 8
    assert delivery["error"]["code"] == "http_500"
    assert len(sink.requests) == 8
    assert {request.headers["webhook-id"] for request in sink.requests} == {delivery["event"]}
    assert len({request.headers["webhook-timestamp"] for request in sink.requests}) == 8
    (given_up,) = await house.events("delivery.exhausted")
    assert given_up["delivery"] == delivery["id"]
    assert given_up["attempts"] == 8
    assert given_up["event"] == {"id": delivery["event"], "type": "message.queued"}


@pytest.mark.parametrize(
    ("reply", "schedule", "least", "most"),
    [
        (Reply(503, b"", {"Retry-After": "120"}), [5], 120, 121),
        (Reply(429, b"", {"Retry-After": "3"}), [5], 4, 7),
        (Reply(503, b"", {"Retry-After": "999999999"}), [5], 86_400, 86_401),
        (Reply(503, b"", {"Retry-After": "soon"}), [5], 4, 7),
        (Reply(429), [5], 60, 61),
        (Reply(429), [300], 240, 361),
        (Reply(302, b"", {"Location": "/other"}), [5], 4, 7),
    ],
)
async def test_how_long_it_waits(
    house: House, sink: Sink, reply: Reply, schedule: list[int], least: float, most: float
) -> None:
    sink.reply = reply
    hook = await house.hook(sink.url, retry_schedule=schedule)
    await house.columba.send()
    assert least <= waited(await house.settled(hook)) <= most


async def test_a_date_to_come_back_at_is_kept_to(house: House, sink: Sink) -> None:
    at = datetime.fromtimestamp(house.clock() / 1000 + 3_600, UTC)
    sink.reply = Reply(503, b"", {"Retry-After": format_datetime(at, usegmt=True)})
    hook = await house.hook(sink.url)
    await house.columba.send()
    assert 3_598 <= waited(await house.settled(hook)) <= 3_602


async def test_an_endpoint_that_takes_too_long_is_left_alone_for_a_minute(house: House, sink: Sink) -> None:
    sink.reply = DEAD
    hook = await house.hook(sink.url, timeout=1)
    await house.columba.send()
    delivery = await house.settled(hook)
    assert delivery["error"]["code"] == "timeout"
    assert waited(delivery) >= 60


async def test_a_schedule_may_be_empty(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, retry_schedule=[])
    await house.columba.send()
    assert (await house.settled(hook))["status"] == "failed"


async def test_a_dead_endpoint_slows_no_other(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = DEAD
    await house.hook(sink.url, concurrency=5)
    await house.hook(other.url)
    for _ in range(100):
        await house.columba.send()
    assert len(await house.arrived(other, 100)) == 100
    assert len(sink.requests) == 5  # its window; none of them has been answered


async def test_an_open_circuit_asks_once_whether_it_is_back(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, concurrency=20)
    for _ in range(60):
        await house.columba.send()
    lane = house.own_lane(hook)
    await house.true(lambda: len(sink.requests) >= 10 and not lane.flying and lane.limit == 1)
    seen = len(sink.requests)
    assert seen < 60
    for asked in range(1, 4):
        lane.resume()  # the pause is over
        await house.arrived(sink, seen + asked)
        await house.true(lambda: not lane.flying)
        assert len(sink.requests) == seen + asked
    await house.true(lambda: len(lane.held) == lane.waiting)  # all that has come back is settled
    counts = [each["attempt_count"] for each in await house.deliveries(60, limit=100)]
    assert counts.count(0) == 60 - seen - 3
    sink.reply = Reply(200)
    lane.resume()
    await house.true(lambda: len(sink.requests) == 60 and lane.limit is None)


async def test_a_new_url_holds_for_what_waits(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    await house.columba.send()
    delivery = await house.settled(hook)
    house.hold(hook)
    await house.columba.send()
    assert (await house.patch(hook, url=f"{other.url}/new"))["url"] == f"{other.url}/new"
    await house.until(delivery)
    requests = await house.arrived(other, 2)
    assert {request.path for request in requests} == {"/new"}
    assert len(sink.requests) == 1
    shown = await house.get(f"/v1/deliveries/{delivery['id']}")
    assert shown["attempts"][0]["request"]["url"] == sink.url


async def test_a_new_secret_holds_for_what_waits(house: House, sink: Sink) -> None:
    hook = await house.hook(sink.url)
    house.hold(hook)
    await house.columba.send()
    secret = (await house.post(f"/v1/webhooks/{hook['id']}/rotate-secret", status=200))["secret"]
    (request,) = await house.arrived(sink, 1)
    verified(secret, request)


async def test_what_waits_for_a_disabled_endpoint_goes_on_when_it_is_enabled(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    await house.columba.send()
    before = await house.settled(hook)
    changed = await house.patch(hook, enabled=False)
    assert (changed["enabled"], changed["disabled_reason"]) == (False, "It was disabled by request.")
    await house.columba.send()
    await house.until(before)
    await house.true(lambda: house.lane(hook) is None)
    (waiting,) = await house.deliveries(endpoint=hook["id"])
    assert (waiting["status"], waiting["next_attempt_at"]) == ("pending", None)
    assert "enabled" in waiting["waits_for"]
    sink.reply = Reply(200)
    assert (await house.patch(hook, enabled=True))["disabled_reason"] is None
    after = await house.settled(hook, 2)
    assert (after["id"], after["status"]) == (before["id"], "delivered")
    assert len(sink.requests) == 2


async def test_a_deleted_endpoint_is_sent_nothing_and_leaves_nothing(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url)
    await house.columba.send()
    delivery = await house.settled(hook)
    assert (await house.api("DELETE", f"/v1/webhooks/{hook['id']}")).status == 204
    for target in (f"/v1/webhooks/{hook['id']}", f"/v1/deliveries/{delivery['id']}"):
        assert (await house.api("GET", target)).status == 404
    assert (await house.get("/v1/deliveries"))["data"] == []
    await house.true(lambda: house.lane(hook) is None)
    await house.until(delivery)
    await house.columba.send()
    await house.app.endpoints.sweep()
    assert await house.app.store.read(SQL["hidden_endpoints"]) == []
    endpoint_id = ids.read("whk", hook["id"])
    assert await house.app.store.read(SQL["next_rubbish"], endpoint_id=endpoint_id, most=1) == [(None,)]
    assert len(sink.requests) == 1


async def test_a_text_that_was_redacted_is_sent_no_more(house: House, sink: Sink) -> None:
    hook = await house.hook(sink.url, ["message.delivered"])
    sink.reply = BROKEN
    messages = [await house.columba.send(text="a secret")]
    delivery = await house.settled(hook)
    lane = house.hold(hook)
    messages.append(await house.columba.send(text="another secret"))
    await house.true(lambda: lane.waiting)
    for message in messages:
        await house.redact(message.id)
    sink.reply = Reply(200)
    lane.resume()
    await house.until(delivery)
    for request in (await house.arrived(sink, 3))[1:]:
        assert (request.json["data"]["text"], request.json["data"]["redacted"]) == (None, True)
    for each in await house.deliveries(2):
        assert "secret" not in json.dumps(await house.get(f"/v1/deliveries/{each['id']}"))


async def test_that_a_text_was_redacted_is_seen_though_nobody_said_so(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.core.posting.STALE_S", -1.0)  # all that waits has waited for long
    hook = await house.hook(sink.url, ["message.delivered"])
    lane = house.hold(hook)
    messages = [await house.columba.send(text="a secret") for _ in range(3)]
    await house.true(lambda: lane.waiting == 3)
    monkeypatch.setattr(house.app.delivering, "reread", lambda _: None)
    await house.redact(messages[1].id)
    lane.resume()
    texts = {request.json["data"]["id"]: request.json["data"]["text"] for request in await house.arrived(sink, 3)}
    assert [texts[ids.show("msg", m.id)] for m in messages] == ["a secret", None, "a secret"]
    await house.true(lane.is_idle)
    assert len(sink.requests) == 3


async def test_many_at_once_arrive_once_each(house: House, sink: Sink) -> None:
    hook = await house.hook(sink.url, ["message.queued", "message.sent", "message.delivered"])
    messages = [await house.columba.send(text=f"n={n}") for n in range(100)]
    requests = await house.arrived(sink, 300)
    await house.true(house.own_lane(hook).is_idle)
    told = [(request.json["data"]["id"], request.json["type"]) for request in requests]
    assert len(sink.requests) == len(set(told)) == 300
    assert {each for each, _ in told} == {ids.show("msg", message.id) for message in messages}
