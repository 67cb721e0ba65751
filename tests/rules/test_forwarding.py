"""Texts forwarded: what rules set in motion, its order, its failures, and trying it again."""

from tests.api import eventually
from tests.program import Reply, Sink
from tests.rules.conftest import ANNA, House

ORDER = {"text": {"regex": "(?i)^order (?P<order>[0-9]+)"}}


async def test_a_text_goes_where_its_rule_says(house: House, sink: Sink) -> None:
    destination = await house.destination(f"{sink.url}/orders")
    rule = await house.rule({"forward": {"to": [destination]}}, when=ORDER)
    await house.hear("Hello")
    message = await house.hear("Order 12, please")
    (request,) = await house.arrived(sink, 1)
    assert request.path == "/orders"
    assert request.json == {"from": ANNA, "text": "Order 12, please", "order": "12"}
    (forward,) = await house.forwards(1, "delivered")
    assert forward["message_id"] == message
    assert forward["rule"] == rule["id"]
    assert forward["destination"] == destination
    assert request.headers["idempotency-key"] == forward["id"]
    shown = await house.get(f"/v1/forwards/{forward['id']}")
    (attempt,) = shown["attempts"]
    assert attempt["request"]["body"] == request.body.decode()
    assert attempt["status"] == 200
    timeline = (await house.get(f"/v1/messages/{message}"))["timeline"]
    assert [step["type"] for step in timeline] == ["message.received", "forward.delivered"]


async def test_what_fails_is_tried_again_and_then_dead(house: House, sink: Sink) -> None:
    sink.reply = Reply(503, b"no")
    destination = await house.destination(sink.url, retry_schedule=[60, 600])
    await house.rule({"forward": {"to": [destination]}})
    message = await house.hear("Order 12")
    for attempts in (1, 2):
        await house.arrived(sink, attempts)
        (forward,) = await house.forwards(1, "pending")
        while forward["attempt_count"] < attempts:
            (forward,) = await house.forwards(1, "pending")
        assert forward["error"]["code"] == "http_503"
        await house.until(forward)
    await house.arrived(sink, 3)
    (dead,) = await house.forwards(1, "dead")
    assert dead["attempt_count"] == 3
    types = [step["type"] for step in (await house.get(f"/v1/messages/{message}"))["timeline"]]
    assert types == ["message.received", "forward.failed", "forward.dead"]
    sink.reply = Reply(200)
    again = await house.patch(f"/v1/forwards/{dead['id']}", values={"text": "Order 13", "groups": {"order": "13"}})
    assert again["edited"]
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    *_, last = await house.arrived(sink, 4)
    assert last.json == {"from": ANNA, "text": "Order 13", "order": "13"}
    assert {request.headers["idempotency-key"] for request in sink.requests} == {dead["id"]}
    (done,) = await house.forwards(1, "delivered")
    assert done["attempt_count"] == 4


async def test_pictures_are_forwarded_as_links_that_open(house: House, sink: Sink) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    sink.reply = Reply(200, picture, {"Content-Type": "image/png"})
    body = {"json": {"media": "{{ media }}"}}
    destination = await house.destination(sink.url, request={"url": f"{sink.url}/in", "body": body})
    await house.rule({"forward": {"to": [destination]}}, when={"media": True})
    await house.hear("Look", media=(f"{sink.url}/picture.png",))
    await house.forwards(1, "delivered")
    (forwarded,) = [request for request in sink.requests if request.method == "POST"]
    (link,) = forwarded.json["media"]
    assert link.startswith("http://127.0.0.1:8080/")

    async def opened() -> bool:
        return (await house.api("GET", link.removeprefix("http://127.0.0.1:8080"), key="")).status == 200

    await eventually(opened)
