"""POST /v1/messages: what is taken, what the answer says, and that a refusal names everything that is wrong."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from columba.messages import shapes
from tests.api import Api, Columba

TO = "+447700900123"


async def test_the_answer_is_the_message(api: Api) -> None:
    asked = {
        "to": "+44 7700 900123",
        "from": "+12025550100",
        "text": "Your code is 1234",
        "class": "otp",
        "valid_for": 600,
        "media": ["https://example.org/a.png"],
        "callback_url": "https://example.org/hook",
        "smart_encoding": True,
        "tags": ["login"],
        "metadata": {"user": "42", "n": 7, "ok": True, "none": None},
    }
    reply = await api("POST", "/v1/messages", asked)
    assert reply.status == 202, reply.json
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    shown = reply.json
    msgspec.convert(shown, shapes.Message, strict=True)
    fields = msgspec.structs.fields(shapes.Message)  # those of few messages are left out of others
    assert set(shown) == {field.encode_name for field in fields if field.default is not msgspec.UNSET}
    kept = ("class", "callback_url", "from", "media", "metadata", "tags", "text")
    assert {name: shown[name] for name in kept} == {name: asked[name] for name in kept}
    assert shown["id"].startswith("msg_")
    assert (shown["to"], shown["status"], shown["direction"]) == (TO, "queued", "outbound")
    assert (shown["encoding"], shown["segments"], shown["error"], shown["batch_id"]) == ("gsm7", 1, None, None)
    made, ends = (datetime.fromisoformat(shown[name]) for name in ("created_at", "expires_at"))
    assert abs((ends - made).total_seconds() - 600) < 1


async def test_only_a_number_and_a_text_are_needed(api: Api) -> None:
    shown = (await api("POST", "/v1/messages", {"to": TO, "text": "Hi"})).json
    assert (shown["from"], shown["class"], shown["media"], shown["tags"]) == (None, "transactional", [], [])


async def test_media_need_no_text(api: Api) -> None:
    reply = await api("POST", "/v1/messages", {"to": TO, "media": ["https://example.org/a.png"]})
    assert (reply.status, reply.json["text"]) == (202, None)


async def test_smart_encoding_can_be_left_off(quick: Api) -> None:
    smart = (await quick("POST", "/v1/messages", {"to": TO, "text": "It’s here…"})).json
    plain = (await quick("POST", "/v1/messages", {"to": TO, "text": "It’s here…", "smart_encoding": False})).json
    assert (smart["text"], smart["encoding"]) == ("It's here...", "gsm7")
    assert (plain["text"], plain["encoding"]) == ("It’s here…", "ucs2")


async def test_a_time_ahead_schedules(api: Api) -> None:
    at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    shown = (await api("POST", "/v1/messages", {"to": TO, "text": "Hi", "send_at": at.isoformat()})).json
    assert shown["status"] == "scheduled"
    assert datetime.fromisoformat(shown["send_at"]) == at


WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"text": None}, [("text", "required")]),
    ({"text": ""}, [("text", "required")]),
    ({"to": "12"}, [("to", "invalid_number")]),
    ({"from": "a name far too long"}, [("from", "invalid_sender")]),
    ({"text": "bell\x07"}, [("text", "invalid_text")]),
    ({"text": "x" * 1531}, [("text", "too_long")]),
    ({"text": "x" * 5001}, [("text", "too_long")]),
    ({"send_at": "2020-01-01T00:00:00Z"}, [("send_at", "invalid_time")]),
    ({"send_at": "2120-01-01T00:00:00Z"}, [("send_at", "invalid_time")]),
    ({"send_at": "tomorrow"}, [("send_at", "invalid_time")]),
    ({"valid_for": 0}, [("valid_for", "out_of_range")]),
    ({"class": "spam"}, [("class", "invalid_value")]),
    ({"template": "hello", "params": {}}, [("template", "unknown_template")]),
    ({"params": {"a": 1}, "language": "en"}, [("params", "invalid_value"), ("language", "invalid_value")]),
    ({"tags": [""]}, [("tags[0]", "too_short")]),
    ({"metadata": {"a": [1]}}, [("metadata.a", "wrong_type")]),
    ({"metadata": {str(n): n for n in range(51)}}, [("metadata", "too_many")]),
    ({"media": ["ftp://example.org/a"]}, [("media[0]", "invalid_url")]),
    ({"media": ["https://example.org/a"] * 11}, [("media", "too_many")]),
    ({"callback_url": "example.org"}, [("callback_url", "invalid_url")]),
    ({"callback_url": "http://127.0.0.1/hook"}, [("callback_url", "forbidden_url")]),
    (
        {"to": "12", "from": "~" * 12, "class": 7, "send_at": "2020-01-01T00:00:00Z", "callback_url": "x"},
        [
            ("class", "wrong_type"),
            ("to", "invalid_number"),
            ("from", "invalid_sender"),
            ("send_at", "invalid_time"),
            ("callback_url", "invalid_url"),
        ],
    ),
    ({"to": "+12025550001", "text": "\x07"}, [("text", "invalid_text")]),
    ({"to": "+12025550001"}, [("to", "no_recipient")]),
    ({"to": "+12025550004"}, [("to", "opted_out")]),
]


async def test_every_problem_is_named(quick: Api) -> None:
    for wrong, fields in WRONG:
        reply = await quick("POST", "/v1/messages", {"to": TO, "text": "Hi", **wrong})
        assert reply.status == 422, wrong
        assert reply.headers["content-type"] == "application/problem+json", wrong
        assert sorted(reply.fields) == sorted(fields), wrong
        assert reply.json["detail"], wrong
        assert reply.json["code"] in ("invalid_request", fields[0][1]), wrong


NO_REQUESTS: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{", {}, 400, "invalid_json"),
    (b"", {}, 400, "invalid_json"),
    (b'{"to":"+447700900123","text":"a","text":"b"}', {}, 422, "invalid_request"),
    (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
    (b"{}", {"content-encoding": "gzip"}, 415, "unsupported_media_type"),
    (b"{}", {"idempotency-key": "a b"}, 422, "invalid_request"),
    (b"{}", {"content-length": "262145"}, 413, "payload_too_large"),
    (b"{}", {"authorization": "Bearer ck_test_no"}, 401, "unauthorized"),
]


async def test_what_is_no_request_is_refused(quick: Api) -> None:
    for body, headers, status, code in NO_REQUESTS:
        reply = await quick("POST", "/v1/messages", body, headers={"x-request-id": "mine-1", **headers})
        assert (reply.status, reply.json["code"], reply.json["request_id"]) == (status, code, "mine-1"), headers


async def test_the_query_is_not_ignored(quick: Api) -> None:
    reply = await quick("POST", "/v1/messages?dry_run=1", {"to": TO, "text": "Hi"})
    assert reply.fields == [("dry_run", "unknown_field")]


async def test_json_with_a_charset_is_json(quick: Api) -> None:
    body = json.dumps({"to": TO, "text": "Hi"}).encode()
    reply = await quick("POST", "/v1/messages", body, headers={"content-type": "application/json; charset=utf-8"})
    assert reply.status == 202


async def test_a_key_that_may_only_read_cannot_send(api: Api, columba: Columba) -> None:
    reader = await columba.key(scopes=["messages:read"])
    reply = await api("POST", "/v1/messages", {"to": TO, "text": "Hi"}, key=reader)
    assert (reply.status, reply.json["code"]) == (403, "forbidden")


async def test_a_live_key_without_a_carrier_is_told_so(api: Api, columba: Columba) -> None:
    reply = await api("POST", "/v1/messages", {"to": TO, "text": "Hi"}, key=columba.live_key)
    assert (reply.status, reply.json["code"]) == (422, "no_route")
