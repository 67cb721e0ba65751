"""A person's contact is exported and erased with all else that is kept of them."""

import asyncio
from pathlib import Path
from typing import Any

from tests.api import eventually, running
from tests.privacy.dump import holding
from tests.program import Reply, Sink

ANNA, BEN = "+447700900777", "+447700900778"


async def test_exported_whole_and_erased_whole(tmp_path: Path, database: str) -> None:
    async with running(tmp_path, database, allow_network=("127.0.0.0/8",)) as columba:
        api = columba.whole

        async def did(method: str, path: str, body: Any, status: int, **headers: str) -> Any:
            reply = await api(method, path, body, headers=headers)
            assert reply.status == status, reply.json
            return reply.json

        said = {"number": ANNA, "name": "Canary", "email": "canary@example.org", "tags": ["canary"]}
        more = {"attributes": {"nick": "canary"}}
        await did("POST", "/v1/contacts", said | more, 201, **{"idempotency-key": "one"})
        await did("POST", "/v1/contacts", {"number": BEN, "name": "Ben"}, 201)
        made = await did("POST", "/v1/contacts/imports", {"name": "a file"}, 201)
        rows = f'number,email\n"+44 7700 900777",canary is no address\n{ANNA},canary@example.com\n'
        await did("POST", made["upload_url"], rows.encode(), 200, **{"content-type": "text/csv"})
        with Sink(Reply(500, b"no")) as sink:
            destination = {"url": sink.url, "body": {"json": {"who": "{{ contact }}"}}}
            to = (await did("POST", "/v1/destinations", {"name": "crm", "request": destination}, 201))["id"]
            rule = {
                "name": "r",
                "when": {"contact": True},
                "then": [{"forward": {"to": [to]}}, {"reply": {"text": "{{ contact.name }}"}}],
            }
            await did("POST", "/v1/rules", rule, 201)
            await did("POST", "/v1/sandbox/inbound", {"from": ANNA, "to": "+12025550100", "text": "hello"}, 201)
            await asyncio.to_thread(sink.wait, 1)

        shown = await did("POST", "/v1/privacy/export", {"number": ANNA}, 200)
        (contact,) = shown["data"]["contacts"]
        assert (contact["name"], contact["email"]) == ("Canary", "canary@example.com")

        job = await did("POST", "/v1/privacy/erase", {"number": ANNA}, 202)

        async def done() -> Any:
            shown = (await api("GET", f"/v1/privacy/jobs/{job['id']}")).json
            return shown if shown["status"] == "done" else None

        assert (await eventually(done))["counts"]["contacts"] == 1
        left = (await api("GET", "/v1/contacts")).json["data"]
        assert [each["name"] for each in left] == ["Ben"]
        assert (await api("GET", "/v1/contacts?tag=canary")).json["data"] == []
        assert (await api("GET", f"/v1/contacts/imports/{made['id']}/refusals")).json["data"] == []
    words = ("anary", "900777")
    async with running(tmp_path, database) as columba:
        found = await holding(columba.app.store, tmp_path, database, *words)
    assert found == []
