"""POST /v1/sandbox/inbound: a person texting in, for programs that are being written."""

import msgspec
import pytest_asyncio

from columba.core import ids, status
from columba.messages.cancel import SQL
from columba.messages.shapes import Message
from columba.sandbox.api import endpoints
from tests.api import Api, Columba

TEXT = {"from": "+447700900123", "to": "+12025550100", "text": "Yes, please"}


@pytest_asyncio.fixture
async def api(columba: Columba) -> Api:
    return columba.api(endpoints(columba.app.receive, columba.app.carriers))


async def test_a_person_texts_in(api: Api, columba: Columba) -> None:
    reply = await api(
        "POST", "/v1/sandbox/inbound", {**TEXT, "from": "+44 7700 900123", "media": ["https://a.example/1"]}
    )
    assert reply.status == 201, reply.json
    shown = reply.json
    msgspec.convert(shown, Message, strict=True)
    assert (shown["direction"], shown["status"]) == ("inbound", "received")
    assert (shown["from"], shown["to"], shown["text"]) == ("+447700900123", "+12025550100", "Yes, please")
    (link,) = shown["media"]  # to our own copy
    assert link.startswith(columba.app.media.links.base + "/media/med_")
    events = await columba.app.store.read(SQL["timeline"], id=ids.read("msg", shown["id"]))
    assert [status.NAMES[row[1]] for row in events] == ["received"]


async def test_an_emoji_alone_and_media_alone(api: Api) -> None:
    emoji = (await api("POST", "/v1/sandbox/inbound", {**TEXT, "text": "👍"})).json
    assert (emoji["text"], emoji["encoding"], emoji["segments"]) == ("👍", "ucs2", 1)
    media = (await api("POST", "/v1/sandbox/inbound", {**TEXT, "text": "", "media": ["https://a.example/1"]})).json
    assert (media["text"], len(media["media"])) == ("", 1)


async def test_it_comes_to_a_short_code_or_a_name(api: Api) -> None:
    for to in ("60777", "Columba"):
        assert (await api("POST", "/v1/sandbox/inbound", {**TEXT, "to": to})).json["to"] == to


async def test_a_live_key_has_no_sandbox(api: Api, columba: Columba) -> None:
    reply = await api("POST", "/v1/sandbox/inbound", TEXT, key=columba.live_key)
    assert (reply.status, reply.json["code"]) == (403, "wrong_mode")
    reader = await columba.key(scopes=["messages:read"])
    assert (await api("POST", "/v1/sandbox/inbound", TEXT, key=reader)).json["code"] == "forbidden"


async def test_every_problem_is_named(api: Api) -> None:
    wrong = {"from": "12", "to": "~~~", "text": "\x07", "media": ["x"], "when": "now"}
    reply = await api("POST", "/v1/sandbox/inbound", wrong)
    assert sorted(reply.fields) == [
        ("from", "invalid_number"),
        ("media[0]", "invalid_url"),
        ("text", "invalid_text"),
        ("to", "invalid_sender"),
        ("when", "unknown_field"),
    ]
    empty = await api("POST", "/v1/sandbox/inbound", {"from": "+447700900123", "to": "+12025550100"})
    assert empty.fields == [("text", "required")]
