"""What messages may come from: an account's own senders, where they may send, pools of them, and their pace."""

from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.core import status
from columba.core.model import Message
from columba.senders.dlt import template_of
from columba.senders.pacing import Pacing
from columba.senders.spec import DltTemplate
from columba.store import Statement
from tests.core.rig import Clock
from tests.routing.house import Routed, number, routed
from tests.routing.test_rules import message

_SENT = Statement("test_sent", (), (), "select sent_at from parts")
US, US2, GB = "+12025550100", "+14155550100", "+447700900100"


async def register(house: Routed, sender: str, key: str | None = None, **more: Any) -> Any:
    reply = await house.api("POST", "/v1/senders", {"sender": sender, **more}, key=key)
    assert reply.status == 201, reply.json
    return reply.json


async def comes_from(house: Routed, to: str = "+447700900123", sender: str | None = None, **more: Any) -> Any:
    """What a message would come from, or the code and detail of its refusal."""
    body = {"to": to, "text": "Hello", **({"from": sender} if sender is not None else {}), **more}
    reply = await house.api("POST", "/v1/routes/explain", body)
    assert reply.status == 200, reply.json
    return (
        (reply.json["refused"]["code"], reply.json["refused"]["detail"])
        if reply.json["refused"]
        else reply.json["from"]
    )


@pytest_asyncio.fixture
async def one(small: Routed) -> Routed:
    """A house with a carrier."""
    await small.make(name="A")
    return small


@pytest_asyncio.fixture
async def both(house: Routed) -> Routed:
    """The same on both stores."""
    await house.make(name="A")
    return house


async def test_without_registered_senders_anything_goes_that_the_country_allows(one: Routed) -> None:
    for sender in (None, US, "12345", "Columba"):
        assert await comes_from(one, sender=sender) == sender
    for country in ("+12025550123", "+14165550123", "+17875550123", "+8613812345678"):
        code, detail = await comes_from(one, country, "Columba")
        assert code == "sender_not_allowed"
        assert "A name can't send to" in detail
        assert await comes_from(one, country, US) == US


async def test_from_the_first_one_on_only_ones_own(both: Routed) -> None:
    made = await register(both, US, description="Alerts", default_for=["US"])
    assert (made["sender"], made["kind"], made["enabled"], made["capabilities"]) == (US, "number", True, ["sms"])
    assert await comes_from(both, sender=US) == US
    code, detail = await comes_from(both, sender=US2)
    assert (code, detail) == ("sender_not_allowed", f"{US2} is none of your senders: register it, or leave `from` out.")
    refused = await both.api("POST", "/v1/messages", {"to": "+447700900123", "from": US2, "text": "a"})
    assert (refused.status, refused.json["code"], refused.fields) == (
        422, "sender_not_allowed", [("from", "sender_not_allowed")],
    )  # fmt: skip
    again = await both.api("POST", "/v1/senders", {"sender": "12025550100"})
    assert (again.status, again.json["code"]) == (409, "conflict")
    off = await both.api("PATCH", f"/v1/senders/{made['id']}", {"enabled": False})
    assert (off.status, off.json["enabled"], off.json["description"]) == (200, False, "Alerts")
    assert (await comes_from(both, sender=US))[0] == "sender_not_allowed"
    assert (await both.api("DELETE", f"/v1/senders/{made['id']}")).status == 204
    assert await comes_from(both, sender=US2) == US2


async def test_an_operator_may_want_registered_senders_from_the_beginning(tmp_path: Path) -> None:
    async with routed(tmp_path, senders="registered") as house:
        await house.make(name="A")
        assert (await comes_from(house, sender=US))[0] == "sender_not_allowed"
        assert await comes_from(house) is None
        sent = {"to": "+447700900123", "from": US, "text": "a"}
        assert (await house.api("POST", "/v1/messages", sent, key=house.columba.test_key)).status == 202
        await register(house, US)
        assert await comes_from(house, sender=US) == US


