"""Contacts over the API: made, found, changed by several at once, removed; whose they are; what is refused."""

import asyncio
from typing import Any

import pytest

from tests.api import Api, Columba, eventually

ADA, BOB = "+447700900123", "+447700900124"
WHOLE = {
    "number": ADA, "name": "Ada Lovelace", "email": "ada@example.org", "language": "en", "tags": ["vip", "two words"],
    "attributes": {"plan": "gold", "seats": 12, "ratio": 0.5, "paying": True, "größe": "M"},
}  # fmt: skip
EMPTY: dict[str, Any] = {"name": None, "email": None, "language": None, "tags": [], "attributes": {}}


async def made(api: Api, **contact: Any) -> Any:
    reply = await api("POST", "/v1/contacts", contact)
    assert reply.status == 201, reply.json
    return reply.json


async def changed(api: Api, an_id: str, **what: Any) -> Any:
    reply = await api("PATCH", f"/v1/contacts/{an_id}", what)
    assert reply.status == 200, reply.json
    return reply.json


async def found(api: Api, query: str = "") -> list[str]:
    """The numbers on all pages of a list, one at a time."""
    numbers, cursor = [], ""
    while True:
        reply = await api("GET", f"/v1/contacts?limit=1{query}{cursor}")
        assert reply.status == 200, reply.json
        numbers += [each["number"] for each in reply.json["data"]]
        if reply.json["next_cursor"] is None:
            return numbers
        cursor = f"&cursor={reply.json['next_cursor']}"


@pytest.mark.parametrize("database", [""])
async def test_a_contact_is_as_it_was_said(columba: Columba) -> None:
    api = columba.whole
    one = await made(api, **WHOLE)
    assert one.items() >= WHOLE.items()
    assert one["id"].startswith("cnt_")
    assert (await api("GET", f"/v1/contacts/{one['id']}")).json == one
    assert (await made(api, number=BOB)).items() >= EMPTY.items()


async def test_a_change_leaves_what_it_does_not_name(columba: Columba) -> None:
    api = columba.whole
    one = await made(api, **WHOLE)
    now = await changed(api, one["id"], language="PT-br", attributes={"plan": None, "seats": 13, "new": False})
    assert now["attributes"] == {"seats": 13, "ratio": 0.5, "paying": True, "größe": "M", "new": False}
    assert (now["name"], now["language"], now["tags"]) == (WHOLE["name"], "pt-BR", WHOLE["tags"])
    now = await changed(api, one["id"], name=None, tags=["b", "a", "b"])
    assert (now["name"], now["tags"]) == (None, ["b", "a"])
    now = await changed(api, one["id"], add_tags=["c", "a"], remove_tags=["b"])
    assert now["tags"] == ["a", "c"]
    assert [await found(api, f"&tag={tag}") for tag in ("vip", "b", "a", "c")] == [[], [], [ADA], [ADA]]
    assert await changed(api, one["id"], tags=["a", "c"]) == now  # nothing is different, nor when it was changed


async def test_one_number_is_one_contact(columba: Columba) -> None:
    api = columba.whole
    one, other = await made(api, number=ADA), await made(api, number=BOB)
    for reply in (
        await api("POST", "/v1/contacts", {"number": "+44 7700 900123"}),
        await api("PATCH", f"/v1/contacts/{other['id']}", {"number": ADA}),
    ):
        assert reply.status == 409
        assert one["id"] in reply.json["detail"]
        assert reply.json["errors"][0]["field"] == "number"
    moved = await changed(api, other["id"], number="+447700900125", tags=["moved"])
    assert (moved["id"], moved["number"]) == (other["id"], "+447700900125")
    assert await found(api) == ["+447700900125", ADA]
    assert await found(api, "&tag=moved") == ["+447700900125"]
    await made(api, number=BOB)  # it is free again


@pytest.mark.parametrize("database", [""])
async def test_put_makes_or_changes_by_number(columba: Columba) -> None:
    api = columba.whole
    put = {"number": ADA, "name": "Ada", "add_tags": ["a"], "attributes": {"plan": "gold"}}
    first = await api("PUT", "/v1/contacts", put)
    again = await api("PUT", "/v1/contacts", {"number": ADA, "add_tags": ["b"], "attributes": {"seats": 2}})
    assert (first.status, again.status) == (201, 200)
    assert again.json["id"] == first.json["id"]
    assert (again.json["name"], again.json["tags"]) == ("Ada", ["a", "b"])
    assert again.json["attributes"] == {"plan": "gold", "seats": 2}


async def test_nothing_is_lost_where_many_change_one(columba: Columba) -> None:
    """They may all be in one transaction."""
    api = columba.whole
    tags = [f"t{n}" for n in range(12)]
    replies = await asyncio.gather(*(api("PUT", "/v1/contacts", {"number": ADA, "add_tags": [tag]}) for tag in tags))
    assert sorted(reply.status for reply in replies) == [200] * 11 + [201]
    (one,) = (await api("GET", "/v1/contacts")).json["data"]
    assert sorted(one["tags"]) == sorted(tags)
    assert [await found(api, f"&tag={tag}") for tag in tags] == [[ADA]] * 12


async def test_of_many_that_want_a_number_one_has_it(columba: Columba) -> None:
    api = columba.whole
    others = [await made(api, number=f"+44770090020{n}") for n in range(4)]
    replies = await asyncio.gather(
        *(api("PATCH", f"/v1/contacts/{each['id']}", {"number": ADA}) for each in others),
        *(api("POST", "/v1/contacts", {"number": ADA}) for _ in range(3)),
    )
    assert sorted(reply.status for reply in replies)[1:] == [409] * 6
    assert len(await found(api)) in (4, 5)
    assert (await found(api)).count(ADA) == 1


