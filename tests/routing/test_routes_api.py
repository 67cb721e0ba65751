"""`/v1/routes`: added, listed in order, moved, changed, deleted; by whom; in force everywhere; and explained."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from columba.core import status
from columba.errors import Refusal
from tests.api import Api, eventually
from tests.routing.house import Routed, number, routed


async def carriers(house: Routed, count: int = 2) -> list[str]:
    return [await house.make(name=name) for name in "ABCDE"[:count]]


async def add(house: Routed, *ways: str, api: Api | None = None, **route: Any) -> Any:
    body = {"name": "a route", "carriers": [{"carrier": an_id} for an_id in ways], **route}
    reply = await (api or house.api)("POST", "/v1/routes", body)
    assert reply.status == 201, reply.json
    return reply.json


async def names(house: Routed) -> list[tuple[str, int]]:
    reply = await house.api("GET", "/v1/routes")
    return [(each["name"], each["position"]) for each in reply.json["data"]]


async def explain(house: Routed, to: str = "+447700900123", key: str | None = None, **fields: Any) -> Any:
    reply = await house.api("POST", "/v1/routes/explain", {"to": to, "text": "Hello", **fields}, key=key)
    assert reply.status == 200, reply.json
    return reply.json


async def test_a_route_is_added_and_takes_messages(house: Routed) -> None:
    one, other = await carriers(house)
    with pytest.raises(Refusal) as refused:
        await house.send()
    assert refused.value.code == "no_route"
    asked = {
        "name": "Britain",
        "when": {"country": ["GB"], "class": ["otp", "transactional"], "prefix": ["44"]},
        "carriers": [{"carrier": other, "weight": 2}, {"carrier": one}],
        "strategy": "order",
        "position": 1,
    }
    reply = await house.api("POST", "/v1/routes", asked)
    assert reply.status == 201, reply.json
    made = reply.json
    assert re.fullmatch("rte_[0-9a-z]{13}", made["id"])
    assert {name: made[name] for name in ("name", "mode", "position", "enabled", "strategy", "when", "carriers")} == {
        "name": "Britain", "mode": "live", "position": 1, "enabled": True, "strategy": "order",
        "when": {"country": ["GB"], "class": ["otp", "transactional"], "prefix": ["+44"]},
        "carriers": [{"carrier": other, "weight": 2.0}, {"carrier": one, "weight": 1.0}],
    }  # fmt: skip
    assert (await house.api("GET", f"/v1/routes/{made['id']}")).json == made
    message = await house.send()
    assert await house.ends([message]) == ["delivered"]
    assert (await house.message(message.id))[2] == number(other)
    with pytest.raises(Refusal):
        await house.send(klass=status.MARKETING)


async def test_they_stand_in_their_order_and_are_moved(house: Routed) -> None:
    (one,) = await carriers(house, 1)
    made = [await add(house, one, name=name) for name in "abc"]
    assert await names(house) == [("a", 1), ("b", 2), ("c", 3)]
    assert (await add(house, one, name="first", position=1))["position"] == 1
    assert (await add(house, one, name="third", position=3))["position"] == 3
    assert (await add(house, one, name="last", position=99))["position"] == 6
    assert [name for name, _ in await names(house)] == ["first", "a", "third", "b", "c", "last"]
    moved = await house.api("PATCH", f"/v1/routes/{made[2]['id']}", {"position": 1, "name": "C"})
    assert (moved.json["position"], moved.json["name"]) == (1, "C")
    assert [name for name, _ in await names(house)] == ["C", "first", "a", "third", "b", "last"]
    assert (await house.api("DELETE", f"/v1/routes/{made[0]['id']}")).status == 204
    assert await names(house) == [("C", 1), ("first", 2), ("third", 3), ("b", 4), ("last", 5)]
    page = (await house.api("GET", "/v1/routes?limit=2")).json
    rest = (await house.api("GET", f"/v1/routes?limit=9&cursor={page['next_cursor']}")).json
    assert [each["name"] for each in (*page["data"], *rest["data"])] == ["C", "first", "third", "b", "last"]
    assert (await house.api("GET", f"/v1/routes/{made[0]['id']}")).status == 404


async def test_a_change_is_in_force_at_once(house: Routed) -> None:
    one, other = await carriers(house)
    route = await add(house, one)
    for change, taken in (
        ({"carriers": [{"carrier": other}]}, other),
        ({"carriers": [{"carrier": one}, {"carrier": other}]}, one),
        ({"when": {"country": ["FR"]}}, None),
        ({"when": {}}, one),
        ({"enabled": False}, None),
        ({"enabled": True}, one),
    ):
        reply = await house.api("PATCH", f"/v1/routes/{route['id']}", change)
        assert reply.status == 200, reply.json
        explained = await explain(house)
        assert (explained["carrier"] or {}).get("id") == taken
        assert (explained["refused"] or {}).get("code") == (None if taken else "no_route")
    await house.api("PATCH", f"/v1/carriers/{one}", {"enabled": False})
    assert (await explain(house))["carrier"]["id"] == other


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {("name", "required"), ("carriers", "required")}),
        ({"name": "a", "carriers": []}, {("carriers", "too_short")}),
        (
            {"name": "a", "carriers": [{"carrier": "car_0000000000000"}, {"carrier": "x", "weight": 0}],
             "strategy": "luck", "position": 0},
            {("carriers[1].weight", "out_of_range"), ("strategy", "invalid_value"), ("position", "out_of_range")},
        ),
        (
            {"name": "a", "carriers": [{"carrier": "car_0000000000000"}, {"carrier": "x"}]},
            {("carriers[0].carrier", "invalid_value"), ("carriers[1].carrier", "invalid_value")},
        ),
        (
            {"name": "a", "carriers": [{"carrier": "x"}],
             "when": {"country": ["XX"], "sender": ["much too long a name"], "account": ["x"],
                      "segments": {"min": 3, "max": 2}}},
            {("when.country[0]", "invalid_value"), ("when.sender[0]", "invalid_sender"),
             ("when.account[0]", "invalid_value"), ("when.segments.max", "out_of_range")},
        ),
        (
            {"name": "a", "carriers": [{"carrier": "x"}], "failover": {"on": ["no_receipt"]}},
            {("failover.after", "required")},
        ),
    ],
)  # fmt: skip
async def test_every_problem_of_a_route_is_named(small: Routed, body: Any, fields: set[tuple[str, str]]) -> None:
    reply = await small.api("POST", "/v1/routes", body)
    assert reply.status == 422, reply.json
    assert set(reply.fields) == fields


async def test_a_carrier_stands_in_a_route_once(small: Routed) -> None:
    (one,) = await carriers(small, 1)
    reply = await small.api("POST", "/v1/routes", {"name": "a", "carriers": [{"carrier": one}, {"carrier": one}]})
    assert reply.fields == [("carriers[1].carrier", "invalid_value")]


async def test_routes_are_their_accounts_and_their_modes(house: Routed) -> None:
    one, _ = await carriers(house)
    route = await add(house, one)
    stranger = await house.columba.key(status.LIVE, account_id=await house.columba.another_account())
    for key in (stranger, house.columba.test_key):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", "")):
            reply = await house.api(
                method, f"/v1/routes/{route['id']}{path}", {} if method == "PATCH" else None, key=key
            )
            assert (reply.status, reply.json["code"]) == (404, "not_found")
        assert (await house.api("GET", "/v1/routes", key=key)).json["data"] == []
        reply = await house.api("POST", "/v1/routes", {"name": "a", "carriers": [{"carrier": one}]}, key=key)
        assert reply.fields == [("carriers[0].carrier", "invalid_value")]  # it leads nowhere that isn't theirs
    assert (await explain(house, key=house.columba.test_key))["carrier"]["name"] == "sandbox"
    reader = await house.columba.key(status.LIVE, ["routes:read"])
    assert (await house.api("GET", "/v1/routes", key=reader)).status == 200
    assert (await house.api("DELETE", f"/v1/routes/{route['id']}", key=reader)).status == 403


async def test_explain_tells_what_accept_does(house: Routed) -> None:
    one, other = await carriers(house)
    await add(house, one, name="codes", when={"class": ["otp"]})
    await add(house, other, one, name="long", when={"segments": {"min": 2}, "tag": ["x"]})
    await add(house, one, other, name="rest")
    prices = f"carrier,country,price,currency\n{one},GB,0.04,EUR\n{other},,0.01,EUR\n"
    assert (await house.api("POST", "/v1/prices", {"csv": prices})).status == 200
    for fields, route, taken, price in (
        ({"class": "otp"}, "codes", one, "0.04"),
        ({"text": "Hello " * 40, "tags": ["x"]}, "long", other, "0.02"),
        ({"text": "Hello " * 40}, "rest", one, "0.08"),
        ({"to": "+33612345678"}, "rest", one, None),
    ):
        explained = await explain(house, **fields)
        assert (explained["route"]["name"], explained["carrier"]["id"], explained["price"]) == (route, taken, price)
        assert [each["taken"] for each in explained["routes"]].count(True) == 1
        assert all(each["why"] for each in explained["routes"] + explained["carriers"] if not each["taken"])
        sent = await house.api("POST", "/v1/messages", {"to": "+447700900123", "text": "Hello", **fields})
        assert sent.status == 202, sent.json
        shown = await eventually(partial(_parts, house, sent.json["id"]))
        assert shown["parts"][0]["carrier"] == taken
    refused = await house.api("POST", "/v1/routes/explain", {"to": "+44", "text": ""})
    assert refused.status == 422
    assert {field for field, _ in refused.fields} == {"to", "text"}


async def test_explain_says_what_the_gates_say(small: Routed) -> None:
    explained = await explain(small, "+12025550123", key=small.columba.test_key, **{"from": "Columba"})
    assert explained["refused"]["code"] == "sender_not_allowed"
    assert explained["carrier"] is None
    explained = await explain(small, "+447700900004", key=small.columba.test_key)
    assert explained["refused"]["code"] == "opted_out"


async def test_without_routes_explain_names_the_carriers(small: Routed) -> None:
    one, other = await carriers(small)
    explained = await explain(small)
    assert explained["refused"]["code"] == "no_route"
    assert {each["id"]: each["why"] for each in explained["carriers"]} == {
        one: "Others are enabled too.", other: "Others are enabled too.",
    }  # fmt: skip
    await small.api("PATCH", f"/v1/carriers/{one}", {"enabled": False})
    explained = await explain(small)
    assert explained["carrier"]["id"] == other
    assert {each["id"]: each["why"] for each in explained["carriers"]} == {one: "It is not enabled.", other: ""}


async def test_changes_are_in_force_in_every_process(tmp_path: Path, tables_url: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    key = {"secret_key": "ab" * 32}
    async with routed(tmp_path / "a", tables_url, **key) as one, routed(tmp_path / "b", tables_url, **key) as two:
        first, second = await carriers(one)
        route = await add(one, first)
        two.api.key = one.columba.live_key
        for ways, taken in (([first], first), ([second, first], second)):
            await one.api("PATCH", f"/v1/routes/{route['id']}", {"carriers": [{"carrier": an_id} for an_id in ways]})

            async def seen(taken: str = taken) -> bool:
                return bool(((await explain(two))["carrier"] or {}).get("id") == taken)

            await eventually(seen, 3)


async def _parts(house: Routed, an_id: str) -> Any:
    shown = (await house.api("GET", f"/v1/messages/{an_id}")).json
    return shown if shown["parts"] else None
