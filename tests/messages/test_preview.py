"""Previews and look-ups: what would be sent, to whom, and why it would be refused."""

from typing import Any

import msgspec

from columba.messages import shapes
from columba.numbers import Description
from tests.api import Api, Columba
from tests.messages.conftest import messages_of


async def show(api: Api, **asked: Any) -> dict[str, Any]:
    reply = await api("POST", "/v1/messages/preview", asked)
    assert reply.status == 200, reply.json
    msgspec.convert(reply.json, shapes.Preview, strict=True)
    shown: dict[str, Any] = reply.json
    return shown


async def test_a_plain_text(quick: Api) -> None:
    shown = await show(quick, text="Hello €")
    assert shown == {
        "text": "Hello €",
        "encoding": "gsm7",
        "segments": 1,
        "units": 8,
        "left": 152,
        "parts": [{"text": "Hello €", "units": 8}],
        "forced": [],
        "number": None,
        "problems": [],
    }


async def test_what_forces_ucs2_and_what_would_replace_it(quick: Api) -> None:
    text = "It’s " + "x" * 60 + " 😀"
    shown = await show(quick, text=text)
    assert (shown["encoding"], shown["segments"], shown["text"]) == ("ucs2", 1, text)
    assert [(each["index"], each["code_point"], each["replacement"]) for each in shown["forced"]] == [
        (2, "U+2019", "'"),
        (66, "U+1F600", None),
    ]
    smart = await show(quick, text="It’s ready")
    assert (smart["text"], smart["encoding"], smart["forced"][0]["replacement"]) == ("It's ready", "gsm7", "'")
    as_written = await show(quick, text="It’s ready", smart_encoding=False)
    assert (as_written["text"], as_written["encoding"]) == ("It’s ready", "ucs2")


async def test_parts_are_those_that_would_be_sent(quick: Api) -> None:
    for text, units in (("x" * 200, [153, 47]), ("я" * 100, [67, 33]), ("€" * 100, [152, 48])):
        shown = await show(quick, text=text)
        assert "".join(part["text"] for part in shown["parts"]) == text
        assert [part["units"] for part in shown["parts"]] == units
        assert (shown["segments"], shown["units"]) == (2, sum(units))


async def test_the_number_is_described(quick: Api) -> None:
    number = (await show(quick, text="Hi", to="+44 7400 123456"))["number"]
    assert (number["e164"], number["country"], number["line_type"]) == ("+447400123456", "GB", "mobile")
    assert "Europe/London" in number["time_zones"]


async def test_what_would_be_refused_says_why(quick: Api) -> None:
    shown = await show(quick, text="x" * 2000, to="12", **{"from": "~"})
    assert {(each["field"], each["code"]) for each in shown["problems"]} == {
        ("to", "invalid_number"),
        ("from", "invalid_sender"),
        ("text", "too_long"),
    }
    assert (shown["segments"], shown["number"]) == (14, None)


async def test_a_national_number_is_read_by_the_accounts_country(columba: Columba) -> None:
    api = messages_of(columba, country=lambda account_id: "GB" if account_id == columba.account_id else None)
    assert (await show(api, text="Hi", to="07400 123456"))["number"]["e164"] == "+447400123456"
    found = (await api("GET", "/v1/numbers/07400123456")).json
    msgspec.convert(found, Description, strict=True)
    assert found["e164"] == "+447400123456"


async def test_look_ups(quick: Api) -> None:
    found = (await quick("GET", "/v1/numbers/%2B12025550100")).json
    assert (found["e164"], found["country"]) == ("+12025550100", "US")
    for number in ("12", "07400123456", "hello"):
        reply = await quick("GET", f"/v1/numbers/{number}")
        assert (reply.status, reply.fields) == (422, [("number", "invalid_number")])
