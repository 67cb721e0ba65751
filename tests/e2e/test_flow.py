"""Order, time and room: what goes first, what goes later, what goes no more, and what happens when all is full."""

import datetime as dt
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.talk import Json, Line, batch, ended, everything, get, marketing_to_all, message, number, refused, send
from tests.program import Program, Sink, eventually


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def soon(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def carrier(columba: Program, **fields: Any) -> str:
    """The one live carrier."""
    body = {"name": "a carrier", "kind": "sandbox", **fields}
    made = columba.request("POST", "/v1/carriers", body, key=columba.live_key)
    assert made.status == 201, made
    an_id: str = made.json["id"]
    eventually(lambda: get(columba, f"/v1/carriers/{an_id}", columba.live_key)["state"] == "up")
    return an_id


@pytest.fixture
def columba() -> Iterator[Program]:
    with Program() as program:
        marketing_to_all(program)
        yield program


def times_sent(columba: Program, ids: list[str], key: str) -> dict[str, float]:
    """When each left, in the order in which they did."""
    events = everything(columba, "/v1/events?type=message.sent", key)
    wanted = set(ids)
    return {e["data"]["id"]: at(e["timestamp"]) for e in reversed(events) if e["data"]["id"] in wanted}


# Priority


def test_a_one_time_code_overtakes_a_running_campaign(columba: Program) -> None:
    """Through a carrier that takes 200 a second, with 20,000 waiting."""
    key = columba.live_key
    carrier(columba, rate=200)
    for first in (10_000_010, 10_100_010):
        rows = [{"to": f"+4478{n:08d}"} for n in range(first, first + 10_000)]
        assert batch(columba, rows, key, text="A sale", **{"class": "marketing"})["accepted"] == 10_000
    codes = []
    for klass in ("transactional", "otp") * 3:
        began = time.monotonic()
        shown = ended(columba, send(columba, key=key, **{"class": klass})["id"], "sent", "delivered", key=key)
        assert time.monotonic() - began < 10, klass  # the campaign takes a hundred seconds
        codes.append(shown["id"])
    waiting = get(columba, "/v1/carriers", key)["data"][0]["waiting"]
    assert waiting > 1_000
    one = get(columba, "/v1/messages?status=queued&limit=1", key)["data"][0]
    assert columba.request("POST", f"/v1/messages/{one['id']}/cancel", key=key).json["status"] == "canceled"


def test_a_rate_is_kept_and_nobody_is_starved(columba: Program) -> None:
    key = columba.live_key
    carrier(columba, rate=50)
    taken = batch(columba, ({"to": number()} for _ in range(100)), key, text="Hello", **{"class": "marketing"})
    ids = [each["id"] for each in taken["data"]]
    ended(columba, ids[-1], "delivered", key=key)
    left = sorted(times_sent(columba, ids, key).values())
    assert len(left) == 100
    assert 1.5 < left[-1] - left[0] < 30
    for n in range(len(left) - 60):
        assert left[n + 60] - left[n] > 0.3  # never sixty at once


@pytest.mark.parametrize(
    ("fields", "count"), [({"window": 50}, 200), ({"window": 1, "config": {"throttle_rate": 0.2}}, 8)], ids=str
)
def test_one_person_s_texts_leave_in_their_order(columba: Program, fields: Json, count: int) -> None:
    """What the network throttles too: what has not left waits behind it."""
    key, to = columba.live_key, number()
    carrier(columba, **fields)
    rows = [row for n in range(count) for row in ({"to": to, "text": f"{n}"}, {"to": number(), "text": "Another's"})]
    ids = [each["id"] for each in batch(columba, rows, key)["data"]][::2]
    eventually(lambda: not get(columba, "/v1/messages?status=queued&limit=1", key)["data"], 150, every=0.1)
    assert [*times_sent(columba, ids, key)] == ids


# Time


def test_a_scheduled_message_leaves_within_a_second_of_its_time(columba: Program, sink: Sink) -> None:
    due = time.time() + 4
    sent = [send(columba, send_at=soon(4), callback_url=sink.url)["id"] for _ in range(5)]
    taken_back = send(columba, send_at=soon(4))["id"]
    assert {message(columba, an_id)["status"] for an_id in sent} == {"scheduled"}
    assert columba.request("POST", f"/v1/messages/{taken_back}/cancel").json["status"] == "canceled"
    for an_id in sent:
        shown = ended(columba, an_id, "delivered")
        steps = {step["status"]: at(step["at"]) for step in shown["timeline"]}
        assert [*steps] == ["scheduled", "queued", "sent", "delivered"]
        assert due - 0.01 <= steps["sent"]
        assert steps["sent"] - at(shown["send_at"]) < 10  # tests/core/test_clock.py holds it to a second
    kinds = [request.json["type"] for request in sink.wait(20)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        f"message.{name}": 5 for name in ("scheduled", "queued", "sent", "delivered")
    }
    shown = message(columba, taken_back)
    assert [step["status"] for step in shown["timeline"]] == ["scheduled", "canceled"]
    assert shown["parts"] == []


def test_what_was_due_while_the_program_was_away_leaves_when_it_is_back(columba: Program) -> None:
    early, late = (send(columba, send_at=soon(wait))["id"] for wait in (1, 3600))
    columba.stop()
    time.sleep(1)
    columba.start()
    ended(columba, early, "delivered")
    assert message(columba, late)["status"] == "scheduled"


def test_what_can_not_leave_in_its_time_expires_once(columba: Program, sink: Sink) -> None:
    key = columba.live_key
    an_id = carrier(columba)
    columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.*"]}, key=key)
    assert columba.request("POST", f"/v1/carriers/{an_id}/pause", key=key).json["state"] == "paused"
    sent = [send(columba, key=key, valid_for=1, **{"class": each})["id"] for each in ("otp", "marketing")]
    kept = send(columba, key=key)["id"]
    for each in sent:
        shown = ended(columba, each, "expired", key=key)
        assert shown["error"]["code"] == "expired"
        assert shown["parts"] == []
        assert 0.9 < at(shown["timeline"][-1]["at"]) - at(shown["created_at"]) < 30
    columba.request("POST", f"/v1/carriers/{an_id}/resume", key=key)
    ended(columba, kept, "delivered", key=key)
    told = sink.wait(7)
    for each in sent:
        assert [request.json["type"] for request in told if request.json["data"]["id"] == each] == [
            "message.queued",
            "message.expired",
        ]
        assert message(columba, each, key)["status"] == "expired"


def test_a_paused_carrier_keeps_what_waits_and_cancels_what_is_taken_back(columba: Program) -> None:
    key = columba.live_key
    an_id = carrier(columba)
    columba.request("POST", f"/v1/carriers/{an_id}/pause", key=key)
    sent = [send(columba, key=key)["id"] for _ in range(4)]
    assert columba.request("POST", f"/v1/messages/{sent[0]}/cancel", key=key).json["status"] == "canceled"
    refused(columba.request("POST", f"/v1/messages/{sent[0]}/cancel", key=key), 409, "not_cancelable")
    columba.stop()
    columba.start()
    assert columba.request("POST", f"/v1/messages/{sent[1]}/cancel", key=key).json["status"] == "canceled"
    assert {message(columba, each, key)["status"] for each in sent[2:]} == {"queued"}
    columba.request("POST", f"/v1/carriers/{an_id}/resume", key=key)
    for each in sent[2:]:
        ended(columba, each, "delivered", key=key)
    for each in sent[:2]:
        assert [step["status"] for step in message(columba, each, key)["timeline"]] == ["queued", "canceled"]


# Room


def writer_of(columba: Program) -> int:
    """The process that writes the store."""
    for task in Path(f"/proc/{columba.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"writer.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise AssertionError("there is no writer")


def test_what_does_not_fit_is_refused_with_a_time_to_wait_and_nothing_accepted_is_lost(columba: Program) -> None:
    """The store stands still while batches come in."""
    ended(columba, send(columba)["id"], "delivered")
    rows = [{"to": f"+4478{n:08d}"} for n in range(10_000_010, 10_010_000)]
    body = {"defaults": {"text": "Hello"}, "messages": rows}
    answers: list[Any] = []

    def ask() -> None:
        with Line(columba) as line:
            answers.append(line.request("POST", "/v1/messages/batch", body))

    writer = writer_of(columba)
    os.kill(writer, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=ask) for _ in range(9)]
        for thread in threads:
            thread.start()
        eventually(lambda: any(answer.status == 503 for answer in answers))
        problem = next(answer for answer in answers if answer.status == 503)
        refused(problem, 503, "overloaded")
        assert int(problem.headers["retry-after"]) >= 1
        alone = columba.request("POST", "/v1/messages", {"to": number(), "text": "Hello"})
        refused(alone, 503, "overloaded")
        assert int(alone.headers["retry-after"]) >= 1
        assert columba.request("GET", "/healthz", key="").status == 200
    finally:
        os.kill(writer, signal.SIGCONT)
    for thread in threads:
        thread.join()
    taken: list[Json] = [answer.json for answer in answers if answer.status == 202]
    assert taken
    assert {answer.status for answer in answers} == {202, 503}
    assert sum(each["accepted"] for each in taken) == len(taken) * len(rows)
    eventually(lambda: columba.request("POST", "/v1/messages", {"to": number(), "text": "Hello"}).status == 202)
    ended(columba, taken[-1]["data"][-1]["id"], "delivered")
    there = everything(columba, f"/v1/messages?batch_id={taken[0]['batch_id']}")
    assert len(there) == len(rows)
