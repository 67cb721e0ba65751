"""What rules do besides forwarding, in what order, and how one action waits for another."""

from tests.program import Reply, Sink
from tests.rules.conftest import ANNA, ONE_STORE, OURS, House

BEN, CARL = "+447700900124", "+447700900125"


def by_kind(found: list[dict[str, object]]) -> dict[object, dict[str, object]]:
    return {each["kind"]: each for each in found}


@ONE_STORE
async def test_a_reply_says_what_its_template_makes(house: House) -> None:
    when = {"text": {"regex": "(?i)order (?P<order>[0-9]+)"}}
    await house.rule({"reply": {"text": "Hi {{ from }}, order {{ groups.order }} is on its way."}}, when=when)
    message = await house.hear("my ORDER 12!")
    (reply,) = await house.messages(1)
    assert (reply["to"], reply["from"]) == (ANNA, OURS)
    assert reply["text"] == f"Hi {ANNA}, order 12 is on its way."
    (run,) = await house.forwards(1, "delivered")
    assert (run["kind"], run["made"]) == ("reply", reply["id"])
    steps = (await house.get(f"/v1/messages/{message}"))["timeline"]
    assert [step["type"] for step in steps] == ["message.received", "action.done"]


async def test_a_text_is_tagged_where_it_is_shown_and_where_it_is_found(house: House) -> None:
    await house.rule({"tag": "support"}, {"tag": "loud"}, when={"text": {"contains": "HELP"}})
    message = await house.hear("please help me")
    assert (await house.get(f"/v1/messages/{message}"))["tags"] == ["support", "loud"]
    assert [each["id"] for each in (await house.get("/v1/messages?tag=support"))["data"]] == [message]
    assert [run["kind"] for run in await house.forwards(2, "delivered")] == ["tag", "tag"]


@ONE_STORE
async def test_a_text_goes_on_to_other_numbers(house: House) -> None:
    await house.rule({"text": {"to": [BEN, CARL], "text": "{{ from }} says {{ text }}"}})
    await house.hear("Hello")
    sent = await house.messages(2)
    assert {each["to"] for each in sent} == {BEN, CARL}
    assert {each["text"] for each in sent} == {f"{ANNA} says Hello"}


async def test_a_reply_waits_for_what_the_destination_answers(house: House, sink: Sink) -> None:
    sink.replies.append(Reply(503))
    sink.reply = Reply(201, b'{"ticket": {"id": 42}}', {"Content-Type": "application/json"})
    destination = await house.destination(sink.url, retry_schedule=[60])
    await house.rule(
        {"forward": {"to": [destination]}}, {"reply": {"text": "Ticket {{ answer.json.ticket.id }}"}}, {"tag": "ticket"}
    )
    message = await house.hear("It is broken")
    await house.arrived(sink, 1)
    waiting, *_ = await house.forwards(1, "waiting")
    assert waiting["kind"] == "reply"
    assert waiting["waits_for"]
    assert (await house.get(f"/v1/messages/{message}"))["tags"] == ["ticket"]
    (forward,) = await house.forwards(1, "pending")
    while not forward["attempt_count"]:
        (forward,) = await house.forwards(1, "pending")
    assert (await house.get("/v1/messages?direction=outbound"))["data"] == []
    await house.until(forward)
    (reply,) = await house.messages(1)
    assert reply["text"] == "Ticket 42"


async def test_a_reply_that_comes_out_empty_is_not_sent_and_says_so(house: House, sink: Sink) -> None:
    sink.reply = Reply(422)
    destination = await house.destination(sink.url)
    silent = {"reply": {"text": "{% if answer.ok %}Ticket {{ answer.json.id }}{% endif %}"}}
    await house.rule({"forward": {"to": [destination]}}, silent)
    tried = await house.post("/v1/rules/test", {"message": {"text": "Hello"}, "send": True}, 200)
    assert tried["actions"][1]["skipped"] == "The text came out empty: nothing is sent."
    message = await house.hear("Hello")
    (run,) = await house.forwards(1, "skipped")
    assert (run["kind"], run["made"], run["error"]) == ("reply", None, None)
    (attempt,) = (await house.get(f"/v1/forwards/{run['id']}"))["attempts"]
    assert attempt["request"]["skipped"] == "The text came out empty: nothing is sent."
    (done,) = await house.events("action.done")
    assert (done["id"], done["action"]["status"], "message_id" in done["action"]) == (message, "skipped", False)
    assert (await house.get("/v1/messages?direction=outbound"))["data"] == []


