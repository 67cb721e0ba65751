"""Destinations that fail: when they are tried again, who waits for whom, and what a person can do about it."""

import asyncio

import pytest

from columba.forwarding.rules_index import RuleSet
from columba.http.times import parse_time
from tests.api import eventually
from tests.program import Reply, Sink
from tests.rules.conftest import ANNA, ONE_STORE, House

BEN = "+447700900124"


@ONE_STORE
async def test_retry_after_is_kept_to(house: House, sink: Sink) -> None:
    sink.reply = Reply(429, headers={"Retry-After": "3600"})
    destination = await house.destination(sink.url, retry_schedule=[1, 1])
    await house.rule({"forward": {"to": [destination]}})
    await house.hear("Hello")
    (run,) = await house.forwards(1, "pending")
    while not run["attempt_count"]:
        (run,) = await house.forwards(1, "pending")
    assert parse_time(run["next_attempt_at"]) - parse_time(run["last_attempt_at"]) >= 3_600_000


@ONE_STORE
async def test_what_the_server_will_never_take_is_not_tried_again(house: House, sink: Sink) -> None:
    sink.reply = Reply(422, b'{"error": "no such field"}')
    destination = await house.destination(sink.url)
    await house.rule({"forward": {"to": [destination]}})
    await house.hear("Hello")
    (dead,) = await house.forwards(1, "dead")
    assert dead["attempt_count"] == 1
    shown = await house.get(f"/v1/forwards/{dead['id']}")
    assert shown["attempts"][0]["answer"] == '{"error": "no such field"}'


@ONE_STORE
async def test_a_dead_destination_holds_up_nobody_and_is_asked_now_and_then(
    house: House, sink: Sink, other: Sink
) -> None:
    sink.reply = Reply(503)
    dead, well = await house.destination(sink.url), await house.destination(other.url)
    await house.rule({"forward": {"to": [dead, well]}})
    for n in range(60):
        await house.hear(f"text {n}")
    await house.arrived(other, 60)
    await house.arrived(sink, 10)
    assert house.lane(dead).limit == 1
    assert house.lane(well).limit is None
    (failing,) = await house.events("destination.failing")
    assert (failing["id"], failing["error"]["code"]) == (dead, "http_503")
    sink.reply = Reply(200)
    house.lane(dead).resume()
    await house.forward(10_000)
    (recovered,) = await house.events("destination.recovered")
    assert recovered["id"] == dead
    assert house.lane(dead).limit is None


