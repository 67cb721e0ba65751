"""The dry run shows what is then done, byte for byte; and the past seen by a rule."""

from typing import Any

from tests.program import Reply, Sink
from tests.rules.conftest import ANNA, ONE_STORE, OURS, House

ORDER = {"text": {"regex": "(?i)^order (?P<order>[0-9]+)"}}
SAMPLE = {"from": ANNA, "to": OURS, "text": "Order 12"}


@ONE_STORE
async def test_it_says_which_rules_match_and_why_others_do_not(house: House) -> None:
    off = await house.rule({"tag": "off"}, enabled=False)
    order = await house.rule({"tag": "order"}, when=ORDER, stop=True)
    last = await house.rule({"tag": "last"})
    tried = await house.post("/v1/rules/test", {"message": SAMPLE}, 200)
    assert [(each["id"], each["matched"], each["why"]) for each in tried["rules"]] == [
        (off["id"], False, "disabled"),
        (order["id"], True, None),
        (last["id"], False, "stopped: the rule 'a rule' before it matched"),
    ]
    assert tried["rules"][1]["groups"]["order"] == "12"
    assert [(each["kind"], each["message"]) for each in tried["actions"]] == [("tag", {"tag": "order"})]
    tried = await house.post("/v1/rules/test", {"message": {**SAMPLE, "text": "Hello"}}, 200)
    assert tried["rules"][1]["why"] == f"text: {ORDER['text']['regex']} is not found in it"
    assert tried["rules"][2]["matched"]
    assert (await house.get("/v1/messages"))["data"] == []


@ONE_STORE
async def test_it_shows_every_request_and_sends_none(house: House, sink: Sink) -> None:
    auth = {"kind": "bearer", "token": "very-secret-token"}
    destination = await house.destination(f"{sink.url}/orders", auth=auth)
    await house.rule(
        {"forward": {"to": [destination]}}, {"reply": {"text": "Order {{ groups.order }}"}},
        {"text": {"to": ["+447700900124"]}}, {"reply": {"text": "{{ answer.json.id }}"}}, when=ORDER,
    )  # fmt: skip
    tried = await house.post("/v1/rules/test", {"message": SAMPLE}, 200)
    forward, reply, text, later = tried["actions"]
    assert forward["destination"] == destination
    assert (forward["response"], forward["exchanges"]) == (None, [])
    assert forward["request"]["method"] == "POST"
    assert forward["request"]["url"] == f"{sink.url}/orders"
    assert forward["request"]["headers"]["Authorization"] == "Bearer ***"
    assert "very-secret" not in str(tried)
    assert reply["message"] == {"to": ANNA, "from": OURS, "text": "Order 12"}
    assert text["message"]["to"] == "+447700900124"
    assert later["skipped"]
    assert sink.requests == []


async def test_what_is_shown_for_a_text_of_the_past_is_what_was_sent(house: House, sink: Sink) -> None:
    destination = await house.destination(f"{sink.url}/orders")
    await house.rule({"forward": {"to": [destination]}}, when=ORDER)
    message = await house.hear("Order 12")
    (sent,) = await house.arrived(sink, 1)
    await house.forwards(1, "delivered")
    tried = await house.post("/v1/rules/test", {"message_id": message}, 200)
    shown = tried["actions"][0]["request"]
    assert shown["body"].encode() == sent.body
    lower = {name.lower(): value for name, value in shown["headers"].items()}
    assert lower.items() <= dict(sent.headers).items()
    kept = (await house.get(f"/v1/forwards/{(await house.forwards(1))[0]['id']}"))["attempts"][0]["request"]
    assert kept == shown


