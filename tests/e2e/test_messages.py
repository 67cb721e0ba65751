"""Messages as a program sends, reads, cancels and redacts them."""

import datetime as dt
import time
from typing import Any
from urllib.parse import quote

import pytest
from standardwebhooks import Webhook

from tests.e2e.talk import TIME, Json, batch, ended, everything, get, in_days, message, number, refused, send
from tests.program import Program, Sink, eventually

SHAPE = {
    "id", "status", "direction", "to", "from", "text", "media", "class", "encoding", "segments", "created_at",
    "updated_at", "send_at", "expires_at", "tags", "metadata", "callback_url", "batch_id", "redacted", "error",
}  # fmt: skip


def seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


# Sending


def test_a_message_with_everything_said_is_given_back_as_it_was(columba: Program, sink: Sink) -> None:
    asked: Json = {
        "to": "+447700900123", "from": "+12025550100", "text": "Your code is 1234", "class": "otp", "send_at": None,
        "valid_for": 600, "media": [], "callback_url": f"{sink.url}/callback", "smart_encoding": True,
        "tags": ["login"], "metadata": {"user": "42", "n": 7, "share": 0.5, "vip": True, "none": None},
    }  # fmt: skip
    before = time.time()
    sent = send(columba, **asked)
    assert set(sent) == SHAPE
    kept = {name: asked[name] for name in asked if name not in ("valid_for", "smart_encoding")}
    assert {name: sent[name] for name in kept} == kept
    assert (sent["status"], sent["direction"], sent["encoding"], sent["segments"]) == ("queued", "outbound", "gsm7", 1)
    assert (sent["batch_id"], sent["redacted"], sent["error"]) == (None, False, None)
    assert before - 0.01 <= seconds(sent["created_at"]) <= time.time() + 0.01
    assert seconds(sent["expires_at"]) == pytest.approx(seconds(sent["created_at"]) + 600)


def test_only_to_and_text_or_media_are_required(columba: Program) -> None:
    sent = send(columba)
    assert (sent["from"], sent["class"], sent["media"], sent["tags"], sent["metadata"]) == (
        None,
        "transactional",
        [],
        [],
        {},
    )
    assert (sent["send_at"], sent["callback_url"]) == (None, None)
    picture = send(columba, media=["https://example.org/cat.png"])
    assert (picture["text"], picture["media"], picture["segments"]) == (None, ["https://example.org/cat.png"], 1)
    ended(columba, picture["id"], "delivered")
    for body, field in (({"text": "x"}, "to"), ({"to": number()}, "text"), ({"to": number(), "text": ""}, "text")):
        problem = refused(columba.request("POST", "/v1/messages", body), 422, "invalid_request", field)
        assert problem["errors"][0]["code"] == "required"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("+12025550100", "+12025550100"),
        ("12025550100", "+12025550100"),
        ("12345", "12345"),
        ("Columba", "Columba"),
        (None, None),
    ],
)
def test_a_message_comes_from_a_number_a_short_code_a_name_or_nobody(
    columba: Program, given: str | None, shown: str | None
) -> None:
    assert message(columba, send(columba, **{"from": given})["id"])["from"] == shown


@pytest.mark.parametrize(
    "written", ["+447700900123", "+44 7700 900123", "+44 (0)7700 900-123", "00447700900123", "447700900123"]
)
def test_a_number_is_understood_as_people_write_it(columba: Program, written: str) -> None:
    answer = columba.request("POST", "/v1/messages", {"to": written, "text": "Hello"})
    if answer.status == 202:
        assert answer.json["to"] == "+447700900123"
    else:
        refused(answer, 422, "invalid_request", "to")
        assert not written.startswith("+")


def test_a_national_number_takes_the_default_country() -> None:
    with Program(["--default-country", "GB"]) as columba:
        sent = send(columba, "07700 900123")
        assert sent["to"] == "+447700900123"
        assert [each["id"] for each in get(columba, "/v1/messages?to=07700900123")["data"]] == [sent["id"]]