@ONE_STORE
async def test_what_has_another_destination_does_not_wait_for_a_dead_one(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = Reply(503, delay=0.05)
    dead, well = await house.destination(sink.url, concurrency=4), await house.destination(other.url)
    await house.rule({"forward": {"to": [dead, well], "mode": "first_success"}})
    for n in range(60):
        await house.hear(f"text {n}")
    await house.arrived(other, 59)  # one is left to ask with
    texts = [request.json["text"] for request in other.requests]
    assert len(set(texts)) == len(texts)
    assert len(sink.requests) < 40


async def test_many_dead_ones_are_replayed_by_query(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = other.reply = Reply(400)
    one, two = await house.destination(sink.url), await house.destination(other.url)
    rule = await house.rule({"forward": {"to": [one, two]}})
    for n in range(3):
        await house.hear(f"text {n}")
        await asyncio.sleep(0.002)  # each has a moment of its own
    dead = await house.forwards(6, "dead")
    since = (await house.get("/v1/forwards?limit=1"))["data"][0]["created_at"]
    for query, count in (
        ({"destination": one, "error": "http_503"}, 0), ({"rule": rule["id"], "since": "2099-01-01T00:00:00Z"}, 0),
        ({"message_id": dead[0]["message_id"], "status": "delivered"}, 0), ({"until": since, "kind": "reply"}, 0),
    ):  # fmt: skip
        assert await house.post("/v1/forwards/replay", query) == {"count": count}, query
    for listed, count in (
        ("error=http_400", 6), ("error=http_40", 0), ("error=http_503", 0), (f"error=http_400&destination={two}", 3),
        (f"since={since}", 2), (f"until={since}", 4), ("until=2020-01-01T00:00:00Z", 0),
        (f"message_id={dead[0]['message_id']}&error=http_400", 2),
        (f"message_id={dead[0]['message_id']}&since=2099-01-01T00:00:00Z", 0),
    ):  # fmt: skip
        for status in ("", "&status=dead"):
            found = await house.get(f"/v1/forwards?{listed}{status}")
            assert (len(found["data"]), found["next_cursor"]) == (count, None), listed
    sink.reply = Reply(200)
    assert await house.post("/v1/forwards/replay", {"destination": one, "error": "http_400"}) == {"count": 3}
    again = await house.forwards(3, "delivered")
    assert {run["destination"] for run in again} == {one}
    first, second = sink.requests[:3], sink.requests[3:]
    assert {r.headers["idempotency-key"] for r in first} == {r.headers["idempotency-key"] for r in second}
    page = await house.get("/v1/forwards?status=dead&limit=2")
    rest = await house.get(f"/v1/forwards?status=dead&limit=2&cursor={page['next_cursor']}")
    assert len(page["data"] + rest["data"]) == 3
    assert rest["next_cursor"] is None


async def test_a_dead_one_can_go_elsewhere(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = Reply(410)
    gone, there = await house.destination(sink.url), await house.destination(other.url)
    await house.rule({"forward": {"to": [gone]}})
    await house.hear("Hello")
    (dead,) = await house.forwards(1, "dead")
    reply = await house.api("PATCH", f"/v1/forwards/{dead['id']}", {"destination": "dst_0000000000000"})
    assert reply.status == 422
    changed = await house.patch(f"/v1/forwards/{dead['id']}", destination=there)
    assert (changed["id"], changed["destination"]) == (dead["id"], there)
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    await house.arrived(other, 1)
    (done,) = await house.forwards(1, "delivered")
    reply = await house.api("PATCH", f"/v1/forwards/{done['id']}", {"values": {"text": "x"}})
    assert (reply.status, reply.json["code"]) == (409, "conflict")
    reply = await house.api("PATCH", f"/v1/forwards/{done['id']}", {"values": {"id": "x"}})
    assert reply.json["errors"][0]["field"] == "values.id"


async def test_what_waits_can_be_canceled(house: House, sink: Sink) -> None:
    sink.reply = Reply(503)
    destination = await house.destination(sink.url, retry_schedule=[60])
    await house.rule({"forward": {"to": [destination]}})
    await house.hear("Hello")
    (run,) = await house.forwards(1, "pending")
    while not run["attempt_count"]:
        (run,) = await house.forwards(1, "pending")
    assert (await house.post(f"/v1/forwards/{run['id']}/cancel", status=200))["status"] == "canceled"
    await house.forward(120_000)
    await house.post(f"/v1/forwards/{run['id']}/replay")
    await house.arrived(sink, 2)
    assert len(sink.requests) == 2


async def test_texts_of_one_person_keep_their_order_where_it_is_wanted(house: House, sink: Sink) -> None:
    sink.replies.append(Reply(503))
    destination = await house.destination(sink.url, ordered=True, retry_schedule=[60])
    await house.rule({"forward": {"to": [destination]}})
    await house.hear("one")
    await house.arrived(sink, 1)
    for text in ("two", "three"):
        await house.hear(text)
    await house.hear("from another", sender=BEN)
    await house.arrived(sink, 2)
    runs = await house.forwards(3, "pending")
    while not (runs[0]["attempt_count"] and runs[0]["next_attempt_at"]):
        runs = await house.forwards(3, "pending")
    await asyncio.sleep(0)
    await house.until(runs[0])
    async with asyncio.timeout(30):
        while len(sink.requests) < 5:
            await house.forward(500)
            await asyncio.sleep(0.02)
    texts = [request.json["text"] for request in sink.requests]
    assert texts[:2] == ["one", "from another"]
    assert texts[2:] == ["one", "two", "three"]


async def test_a_redacted_text_leaves_nothing_behind(house: House, sink: Sink) -> None:
    destination = await house.destination(sink.url)
    await house.rule({"forward": {"to": [destination]}}, when={"text": {"regex": "(?P<order>[0-9]+)"}})
    message = await house.hear("Order 4711")
    (run,) = await house.forwards(1, "delivered")
    assert "4711" in str(await house.get(f"/v1/forwards/{run['id']}"))
    await house.post(f"/v1/messages/{message}/redact", status=200)
    shown = await house.get(f"/v1/forwards/{run['id']}")
    assert "4711" not in str(shown)
    assert shown["attempts"][0]["request"] is None
    await house.post(f"/v1/forwards/{run['id']}/replay")
    *_, last = await house.arrived(sink, 2)
    assert b"4711" not in last.body


async def test_a_text_that_is_redacted_while_it_is_out_leaves_nothing_behind_either(house: House, sink: Sink) -> None:
    sink.reply = Reply(200, b"Thank you for 4711", delay=0.3)
    destination = await house.destination(sink.url)
    await house.rule({"forward": {"to": [destination]}})
    message = await house.hear("Order 4711")
    await house.arrived(sink, 1)
    await house.post(f"/v1/messages/{message}/redact", status=200)
    (run,) = await house.forwards(1, "delivered")
    shown = await house.get(f"/v1/forwards/{run['id']}")
    assert (shown["attempts"][0]["request"], shown["attempts"][0]["answer"]) == (None, None)


async def test_values_of_the_answer_are_kept_with_the_message_and_can_be_a_reply(house: House, sink: Sink) -> None:
    sink.reply = Reply(201, b'{"ticket": {"id": 42}}', {"Content-Type": "application/json"})
    destination = await house.destination(
        sink.url, save={"ticket": {"jsonpath": "$.ticket.id"}}, reply="We opened ticket {{ saved.ticket }}."
    )
    await house.rule({"forward": {"to": [destination]}})
    message = await house.hear("It is broken")
    (reply,) = await house.messages(1)
    assert (reply["to"], reply["text"]) == (ANNA, "We opened ticket 42.")
    assert (await house.get(f"/v1/messages/{message}"))["metadata"] == {"ticket": 42}
    runs = await house.forwards(2, "delivered")
    assert [run["kind"] for run in runs] == ["forward", "reply"]
    assert runs[1]["made"] == reply["id"]
    await house.post(f"/v1/forwards/{runs[0]['id']}/replay")
    await house.arrived(sink, 2)
    while (await house.forwards(1, "delivered", kind="forward"))[0]["attempt_count"] < 2:
        await asyncio.sleep(0)
    await house.hear("It is broken again")
    await house.forwards(2, "delivered", kind="reply")
    assert len((await house.get("/v1/messages?direction=outbound"))["data"]) == 2


@ONE_STORE
async def test_a_destination_that_is_gone_makes_a_dead_letter(house: House, sink: Sink) -> None:
    destination = await house.destination(sink.url)
    await house.rule({"forward": {"to": [destination]}})
    await house.app.destinations.remove(house.lane(destination).id)
    await house.hear("Hello")
    (dead,) = await house.forwards(1, "dead")
    assert dead["error"]["code"] == "no_destination"


@ONE_STORE
async def test_rules_that_fail_keep_no_text_from_being_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.rule({"tag": "heard"})
    match = RuleSet.match

    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(RuleSet, "match", broken)
    message = await house.hear("Hello")

    async def given_up() -> object:
        await house.forward(3 * 3_600_000)
        return (await house.get("/v1/forwards?status=dead&kind=all"))["data"]

    await eventually(given_up)
    (dead,) = await house.forwards(1, "dead")
    assert (dead["kind"], dead["message_id"], dead["error"]["code"]) == ("look", message, "internal")
    assert (await house.get(f"/v1/messages/{message}"))["text"] == "Hello"
    monkeypatch.setattr(RuleSet, "match", match)
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    await house.looked()
    assert (await house.get(f"/v1/messages/{message}"))["tags"] == ["heard"]


async def test_an_answer_with_what_no_store_keeps_holds_nothing_up(house: House, sink: Sink) -> None:
    sink.reply = Reply(200, b'{"id": "a\\u0000b"}', {"Content-Type": "application/json"})
    destination = await house.destination(
        sink.url,
        save={"id": {"jsonpath": "$.id"}, "body": {"cel": "body"}, "far": {"cel": "1.0 / 0.0"}},
        reply="{{ saved.id }}{{ body }}",
    )
    await house.rule({"forward": {"to": [destination]}})
    message = await house.hear("Hello")
    await house.forwards(1, "delivered", kind="forward")
    assert (await house.get(f"/v1/messages/{message}"))["metadata"].keys() == {"id", "body"}
    sink.reply = Reply(503, b"\0\xff\0")
    await house.hear("Hello again")
    runs = await house.forwards(1, "pending", kind="forward")
    while not runs[0]["attempt_count"]:
        runs = await house.forwards(1, "pending", kind="forward")
