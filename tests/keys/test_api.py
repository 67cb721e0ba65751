"""`/v1/keys`: secrets shown once, and no key that makes, changes or takes over one that is stronger than itself."""

from typing import Any

import pytest

from columba.core import ids
from columba.core.status import LIVE, TEST
from columba.http.times import rfc3339
from tests.keys.house import DAY, HOUR, START, Clock, House, Made, Reply


async def works(home: House, secret: str) -> bool:
    return (await home.ask("GET", "/v1/keys?limit=1", key=secret)).status == 200


async def test_a_key_is_made_and_its_secret_shown_once(home: House) -> None:
    admin = await home.make()
    asked = {"name": "shop", "scopes": ["messages:write", "keys:read"], "expires_in": 3600, "rate_limit": 10}
    made = await home.ask("POST", "/v1/keys", asked, key=admin)
    assert made.status == 201
    secret = made.json.pop("secret")
    assert secret.startswith("ck_test_")
    assert await works(home, secret)
    assert made.json == {
        "id": made.json["id"],
        "name": "shop",
        "mode": "test",
        "scopes": ["messages:write", "keys:read"],
        "hint": f"ck_test_...{secret[-4:]}",
        "status": "active",
        "rate_limit": 10,
        "created_at": rfc3339(START),
        "expires_at": rfc3339(START + HOUR),
        "revoked_at": None,
        "previous_until": None,
    }
    assert ids.read("key", made.json["id"])
    assert (await home.ask("GET", f"/v1/keys/{made.json['id']}", key=admin)).json == made.json
    assert (await home.ask("GET", "/v1/keys", key=admin)).json["data"][0] == made.json


async def test_what_is_left_out(small: House) -> None:
    made = await small.ask("POST", "/v1/keys", {"name": "x"}, key=await small.make(mode=LIVE))
    assert made.status == 201
    shown = {name: made.json[name] for name in ("mode", "scopes", "expires_at", "rate_limit", "status")}
    assert shown == {"mode": "live", "scopes": ["*"], "expires_at": None, "rate_limit": None, "status": "active"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [("name", "required")]),
        ({"name": ""}, [("name", "too_short")]),
        ({"name": "x" * 101}, [("name", "too_long")]),
        ({"name": "x", "mode": "prod"}, [("mode", "invalid_value")]),
        ({"name": "x", "scopes": ["messages:write", "sms:write"]}, [("scopes[1]", "invalid_value")]),
        ({"name": "x", "expires_in": 60, "expires_at": "2040-01-01T00:00:00Z"}, [("expires_in", "invalid_value")]),
        ({"name": "x", "expires_at": rfc3339(START)}, [("expires_at", "invalid_time")]),
        ({"name": "x", "expires_in": 0}, [("expires_in", "out_of_range")]),
        ({"name": "x", "rate_limit": 0}, [("rate_limit", "out_of_range")]),
        ({"name": "x", "secret": "ck_test_mine"}, [("secret", "unknown_field")]),
        ({"name": 1, "scopes": ["a"], "rate_limit": "b"}, None),
    ],
)
async def test_what_is_wrong_is_named(small: House, body: Any, fields: list[tuple[str, str]] | None) -> None:
    refused = await small.ask("POST", "/v1/keys", body, key=await small.make())
    assert (refused.status, refused.json["code"]) == (422, "invalid_request")
    if fields is None:
        assert {field for field, _ in refused.fields} == {"name", "scopes[0]", "rate_limit"}
    else:
        assert refused.fields == fields
    assert len(small.keys.all) == 1


ALL: list[str] = []


