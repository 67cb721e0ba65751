"""Who saw or changed what: noted before it is answered, and nothing in it can be altered unnoticed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from columba.privacy.audit import Head
from tests.api import Columba, eventually, running
from tests.store import places

ANNA = "+447700900777"
DAY = 86_400_000


async def entries(columba: Columba, query: str = "") -> list[Any]:
    reply = await columba.whole("GET", f"/v1/audit?limit=100&{query}")
    assert reply.status == 200, reply.json
    found: list[Any] = reply.json["data"]
    return found


async def change(columba: Columba, name: str = "t") -> Any:
    made = {"name": name, "versions": [{"language": "en", "text": "canary"}]}
    reply = await columba.whole("POST", "/v1/templates", made)
    assert reply.status == 201, reply.json
    return reply.json


async def test_what_is_changed_is_noted_before_it_is_answered(columba: Columba) -> None:
    made = await change(columba)
    (noted,) = await entries(columba, "action=create_template")
    assert (noted["method"], noted["answered"], noted["address"], noted["n"]) == ("POST", 201, "127.0.0.1", 1)
    assert noted["key"].startswith("key_")
    assert noted["about"] == {"id": made["id"]}
    assert (await columba.whole("DELETE", f"/v1/templates/{made['id']}")).status == 204
    (noted,) = await entries(columba, f"about={made['id']}&action=delete_template")  # both are asked for
    assert noted["about"] == {"id": made["id"]}
    assert (await columba.whole("DELETE", "/v1/templates/none")).status == 404

    async def both() -> bool:  # what changed nothing is noted a moment later
        return {each["answered"] for each in await entries(columba, "action=delete_template")} == {204, 404}

    await eventually(both)
    assert "canary" not in json.dumps(await entries(columba))


async def test_what_is_seen_is_noted_without_the_number(columba: Columba) -> None:
    sent = await columba.send(ANNA)
    await columba.whole("GET", f"/v1/messages?to=%2B{ANNA[1:]}")
    await columba.whole("GET", "/v1/messages/msg_0000000000000")
    await columba.whole("GET", f"/v1/numbers/{ANNA}")

    async def both() -> Any:
        found = {each["action"] for each in await entries(columba)}
        return {"list_messages", "get_message"} <= found

    await eventually(both)
    assert ANNA[1:] not in json.dumps(await entries(columba))
    other = await columba.key(account_id=await columba.another_account())
    assert (await columba.whole("GET", "/v1/audit", key=other)).json["data"] == []
    reader = await columba.key(scopes=["messages:read"])
    assert (await columba.whole("GET", "/v1/audit", key=reader)).status == 403
    assert sent.to == ANNA


async def test_whatever_shows_people_is_noted(columba: Columba) -> None:
    asked = {
        "list_consents": "/v1/consents", "check_consent": f"/v1/consents/check?number=%2B{ANNA[1:]}",
        "list_suppressions": "/v1/suppressions", "export_suppressions": "/v1/suppressions/export",
        "export_consents": "/v1/consents/export", "list_forwards": "/v1/forwards", "list_media": "/v1/media",
        "list_verifications": "/v1/verifications", "list_deliveries": "/v1/deliveries", "list_events": "/v1/events",
        "trace_carrier": "/v1/carriers/car_0000000000000/trace?bodies=true",
    }  # fmt: skip
    for path in asked.values():
        assert (await columba.whole("GET", path)).status in (200, 404)

    async def all_of_them() -> bool:
        return asked.keys() <= {each["action"] for each in await entries(columba)}

    await eventually(all_of_them)


async def test_the_chain_is_whole(columba: Columba) -> None:
    await asyncio.gather(*(change(columba, f"t{n}") for n in range(20)))
    found = (await columba.whole("GET", "/v1/audit/verify")).json
    assert (found["intact"], found["broken_at"]) == (True, None)
    assert found["entries"] >= 20
    newest = (await entries(columba))[0]
    assert newest["n"] >= found["entries"]


TAMPERED = (
    ("update audit set entry = replace(entry, '201', '200') where n = 2", 2),
    ("delete from audit where n = 2", 2),
    ("update audit set at = at + 1 where n = 3", 3),
    ("update audit set mode = 1 where n = 1", 1),
    ("delete from audit where n = 4", 4),
    ("update audit_heads set hash = 'x'", 4),
)


@pytest.mark.parametrize(("sql", "broken"), TAMPERED)
async def test_what_was_altered_is_found(tmp_path: Path, sql: str, broken: int) -> None:
    async with running(tmp_path) as columba:
        for n in range(4):
            await change(columba, f"t{n}")
        assert (await columba.app.audit.verify(columba.account_id)).broken is None
        await places.execute(tmp_path, sql)
        assert (await columba.app.audit.verify(columba.account_id)).broken == broken


async def test_what_was_cut_off_is_found_with_a_head_that_was_noted(tmp_path: Path) -> None:
    async with running(tmp_path) as columba:
        for n in range(4):
            await change(columba, f"t{n}")
        audit = columba.app.audit
        noted = await audit.verify(columba.account_id)
        (third,) = await places.execute(tmp_path, "select n, hash from audit where n = 3")
        await places.execute(tmp_path, "delete from audit where n = 4")
        await places.execute(tmp_path, f"update audit_heads set n = 3, hash = '{third[1]}'")
        assert (await audit.verify(columba.account_id)).broken is None
        assert (await audit.verify(columba.account_id, Head(noted.entries, noted.head))).broken == 4
        assert (await audit.verify(columba.account_id, Head(3, noted.head))).broken == 3


async def test_processes_share_a_chain(tmp_path: Path, tables_url: str) -> None:
    key = {"secret_key": "ab" * 32}
    async with running(tmp_path / "a", tables_url, **key) as one, running(tmp_path / "b", tables_url, **key) as two:
        await asyncio.gather(*(change(each, f"t{n}{k}") for n in range(10) for k, each in enumerate((one, two))))
        found = await one.app.audit.verify(one.account_id)
        assert found.broken is None
        assert found.entries >= 20


async def test_a_key_for_metadata_reads_no_texts(columba: Columba) -> None:
    key = await columba.key(scopes=["messages:metadata"])
    sent = await columba.send(ANNA, "canary", metadata={"who": "canary"})
    api = columba.whole
    an_id = (await api("GET", "/v1/messages")).json["data"][0]["id"]
    assert sent.text == "canary"
    for path in ("/v1/messages", f"/v1/messages/{an_id}", "/v1/events"):
        assert "canary" in (await api("GET", path)).body.decode()
        reply = await api("GET", path, key=key)
        assert reply.status == 200
        assert "canary" not in reply.body.decode()
        assert an_id in reply.body.decode()
    async with api.follow("/v1/events/stream", key=key) as stream:
        await columba.send(ANNA, "canary")
        assert "canary" not in json.dumps((await stream.next()).data)
    assert (await api("POST", "/v1/messages", {"to": ANNA, "text": "Hi"}, key=key)).status == 403
    for path in (f"/v1/messages/{an_id}/redact", f"/v1/messages/{an_id}/cancel"):
        assert (await api("POST", path, key=key)).status == 403
    maker = await columba.key(scopes=["messages:metadata", "keys:write"])
    made = {"name": "more", "mode": "test", "scopes": ["messages:read"]}
    assert (await api("POST", "/v1/keys", made, key=maker)).status == 403  # it can't make itself a stronger one


async def test_what_is_too_old_goes_and_the_rest_is_still_whole(columba: Columba) -> None:
    now = columba.app.ids._clock
    for n in range(5):
        await change(columba, f"t{n}")
    before = now() + 1
    noted = await columba.app.audit.verify(columba.account_id)
    await eventually(lambda: _later(now, before))
    for n in range(5, 8):
        await change(columba, f"t{n}")
    log = columba.app.audit
    assert await log.sweep(before) == 5
    assert await log.sweep(before) == 0
    assert {each["n"] for each in await entries(columba, "action=create_template")} == {6, 7, 8}
    found = (await columba.whole("GET", "/v1/audit/verify")).json
    assert (found["intact"], found["entries"], found["let_go"]) == (True, 8, 5)
    was = Head(noted.entries, noted.head)
    assert (await log.verify(columba.account_id, was)).broken is None  # a head that was noted before
    assert (await log.verify(columba.account_id, was._replace(hash="00"))).broken == 5


async def _later(now: Any, than: int) -> bool:
    return bool(now() > than)


@pytest.mark.parametrize(
    "tampering",
    ["update audit_begins set n = 6", "update audit_begins set hash = 'x'", "delete from audit_begins",
     "delete from audit where n = 6"],
)  # fmt: skip
async def test_nobody_else_can_let_go(tmp_path: Path, tampering: str) -> None:
    async with running(tmp_path) as columba:
        for n in range(5):
            await change(columba, f"t{n}")
        before = columba.app.ids._clock() + 1
        await eventually(lambda: _later(columba.app.ids._clock, before))
        for n in range(5, 8):
            await change(columba, f"t{n}")
        assert await columba.app.audit.sweep(before) == 5
        await places.execute(tmp_path, tampering)
        if "n = 6" in tampering:
            await places.execute(tmp_path, "delete from audit where n = 6")
        verdict = await columba.app.audit.verify(columba.account_id)
        assert verdict.broken is not None, verdict
        assert await columba.app.audit.sweep(columba.app.ids._clock() + DAY) == 0


async def test_it_is_whole_while_more_is_written(columba: Columba) -> None:
    writing = asyncio.gather(*(change(columba, f"t{n}") for n in range(30)))
    while not writing.done():
        found = await columba.app.audit.verify(columba.account_id)
        assert (found.broken, found.why) == (None, "")
    await writing
