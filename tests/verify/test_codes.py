"""Codes: sent, entered, right once; on both stores."""

import asyncio
import re
from pathlib import Path
from typing import Any

from columba.core import ids
from columba.verify.codes import ALPHABETS, Codes
from tests.api import Columba, running
from tests.verify.house import ANNA, check, code_of, events_of, start, text_of, wrong

BEN = "+447700900124"


async def test_the_right_code_is_right_once(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    assert (begun["status"], begun["to"], begun["sends"], begun["checks"]) == ("pending", ANNA, 1, 0)
    code = await code_of(api, begun)
    assert await check(api, begun, wrong(code)) == ("pending", False)
    assert await check(api, begun, f"{code[:3]}-{code[3:]} ") == ("approved", True)
    assert await check(api, begun, code) == ("approved", False)
    shown = (await api("GET", f"/v1/verifications/{begun['id']}")).json
    assert (shown["status"], shown["checks"]) == ("approved", 2)
    (told,) = await events_of(columba, "approved")
    assert (told["id"], told["status"], told["checks"]) == (begun["id"], "approved", 2)


async def test_of_100_at_once_one_succeeds(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)
    tries = await asyncio.gather(*(check(api, begun, code) for _ in range(100)))
    assert [valid for _, valid in tries].count(True) == 1
    assert len(await events_of(columba, "approved")) == 1


async def test_of_100_in_one_transaction_one_succeeds(columba: Columba) -> None:
    api, verifying, who = columba.whole, columba.app.verifying, (columba.account_id, 0)
    begun = await start(api)
    code = await code_of(api, begun)
    found = await verifying.find(who, ids.read("ver", begun["id"]) or 0)
    assert found is not None
    tries = await asyncio.gather(*(verifying.check(who, found, code) for _ in range(100)))
    assert [valid for _, valid in tries].count(True) == 1
    assert len(await events_of(columba, "approved")) == 1


async def test_of_100_at_once_in_two_processes_one_succeeds(tmp_path: Path, tables_url: str) -> None:
    key = {"secret_key": "ab" * 32}
    async with running(tmp_path / "a", tables_url, **key) as one, running(tmp_path / "b", tables_url, **key) as two:
        begun = await start(one.whole)
        code = await code_of(one.whole, begun)
        tries = await asyncio.gather(*(check(each.whole, begun, code) for _ in range(50) for each in (one, two)))
        assert [valid for _, valid in tries].count(True) == 1


async def test_after_five_that_were_wrong_none_is_right(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)
    tries = await asyncio.gather(*(check(api, begun, wrong(code)) for _ in range(3)))
    tries += [await check(api, begun, wrong(code)) for _ in range(2)]
    assert tries == [("pending", False)] * 5
    reply = await api("POST", f"/v1/verifications/{begun['id']}/check", {"code": code})
    assert (reply.status, reply.json["code"]) == (429, "too_many_attempts")
    assert int(reply.headers["retry-after"]) > 500
    again = await start(api)  # another code
    assert again["id"] != begun["id"]
    assert await check(api, again, await code_of(api, again)) == ("approved", True)


async def test_a_right_one_that_comes_with_too_many_wrong_ones_is_not_taken(columba: Columba) -> None:
    """All at once, in one transaction: only as many as may still try count."""
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)
    who = (columba.account_id, 0)
    found = await columba.app.verifying.find(who, ids.read("ver", begun["id"]) or 0)
    assert found is not None
    entered = [wrong(code)] * 5 + [code] * 3
    tries = await asyncio.gather(*(columba.app.verifying.check(who, found, each) for each in entered))
    assert not any(valid for _, valid in tries)