@pytest.mark.parametrize(
    ("mode", "scopes", "body", "status"),
    [
        (TEST, ALL, {"mode": "test"}, 201),
        (TEST, ALL, {"mode": "live"}, 403),
        (LIVE, ALL, {"mode": "test"}, 201),
        (LIVE, ALL, {"mode": "live"}, 201),
        (LIVE, ["keys:write", "messages:read"], {"scopes": ["messages:read"]}, 201),
        (LIVE, ["keys:write", "messages:*"], {"scopes": ["messages:*", "keys:write"]}, 201),
        (LIVE, ["keys:write"], {"scopes": ["messages:read"]}, 403),
        (LIVE, ["keys:write"], {"scopes": ["*"]}, 403),
        (LIVE, ["keys:write"], {"scopes": []}, 403),
        (LIVE, ["keys:write"], {}, 403),
        (LIVE, ["keys:read"], {"scopes": ["keys:read"]}, 403),
        (LIVE, ["messages:*"], {"scopes": ["messages:read"]}, 403),
    ],
)
async def test_who_may_make_which_keys(
    small: House, mode: int, scopes: list[str], body: dict[str, Any], status: int
) -> None:
    admin = await small.make(*scopes, mode=mode)
    reply = await small.ask("POST", "/v1/keys", {"name": "x", **body}, key=admin)
    assert reply.status == status
    if status == 201:
        assert small.keys.all[ids.read("key", reply.json["id"]) or 0].account_id == admin.key.account_id
    else:
        assert "secret" not in reply.json
        assert len(small.keys.all) == 1


async def test_the_scopes_that_are_lacking_are_named(small: House) -> None:
    asked = {"name": "x", "scopes": ["messages:*", "keys:read"]}
    refused = await small.ask("POST", "/v1/keys", asked, key=await small.make("keys:*", "messages:read"))
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert "messages:write" in refused.json["detail"]
    assert "messages:read" not in refused.json["detail"]


async def test_what_a_key_sees(small: House) -> None:
    """Its own account; a live key both modes, a test key its own."""
    test, live = await small.make(mode=TEST), await small.make(mode=LIVE)
    stranger = await small.make(mode=LIVE, account_id=small.ids())

    async def seen(by: Made) -> set[str]:
        listed = {each["id"] for each in (await small.ask("GET", "/v1/keys", key=by)).json["data"]}
        for made in (test, live, stranger):
            path = f"/v1/keys/{made.key.key_id}"
            answers = [(await small.ask("GET", path, key=by)).status == 200]
            if made.key.key_id not in listed:
                answers += [
                    (await small.ask("PATCH", path, {"name": "mine"}, key=by)).status != 404,
                    (await small.ask("DELETE", path, key=by)).status != 404,
                    (await small.ask("POST", path + "/rotate", key=by)).status != 404,
                ]
            assert all(answers) if made.key.key_id in listed else not any(answers)
        return listed

    assert await seen(test) == {test.key.key_id}
    assert await seen(live) == {test.key.key_id, live.key.key_id}
    assert await seen(stranger) == {stranger.key.key_id}
    assert {key.name for key in small.keys.all.values()} == {"a key"}


@pytest.mark.parametrize("an_id", ["key_0000000000000", "key_", "msg_0000000000000", "x", "key_" + "z" * 13])
async def test_there_is_no_such_key(small: House, an_id: str) -> None:
    admin = await small.make()
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/rotate", None),
    ):
        assert (await small.ask(method, f"/v1/keys/{an_id}{path}", body, key=admin)).status == 404


