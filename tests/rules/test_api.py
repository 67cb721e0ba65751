"""Rules by the API: their order, their versions and the way back, and whose they are."""

from typing import Any

from columba.core import status
from tests.rules.conftest import ONE_STORE, House


async def names(house: House) -> list[str]:
    return [each["name"] for each in (await house.get("/v1/rules"))["data"]]


async def named(house: House, name: str, **more: Any) -> Any:
    return await house.post("/v1/rules", {"name": name, "then": [{"tag": name}], **more}, 201)


async def test_rules_have_an_order_that_can_be_changed(house: House) -> None:
    a, b, c = [await named(house, name) for name in "abc"]
    assert [each["position"] for each in (a, b, c)] == [1, 2, 3]
    await named(house, "d", position=1)
    assert await names(house) == ["d", "a", "b", "c"]
    assert (await house.patch(f"/v1/rules/{c['id']}", position=2))["position"] == 2
    assert await names(house) == ["d", "c", "a", "b"]
    await house.patch(f"/v1/rules/{a['id']}", position=99)
    assert await names(house) == ["d", "c", "b", "a"]
    for _ in range(60):  # there is always room between two
        await house.patch(f"/v1/rules/{a['id']}", position=2)
        await house.patch(f"/v1/rules/{b['id']}", position=2)
    assert await names(house) == ["d", "b", "a", "c"]
    page = await house.get("/v1/rules?limit=3")
    rest = await house.get(f"/v1/rules?cursor={page['next_cursor']}")
    assert [each["name"] for each in page["data"] + rest["data"]] == ["d", "b", "a", "c"]


async def test_every_change_is_a_version_that_can_be_had_back(house: House) -> None:
    made = await named(house, "support")
    place = f"/v1/rules/{made['id']}"
    await house.patch(place, when={"keyword": ["HELP"]}, name="help")
    await house.patch(place, enabled=False)
    changed = await house.post(f"{place}/restore", {"version": 1}, 200)
    assert (changed["name"], changed["when"], changed["enabled"], changed["version"]) == ("support", {}, True, 4)
    versions = (await house.get(f"{place}/versions"))["data"]
    assert [(each["version"], each["change"], each["name"]) for each in versions] == [
        (4, "restored", "support"), (3, "disabled", "help"), (2, "changed", "help"), (1, "created", "support"),
    ]  # fmt: skip
    assert all(each["changed_by"].startswith("key_") for each in versions)
    assert (await house.api("DELETE", place)).status == 204
    assert (await house.api("GET", place)).status == 404
    assert (await house.get(f"{place}/versions"))["data"][0]["change"] == "deleted"
    again = await house.post(f"{place}/restore", {"version": 2}, 200)
    assert (again["name"], again["version"], again["when"]) == ("help", 6, {"keyword": ["HELP"]})
    assert await names(house) == ["help"]


@ONE_STORE
async def test_a_rule_that_is_off_does_nothing_and_a_changed_one_says_what_it_says_now(house: House) -> None:
    made = await named(house, "old")
    place = f"/v1/rules/{made['id']}"

    async def tags() -> list[str]:
        found: list[str] = (await house.get(f"/v1/messages/{await house.hear('Hello')}"))["tags"]
        return found

    assert await tags() == ["old"]
    await house.patch(place, enabled=False)
    assert await tags() == []
    await house.patch(place, enabled=True, then=[{"tag": "new"}])
    assert await tags() == ["new"]


async def test_rules_belong_to_an_account_in_a_mode(house: House) -> None:
    made = await named(house, "ours")
    strangers = [
        await house.columba.key(status.LIVE),
        await house.columba.key(status.TEST, account_id=await house.columba.another_account()),
    ]
    for key in strangers:
        assert (await house.api("GET", "/v1/rules", key=key)).json["data"] == []
        for method, path, body in (
            ("GET", "", None), ("PATCH", "", {"enabled": False}), ("DELETE", "", None), ("GET", "/versions", None),
            ("POST", "/restore", {"version": 1}), ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
        ):  # fmt: skip
            reply = await house.api(method, f"/v1/rules/{made['id']}{path}", body, key=key)
            assert (reply.status, reply.json["code"]) == (404, "not_found"), (method, path)
    await house.hear("Hello")
    (run,) = await house.forwards(1)
    for key in strangers:
        assert (await house.api("GET", "/v1/forwards?kind=all", key=key)).json["data"] == []
        for method, path in (("GET", ""), ("POST", "/replay"), ("POST", "/cancel")):
            assert (await house.api(method, f"/v1/forwards/{run['id']}{path}", key=key)).status == 404
        again = await house.api("POST", "/v1/forwards/replay", {"kind": "all", "status": "delivered"}, key=key)
        assert again.json == {"count": 0}


WRONG: list[tuple[Any, set[str]]] = [
    ({"name": "x", "then": []}, {"then"}),
    ({"name": "x", "then": [{}]}, {"then[0].forward"}),
    ({"name": "x", "then": [{"tag": "a", "drop": True}]}, {"then[0].drop"}),
    ({"name": "x", "then": [{"forward": {"to": ["dst_0000000000000"]}}]}, {"then[0].forward.to[0]"}),
    ({"name": "x", "then": [{"reply": {"text": "{{ nobody }}"}}]}, {"then[0].reply.text"}),
    (
        {"name": "x", "then": [{"reply": {"text": "{% for %}", "from": "?" * 30}}]},
        {"then[0].reply.text", "then[0].reply.from"},
    ),
    ({"name": "x", "then": [{"text": {"to": ["+44"], "text": "x"}}]}, {"then[0].text.to[0]"}),
    ({"name": "x", "then": [{"email": {"to": ["nobody"]}}]}, {"then[0].email.to[0]"}),
    ({"name": "x", "then": [{"drop": True}, {"tag": "late"}]}, {"then[1]"}),
    (
        {"name": "x", "then": [{"tag": "a"}], "when": {"text": {"regex": "("}, "cel": "1 +"}},
        {"when.text.regex", "when.cel"},
    ),
    ({"name": "x", "then": [{"tag": "a"}], "when": {"text": {}}}, {"when.text.regex"}),
    ({"name": "x", "then": [{"tag": "a"}], "schedule": {"time_zone": "Mars/Olympus"}}, {"schedule.time_zone"}),
    ({"name": "x", "then": [{"tag": "a"}], "schedule": {"from": "9 am"}}, {"schedule.from"}),
]


@ONE_STORE
async def test_everything_that_is_wrong_with_a_rule_is_named(house: House) -> None:
    for body, fields in WRONG:
        reply = await house.api("POST", "/v1/rules", body)
        assert reply.status == 422, body
        assert {error["field"] for error in reply.json["errors"]} == fields, reply.json
    assert (await house.get("/v1/rules"))["data"] == []


@ONE_STORE
async def test_a_pattern_that_is_wrong_is_told_with_its_place(house: House) -> None:
    body = {"name": "x", "then": [{"reply": {"text": "Hi\n{{ form }}"}}]}
    (error,) = (await house.api("POST", "/v1/rules", body)).json["errors"]
    assert error["code"] == "invalid_code"
    assert error["detail"].startswith("line 2, column 4: There is no `form`; is `from` meant?")
