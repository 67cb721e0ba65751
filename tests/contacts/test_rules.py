"""The contact in rules and templates: the same in what is done, what is tried, what is shown the past; asked for once."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import pytest

from columba.contacts import SQL
from columba.contacts.looking import Looking
from columba.core.contract import Inbound
from columba.errors import Refusal
from columba.forwarding.conditions import Facts, Problems, compile_when
from columba.forwarding.people import Who
from columba.forwarding.rules_shapes import When
from columba.sandbox import CARRIER_ID
from columba.store import Row, StoreUnavailable
from tests.program import Reply, Sink
from tests.rules.conftest import ANNA, ONE_STORE, House
from tests.rules.test_conditions import text

BEN = "+447700900124"
GOLD = {"tag": ["vip"], "attributes": {"plan": "gold"}}
BODY = {
    "json": {
        "who": "{{ contact.name | default(from) }}",
        "all": "{{ contact }}",
        "plan": "{{ contact.attributes.plan }}",
    }
}
CONTACT = {
    "id": "cnt_0000000000001", "number": ANNA, "name": "Anna Å", "email": "anna@example.org", "language": "pt-BR",
    "tags": ["vip", "london"], "attributes": {"plan": "gold", "seats": 1, "paying": True},
}  # fmt: skip

CASES: list[tuple[Any, str | None]] = [
    (True, None),
    (False, f"contact: {ANNA} is one of your contacts"),
    ({"tag": ["x", "london"]}, None),
    ({"tag": ["lon", "VIP"]}, "contact: it has not the tag lon, VIP"),
    ({"language": ["pt"]}, None),
    ({"language": ["PT-br"]}, None),
    ({"language": ["p", "en"]}, "contact: it has not the language p, en"),
    ({"name": ["ANNA å"], "email": ["Anna@Example.org"]}, None),
    ({"name": ["Anna"]}, "contact: it has not the name Anna"),
    ({"attributes": {"plan": ["silver", "gold"], "seats": 1}}, None),
    ({"attributes": {"plan": "silver"}}, "contact: it has not silver as plan"),
    ({"attributes": {"seats": True}}, "contact: it has not true as seats"),
    ({"attributes": {"paying": 1}}, "contact: it has not 1 as paying"),
    ({"attributes": {"paying": True}}, None),
    ({"attributes": {"nothing": ""}}, "contact: it has not  as nothing"),
]


@pytest.mark.parametrize(("contact", "why"), CASES)
def test_a_condition_on_the_contact(contact: Any, why: str | None) -> None:
    for when in ({"contact": contact}, {"any": [{"contact": contact}]}, {"all": [{"contact": contact}]}):
        problems = Problems()
        condition = compile_when(msgspec.convert(when, When), "when", problems)
        assert (problems.found, condition.knows, condition.asks) == ([], True, False)
        said = text()
        said.facts = Facts(contact=CONTACT)
        assert condition.holds(said) is (why is None)
        assert (why or "") in (condition.why_not(said) or "")
        said.facts = Facts()
        assert condition.holds(said) is (contact is False)


@pytest.mark.parametrize(
    ("when", "knows"),
    [({"cel": "contact.name == 'x'"}, True), ({"cel": "size(text) > 1"}, False), ({"keyword": ["CONTACT"]}, False)],
)
def test_who_asks_for_the_contact(when: Any, knows: bool) -> None:
    assert compile_when(msgspec.convert(when, When), "when", Problems()).knows is knows


async def known(house: House, number: str = ANNA, name: str = "Anna", **more: Any) -> Any:
    body = {"number": number, "name": name, "tags": ["vip"], "attributes": {"plan": "gold"}, **more}
    return await house.post("/v1/contacts", body, 201)


async def destination(house: House, sink: Sink, **more: Any) -> str:
    made: str = await house.destination(sink.url, request={"url": sink.url, "body": BODY}, **more)
    return made


async def test_it_is_the_same_in_all_that_is_done_and_tried(house: House, sink: Sink) -> None:
    contact = await known(house)
    to = await destination(house, sink)
    when = {"contact": GOLD, "cel": "contact.attributes.plan == 'gold' && 'vip' in contact.tags"}
    await house.rule({"forward": {"to": [to]}}, {"reply": {"text": "Hi {{ contact.name }}"}}, when=when)
    await house.rule({"tag": "stranger"}, when={"contact": False})
    shown = {name: contact[name] for name in CONTACT}
    body = {"who": "Anna", "all": shown, "plan": "gold"}

    sample = {"message": {"from": ANNA, "text": "hello"}}
    tried = await house.post("/v1/rules/test", sample, 200)
    assert [(rule["matched"], rule["why"]) for rule in tried["rules"]] == [
        (True, None), (False, f"contact: {ANNA} is one of your contacts"),
    ]  # fmt: skip
    assert msgspec.json.decode(tried["actions"][0]["request"]["body"]) == body
    assert tried["contact"] == shown
    assert tried["actions"][1]["message"]["text"] == "Hi Anna"
    single = await house.post(f"/v1/destinations/{to}/test", {**sample, "send": False}, 200)
    assert msgspec.json.decode(single["request"]["body"]) == body

    message = await house.hear("hello")
    (request,) = await house.arrived(sink, 1)
    assert request.json == body
    (reply,) = await house.messages(1)
    assert reply["text"] == "Hi Anna"
    past = await house.post("/v1/rules/test", {"message_id": message}, 200)
    assert msgspec.json.decode(past["actions"][0]["request"]["body"]) == body

    stranger = await house.hear("hello", sender=BEN)
    assert (await house.get(f"/v1/messages/{stranger}"))["tags"] == ["stranger"]
    assert (await house.get(f"/v1/messages/{message}"))["tags"] == []
    assert len(sink.requests) == 1


@ONE_STORE
async def test_who_may_not_see_contacts_tries_without(house: House, sink: Sink) -> None:
    await known(house)
    to = await destination(house, sink)
    await house.rule({"forward": {"to": [to]}}, when={"contact": True})
    await house.rule({"reply": {"text": "{{ contact }}"}})
    tester = await house.columba.key(scopes=["rules:write", "destinations:write"])
    sample = {"message": {"from": ANNA, "text": "hello"}, "send": False}
    for path in ("/v1/rules/test", f"/v1/destinations/{to}/test"):
        reply = await house.api("POST", path, sample, key=tester)
        assert reply.status == 200, reply.json
        assert "Anna" not in reply.body.decode()
        assert "Anna" in (await house.api("POST", path, sample)).body.decode()


@ONE_STORE
async def test_who_is_unknown_is_null(house: House, sink: Sink) -> None:
    await house.rule({"forward": {"to": [await destination(house, sink)]}})
    await house.hear("hello", sender=BEN)
    (request,) = await house.arrived(sink, 1)
    assert request.json == {"who": BEN, "all": None, "plan": None}


@ONE_STORE
async def test_a_rule_is_shown_the_past_with_who_it_was(house: House, sink: Sink) -> None:
    await house.hear("hello")
    await house.hear("hello", sender=BEN)
    await known(house)
    rule = await house.rule({"forward": {"to": [await destination(house, sink)]}}, when={"contact": GOLD})
    replayed = await house.post(f"/v1/rules/{rule['id']}/replay", {"since": "2020-01-01T00:00:00Z"})
    assert (replayed["seen"], replayed["matched"], replayed["started"]) == (2, 1, 1)
    (request,) = await house.arrived(sink, 1)
    assert request.json["who"] == "Anna"


@ONE_STORE
async def test_a_forward_that_is_tried_again_sees_the_contact_as_it_is_then(house: House, sink: Sink) -> None:
    contact = await known(house)
    sink.reply = Reply(400)
    await house.rule({"forward": {"to": [await destination(house, sink)]}}, when={"contact": GOLD})
    await house.hear("hello")
    (dead,) = await house.forwards(1, "dead")
    await house.patch(f"/v1/contacts/{contact['id']}", name="Anna B")
    sink.reply = Reply(200)
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    assert (await house.arrived(sink, 2))[1].json["who"] == "Anna B"


@ONE_STORE
async def test_an_edited_forward_has_the_contact_that_it_was_given(house: House, sink: Sink) -> None:
    await known(house)
    sink.reply = Reply(400)
    await house.rule({"forward": {"to": [await destination(house, sink)]}})
    await house.hear("hello")
    (dead,) = await house.forwards(1, "dead")
    await house.patch(f"/v1/forwards/{dead['id']}", values={"contact": {"name": "Another"}})
    sink.reply = Reply(200)
    await house.post(f"/v1/forwards/{dead['id']}/replay")
    assert (await house.arrived(sink, 2))[1].json["who"] == "Another"


async def test_texts_of_a_moment_are_looked_up_in_one_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await known(house)
    reads: list[int] = []
    read = house.app.store.read

    async def counting(statement: Any, rows: Any = (), **values: Any) -> list[Row]:
        if statement is SQL["known"]:
            reads.append(len(rows))
        return await read(statement, rows, **values)

    monkeypatch.setattr(house.app.store, "read", counting)
    carrier = house.app.carriers()[CARRIER_ID]
    texts = [Inbound(ANNA if n % 2 else f"+4477009002{n:02}", "+12025550100", f"text {n}") for n in range(40)]
    plain = await house.rule({"tag": "all"})
    await house.app.receive.inbound(carrier, texts[:10], house.columba.account_id)
    assert reads == []  # nobody asks
    await house.rule({"tag": "known"}, when={"contact": True})
    await house.app.receive.inbound(carrier, texts[10:], house.columba.account_id)
    assert reads == [16]  # those of 15 strangers and Anna
    tags = [each["tags"] for each in (await house.get("/v1/messages?limit=30"))["data"]]
    assert sorted(tags) == [["all"]] * 15 + [["all", "known"]] * 15
    assert plain["id"]


@ONE_STORE
async def test_a_text_is_kept_where_contacts_can_not_be_looked_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(house)
    await house.rule({"tag": "known"}, when={"contact": GOLD})
    looking = house.app.forwards.following._people
    asked = []

    async def failing(people: Collection[Who]) -> Mapping[Who, Any]:
        asked.append(len(people))
        if len(asked) == 1:
            raise StoreUnavailable("not now")
        return await looking(people)

    monkeypatch.setattr(house.app.forwards.following, "_people", failing)
    message = await house.hear("hello")
    await house.looked()
    assert (await house.get(f"/v1/messages/{message}"))["tags"] == ["known"]
    assert asked == [1]


@ONE_STORE
async def test_first_texts_of_contacts(house: House) -> None:
    """Both are asked of the store: one before, one after the text is there."""
    await known(house)
    await house.rule({"tag": "first"}, when={"first": "text", "contact": True})
    one, two, three = await house.hear("1"), await house.hear("2"), await house.hear("3", sender=BEN)
    await house.looked()
    assert [(await house.get(f"/v1/messages/{each}"))["tags"] for each in (one, two, three)] == [["first"], [], []]


@ONE_STORE
async def test_what_is_asked_during_a_read_waits_for_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await known(house)
    asked: list[list[Row]] = []
    gates: list[asyncio.Event] = []
    account = house.columba.account_id
    read = house.app.store.read

    async def slow(statement: Any, rows: Any = (), **values: Any) -> list[Row]:
        asked.append([*rows])
        gates.append(asyncio.Event())
        await gates[-1].wait()
        if len(asked) == 2:
            raise Refusal("store_unavailable")
        return await read(statement, rows, **values)

    monkeypatch.setattr(house.app.store, "read", slow)
    look = Looking(house.app.store)
    anna, ben = (account, 0, ANNA), (account, 0, BEN)
    first = [asyncio.create_task(look([who])) for who in (anna, ben, anna)]
    while not gates:
        await asyncio.sleep(0)
    second = [asyncio.create_task(look([who])) for who in (ben, anna)]
    await asyncio.sleep(0)
    second[0].cancel()
    gates[0].set()
    for task in first:
        assert [*await task] == [anna]
    while len(gates) < 2:
        await asyncio.sleep(0)
    assert asked == [[anna, ben], [ben, anna]]
    gates[1].set()
    with pytest.raises(Refusal):
        await second[1]
    third = asyncio.create_task(look([ben]))
    while len(gates) < 3:
        await asyncio.sleep(0)
    gates[2].set()
    assert await third == {}