async def test_the_list_is_cut_into_pages_and_may_be_of_one_mode(small: House, clock: Clock) -> None:
    admin = await small.make(mode=LIVE)
    for number in range(6):
        await small.make(mode=number % 2)

    async def pages(query: str) -> list[list[str]]:
        found, cursor = [], ""
        while True:
            reply = await small.ask("GET", f"/v1/keys?limit=3{query}{cursor}", key=admin)
            found.append([each["id"] for each in reply.json["data"]])
            if reply.json["next_cursor"] is None:
                return found
            cursor = f"&cursor={reply.json['next_cursor']}"

    newest_first = [key.key_id for key in reversed(list(small.keys.all.values()))]
    assert await pages("") == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert [len(page) for page in await pages("&mode=test")] == [3]
    assert [len(page) for page in await pages("&mode=live")] == [3, 1]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "renamed"}, {"name": "renamed"}),
        ({"scopes": ["keys:read"]}, {"scopes": ["keys:read"]}),
        ({"scopes": ["*"]}, {"scopes": ["*"]}),
        ({"rate_limit": 9}, {"rate_limit": 9}),
        ({"rate_limit": None}, {"rate_limit": None}),
        ({"expires_at": rfc3339(START + DAY)}, {"expires_at": rfc3339(START + DAY)}),
        ({"expires_at": None}, {"expires_at": None}),
        ({}, {}),
    ],
)
async def test_a_change_changes_that_alone(home: House, change: dict[str, Any], shown: dict[str, Any]) -> None:
    admin = await home.make()
    made = await home.make("messages:read", expires_at=START + HOUR, rate_limit=5)
    path = f"/v1/keys/{made.key.key_id}"
    before = (await home.ask("GET", path, key=admin)).json
    changed = await home.ask("PATCH", path, change, key=admin)
    assert (changed.status, changed.json) == (200, before | shown)
    assert (await home.ask("GET", path, key=admin)).json == changed.json


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["sms:write"]}, "scopes[0]"),
        ({"expires_at": rfc3339(START)}, "expires_at"),
        ({"mode": "live"}, "mode"),
        ({"name": None}, "name"),
    ],
)
async def test_a_change_that_makes_no_sense(small: House, change: dict[str, Any], field: str) -> None:
    made = await small.make()
    refused = await small.ask("PATCH", f"/v1/keys/{made.key.key_id}", change, key=made)
    assert (refused.status, [name for name, _ in refused.fields]) == (422, [field])


async def test_a_key_may_not_touch_what_is_stronger_but_may_revoke_it(small: House) -> None:
    strong, weak = await small.make(), await small.make("keys:*", "messages:read")
    equal = await small.make("messages:read")
    path = f"/v1/keys/{strong.key.key_id}"
    for method, target, body in (
        ("POST", path + "/rotate", None),
        ("PATCH", path, {"expires_at": None}),
        ("PATCH", path, {"scopes": ["messages:read"]}),
        ("PATCH", f"/v1/keys/{weak.key.key_id}", {"scopes": ["*"]}),
        ("PATCH", f"/v1/keys/{equal.key.key_id}", {"scopes": ["messages:write"]}),
    ):
        refused = await small.ask(method, target, body, key=weak)
        assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert (await small.ask("PATCH", f"/v1/keys/{equal.key.key_id}", {"name": "x"}, key=weak)).status == 200
    assert (await small.ask("POST", f"/v1/keys/{equal.key.key_id}/rotate", key=weak)).status == 200
    assert await works(small, strong.secret)
    assert (await small.ask("DELETE", path, key=weak)).status == 204
    assert not await works(small, strong.secret)


async def test_a_token_with_fewer_scopes_makes_no_more_than_itself(small: House) -> None:
    admin = await small.make()
    form = f"grant_type=client_credentials&scope=keys:write&client_id={admin.key.key_id}&client_secret={admin.secret}"
    token = (await small.ask("POST", "/v1/oauth/token", form)).json["access_token"]
    assert (await small.ask("POST", "/v1/keys", {"name": "x"}, key=token)).status == 403
    assert (await small.ask("POST", f"/v1/keys/{admin.key.key_id}/rotate", key=token)).status == 403
    assert (await small.ask("POST", "/v1/keys", {"name": "x", "scopes": ["keys:write"]}, key=token)).status == 201


async def rotate(home: House, admin: Made, made: Made, body: Any = None) -> Reply:
    return await home.ask("POST", f"/v1/keys/{made.key.key_id}/rotate", body, key=admin)


async def test_a_rotated_key_has_two_secrets_for_a_while(home: House, clock: Clock) -> None:
    admin, made = await home.make(), await home.make()
    reply = await rotate(home, admin, made)
    assert reply.status == 200
    assert reply.json["secret"] != made.secret
    assert reply.json["hint"].endswith(reply.json["secret"][-4:])
    assert reply.json["previous_until"] == rfc3339(START + DAY)
    assert await works(home, made.secret)
    assert await works(home, reply.json["secret"])
    clock.now += DAY
    assert not await works(home, made.secret)
    assert await works(home, reply.json["secret"])
    assert (await home.ask("GET", f"/v1/keys/{made.key.key_id}", key=admin)).json["previous_until"] is None


