"""What a developer sees of deliveries, and can do again: lists, attempts, replay, recover, test."""

from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from columba.http.times import rfc3339
from tests.program import Reply, Sink
from tests.webhooks.conftest import House

BROKEN, FINE = Reply(500, b"oh no"), Reply(200, b"thanks")


async def test_a_delivery_tells_all_of_its_attempts(house: House, sink: Sink) -> None:
    sink.reply = FINE
    sink.replies.append(Reply(404, b"\x00" + b"\xff" * 30_000))
    hook = await house.hook(sink.url)
    await house.columba.send(text="Hello you")
    first = await house.settled(hook)
    assert (first["status"], first["attempt_count"], first["last_status"]) == ("pending", 1, 404)
    assert first["error"]["code"] == "http_404"
    await house.until(first)
    delivery = await house.settled(hook, 2)
    assert (delivery["status"], delivery["error"], delivery["next_attempt_at"]) == ("delivered", None, None)
    bad, good = delivery["attempts"]
    assert (bad["status"], bad["answer"], good["status"], good["answer"]) == (404, "\ufffd" * 20_000, 200, "thanks")
    assert bad["error"] == first["error"]
    for request, attempt in zip(sink.requests, (bad, good), strict=True):
        shown = attempt["request"]
        assert (shown["method"], shown["url"]) == ("POST", sink.url)
        assert shown["body"] == request.json
        assert shown["headers"]["webhook-id"] == request.headers["webhook-id"] == delivery["event"]
        assert shown["headers"]["webhook-timestamp"] == request.headers["webhook-timestamp"]
        assert shown["headers"]["webhook-signature"] == "v1,[redacted]"
        assert attempt["latency_ms"] >= 0


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Reply(301, b"", {"Location": "https://example.org/new"}), "http_301", ["example.org/new", "not followed"]),
        (Reply(401), "http_401", ["without a login", "signature"]),
        (Reply(405), "http_405", ["POST"]),
        (Reply(418), "http_418", ["418"]),
        (Reply(502), "http_502", ["log"]),
        (Reply(close=True), "disconnected", ["closed the connection"]),
    ],
)
async def test_what_went_wrong_says_what_to_do(
    house: House, sink: Sink, reply: Reply, code: str, words: list[str]
) -> None:
    sink.reply = reply
    hook = await house.hook(sink.url)
    await house.columba.send()
    error = (await house.settled(hook))["error"]
    assert error["code"] == code
    assert all(word in error["detail"] for word in words), error


async def test_nobody_listens(house: House) -> None:
    with Sink() as gone:
        url = gone.url
    hook = await house.hook(url)
    await house.columba.send()
    error = (await house.settled(hook))["error"]
    assert error["code"] == "connect"
    assert "refused" in error["detail"]
    assert "Check that the server runs" in error["detail"]


async def test_a_name_that_leads_to_a_private_address_names_the_way_out(house: House) -> None:
    async def resolve(_: str) -> list[str]:
        return ["10.1.2.3"]

    house.app.egress._names._resolve = resolve
    hook = await house.hook("http://inside.example.org/hook")
    await house.columba.send()
    error = (await house.settled(hook))["error"]
    assert error["code"] == "forbidden_address"
    assert "--allow-network" in error["detail"]
    assert "10.1" not in error["detail"]