@ONE_STORE
async def test_with_send_it_is_really_sent_and_the_answer_is_shown(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = Reply(500, b"no")
    other.reply = Reply(200, b'{"id": 7}', {"Content-Type": "application/json"})
    first, second = await house.destination(sink.url), await house.destination(other.url)
    await house.rule(
        {"forward": {"to": [first, second], "mode": "first_success"}},
        {"reply": {"text": "Number {{ answer.json.id }}"}},
    )
    tried = await house.post("/v1/rules/test", {"message": SAMPLE, "send": True}, 200)
    failed, done, reply = tried["actions"]
    assert (failed["response"]["status"], failed["error"]["code"]) == (500, "http_500")
    assert done["response"]["body"] == '{"id": 7}'
    assert done["request"]["body"] == other.requests[0].body.decode()
    assert reply["message"]["text"] == "Number 7"
    assert (await house.get("/v1/forwards?kind=all"))["data"] == []
    assert (await house.get("/v1/messages"))["data"] == []


@ONE_STORE
async def test_what_would_not_be_sent_is_shown_with_the_reason(house: House, sink: Sink) -> None:
    """A body that doesn't fit its schema; a picture that can't be got. The picture that can is in what is shown."""
    body = {"json": {"order": "{{ groups.order | int }}"}}
    few = {"properties": {"order": {"maximum": 9}}}
    one = await house.destination(sink.url, request={"url": f"{sink.url}/in", "body": body}, schema=few)
    two = await house.destination(
        sink.url, request={"url": f"{sink.url}/up", "body": {"multipart": [{"name": "file", "media": "all"}]}}
    )
    await house.rule({"forward": {"to": [one, two]}}, when=ORDER)
    for found in (404, 200):
        sink.reply = Reply(found, b"picture", {"Content-Type": "image/png"})
        said = {**SAMPLE, "media": [f"{sink.url}/a.png"]}
        schema, picture = (await house.post("/v1/rules/test", {"message": said}, 200))["actions"]
        assert (schema["error"]["code"], schema["request"]["body"]) == ("schema", '{"order":12}')
        if found == 404:
            assert (picture["error"]["code"], picture["request"]) == ("media", None)
        else:
            assert picture["error"] is None
            assert 'filename="a.png"\r\nContent-Type: image/png\r\n\r\npicture\r\n' in picture["request"]["body"]
    assert {request.method for request in sink.requests} == {"GET"}


@ONE_STORE
async def test_others_texts_are_not_there_to_try_with(house: House) -> None:
    message = await house.hear("Order 12")
    reply = await house.api("POST", "/v1/rules/test", {"message_id": message}, key=house.columba.live_key)
    assert reply.status == 404
    for body in ({}, {"message": SAMPLE, "message_id": message}):
        reply = await house.api("POST", "/v1/rules/test", body)
        assert (reply.status, reply.json["errors"][0]["field"]) == (422, "message")


# The past


async def past(house: House, rule: Any, **more: Any) -> Any:
    found = await house.post(f"/v1/rules/{rule['id']}/replay", {"since": "2026-01-01T00:00:00Z", **more})
    return found["seen"], found["matched"], found["started"]


async def test_the_past_is_seen_by_a_new_rule_once(house: House, sink: Sink) -> None:
    for text in ("Order 1", "Hello", "Order 2"):
        await house.hear(text)
    await house.columba.send(ANNA, "Order 3")  # not from a person
    destination = await house.destination(sink.url)
    rule = await house.rule({"forward": {"to": [destination]}}, {"tag": "order"}, when=ORDER)
    assert await past(house, rule, send=False) == (3, 2, 0)
    assert await past(house, rule) == (3, 2, 4)
    await house.arrived(sink, 2)
    assert sorted(request.json["order"] for request in sink.requests) == ["1", "2"]
    assert len((await house.get("/v1/messages?tag=order"))["data"]) == 2
    assert await past(house, rule) == (3, 2, 0)
    await house.hear("Order 4")
    await house.arrived(sink, 3)
    assert await past(house, rule) == (4, 3, 0)
    assert len(sink.requests) == 3


async def test_the_past_knows_what_was_first_then(house: House) -> None:
    for text in ("one", "two"):
        await house.hear(text)
    rule = await house.rule({"tag": "new"}, when={"first": "text"})
    assert await past(house, rule) == (2, 1, 1)
    (found,) = (await house.get("/v1/messages?tag=new"))["data"]
    assert found["text"] == "one"