async def test_it_is_sent_again_as_the_same_code(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    again = (await api("POST", f"/v1/verifications/{begun['id']}/resend")).json
    anew = await start(api)
    assert again["id"] == anew["id"] == begun["id"]
    assert len({begun["message_id"], again["message_id"], anew["message_id"]}) == 3
    assert (anew["sends"], anew["sends_left"]) == (3, 2)
    assert len({await text_of(api, each) for each in (begun, again, anew)}) == 1
    both = await asyncio.gather(start(api), start(api), return_exceptions=True)
    assert sum(isinstance(each, dict) for each in both) >= 1


async def test_a_number_gets_five_texts_in_ten_minutes(columba: Columba) -> None:
    api = columba.whole
    for _ in range(3):
        begun = await start(api)
    await api("POST", f"/v1/verifications/{begun['id']}/cancel")
    begun = await start(api)
    await api("POST", f"/v1/verifications/{begun['id']}/resend")
    for path in (f"/v1/verifications/{begun['id']}/resend", "/v1/verifications"):
        reply = await api("POST", path, {"to": ANNA} if path.endswith("s") else None)
        assert (reply.status, reply.json["code"]) == (429, "too_many_attempts")
    assert (await start(api, BEN))["status"] == "pending"


async def test_starts_of_one_number_at_once_make_one_code(columba: Columba) -> None:
    api = columba.whole
    replies = await asyncio.gather(*(api("POST", "/v1/verifications", {"to": ANNA}) for _ in range(4)))
    begun = [each.json for each in replies if each.status == 201]
    assert begun
    assert len({each["id"] for each in begun}) == 1
    assert {each.status for each in replies} <= {201, 409}


async def test_by_number_a_stranger_is_answered_like_anybody(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)

    async def by_number(to: str, entered: str) -> Any:
        return (await api("POST", "/v1/verifications/check", {"to": to, "code": entered})).json

    for to in (ANNA, BEN):
        for _ in range(4):
            assert await by_number(to, wrong(code)) == {"id": None, "status": "pending", "valid": False}
    assert await by_number(ANNA, code) == {"id": begun["id"], "status": "approved", "valid": True}
    assert (await by_number(BEN, code))["valid"] is False
    for to in (ANNA, BEN):  # five in ten minutes, with a code or without
        assert (await by_number(to, code))["code"] == "too_many_attempts"


async def test_it_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as columba:
        api, verifying = columba.whole, columba.app.verifying
        begun = await start(api, expires_in=30)
        code = await code_of(api, begun)
        now = columba.app.ids._clock
        verifying._clock = lambda: now() + 31_000
        assert await check(api, begun, code) == ("pending", False)
        assert await verifying.expire() == 1
        assert (await api("GET", f"/v1/verifications/{begun['id']}")).json["status"] == "expired"
        assert await check(api, begun, code) == ("expired", False)
        assert [each["id"] for each in await events_of(columba, "expired")] == [begun["id"]]
        reply = await api("POST", f"/v1/verifications/{begun['id']}/resend")
        assert (reply.status, reply.json["code"]) == (409, "conflict")
        assert (await start(api))["id"] != begun["id"]


async def test_it_is_canceled(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)
    assert (await api("POST", f"/v1/verifications/{begun['id']}/cancel")).json["status"] == "canceled"
    assert await check(api, begun, code) == ("canceled", False)
    assert (await api("POST", f"/v1/verifications/{begun['id']}/cancel")).status == 409
    assert [each["id"] for each in await events_of(columba, "canceled")] == [begun["id"]]


async def test_of_two_who_cancel_it_at_once_one_does(columba: Columba) -> None:
    begun = await start(columba.whole)
    target = f"/v1/verifications/{begun['id']}/cancel"
    replies = await asyncio.gather(*(columba.whole("POST", target) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 409, 409, 409, 409]
    assert [each["id"] for each in await events_of(columba, "canceled")] == [begun["id"]]


async def test_what_the_message_is_refused_for_leaves_nothing(columba: Columba) -> None:
    api = columba.whole
    for _ in range(6):  # nor is it counted
        reply = await api("POST", "/v1/verifications", {"to": "+447700900001"})
        assert (reply.status, reply.json["code"]) == (422, "no_recipient")
    assert (await api("GET", "/v1/verifications")).json["data"] == []


async def test_another_account_and_mode_know_nothing_of_it(columba: Columba) -> None:
    api = columba.whole
    begun = await start(api)
    code = await code_of(api, begun)
    for key in (columba.live_key, await columba.key(account_id=await columba.another_account())):
        for method, path, body in (
            ("GET", "", None), ("POST", "/check", {"code": code}), ("POST", "/resend", None), ("POST", "/cancel", None),
        ):  # fmt: skip
            reply = await api(method, f"/v1/verifications/{begun['id']}{path}", body, key=key)
            assert (reply.status, reply.json["code"]) == (404, "not_found")
        reply = await api("POST", "/v1/verifications/check", {"to": ANNA, "code": code}, key=key)
        assert reply.json["valid"] is False
        assert (await api("GET", "/v1/verifications", key=key)).json["data"] == []


WORDS: list[tuple[dict[str, Any], str]] = [
    ({}, r"\d{6} is your verification code."),
    ({"brand": "Acme"}, r"\d{6} is your Acme code."),
    ({"brand": "Acme", "language": "de-AT"}, r"\d{6} ist Ihr Code für Acme."),
    ({"language": "xx"}, r"\d{6} is your verification code."),
    ({"length": 8}, r"\d{8} is your verification code."),
    ({"alphabet": "letters", "length": 5}, r"[A-Z]{5} is your verification code."),
    ({"domain": "example.com"}, r"(\d{6}) is your verification code.\n\n@example.com #\1"),
    ({"template": "login", "brand": "Acme"}, r"Acme: \d{6}, for 10 min. Bye, Ada"),
]


async def test_what_is_sent(small: Columba) -> None:
    api = small.whole
    made = {
        "name": "login",
        "versions": [{"language": "en", "text": "{{ brand }}: {{ code }}, for {{ minutes }} min. Bye, {{ name }}"}],
        "params": {"brand": "string", "code": "string", "minutes": "integer", "name": {"default": "Ada"}},
    }
    assert (await api("POST", "/v1/templates", made)).status == 201
    for n, (asked, pattern) in enumerate(WORDS):
        begun = await start(api, f"+4477009001{n:02d}", **asked)
        assert re.fullmatch(pattern, await text_of(api, begun)), await text_of(api, begun)
        code = (await text_of(api, begun)).split("#")[-1] if "domain" in asked else await code_of(api, begun)
        assert await check(api, begun, code.lower()) == ("approved", True)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"to": "12"}, "to", "invalid_number"),
    ({"length": 3}, "length", "out_of_range"),
    ({"expires_in": 10}, "expires_in", "out_of_range"),
    ({"template": "none"}, "template", "unknown_template"),
    ({"template": "codeless"}, "template", "invalid_value"),
    ({"template": "promotion"}, "template", "invalid_value"),
    ({"domain": "no domain"}, "domain", "invalid_value"),
    ({"address": "nowhere"}, "address", "invalid_value"),
    ({"params": {"code": "1"}}, "params.code", "invalid_value"),
    ({"from": "a name far too long"}, "from", "invalid_sender"),
    ({"text": "x"}, "text", "unknown_field"),
]