async def test_lists_are_narrowed_down_and_paged(house: House, sink: Sink, other: Sink) -> None:
    other.reply = BROKEN
    fine = await house.hook(sink.url, ["message.queued", "message.delivered"])
    bad = await house.hook(other.url, ["message.queued"], retry_schedule=[])
    worse = await house.hook(other.url, ["message.delivered"])
    for _ in range(7):
        await house.columba.send()
    counts = {"": 28, f"endpoint={fine['id']}": 14, "status=delivered": 14, "status=failed": 7, "status=pending": 7}
    counts |= {f"endpoint={bad['id']}&status=failed": 7, f"endpoint={bad['id']}&status=delivered": 0}
    counts |= {"event=message.queued": 14, "event=message.queued&status=failed": 7, "event=message.sent": 0}
    counts |= {f"event=message.delivered&endpoint={worse['id']}": 7}
    await house.deliveries(7, status="failed")
    await house.deliveries(7, endpoint=worse["id"])
    await house.true(lambda: all(lane.is_idle() for lane in house.app.lanes.owned.values()))
    for query, count in counts.items():
        for limit in (1000, 5):
            found: list[Any] = []
            cursor = ""
            while cursor is not None:
                page = await house.get(f"/v1/deliveries?limit={limit}&{query}{cursor and f'&cursor={cursor}'}")
                assert len(page["data"]) <= limit
                found += page["data"]
                cursor = page["next_cursor"]
            assert len(found) == len({each["id"] for each in found}) == count, query
            keys = [(each["event"], each["endpoint"]) for each in found]
            assert keys == sorted(keys, reverse=True)


async def test_all_deliveries_of_one_event(house: House, sink: Sink, other: Sink) -> None:
    hooks = [await house.hook(each.url) for each in (sink, other)]
    await house.columba.send()
    await house.columba.send()
    event = (await house.deliveries(4))[0]["event"]
    found = await house.deliveries(2, event=event)
    assert {(each["event"], each["endpoint"]) for each in found} == {(event, hook["id"]) for hook in hooks}
    page = await house.get(f"/v1/deliveries?event={event}&limit=1")
    rest = await house.get(f"/v1/deliveries?event={event}&limit=1&cursor={page['next_cursor']}")
    assert {each["endpoint"] for each in page["data"] + rest["data"]} == {hook["id"] for hook in hooks}
    assert rest["next_cursor"] is None


