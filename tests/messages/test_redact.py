"""Redacting: the text is gone from everything that is shown, at once; the record stays."""

from typing import Any

from columba.core import ids
from columba.core.contract import Inbound
from tests.api import Api, Columba, eventually
from tests.messages.conftest import hold

SECRET = "the text that must go"
ONE = {
    "to": "+447700900123",
    "text": SECRET,
    "media": ["https://example.org/secret.png"],
    "tags": ["kept"],
    "metadata": {"kept": 1},
}
KEY = {"idempotency-key": "k-1"}


async def delivered(api: Api, headers: dict[str, str] | None = None) -> str:
    an_id: str = (await api("POST", "/v1/messages", ONE, headers=headers)).json["id"]

    async def look() -> bool:
        return bool((await api("GET", f"/v1/messages/{an_id}")).json["status"] == "delivered")

    await eventually(look)
    return an_id


async def test_text_and_media_go_and_the_record_stays(api: Api) -> None:
    an_id = await delivered(api)
    before = (await api("GET", f"/v1/messages/{an_id}")).json
    reply = await api("POST", f"/v1/messages/{an_id}/redact")
    assert reply.status == 200
    after: dict[str, Any] = (await api("GET", f"/v1/messages/{an_id}")).json
    assert after == {**before, "text": None, "media": [], "redacted": True}
    assert {name: after[name] for name in reply.json} == reply.json
    listed = await api("GET", "/v1/messages")
    assert b"secret" not in listed.body
    assert SECRET.encode() not in listed.body
    again = await api("POST", f"/v1/messages/{an_id}/redact")
    assert (again.status, again.json) == (200, reply.json)


async def test_the_first_answer_is_given_again_without_the_text(api: Api) -> None:
    an_id = await delivered(api, KEY)
    first = (await api("POST", "/v1/messages", ONE, headers=KEY)).json
    other = await api("POST", "/v1/messages", {**ONE, "text": "another"}, headers={"idempotency-key": "k-2"})
    await api("POST", f"/v1/messages/{an_id}/redact")
    again = await api("POST", "/v1/messages", ONE, headers=KEY)
    assert again.status == 202
    assert again.json == {**first, "text": None, "media": [], "redacted": True}
    untouched = await api("POST", "/v1/messages", {**ONE, "text": "another"}, headers={"idempotency-key": "k-2"})
    assert untouched.json == other.json


async def test_an_inbound_text_can_be_redacted(api: Api, columba: Columba) -> None:
    app = columba.app
    (inbound,) = await app.receive.inbound(
        app.carriers()[64], [Inbound("+447700900101", "+12025550100", SECRET)], columba.account_id
    )
    reply = await api("POST", f"/v1/messages/{ids.show('msg', inbound.id)}/redact")
    assert (reply.status, reply.json["text"], reply.json["redacted"]) == (200, None, True)


async def test_what_has_not_left_must_be_canceled_first(api: Api, columba: Columba) -> None:
    hold(columba)
    an_id = (await api("POST", "/v1/messages", ONE)).json["id"]
    reply = await api("POST", f"/v1/messages/{an_id}/redact")
    assert (reply.status, reply.json["code"]) == (409, "conflict")
    assert (await api("GET", f"/v1/messages/{an_id}")).json["text"] == SECRET
    await api("POST", f"/v1/messages/{an_id}/cancel")
    assert (await api("POST", f"/v1/messages/{an_id}/redact")).json["text"] is None