async def test_a_message_without_a_sender_comes_from_the_default(one: Routed) -> None:
    await register(one, "Columba", default_for=["*"])
    await register(one, GB, default_for=["GB"])
    await register(one, US)
    assert await comes_from(one) == GB
    assert await comes_from(one, "+33612345678") == "Columba"
    assert await comes_from(one, "+12025550123") == US  # a name may not: whichever may
    sent = await one.api("POST", "/v1/messages", {"to": "+447700900123", "text": "a"})
    assert sent.json["from"] == GB


async def test_where_none_may_send_it_is_refused(one: Routed) -> None:
    await register(one, "Columba")
    await register(one, GB, countries=["GB", "IE"])
    assert await comes_from(one, "+12025550123") == ("sender_not_allowed", "None of your senders may send there.")
    assert await comes_from(one, "+33612345678", GB) == ("sender_not_allowed", f"{GB} is set up for GB, IE only.")
    assert await comes_from(one, "+353851234567", GB) == GB


async def test_countries_rules_are_data_with_their_source_and_an_account_may_set_its_own(both: Routed) -> None:
    listed = (await both.api("GET", "/v1/senders/rules")).json["data"]
    by_country = {each["country"]: each for each in listed}
    assert {"US", "CA", "PR", "CN", "IN"} <= by_country.keys()
    assert all(each["source"] and each["date"] and not each["own"] for each in listed)
    own = {"names": "refused", "source": "Our carrier", "date": "2026-11-20"}
    put = await both.api("PUT", "/v1/senders/rules/FR", own)
    assert put.json == {"country": "FR", **own, "own": True}
    assert (await comes_from(both, "+33612345678", "Columba"))[0] == "sender_not_allowed"
    allowed = await both.api("PUT", "/v1/senders/rules/US", {**own, "names": "allowed"})
    assert allowed.status == 200
    assert await comes_from(both, "+12025550123", "Columba") == "Columba"
    for country in ("FR", "US"):
        assert (await both.api("DELETE", f"/v1/senders/rules/{country}")).status == 204
    assert await comes_from(both, "+33612345678", "Columba") == "Columba"
    assert (await both.api("PUT", "/v1/senders/rules/XX", own)).status == 404


async def test_names_are_registered_where_they_must_be(one: Routed) -> None:
    await register(one, "Columba")
    assert (await comes_from(one, "+6581234567", "Columba"))[1] == "Names must be registered in SG, and Columba is not."
    (made,) = (await one.api("GET", "/v1/senders")).json["data"]
    await one.api("PATCH", f"/v1/senders/{made['id']}", {"registration": {"countries": ["SG"]}})
    assert await comes_from(one, "+6581234567", "Columba") == "Columba"


async def test_a_10dlc_number_waits_for_its_approval_and_has_its_campaigns_pace(one: Routed) -> None:
    registration = {"ten_dlc": {"brand": {"status": "approved"}, "campaign": {"status": "pending", "class": "T"}}}
    made = await register(one, US, registration=registration)
    assert made["rate"] == 1.25
    assert (await comes_from(one, "+12025550123", US))[1] == f"The 10DLC campaign of {US} is pending."
    assert await comes_from(one, sender=US) == US
    registration["ten_dlc"]["campaign"]["status"] = "approved"
    await one.api("PATCH", f"/v1/senders/{made['id']}", {"registration": registration})
    assert await comes_from(one, "+12025550123", US) == US
    faster = await one.api("PATCH", f"/v1/senders/{made['id']}", {"rate": 3})
    assert faster.json["rate"] == 3


async def test_a_sender_goes_through_the_carriers_that_it_is_set_up_at(one: Routed) -> None:
    other = await one.make(name="B")
    (a, b) = [each["id"] for each in reversed((await one.api("GET", "/v1/carriers")).json["data"])]
    assert b == other
    await one.api("POST", "/v1/routes", {"name": "r", "carriers": [{"carrier": a}, {"carrier": b}]})
    await register(one, US, carriers=[b])
    await register(one, GB)
    for sender, carrier in ((US, b), (GB, a)):
        sent = await one.send(sender=sender)
        await one.ends([sent])
        assert (await one.message(sent.id))[2] == number(carrier)
    await one.api("PATCH", f"/v1/carriers/{b}", {"enabled": False})
    assert (await comes_from(one, sender=US))[0] == "no_route"
    wrong = await one.api("POST", "/v1/senders", {"sender": US2, "carriers": ["car_0000000000000"]})
    assert wrong.fields == [("carriers[0]", "invalid_value")]


