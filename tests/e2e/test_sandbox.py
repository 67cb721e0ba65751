"""The simulated network: what the last four digits of a number mean, texts from people, and faults by configuration."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from tests.e2e.talk import Json, ended, get, message, number, refused, send
from tests.program import Program, Sink, eventually


class Fate(NamedTuple):
    digits: str
    status: str
    error: str | None = None
    code: str | None = None
    steps: tuple[str, ...] = ("queued", "sent")


FATES = [
    Fate("0002", "undelivered", "unreachable", "UNDELIV"),
    Fate("0003", "expired", "expired", "EXPIRED"),
    Fate("0007", "delivered"),
    Fate("0008", "unknown", "no_answer", None, ("queued",)),
    Fate("0009", "undelivered", "filtered", "SPAM"),
    Fate("0123", "delivered"),
]


class Sandbox(NamedTuple):
    columba: Program
    sent: dict[str, Json]
    record: Path


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One message for each fate, all on their way at once."""
    record = tmp_path_factory.mktemp("sandbox") / "network"
    with Program(env={"COLUMBA_SANDBOX_RECORD": str(record)}) as columba:
        tails = [*(fate.digits for fate in FATES), "0005", "0006"]
        yield Sandbox(columba, {tail: send(columba, f"+44771234{tail}") for tail in tails}, record)


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.digits)
def test_the_last_four_digits_choose_what_becomes_of_a_message(sandbox: Sandbox, fate: Fate) -> None:
    columba, sent = sandbox.columba, sandbox.sent[fate.digits]
    shown = ended(columba, sent["id"])
    error = shown["error"] or {}
    assert (shown["status"], error.get("code"), error.get("carrier_code")) == (fate.status, fate.error, fate.code)
    assert [step["status"] for step in shown["timeline"]] == [*fate.steps, fate.status]
    if fate.error:
        assert error["detail"]
    (part,) = shown["parts"]
    assert part["status"] == fate.status
    events = get(columba, f"/v1/events?message_id={sent['id']}")["data"]
    assert events[0]["type"] == f"message.{fate.status}"
    assert (events[0]["data"]["error"] or {}).get("code") == fate.error


def test_anything_else_is_delivered_within_a_second(sandbox: Sandbox) -> None:
    shown = ended(sandbox.columba, send(sandbox.columba)["id"], "delivered")
    first, last = (dt.datetime.fromisoformat(shown["timeline"][n]["at"]) for n in (0, -1))
    assert (last - first).total_seconds() < 1


@pytest.mark.parametrize(("digits", "code"), [("0001", "no_recipient"), ("0004", "opted_out")])
def test_a_number_that_does_not_exist_or_has_opted_out_is_refused_at_once(
    sandbox: Sandbox, digits: str, code: str
) -> None:
    body = {"to": f"+44771234{digits}", "text": "Hello"}
    answer = sandbox.columba.request("POST", "/v1/messages", body)
    refused(answer, 422, code, "to")
    taken = sandbox.columba.request("POST", "/v1/messages/batch", {"messages": [body]}).json
    assert taken["data"][0]["error"]["code"] == code
    assert get(sandbox.columba, f"/v1/messages?to=%2B44771234{digits}")["data"] == []


def test_a_throttled_message_goes_out_three_times_and_counts_as_one(sandbox: Sandbox) -> None:
    ended(sandbox.columba, sandbox.sent["0007"]["id"], "delivered")
    copies = Counter(line.split()[2] for line in sandbox.record.read_text().splitlines())
    assert copies["+447712340007"] == 3
    assert copies["+447712340123"] == 1


def test_a_late_receipt_comes_after_half_a_minute_and_another_never(sandbox: Sandbox) -> None:
    """Half a minute is not waited for: while the program is stopped, what it noted is made to be half a minute old."""
    columba = sandbox.columba
    late, never = (sandbox.sent[tail]["id"] for tail in ("0005", "0006"))
    for an_id in (late, never):
        ended(columba, an_id, "sent")
    made = dt.datetime.fromisoformat(message(columba, late)["created_at"]).timestamp()
    eventually(lambda: time.time() > made + 2)
    assert [message(columba, an_id)["status"] for an_id in (late, never)] == ["sent", "sent"]
    assert columba.stop() == 0
    with apsw.Connection(str(columba.data / "columba.db")) as store:
        store.execute("update parts set sent_at = sent_at - 28000")
    columba.start()
    shown = ended(columba, late, "delivered")
    done, sent_at = (dt.datetime.fromisoformat(shown["parts"][0][name]) for name in ("done_at", "sent_at"))
    assert (done - sent_at).total_seconds() >= 30
    assert message(columba, never)["status"] == "sent"


# People


def test_a_person_texts_in(columba: Program, sink: Sink) -> None:
    hook = columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.received"]}).json
    who = number()
    body = {"from": who, "to": "+12025550100", "text": "Yes, please 🐦", "media": ["https://example.org/a.png"]}
    answer = columba.request("POST", "/v1/sandbox/inbound", body)
    assert answer.status == 201, answer
    came = answer.json
    assert came | body | {"media": came["media"]} == came
    assert [url.startswith(f"{columba.url}/media/med_") for url in came["media"]] == [True]
    assert (came["status"], came["direction"], came["encoding"]) == ("received", "inbound", "ucs2")
    (request,) = sink.wait(1)
    assert (request.json["type"], request.json["data"]["id"]) == ("message.received", came["id"])
    assert request.json["data"]["text"] == body["text"]
    assert [step["status"] for step in message(columba, came["id"])["timeline"]] == ["received"]
    assert [each["id"] for each in get(columba, f"/v1/messages?direction=inbound&from=%2B{who[1:]}")["data"]] == [
        came["id"]
    ]
    columba.request("DELETE", f"/v1/webhooks/{hook['id']}")
    refused(columba.request("POST", f"/v1/messages/{came['id']}/cancel"), 409, "not_cancelable")


def test_every_problem_of_an_inbound_text_is_named(columba: Program) -> None:
    body = {"from": "Anna", "to": "1", "text": "x\0", "media": ["x"]}
    refused(
        columba.request("POST", "/v1/sandbox/inbound", body), 422, "invalid_request", "from", "to", "text", "media[0]"
    )
    refused(
        columba.request("POST", "/v1/sandbox/inbound", {"from": number(), "to": "12345"}),
        422,
        "invalid_request",
        "text",
    )


# Faults


@pytest.mark.parametrize(
    ("config", "klass", "status", "error"),
    [
        ({"throttle_rate": 0.1}, "marketing", "delivered", None),
        ({"disconnect_every": 3, "hang_ms": 20}, "transactional", "delivered", None),
        ({"hang_rate": 1, "hang_ms": 20}, "otp", "unknown", "no_answer"),
        ({"latency_ms": 300}, "transactional", "delivered", None),
    ],
    ids=str,
)
def test_a_network_can_be_made_to_misbehave(
    columba: Program, config: Json, klass: str, status: str, error: str | None
) -> None:
    key = columba.live_key
    made = columba.request("POST", "/v1/carriers", {"name": "bad", "kind": "sandbox", "config": config}, key=key)
    assert made.status == 201, made
    an_id = made.json["id"]
    eventually(lambda: get(columba, f"/v1/carriers/{an_id}", key)["state"] == "up")
    sent = [send(columba, key=key, **{"class": klass})["id"] for _ in range(3)]
    for each in sent:
        shown = ended(columba, each, status, key=key)
        assert (shown["error"] or {}).get("code") == error
    columba.request("DELETE", f"/v1/carriers/{an_id}?force=true", key=key)