async def test_a_list_that_finds_little_looks_at_so_much_and_no_more(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.webhooks.deliveries.ROUND", 2)
    monkeypatch.setattr("columba.webhooks.deliveries.ROUNDS", 2)
    await house.hook(sink.url, ["message.queued", "message.sent"])
    await house.columba.send()
    await house.deliveries(2)
    for _ in range(6):
        await house.columba.send("+447700900006")  # these are sent, and nothing more is heard of them
    await house.deliveries(14)
    pages = 0
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = await house.get(f"/v1/deliveries?event=message.queued{cursor and f'&cursor={cursor}'}")
        found += page["data"]
        cursor = page["next_cursor"]
        pages += 1
    assert len(found) == 7
    assert pages >= 3


async def test_a_replay_has_the_same_id_and_begins_the_schedule_anew(house: House, sink: Sink) -> None:
    sink.reply = BROKEN
    hook = await house.hook(sink.url, retry_schedule=[60])
    await house.columba.send()
    await house.until(await house.settled(hook))
    failed = await house.settled(hook, 2)
    assert failed["status"] == "failed"
    replayed = await house.post(f"/v1/deliveries/{failed['id']}/replay")
    assert (replayed["id"], replayed["status"]) == (failed["id"], "pending")
    assert (await house.settled(hook, 3))["status"] == "pending"
    sink.reply = FINE
    await house.post(f"/v1/deliveries/{failed['id']}/replay")
    assert (await house.settled(hook, 4))["status"] == "delivered"
    await house.post(f"/v1/deliveries/{failed['id']}/replay")
    delivery = await house.settled(hook, 5)
    assert [each["status"] for each in delivery["attempts"]] == [500, 500, 500, 200, 200]
    assert [each["answer"] for each in delivery["attempts"]] == ["oh no"] * 3 + ["thanks"] * 2
    assert {request.headers["webhook-id"] for request in sink.requests} == {failed["event"]}


async def test_recovery_brings_what_was_missed_and_what_failed(house: House, sink: Sink) -> None:
    start = rfc3339(house.clock())
    await house.columba.send()  # before there was a webhook
    await house.forward(1_000)
    later = rfc3339(house.clock())
    hook = await house.hook(sink.url, ["message.queued"], retry_schedule=[])
    await house.columba.send()
    await house.settled(hook)
    sink.reply = BROKEN
    await house.columba.send()
    await house.deliveries(1, status="failed")
    await house.patch(hook, enabled=False)
    await house.columba.send()  # while it was disabled
    await house.patch(hook, enabled=True)
    sink.reply = FINE
    before = len(sink.requests)

    async def recover(**window: Any) -> int:
        answer = await house.post(f"/v1/webhooks/{hook['id']}/recover", window)
        count: int = answer["count"]
        return count

    await house.forward(1_000)
    assert await recover(since=later) == 2
    await house.arrived(sink, before + 2)
    assert await recover(since=start, until=later) == 1
    requests = await house.arrived(sink, before + 3)
    await house.true(house.own_lane(hook).is_idle)
    assert await recover(since=start) == 0
    assert len(requests) == before + 3
    # The one that failed came a second time, with its id.
    assert len({request.headers["webhook-id"] for request in requests}) == 4
    assert {request.json["type"] for request in requests} == {"message.queued"}


async def test_recovery_goes_in_pieces(house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.webhooks.deliveries.AT_ONCE", 3)
    start = rfc3339(house.clock())
    for _ in range(10):
        await house.columba.send()
    await house.forward(1_000)
    hook = await house.hook(sink.url, ["message.queued"])
    answer = await house.post(f"/v1/webhooks/{hook['id']}/recover", {"since": start})
    assert answer == {"count": 10}
    requests = await house.arrived(sink, 10)
    assert len({request.headers["webhook-id"] for request in requests}) == 10


async def test_what_waits_for_another_try_goes_at_once(house: House, sink: Sink) -> None:
    start = rfc3339(house.clock() - 1000)
    sink.reply = BROKEN
    hook = await house.hook(sink.url, retry_schedule=[604_800])
    await house.columba.send()
    await house.settled(hook)
    sink.reply = FINE
    await house.forward(1_000)
    assert (await house.post(f"/v1/webhooks/{hook['id']}/recover", {"since": start}))["count"] == 1
    assert (await house.settled(hook, 2))["status"] == "delivered"


@pytest.mark.parametrize(
    ("window", "errors"),
    [
        ({}, [("since", "required")]),
        ({"since": "2099-01-01T00:00:00Z"}, [("since", "invalid_time")]),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, [("until", "invalid_time")]),
        ({"since": "yesterday", "to": 1}, [("since", "wrong_type"), ("to", "unknown_field")]),
    ],
)
async def test_what_is_no_time_to_recover(
    house: House, sink: Sink, window: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    hook = await house.hook(sink.url)
    reply = await house.api("POST", f"/v1/webhooks/{hook['id']}/recover", window)
    assert reply.status == 422
    assert [field for field, _ in reply.fields] == [field for field, _ in errors], reply.fields


async def test_a_test_answers_with_what_came_back(house: House, sink: Sink) -> None:
    sink.reply = Reply(202, b"got it")
    hook = await house.hook(sink.url, ["message.failed"])
    done = await house.post(f"/v1/webhooks/{hook['id']}/test", status=200)
    assert (done["ok"], done["status"], done["answer"], done["error"]) == (True, 202, "got it", None)
    (request,) = sink.requests
    told = Webhook(hook["secret"]).verify(request.body, dict(request.headers))
    assert (told["id"], told["type"]) == (done["event"], "webhook.test")
    assert done["request"]["body"] == told
    assert (await house.get(f"/v1/deliveries/{done['delivery']}"))["status"] == "delivered"
    (event,) = await house.events("webhook.test")
    assert event == told["data"]


@pytest.mark.parametrize("query", ["endpoint=whk_0000000000000", "endpoint=x", "event=message.lost", "status=gone"])
async def test_what_no_list_can_be_narrowed_down_by(house: House, query: str) -> None:
    reply = await house.api("GET", f"/v1/deliveries?{query}")
    assert reply.status == 422
    assert [field for field, _ in reply.fields] == [query.partition("=")[0]]