@pytest.mark.parametrize(
    ("text", "smart", "encoding", "segments", "sent_as"),
    [
        ("x" * 160, True, "gsm7", 1, None),
        ("x" * 161, True, "gsm7", 2, None),
        ("x" * 153 * 10, True, "gsm7", 10, None),
        ("€" * 80, True, "gsm7", 1, None),
        ("€" * 81, True, "gsm7", 2, None),
        ("ы" * 70, True, "ucs2", 1, None),
        ("ы" * 71, True, "ucs2", 2, None),
        ("🐦" * 35, True, "ucs2", 1, None),
        ("🐦" * 36, True, "ucs2", 2, None),
        ("“It’s here” – now…", True, "gsm7", 1, '"It\'s here" - now...'),
        ("“It’s here” – now…", False, "ucs2", 1, None),
    ],
    ids=lambda value: str(value)[:10],
)
def test_a_text_takes_the_cheapest_encoding_and_its_parts_are_counted(
    columba: Program, text: str, smart: bool, encoding: str, segments: int, sent_as: str | None
) -> None:
    sent = send(columba, text=text, smart_encoding=smart)
    assert (sent["encoding"], sent["segments"], sent["text"]) == (encoding, segments, sent_as or text)
    shown = columba.request("POST", "/v1/messages/preview", {"text": text, "smart_encoding": smart}).json
    assert (shown["encoding"], shown["segments"], shown["text"]) == (encoding, segments, sent_as or text)
    assert len(shown["parts"]) == segments
    assert "".join(part["text"] for part in shown["parts"]) == shown["text"]
    delivered = ended(columba, sent["id"], "delivered")
    assert [part["n"] for part in delivered["parts"]] == list(range(1, segments + 1))


def test_a_preview_tells_what_forces_ucs2_and_what_would_be_refused(columba: Program) -> None:
    body = {"text": "Łódź – 5 €", "to": "+447700900123", "from": "Columba"}
    shown = columba.request("POST", "/v1/messages/preview", body).json
    assert [each["character"] for each in shown["forced"]][:1] == ["Ł"]
    assert {"index": 5, "replacement": "-"}.items() <= shown["forced"][-1].items()
    assert (shown["problems"], shown["number"]["country"]) == ([], "GB")
    body = {"text": "x" * 2000, "to": "+44", "from": "far too long a name"}
    shown = columba.request("POST", "/v1/messages/preview", body).json
    assert {each["field"] for each in shown["problems"]} == {"to", "from", "text"}


def test_a_number_can_be_looked_up(columba: Program) -> None:
    shown = get(columba, "/v1/numbers/+447700900123")
    assert (shown["country"], "Europe/London" in str(shown)) == ("GB", True)
    refused(columba.request("GET", "/v1/numbers/12"), 422, "invalid_request", "number")


def test_a_message_names_where_its_own_events_go(columba: Program, sink: Sink) -> None:
    url = f"{sink.url}/hook?order=42"
    sent = send(columba, callback_url=url)
    secret = get(columba, "/v1/webhooks/callback-secret")["secret"]
    requests = sink.wait(3)
    assert {request.json["type"] for request in requests} == {"message.queued", "message.sent", "message.delivered"}
    for request in requests:
        assert (request.path, request.json["data"]["id"]) == ("/hook?order=42", sent["id"])
        Webhook(secret).verify(request.body, dict(request.headers))


# Batches


def test_ten_thousand_are_taken_at_once_and_not_one_more(columba: Program) -> None:
    rows = [{"to": f"+4478{n:08d}"} for n in range(10_000_010, 10_020_010) if n % 10_000 >= 10][:10_001]
    answer = columba.request("POST", "/v1/messages/batch", {"defaults": {"text": "Hello"}, "messages": rows})
    problem = refused(answer, 422, "invalid_request", "messages")
    assert problem["errors"][0]["code"] == "too_many"
    assert get(columba, f"/v1/messages?to={quote(rows[0]['to'])}")["data"] == []
    taken = batch(columba, rows[:10_000], text="Hello", tags=["ten-thousand"])
    assert (taken["accepted"], taken["refused"]) == (10_000, 0)
    assert [each["to"] for each in taken["data"]] == [row["to"] for row in rows[:10_000]]
    path = f"/v1/messages?batch_id={taken['batch_id']}"
    nothing: Json = {"data": [], "next_cursor": None}
    eventually(lambda: get(columba, f"{path}&status=queued&limit=1") == nothing, every=0.2)
    eventually(lambda: get(columba, f"{path}&status=sent&limit=1") == nothing, every=0.2)
    there = everything(columba, f"{path}&status=delivered")
    assert {each["id"] for each in there} == {each["id"] for each in taken["data"]}


