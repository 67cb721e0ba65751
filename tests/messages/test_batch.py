"""POST /v1/messages/batch: each row stands or falls by itself, and the answers are in the rows' order."""

import json
from typing import Any

import msgspec

from columba.messages import shapes
from tests.api import Api

GOOD = {"to": "+447700900123", "text": "Hi"}


def codes(data: list[dict[str, Any]]) -> list[str]:
    return [row["status"] if "status" in row else row["error"]["code"] for row in data]


async def test_a_bad_row_refuses_itself(api: Api) -> None:
    rows = [
        GOOD,
        {"to": "12", "text": "Hi"},
        {"to": "+447700900124", "text": "Hi", "colour": "red"},
        {"to": "+447700900125", "text": "Hi", "text2": 1, "class": "spam", "from": "~~~"},
        {"text": "Hi"},
        "no object",
        {"to": 7, "text": "Hi"},
        {**GOOD, "to": "+12025550001"},
        {**GOOD, "send_at": "2099-01-01T00:00:00"},
        GOOD,
    ]
    reply = await api("POST", "/v1/messages/batch", {"messages": rows})
    assert reply.status == 202, reply.json
    answer = reply.json
    msgspec.convert(answer, shapes.BatchAnswer, strict=True)
    assert answer["batch_id"].startswith("bat_")
    assert (answer["accepted"], answer["refused"]) == (2, 8)
    assert codes(answer["data"]) == [
        "queued",
        "invalid_number",
        "unknown_field",
        "invalid_value",
        "required",
        "wrong_type",
        "wrong_type",
        "no_recipient",
        "invalid_time",
        "queued",
    ]
    assert [row["to"] for row in answer["data"]][:5] == [
        "+447700900123",
        "12",
        "+447700900124",
        "+447700900125",
        None,
    ]
    several = {(error["field"], error["code"]) for error in answer["data"][3]["error"]["errors"]}
    assert several == {("text2", "unknown_field"), ("class", "invalid_value"), ("from", "invalid_sender")}
    listed = (await api("GET", f"/v1/messages?batch_id={answer['batch_id']}")).json["data"]
    assert [row["id"] for row in listed] == [answer["data"][9]["id"], answer["data"][0]["id"]]


async def test_rows_take_the_defaults_where_they_say_nothing(api: Api) -> None:
    defaults = {"text": "Hi", "from": "Columba", "class": "marketing", "tags": ["a"], "metadata": {"n": 1}}
    rows = [
        {"to": "+447700900123"},
        {"to": "+447700900124", "text": "You", "from": None, "class": "otp", "tags": [], "metadata": {}},
    ]
    answer = (await api("POST", "/v1/messages/batch", {"defaults": defaults, "messages": rows})).json
    one, two = [(await api("GET", f"/v1/messages/{row['id']}")).json for row in answer["data"]]
    kept = ("text", "from", "class", "tags", "metadata")
    assert [one[name] for name in kept] == ["Hi", "Columba", "marketing", ["a"], {"n": 1}]
    assert [two[name] for name in kept] == ["You", None, "otp", [], {}]
    assert one["batch_id"] == answer["batch_id"]


async def test_what_is_wrong_with_the_whole_refuses_the_whole(quick: Api) -> None:
    cases: list[tuple[Any, list[tuple[str, str]]]] = [
        ({"messages": [GOOD] * 10_001}, [("messages", "too_many")]),
        ({"messages": []}, [("messages", "too_short")]),
        ({}, [("messages", "required")]),
        ({"messages": [GOOD], "default": {}}, [("default", "unknown_field")]),
        (
            {"messages": [GOOD], "defaults": {"class": "x", "too": 1}},
            [("defaults.class", "invalid_value"), ("defaults.too", "unknown_field")],
        ),
    ]
    for body, fields in cases:
        reply = await quick("POST", "/v1/messages/batch", body)
        assert (reply.status, sorted(reply.fields)) == (422, fields), str(body)[:100]


async def test_a_name_given_twice_refuses_its_row_alone(quick: Api) -> None:
    row = json.dumps(GOOD)
    raw = f'{{"messages":[{row},{{"to":"+447700900124","text":"a","text":"b"}},{row}]}}'.encode()
    answer = (await quick("POST", "/v1/messages/batch", raw)).json
    assert codes(answer["data"]) == ["queued", "invalid_value", "queued"]


async def test_ten_thousand_are_taken(quick: Api) -> None:
    rows = [{"to": f"+447700{n:05d}9"} for n in range(10_000)]
    reply = await quick("POST", "/v1/messages/batch", {"defaults": {"text": "Hi"}, "messages": rows})
    assert (reply.json["accepted"], reply.json["refused"]) == (10_000, 0)
    assert [row["to"] for row in reply.json["data"]] == [row["to"] for row in rows]