async def test_the_next_destination_takes_over_where_the_first_fails(house: House, sink: Sink, other: Sink) -> None:
    sink.reply = Reply(500)
    first, second, third = [await house.destination(url) for url in (sink.url, other.url, f"{other.url}/third")]
    await house.rule({"forward": {"to": [first, second, third], "mode": "first_success"}})
    await house.hear("Hello")
    await house.arrived(other, 1)
    await house.forwards(1, "delivered")
    runs = await house.forwards(3)
    assert [(run["destination"], run["status"]) for run in runs] == [
        (first, "failed"), (second, "delivered"), (third, "skipped"),
    ]  # fmt: skip
    assert len(sink.requests) == len(other.requests) == 1


async def test_it_ends_where_one_fails(house: House, sink: Sink, other: Sink) -> None:
    other.reply = Reply(500)
    first = await house.destination(sink.url)
    second, third = [await house.destination(url, retry_schedule=[]) for url in (other.url, f"{sink.url}/third")]
    await house.rule({"forward": {"to": [first, second, third], "mode": "until_failure"}})
    await house.hear("Hello")
    await house.forwards(1, "dead")
    assert [run["status"] for run in await house.forwards(3)] == ["delivered", "dead", "skipped"]
    assert [request.path for request in sink.requests] == ["/"]


@ONE_STORE
async def test_stop_and_drop_end_it(house: House) -> None:
    await house.rule({"tag": "first"}, when={"keyword": ["LAST"]}, stop=True)
    await house.rule({"tag": "spam"}, {"drop": True}, when={"text": {"contains": "casino"}})
    await house.rule({"tag": "every"})
    tags = {}
    for text in ("last one", "Casino!", "hello"):
        message = await house.hear(text)
        tags[text] = (await house.get(f"/v1/messages/{message}"))["tags"]
    assert tags == {"last one": ["first"], "Casino!": ["spam"], "hello": ["every"]}


async def test_a_reply_that_is_refused_is_dead_with_its_reason_and_can_be_replayed(house: House) -> None:
    await house.rule({"reply": {"text": "Thanks", "from": "SHOP"}})
    await house.hear("Hello", sender="+447700900001")  # the simulated network refuses the number
    (dead,) = await house.forwards(1, "dead")
    assert dead["error"]["code"] == "no_recipient", dead
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    (dead,) = await house.forwards(1, "dead")


@ONE_STORE
async def test_automatic_texts_to_one_number_have_an_end(house: House) -> None:
    await house.rule({"reply": {"text": "{{ text }}"}})
    for n in range(31):
        await house.hear(f"ping {n}")
    (dead,) = await house.forwards(1, "dead")
    assert dead["error"]["code"] == "too_many"
    assert len(await house.messages(30)) == 30


async def test_the_first_text_from_a_number_and_the_first_reply(house: House) -> None:
    await house.rule({"tag": "new"}, when={"first": "text"})
    await house.rule({"tag": "answer"}, when={"first": "reply"})

    async def tags(text: str) -> list[str]:
        message = await house.hear(text)
        await house.looked()
        return list((await house.get(f"/v1/messages/{message}"))["tags"])

    assert await tags("one") == ["new"]
    assert await tags("two") == []
    await house.columba.send(ANNA, "How are you?")
    assert await tags("three") == ["answer"]
    assert await tags("four") == []


async def test_what_waited_for_a_canceled_forward_goes_on_without(house: House, sink: Sink) -> None:
    sink.reply = Reply(503)
    first, second = [await house.destination(sink.url, retry_schedule=[600]) for _ in range(2)]
    await house.rule(
        {"forward": {"to": [first, second], "mode": "until_failure"}},
        {"reply": {"text": "{% if answer.ok %}Ticket {{ answer.json.id }}{% else %}We look after it.{% endif %}"}},
    )
    await house.hear("It is broken")
    await house.arrived(sink, 1)
    (forward,) = await house.forwards(1, "pending")
    await house.post(f"/v1/forwards/{forward['id']}/cancel", status=200)
    (reply,) = await house.messages(1)
    assert reply["text"] == "We look after it."
    runs = await house.forwards(3)
    assert [run["status"] for run in runs][:2] == ["canceled", "skipped"]


async def test_a_keyword_that_is_answered_meets_only_rules_that_name_it(house: House) -> None:
    await house.rule({"tag": "named"}, when={"keyword": ["HELP"]})
    await house.rule({"tag": "new"}, when={"first": "text", "any": [{"keyword": ["STOP"]}, {"keyword": ["HELP"]}]})
    await house.rule({"tag": "every"})
    tags = {}
    for text in ("HELP", "STOP", "Help me"):
        message = await house.hear(text)
        await house.looked()
        tags[text] = (await house.get(f"/v1/messages/{message}"))["tags"]
    assert tags == {"HELP": ["named", "new"], "STOP": [], "Help me": ["named", "every"]}
    tried = await house.post("/v1/rules/test", {"message": {"from": ANNA, "to": OURS, "text": "STOP"}}, 200)
    assert [rule["matched"] for rule in tried["rules"]] == [False, False, False]
    assert tried["rules"][2]["why"].startswith("keyword: STOP is answered before the rules")