def test_a_bad_row_refuses_itself_and_not_the_batch(columba: Program) -> None:
    rows: list[Json] = [
        {"to": "+447700900123"},
        {"to": "12"},
        {"to": "+447700900124", "text": "Own words", "class": "otp", "tags": ["own"]},
        {},
        {"to": "+447700900125", "nonsense": 1},
        {"to": "+447700900001"},
        {"to": "+447700900126", "text": "x" * 2000, "valid_for": 0},
        {"to": "+447700900127", "from": None},
    ]
    defaults: Json = {"from": "Columba", "class": "marketing", "tags": ["all"]}
    taken = batch(columba, rows, text="Hello", **defaults)
    assert (taken["accepted"], taken["refused"]) == (3, 5)
    assert taken["batch_id"].startswith("bat_")
    assert [each.get("error", {}).get("code") for each in taken["data"]] == [
        None, "invalid_number", None, "required", "unknown_field", "no_recipient", taken["data"][6]["error"]["code"],
        None,
    ]  # fmt: skip
    for row, each in zip(rows, taken["data"], strict=True):
        assert each["to"] == row.get("to")
        if "error" in each:
            assert {"to", "error"} == set(each)
            assert each["error"]["detail"]
        else:
            assert (set(each), each["status"]) == ({"id", "to", "status"}, "queued")
    assert {"valid_for", "text"} <= {each["field"] for each in taken["data"][6]["error"]["errors"]}
    first, third, last = (message(columba, taken["data"][n]["id"]) for n in (0, 2, 7))
    assert (first["text"], first["class"], first["tags"], first["from"]) == ("Hello", "marketing", ["all"], "Columba")
    assert (third["text"], third["class"], third["tags"]) == ("Own words", "otp", ["own"])
    assert last["from"] is None
    assert {each["batch_id"] for each in (first, third, last)} == {taken["batch_id"]}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["messages"]),
        ({"messages": []}, ["messages"]),
        ({"messages": {}}, ["messages"]),
        ({"messages": [{"to": "+447700900123", "text": "x"}], "defaults": {"class": "x"}}, ["defaults.class"]),
        ({"messages": [{"to": "+447700900123", "text": "x"}], "more": 1}, ["more"]),
    ],
)
def test_a_batch_that_is_none_is_refused(columba: Program, body: Json, fields: list[str]) -> None:
    refused(columba.request("POST", "/v1/messages/batch", body), 422, "invalid_request", *fields)


def test_a_batch_of_bad_rows_alone_is_answered_row_by_row(columba: Program) -> None:
    taken = batch(columba, [{"to": "x"}, 7, None, "x", []], text="Hello")  # type: ignore[list-item]
    assert (taken["accepted"], taken["refused"], len(taken["data"])) == (0, 5, 5)


# Reading


def test_a_message_tells_its_parts_and_its_timeline(columba: Program) -> None:
    sent = send(columba, text="x" * 300)
    shown = ended(columba, sent["id"], "delivered")
    assert [(part["n"], part["status"], part["error"]) for part in shown["parts"]] == [
        (1, "delivered", None),
        (2, "delivered", None),
    ]
    assert len({part["carrier_message_id"] for part in shown["parts"]}) == 2
    (carrier,) = get(columba, "/v1/carriers")["data"]
    assert {part["carrier"] for part in shown["parts"]} == {carrier["id"]}
    assert [step["status"] for step in shown["timeline"]] == ["queued", "sent", "delivered"]
    times = [step["at"] for step in shown["timeline"]]
    assert times == sorted(times)
    assert all(map(TIME, times))
    assert shown["updated_at"] == times[-1]
    events = {each["id"]: each for each in get(columba, f"/v1/events?message_id={sent['id']}")["data"]}
    assert [events[step["event"]]["type"] for step in shown["timeline"]] == [step["type"] for step in shown["timeline"]]