async def test_what_is_refused(small: Columba) -> None:
    api = small.whole
    for name, text, klass in (("codeless", "Hi", None), ("promotion", "{{ code }}", "marketing")):
        made = {"name": name, "versions": [{"language": "en", "text": text}], "class": klass}
        assert (await api("POST", "/v1/templates", made)).status == 201
    for asked, field, code in WRONG:
        reply = await api("POST", "/v1/verifications", {"to": ANNA, **asked})
        assert (reply.status, reply.fields[:1]) == (422, [(field, code)]), (asked, reply.json)
    assert (await api("GET", "/v1/verifications")).json["data"] == []


async def test_scopes(small: Columba) -> None:
    api = small.whole
    begun = await start(api)
    reader = await small.key(scopes=["verifications:read"])
    writer = await small.key(scopes=["verifications:write"])
    assert (await api("POST", "/v1/verifications", {"to": ANNA}, key=reader)).status == 403
    assert (await api("GET", f"/v1/verifications/{begun['id']}", key=reader)).status == 200
    assert (await api("GET", f"/v1/verifications/{begun['id']}", key=writer)).status == 403
    assert (await api("PATCH", "/v1/settings/verifications", {}, key=writer)).status == 403


def test_codes_are_as_random_as_their_key_and_hashes_tell_nothing() -> None:
    codes = Codes((b"k" * 32, b"o" * 32))
    made = [codes.new(n, 6, "digits") for n in range(1000)]
    assert len({code for code, _ in made}) > 990
    assert all(code not in hashed for code, hashed in made)
    for name, letters in ALPHABETS.items():
        seen = {letter for n in range(300) for letter in codes.new(n, 10, name)[0]}
        assert seen == set(letters)


def test_a_code_outlives_its_key_while_that_is_known() -> None:
    old = Codes((b"o" * 32,))
    code, hashed = old.new(7, 6, "digits")
    both = Codes((b"n" * 32, b"o" * 32))
    assert both.again(7, 6, "digits", hashed) == code
    assert both.entered(7, code, hashed) == hashed
    gone = Codes((b"n" * 32,))
    assert gone.again(7, 6, "digits", hashed) is None
    assert gone.entered(7, code, hashed) != hashed


async def test_the_list_is_paged_and_filtered(small: Columba) -> None:
    api = small.whole
    made = [await start(api, f"+44770090012{n}") for n in range(2)]
    await check(api, made[0], await code_of(api, made[0]))
    first = (await api("GET", "/v1/verifications?limit=1")).json
    assert [each["id"] for each in first["data"]] == [made[1]["id"]]
    rest = (await api("GET", f"/v1/verifications?limit=1&cursor={first['next_cursor']}")).json
    assert ([each["id"] for each in rest["data"]], rest["next_cursor"]) == ([made[0]["id"]], None)
    for query in ("status=approved", f"to=%2B447700900120&created_after={made[0]['created_at']}"):
        found = (await api("GET", f"/v1/verifications?{query}")).json["data"]
        assert [each["id"] for each in found] == [made[0]["id"]], query