async def test_lists(columba: Columba) -> None:
    api = columba.whole
    for number, name, tags in (
        ("+447700900201", "Åsa", ["x"]), ("+447700900202", "ada", ["x", "y"]), ("+447700900203", "Adam", ["y"]),
        ("+447700900204", "Ada", []), ("+447700900205", None, ["x"]),
    ):  # fmt: skip
        await made(api, number=number, name=name, tags=tags)
    assert [number[-1] for number in await found(api)] == ["5", "4", "3", "2", "1"]
    assert [number[-1] for number in await found(api, "&tag=x")] == ["5", "2", "1"]
    assert [number[-1] for number in await found(api, "&name=ADA")] == ["2", "4", "3"]
    assert [number[-1] for number in await found(api, "&name=%C3%A5s")] == ["1"]
    assert [number[-1] for number in await found(api, "&name=ada&tag=y")] == ["2", "3"]
    assert await found(api, "&number=%2B447700900202&tag=y&name=a") == ["+447700900202"]
    assert await found(api, "&number=%2B447700900202&tag=z") == []
    assert await found(api, "&name=%25") == []


@pytest.mark.parametrize("database", [""])
async def test_removed_is_gone(columba: Columba) -> None:
    api = columba.whole
    one = await made(api, **WHOLE)
    assert (await api("DELETE", f"/v1/contacts/{one['id']}")).status == 204
    for method in ("GET", "DELETE", "PATCH"):
        body = {"name": "x"} if method == "PATCH" else None
        assert (await api(method, f"/v1/contacts/{one['id']}", body)).status == 404
    assert await found(api, "&tag=vip") == []
    assert (await made(api, number=ADA)).items() >= EMPTY.items()


@pytest.mark.parametrize("database", [""])
async def test_others_see_nothing_of_it(columba: Columba) -> None:
    api = columba.whole
    one = await made(api, **WHOLE)
    stranger = await columba.key(account_id=await columba.another_account())
    for key in (columba.live_key, stranger):
        assert (await api("GET", f"/v1/contacts/{one['id']}", key=key)).status == 404
        assert (await api("PATCH", f"/v1/contacts/{one['id']}", {"name": "x"}, key=key)).status == 404
        assert (await api("DELETE", f"/v1/contacts/{one['id']}", key=key)).status == 404
        assert (await api("GET", "/v1/contacts?tag=vip", key=key)).json["data"] == []
        assert (await api("POST", "/v1/contacts", {"number": ADA}, key=key)).status == 201
    reader = await columba.key(scopes=["contacts:read"])
    assert (await api("GET", f"/v1/contacts/{one['id']}", key=reader)).status == 200
    assert (await api("PUT", "/v1/contacts", {"number": BOB}, key=reader)).status == 403
    nobody = await columba.key(scopes=["messages:read"])
    assert (await api("GET", "/v1/contacts", key=nobody)).status == 403

    async def noted() -> bool:
        seen = [await api("GET", f"/v1/audit?action={name}") for name in ("create_contact", "get_contact")]
        return all(each.json["data"] for each in seen)

    await eventually(noted)


BAD: list[tuple[Any, list[tuple[str, str]]]] = [
    ({}, [("number", "required")]),
    ({"number": "07"}, [("number", "invalid_number")]),
    (
        {"number": ADA, "name": "", "email": "x", "language": "english!", "tags": ["a,b", " c"], "nick": "A"},
        [("email", "invalid_value"), ("language", "invalid_value"), ("name", "too_short"), ("nick", "unknown_field"),
         ("tags[0]", "invalid_value"), ("tags[1]", "invalid_value")],
    ),
    ({"number": ADA, "name": "a\0b"}, [("name", "invalid_value")]),
    ({"number": ADA, "tags": [str(n) for n in range(51)]}, [("tags", "too_many")]),
    ({"number": ADA, "attributes": {f"a{n}": n for n in range(51)}}, [("attributes", "too_many")]),
    ({"number": ADA, "attributes": {"a b": 1}}, [('attributes["a b"]', "invalid_value")]),
    ({"number": ADA, "attributes": {"a": [1]}}, [("attributes.a", "wrong_type")]),
    ({"number": ADA, "attributes": {"b": "x" * 501}}, [("attributes.b", "too_long")]),
    ({"number": ADA, "attributes": {f"a{n}": "x" * 499 for n in range(20)}}, [("attributes", "too_long")]),
]  # fmt: skip


@pytest.mark.parametrize("database", [""])
@pytest.mark.parametrize(("body", "problems"), BAD)
async def test_every_problem_is_named(columba: Columba, body: Any, problems: list[tuple[str, str]]) -> None:
    reply = await columba.whole("POST", "/v1/contacts", body)
    assert reply.status == 422, reply.json
    assert sorted((each["field"], each["code"]) for each in reply.json["errors"]) == problems


@pytest.mark.parametrize("database", [""])
async def test_it_does_not_grow_beyond_its_bounds(columba: Columba) -> None:
    api = columba.whole
    one = await made(
        api, number=ADA, tags=[str(n) for n in range(50)], attributes={f"a{n}": "x" * 200 for n in range(35)}
    )
    for change in (
        {"add_tags": ["more"]},
        {"attributes": {f"b{n}": n for n in range(16)}},
        {"attributes": {"c": "x" * 499, "d": "x" * 499}},
    ):
        reply = await api("PATCH", f"/v1/contacts/{one['id']}", change)
        assert reply.status == 422, reply.json
        assert (await api("PUT", "/v1/contacts", {"number": ADA, **change})).status == 422
    assert (await api("PATCH", f"/v1/contacts/{one['id']}", {"tags": ["a"], "add_tags": ["b"]})).status == 422
    assert (await api("GET", f"/v1/contacts/{one['id']}")).json == one