async def test_a_pool_keeps_to_a_recipient_and_is_local_and_healthy(both: Routed) -> None:
    senders = {value: (await register(both, value))["id"] for value in (US, US2, GB, "+12125550100", "Columba")}
    made = await both.api("POST", "/v1/pools", {"name": "all", "senders": list(senders.values())})
    assert made.status == 201, made.json
    pool = made.json["id"]
    assert await comes_from(both, "+12025550123", pool) == US  # of its own area
    assert await comes_from(both, "+447700900123", pool) == GB  # of its own country
    french = {await comes_from(both, f"+3361234{n:04}", pool) for n in range(60)}
    assert len(french) == 5  # all of them, in turn
    once = [await comes_from(both, f"+3361234{n:04}", pool) for n in range(20)]
    assert once == [await comes_from(both, f"+3361234{n:04}", pool) for n in range(20)]
    await both.api("PATCH", f"/v1/senders/{senders[GB]}", {"enabled": False})
    after = [await comes_from(both, f"+3361234{n:04}", pool) for n in range(20)]
    assert all(was in (now, GB) for was, now in zip(once, after, strict=True))
    assert GB not in after
    turning = await both.api("PATCH", f"/v1/pools/{pool}", {"sticky": False, "name": "turning", "local": False})
    assert (turning.json["name"], turning.json["sticky"]) == ("turning", False)
    assert len({await comes_from(both, "+33612345678", pool) for _ in range(8)}) == 4
    for wrong in ("pool_0000000000000", "pool_x"):
        code, _ = await comes_from(both, sender=wrong)
        assert code == ("invalid_sender" if len(wrong) > 11 else "sender_not_allowed")
    assert (await both.api("DELETE", f"/v1/pools/{pool}")).status == 204
    assert (await both.api("GET", f"/v1/pools/{pool}")).status == 404
    assert len((await both.api("GET", "/v1/senders")).json["data"]) == 5