@pytest.mark.parametrize(("overlap", "status"), [(0, 200), (30 * 86_400, 200), (30 * 86_400 + 1, 422), (-1, 422)])
async def test_how_long_the_overlap_may_be(small: House, overlap: int, status: int) -> None:
    made = await small.make()
    assert (await rotate(small, made, made, {"overlap_seconds": overlap})).status == status
    assert await works(small, made.secret) is (overlap != 0)


async def test_a_third_secret_ends_the_first(small: House) -> None:
    admin, made = await small.make(), await small.make()
    second = (await rotate(small, admin, made)).json["secret"]
    third = (await rotate(small, admin, made)).json["secret"]
    assert [await works(small, secret) for secret in (made.secret, second, third)] == [False, True, True]


async def test_revoked_is_for_good(home: House) -> None:
    admin, made = await home.make(), await home.make()
    path = f"/v1/keys/{made.key.key_id}"
    assert [(await home.ask("DELETE", path, key=admin)).status for _ in range(2)] == [204, 204]
    refused = await home.ask("GET", "/v1/keys", key=made)
    assert (refused.status, refused.json["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    shown = (await home.ask("GET", path, key=admin)).json
    assert (shown["status"], shown["revoked_at"]) == ("revoked", rfc3339(START))
    assert (await home.ask("PATCH", path, {"name": "x"}, key=admin)).status == 409
    assert (await rotate(home, admin, made)).status == 409


async def test_an_account_has_so_many_keys_at_most(small: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.keys.api.MOST_KEYS", 2)
    admin = await small.make()
    made = await small.ask("POST", "/v1/keys", {"name": "second"}, key=admin)
    assert made.status == 201
    refused = await small.ask("POST", "/v1/keys", {"name": "third"}, key=admin)
    assert (refused.status, refused.json["code"]) == (422, "too_many")
    assert (await small.ask("DELETE", f"/v1/keys/{made.json['id']}", key=admin)).status == 204
    assert (await small.ask("POST", "/v1/keys", {"name": "third"}, key=admin)).status == 201


async def test_a_key_may_revoke_itself(small: House) -> None:
    made = await small.make()
    assert (await small.ask("DELETE", f"/v1/keys/{made.key.key_id}", key=made)).status == 204
    assert not await works(small, made.secret)


async def test_an_expired_key_is_shown_as_such_and_can_be_given_more_time(small: House, clock: Clock) -> None:
    admin, made = await small.make(), await small.make(expires_at=START + HOUR)
    clock.now += HOUR
    path = f"/v1/keys/{made.key.key_id}"
    assert (await small.ask("GET", path, key=admin)).json["status"] == "expired"
    assert (await rotate(small, admin, made)).status == 409
    assert (await small.ask("PATCH", path, {"expires_at": None}, key=admin)).json["status"] == "active"
    assert await works(small, made.secret)


async def test_making_a_key_can_be_repeated_and_gives_the_same_secret(home: House) -> None:
    admin = await home.make()
    again = {"idempotency-key": "make-1"}
    first = await home.ask("POST", "/v1/keys", {"name": "x"}, key=admin, headers=again)
    second = await home.ask("POST", "/v1/keys", {"name": "x"}, key=admin, headers=again)
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    assert second.headers["idempotent-replayed"] == "true"
    assert len(home.keys.all) == 2


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/keys"), ("POST", "/v1/keys/{id}/rotate")])
async def test_a_weaker_key_is_not_shown_what_a_stronger_one_was(small: House, method: str, path: str) -> None:
    admin, weak = await small.make(), await small.make("keys:write")
    target, again = path.format(id=admin.key.key_id), {"idempotency-key": "make-1"}
    assert "secret" in (await small.ask(method, target, {"name": "x"} if "{" not in path else None, admin, again)).json
    reply = await small.ask(method, target, {"name": "x"} if "{" not in path else None, weak, again)
    assert (reply.status, reply.json["code"]) == (409, "idempotency_mismatch")