def test_lists_are_narrowed_by_every_filter_and_by_several(columba: Program) -> None:
    to, tag = number(), f"tag-{time.time()}"
    started = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
    first = send(columba, to, tags=[tag], **{"from": "Alpha"})
    second = send(columba, to, tags=[tag, "other"], send_at=in_days(30))
    undelivered = send(columba, "+447711110002", tags=[tag])
    in_batch = batch(columba, [{"to": to, "text": "Hello"}])
    heard = columba.request("POST", "/v1/sandbox/inbound", {"from": to, "to": "54321", "text": "Hi"})
    assert heard.status == 201, heard
    inbound = heard.json
    one = in_batch["data"][0]
    for each in (first, one):
        ended(columba, each["id"], "delivered")
    ended(columba, undelivered["id"], "undelivered")

    def found(**filters: Any) -> set[str]:
        query = "&".join(f"{name.rstrip('_')}={quote(str(value))}" for name, value in filters.items())
        return {each["id"] for each in everything(columba, f"/v1/messages?{query}")}

    mine = {first["id"], second["id"], undelivered["id"], one["id"], inbound["id"]}
    assert found(to=to) == {first["id"], second["id"], one["id"]}
    assert found(from_=to) == {inbound["id"]}
    assert found(from_="Alpha", to=to) == {first["id"]}
    assert found(tag=tag) == {first["id"], second["id"], undelivered["id"]}
    assert found(tag=tag, status="scheduled") == {second["id"]}
    assert found(tag=tag, status="undelivered") == {undelivered["id"]}
    assert found(tag="other", to=to) == {second["id"]}
    assert found(batch_id=in_batch["batch_id"]) == {one["id"]}
    assert inbound["id"] in found(direction="inbound")
    assert not found(direction="inbound") & (mine - {inbound["id"]})
    assert found(direction="outbound", to=to, status="delivered") == {first["id"], one["id"]}
    assert mine & found(created_after=started.isoformat()) == mine
    assert not mine & found(created_before=started.isoformat())
    assert found(to=to, created_after=second["created_at"]) <= {second["id"], one["id"], first["id"]}
    assert found(to=to, created_before=first["created_at"]) == set()
    assert found(status="received") >= {inbound["id"]}
    columba.request("POST", f"/v1/messages/{second['id']}/cancel")
    assert found(tag=tag, status="canceled") == {second["id"]}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=happy", "status"),
        ("direction=up", "direction"),
        ("batch_id=x", "batch_id"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-13-01T00:00:00Z", "created_before"),
        ("tag=%00", "tag"),
    ],
)
def test_a_filter_that_can_not_be_meant_is_refused(columba: Program, query: str, field: str) -> None:
    refused(columba.request("GET", f"/v1/messages?{query}"), 422, "invalid_request", field)


# Taking back


def test_a_scheduled_message_can_be_canceled_once(columba: Program, sink: Sink) -> None:
    due = in_days(30, hours_east=1)
    sent = send(columba, send_at=due, callback_url=sink.url)
    assert (sent["status"], TIME(sent["send_at"]) is not None) == ("scheduled", True)
    assert dt.datetime.fromisoformat(sent["send_at"]) == dt.datetime.fromisoformat(due)
    path = f"/v1/messages/{sent['id']}/cancel"
    canceled = columba.request("POST", path)
    assert (canceled.status, canceled.json["status"], set(canceled.json)) == (200, "canceled", SHAPE)
    refused(columba.request("POST", path), 409, "not_cancelable")
    assert [step["status"] for step in message(columba, sent["id"])["timeline"]] == ["scheduled", "canceled"]
    assert {request.json["type"] for request in sink.wait(2)} == {"message.scheduled", "message.canceled"}


def test_what_has_left_can_not_be_canceled(columba: Program) -> None:
    sent = ended(columba, send(columba)["id"], "delivered")
    refused(columba.request("POST", f"/v1/messages/{sent['id']}/cancel"), 409, "not_cancelable")
    assert message(columba, sent["id"])["status"] == "delivered"


def test_redacting_removes_text_and_media_and_keeps_the_record(columba: Program) -> None:
    words = "Nobody shall read this"
    once = {"Idempotency-Key": f"redact-{time.time()}"}
    body: Json = {
        "to": number(),
        "text": words,
        "media": ["https://example.org/secret.png"],
        "metadata": {"user": "42"},
    }
    sent = columba.request("POST", "/v1/messages", body, headers=once).json
    before = ended(columba, sent["id"], "delivered")
    for _ in range(2):
        done = columba.request("POST", f"/v1/messages/{sent['id']}/redact")
        assert (done.status, done.json["text"], done.json["media"], done.json["redacted"]) == (200, None, [], True)
    after = message(columba, sent["id"])
    assert after | {"text": words, "media": before["media"], "redacted": False} == before
    for path in (
        f"/v1/messages?to={quote(body['to'])}",
        f"/v1/events?message_id={sent['id']}",
        f"/v1/events/{after['timeline'][0]['event']}",
        f"/v1/messages/{sent['id']}",
    ):
        shown = str(get(columba, path))
        assert words not in shown
        assert "secret.png" not in shown
    again = columba.request("POST", "/v1/messages", body, headers=once)
    assert (again.status, again.json["id"]) == (202, sent["id"])
    assert words not in str(again.json)


def test_what_has_not_left_needs_its_text(columba: Program) -> None:
    sent = send(columba, send_at=in_days(30))
    refused(columba.request("POST", f"/v1/messages/{sent['id']}/redact"), 409, "conflict")
    columba.request("POST", f"/v1/messages/{sent['id']}/cancel")
    assert columba.request("POST", f"/v1/messages/{sent['id']}/redact").json["text"] is None