async def test_a_pool_leaves_out_senders_whose_carriers_are_down(one: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    (a,) = [each["id"] for each in (await one.api("GET", "/v1/carriers")).json["data"]]
    b = await one.make(name="B")
    await one.api("POST", "/v1/routes", {"name": "r", "carriers": [{"carrier": a}, {"carrier": b}]})
    members = [(await register(one, US, carriers=[a]))["id"], (await register(one, US2, carriers=[b]))["id"]]
    pool = (await one.api("POST", "/v1/pools", {"name": "p", "senders": members, "local": False})).json["id"]
    assert len({await comes_from(one, f"+3361234{n:04}", pool) for n in range(30)}) == 2
    monkeypatch.setattr(one.app.senders, "healthy", lambda an_id: an_id == number(b))
    assert {await comes_from(one, f"+3361234{n:04}", pool) for n in range(30)} == {US2}


async def test_india_takes_registered_templates_alone_and_their_ids_go_with_the_parts(
    small: Routed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small.make(name="A")
    templates = [
        {"id": "1107", "text": "Your code is {#var#}."},
        {"id": "1108", "text": "Dear {#var#}, your {#var#} is here"},
    ]
    registration = {"dlt": {"entity_id": "1201", "templates": templates}}
    await register(small, "COLMBA", registration=registration)
    asked = {"to": "+919812345678", "from": "COLMBA"}
    assert await comes_from(small, asked["to"], "COLMBA", text="Your code is 1234.") == "COLMBA"
    assert (await comes_from(small, asked["to"], "COLMBA", text="Buy now!"))[0] == "not_a_template"
    assert await comes_from(small, sender="COLMBA", text="Buy now!") == "COLMBA"
    parts: list[Any] = []
    live = next(each for lane, each in small.app.sending._sessions.items() if lane > 1_000)
    send = live.send

    def noting(those: Any, done: Any) -> None:
        parts.extend(those)
        send(those, done)

    monkeypatch.setattr(live, "send", noting)
    sent = await small.send(asked["to"], sender="COLMBA", text="Dear Asha,  your parcel is here")
    await small.ends([sent])
    assert parts[0].registration == {"dlt_entity_id": "1201", "dlt_template_id": "1108"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Your code is 1234.", "1"),
        ("Your code is .", "1"),
        ("Your  code is\n1234.", "1"),
        ("Your code is " + "9" * 30 + ".", "1"),
        ("Your code is " + "9" * 31 + ".", None),
        ("your code is 1234.", None),
        ("Pay (now)? Rs 5", "2"),
        ("Your code is 1234. Buy now!", None),
    ],
)
def test_a_text_is_told_by_its_template(text: str, found: str | None) -> None:
    templates = [DltTemplate("1", "Your code is {#var#}."), DltTemplate("2", "Pay (now)? Rs {#var#}")]
    assert template_of(text, templates) == found


async def test_senders_are_their_accounts_and_their_modes(house: Routed) -> None:
    made = await register(house, US)
    stranger = await house.columba.key(status.LIVE, account_id=await house.columba.another_account())
    for key in (stranger, house.columba.test_key):
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            reply = await house.api(method, f"/v1/senders/{made['id']}", body, key=key)
            assert (reply.status, reply.json["code"]) == (404, "not_found")
        assert (await house.api("GET", "/v1/senders", key=key)).json["data"] == []
        pool = await house.api("POST", "/v1/pools", {"name": "p", "senders": [made["id"]]}, key=key)
        assert pool.fields == [("senders[0]", "invalid_value")]
    sent = await house.api(
        "POST", "/v1/messages", {"to": "+447700900123", "from": US2, "text": "a"}, key=house.columba.test_key
    )
    assert sent.status == 202


def test_a_pace_puts_a_message_off_once_to_its_own_moment() -> None:
    clock = Clock()
    pacing = Pacing(lambda: {(1, status.LIVE, US): 2.0}, lambda: 1, clock)
    texts = [message(sender=US) for _ in range(6)]
    for n, each in enumerate(texts):
        each.id = n
    waits = [each.wait_ms if each is not None else 0 for each in map(pacing, texts)]
    assert waits == [0, 0, 500, 1000, 1500, 2000]
    assert pacing(message(sender=US2)) is None
    clock.forward(500)
    assert pacing(texts[2]) is None
    early = pacing(texts[4])
    assert early is not None
    assert early.wait_ms == 1000
    clock.forward(1_000)
    assert pacing(texts[4]) is None
    long = message(sender=US, segments=4)
    long.id = 99
    assert _wait(pacing, long) == 1000


def _wait(pacing: Pacing, each: Message) -> int:
    outcome = pacing(each)
    return 0 if outcome is None else outcome.wait_ms


def test_processes_share_a_pace() -> None:
    pacing = Pacing(lambda: {(1, status.LIVE, US): 2.0}, lambda: 2, Clock())
    texts = [message(sender=US) for _ in range(4)]
    for n, each in enumerate(texts):
        each.id = n
    assert [_wait(pacing, each) for each in texts] == [0, 0, 1000, 2000]


async def test_messages_keep_the_pace_of_their_sender(small: Routed) -> None:
    await small.make({"latency_ms": 1, "receipt_ms": 1}, name="A")
    await register(small, US, rate=20)
    messages = [await small.send(f"+4477009{n:05}", sender=US) for n in range(1000, 1010)]
    assert set(await small.ends(messages)) == {"delivered"}
    shown = [(await small.api("GET", f"/v1/messages?limit=20&from={US.replace('+', '%2B')}")).json["data"]]
    sent_at = sorted(row[0] for row in await small.app.store.read(_SENT))
    assert len(shown[0]) == 10
    assert sent_at[-1] - sent_at[0] >= 300  # ten at twenty a second, of which the first two at once
