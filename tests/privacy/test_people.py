"""A person by number: exported whole, erased whole, also where others hold things in memory."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from columba.core import ids, status
from columba.core.events import SQL as CORE
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.store import Statement, Step, plan
from tests.api import Columba, database, eventually, running
from tests.media.files import JPEG
from tests.privacy.dump import holding
from tests.program import Reply as SinkReply
from tests.program import Request, Sink

ANNA, BEN = "+447700900777", "+447700900778"
CANARY, LOCAL = "canary", "07700 900-777"
PARKED = Statement(
    "test_parked",
    (("event_id", "int"), ("carrier_id", "int"), ("code", "text")),
    (),
    "insert into parked_receipts (event_id, carrier_id, carrier_message_id, status, error, carrier_code, at) "
    "select event_id, carrier_id, 'x', 51, 'rejected', code, 9000000000000 from {rows} r",
)
PART = Statement(
    "test_part",
    (("message_id", "int"), ("key_id", "int"), ("asked", "text")),
    (),
    "insert into smpp_parts (message_id, n, total, key_id, key, body, asked, due_at) "
    "select message_id, 1, 2, key_id, 'k', '', asked, 9000000000000000 from {rows} r",
)

__all__ = ["database"]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    def answered(request: Request) -> SinkReply:
        if request.path.startswith("/pictures/"):
            return SinkReply(200, JPEG)
        return SinkReply(200, b"canary taken" if ANNA.encode() in request.body else b"taken")

    with Sink(answered) as taking:
        yield taking


async def job(columba: Columba, an_id: str) -> Any:
    async def look() -> Any:
        shown = (await columba.whole("GET", f"/v1/privacy/jobs/{an_id}")).json
        return shown if shown["status"] == "done" else None

    return await eventually(look, 30)


async def erase(columba: Columba, number: str = ANNA) -> Any:
    reply = await columba.whole("POST", "/v1/privacy/erase", {"number": number})
    assert reply.status == 202, reply.json
    return await job(columba, reply.json["id"])


async def live_through(columba: Columba, sink: Sink) -> None:
    """Everything that can be kept of a person."""
    api = columba.whole
    for url in (f"{sink.url}/hook", "http://127.0.0.1:9/refused"):
        assert (await api("POST", "/v1/webhooks", {"url": url, "events": ["*"]})).status == 201
    rule = {
        "name": "r",
        "when": {},
        "then": [{"tag": "{{ from }}-{{ text }}"}, {"reply": {"text": "Hi {{ from }}, {{ text }}"}}],
    }
    assert (await api("POST", "/v1/rules", rule)).status == 201
    made = {"name": "t", "versions": [{"language": "en", "text": "Hi {{ name }}"}]}
    assert (await api("POST", "/v1/templates", made)).status == 201
    card = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:canary\r\nEND:VCARD\r\n"
    kept = await api("POST", "/v1/media", card, headers={"content-type": "text/vcard"})
    assert kept.status == 201, kept.json
    media = [kept.json["id"]]
    sent = {"to": ANNA, "text": "canary", "tags": ["canary"], "metadata": {"who": "canary"}, "media": media}
    keyed = {"idempotency-key": "one"}
    assert (await api("POST", "/v1/messages", sent, headers=keyed)).status == 202
    batch = {"messages": [{"to": ANNA, "template": "t", "params": {"name": "canary"}}, {"to": BEN, "text": "hello"}]}
    assert (await api("POST", "/v1/messages/batch", batch, headers={"idempotency-key": "two"})).status == 202
    later = {"to": ANNA, "text": "canary later", "send_at": (datetime.now(UTC) + timedelta(days=9)).isoformat()}
    assert (await api("POST", "/v1/messages", later)).status == 202
    assert (await api("POST", "/v1/verifications", {"to": ANNA, "metadata": {"who": "canary"}})).status == 201
    assert (await api("POST", "/v1/verifications/check", {"to": ANNA, "code": "1"})).status == 200
    pictures = [f"{sink.url}/pictures/canary.jpg"]
    texted = {"from": ANNA, "to": "+12025550100", "text": "canary says hello", "media": pictures}
    assert (await api("POST", "/v1/sandbox/inbound", texted)).status == 201
    assert (await api("POST", "/v1/contacts", {"number": ANNA, "name": "canary"})).status == 201
    file = await api("POST", "/v1/consents/imports", {"name": "l.csv", "action": "opt_in", "source": "form"})
    rows = f"number,class,words\n07700 900-777,,canary\n{ANNA},marketing,canary\n".encode()
    read = await api("POST", file.json["upload_url"], rows, headers={"content-type": "text/csv"})
    assert (read.json["recorded"], read.json["refused"]) == (1, 1), read.json
    said = {"number": ANNA, "action": "opt_out", "source": "form", "words": "canary", "proof": {"by": "canary"}}
    reply = await api("POST", "/v1/consents", said)
    assert reply.status in (201, 422), reply.json

    async def at_rest() -> bool:
        if not (await api("GET", "/v1/events?type=media.received")).json["data"]:
            return False
        sent = (await api("GET", "/v1/messages?status=sent")).json["data"]
        return not sent and not (await api("GET", "/v1/messages?status=queued")).json["data"]

    await eventually(at_rest)


async def test_no_canary_is_left(tmp_path: Path, database: str, sink: Sink, capfd: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, database, allow_network=("127.0.0.0/8",)) as columba:
        await live_through(columba, sink)
        store = columba.app.store
        assert await holding(store, tmp_path, database, CANARY, ANNA, LOCAL)
        exported = (await columba.whole("POST", "/v1/privacy/export", {"number": ANNA})).json
        assert set(exported["data"]) == {"messages", "verifications", "forwards", "consents", "contacts"}
        assert {each["kind"] for each in exported["data"]["forwards"]} == {"tag", "reply"}
        now = columba.app.ids._clock
        columba.app.consent.stopping._clock = lambda: now() + 11_000  # the opt-out was a while ago
        done = await erase(columba)
        assert done["counts"]["messages"] >= 5
        assert done["number"] is None

        assert await holding(store, tmp_path, database, CANARY, ANNA, LOCAL) == []
        api = columba.whole
        assert [each["to"] for each in (await api("GET", "/v1/messages")).json["data"]] == [BEN]
        reply = await api("POST", "/v1/messages", {"to": ANNA, "text": "Hi", "class": "marketing"})
        assert reply.json["code"] == "opted_out"  # that they said stop stays
        for path in ("/data", ""):
            reply = await api("GET", f"/v1/privacy/jobs/{exported['id']}{path}")
            assert reply.status == (409 if path else 200)
            assert ANNA not in str(reply.json)
        jobs = (await api("GET", f"/v1/privacy/jobs?number=%2B{ANNA[1:]}")).json["data"]
        assert [each["kind"] for each in jobs] == ["erase", "export"]
    logged = capfd.readouterr()
    assert ANNA not in logged.out + logged.err
    assert CANARY not in logged.out + logged.err


async def test_what_is_erased_is_delivered_to_nobody_any_more(tmp_path: Path) -> None:
    """Deliveries that wait in memory for an endpoint to come back go with their messages."""
    with Sink() as sink:
        async with running(tmp_path, allow_network=("127.0.0.0/8",)) as columba:
            sink.reply = SinkReply(503)
            api = columba.whole
            hook = {"url": f"{sink.url}/hook", "events": ["message.*"], "retry_schedule": [1]}
            assert (await api("POST", "/v1/webhooks", hook)).status == 201
            sent = await columba.send(ANNA, "canary")
            await columba.send(BEN, "hello")

            async def ended() -> bool:
                rows = await columba.app.store.read(CORE["messages_by_id"], [(sent.id,)])
                return bool(rows[0][11] == status.DELIVERED)

            await eventually(ended)
            await erase(columba)
            before = len(sink.requests)
            sink.reply = SinkReply(200)

            async def ben_is_told() -> bool:
                return any(BEN.encode() in request.body for request in list(sink.requests)[before:])

            await eventually(ben_is_told, 10)
            assert not any(ANNA.encode() in request.body for request in list(sink.requests)[before:])


async def test_other_processes_forget_too(tmp_path: Path, tables_url: str) -> None:
    key = {"secret_key": "ab" * 32}
    async with running(tmp_path / "a", tables_url, **key) as one, running(tmp_path / "b", tables_url, **key) as two:
        forgotten: list[int] = []
        two.app.people._forget = forgotten.append
        sent = [await one.send(ANNA, f"canary {n}") for n in range(3)]

        async def delivered() -> bool:
            rows = await one.app.store.read(CORE["messages_by_id"], [(each.id,) for each in sent])
            return all(row[11] == status.DELIVERED for row in rows)

        await eventually(delivered)
        await erase(one)

        async def told() -> bool:
            return set(forgotten) == {each.id for each in sent}

        await eventually(told)


async def test_an_export_is_whole(columba: Columba) -> None:
    api = columba.whole
    for n in range(3):
        await columba.send(ANNA, f"text {n}")
    await columba.send(BEN, "another")
    made = (await api("POST", "/v1/privacy/export", {"number": ANNA})).json
    assert sorted(each["text"] for each in made["data"]["messages"]) == ["text 0", "text 1", "text 2"]
    reply = await api("GET", made["url"])
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert [each["kind"] for each in lines] == ["messages"] * 3
    assert all({"parts", "events", "deliveries"} <= set(each) for each in lines)
    other = await columba.key(account_id=await columba.another_account())
    for path in (made["url"], f"/v1/privacy/jobs/{made['id']}"):
        assert (await api("GET", path, key=other)).status == 404
    assert (await api("POST", "/v1/privacy/export", {"number": ANNA}, key=other)).json["data"] == {}


async def test_others_keep_theirs(columba: Columba) -> None:
    """Another person's, another account's, the other mode's; and a person who is a sender of one's own."""
    kept = [await columba.send(BEN, "hello", sender=ANNA)]
    await columba.send(ANNA, "mine")
    other = await columba.another_account()
    (theirs,) = await columba.app.accept(
        Caller(other, status.TEST),
        [Submission(ANNA, "theirs")],
    )
    assert isinstance(theirs, Message)
    kept.append(theirs)
    done = await erase(columba)
    assert done["counts"]["messages"] == 1
    rows = await columba.app.store.read(CORE["messages_by_id"], [(each.id,) for each in kept])
    assert {row[0] for row in rows} == {each.id for each in kept}


async def test_of_parts_that_wait_for_the_rest_of_a_text_only_the_accounts_own_go(columba: Columba) -> None:
    keys = {await columba.another_account(): 0, columba.account_id: 0}
    for account_id in keys:
        await columba.key(account_id=account_id)
        keys[account_id] = max(an_id for an_id, key in columba.app.keys.all.items() if key.account_id == account_id)
    asked = [
        msgspec.json.encode(Submission(to, "one of two")).decode()
        for to in (ANNA, "07700900777", BEN)
    ]  # fmt: skip
    rows = [(100 * n + i, key, text) for n, key in enumerate(keys.values()) for i, text in enumerate(asked)]
    await columba.app.store.commit(plan(Step(PART, rows)))
    await erase(columba)
    left = await columba.app.store.read(
        Statement("left", (), (), "select message_id from smpp_parts order by message_id")
    )
    assert [row[0] for row in left] == [0, 1, 2, 102]


async def test_receipts_that_fit_nothing_name_nobody_any_more(columba: Columba) -> None:
    api, key = columba.whole, columba.live_key
    made = await api("POST", "/v1/carriers", {"name": "north", "kind": "sandbox"}, key=key)
    carrier = ids.read("car", made.json["id"])
    rows = [(1, carrier, f"{ANNA[1:]} is no number"), (2, carrier, "12"), (3, 64, f"{ANNA} of others")]
    await columba.app.store.commit(plan(Step(PARKED, rows)))
    reply = await api("POST", "/v1/privacy/erase", {"number": ANNA}, key=key)

    async def done() -> bool:
        shown = await api("GET", f"/v1/privacy/jobs/{reply.json['id']}", key=key)
        return bool(shown.json["status"] == "done")

    await eventually(done)
    left = Statement("left", (), (), "select carrier_code from parked_receipts order by event_id")
    assert [row[0] for row in await columba.app.store.read(left)] == [None, "12", f"{ANNA} of others"]


async def test_an_erasure_is_carried_on_by_another_process(tmp_path: Path, database: str) -> None:
    key = {"secret_key": "ab" * 32}
    async with running(tmp_path, database, **key) as columba:
        await columba.send(ANNA, "canary")
        jobs = columba.app.jobs
        jobs._begin = lambda *_: asyncio.create_task(asyncio.sleep(0))  # type: ignore[method-assign]
        reply = await columba.whole("POST", "/v1/privacy/erase", {"number": ANNA})
        assert reply.json["status"] == "running"
    async with running(tmp_path, database, **key) as columba:
        await columba.app.jobs.step()
        done = await eventually(lambda: _done(columba, reply.json["id"]))
        assert done["counts"]["messages"] == 1


async def _done(columba: Columba, an_id: str) -> Any:
    account_id, mode = columba.account_id, status.TEST
    found = await columba.app.jobs.find(account_id, mode, ids.read("prv", an_id) or 0)
    return {"counts": json.loads(found.counts)} if found is not None and found.state == "done" else None


async def test_what_is_asked_wrongly(small: Columba) -> None:
    api = small.whole
    for path in ("export", "erase"):
        reply = await api("POST", f"/v1/privacy/{path}", {"number": "12"})
        assert (reply.status, reply.fields) == (422, [("number", "invalid_number")])
        writer = await small.key(scopes=["messages:*", "privacy:read"])
        assert (await api("POST", f"/v1/privacy/{path}", {"number": ANNA}, key=writer)).status == 403
    assert (await api("GET", "/v1/privacy/jobs/prv_0000000000000")).status == 404
