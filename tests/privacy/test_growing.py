"""What grows with traffic goes after its time, in small steps; what is live stays, and what depends on it knows."""

from pathlib import Path
from typing import Any

import pytest

from columba.core import ids, status
from columba.core.events import SQL as CORE
from columba.forwarding.runs import SQL as RUNS
from columba.privacy import growing
from columba.store import Row, Step, plan
from columba.store.sql import Statement
from tests.api import Columba, eventually, running

ANNA = "+447700900777"
DAY = 86_400_000
ENDPOINT = 1 << 40  # of nobody: no lane looks at what waits for it
PENDING, DELIVERED, FAILED = 0, 1, 2
WAITING = 3

_DELIVERY = (("endpoint_id", "int"), ("event_id", "int"), ("status", "int"), ("at", "int"))
DELIVER = Statement(
    "test_deliver", _DELIVERY, (),
    "insert into deliveries (endpoint_id, event_id, status, due_at, updated_at) "
    "select endpoint_id, event_id, status, at, at from {rows} r",
)  # fmt: skip
ATTEMPT = Statement(
    "test_attempt", _DELIVERY, (),
    "insert into attempts (endpoint_id, event_id, n, at) select endpoint_id, event_id, 1, at from {rows} r",
)  # fmt: skip
STATE = Statement(
    "test_state", (("id", "int"), ("status", "int"), ("at", "int")), (),
    "update runs set status = r.status, due_at = r.at, updated_at = r.at from {rows} r where runs.id = r.id",
)  # fmt: skip
VERSION = Statement(
    "test_version", (("rule_id", "int"), ("at", "int")), (),
    "update rule_versions set at = r.at from {rows} r where rule_versions.rule_id = r.rule_id",
)  # fmt: skip


def kept(table: str, column: str = "id") -> Statement:
    return Statement(f"test_{table}", (), (), f"select {column} from {table} order by 1")


async def there(columba: Columba, table: str, column: str = "id") -> list[Any]:
    return [row[0] for row in await columba.app.store.read(kept(table, column))]


async def written(columba: Columba, *steps: Step) -> None:
    await columba.app.store.commit(plan(*steps))


async def pass_over(columba: Columba, days: float) -> int:
    """As if so many days had gone by."""
    growing, now = columba.app.growing, columba.app.ids._clock
    growing._clock = lambda: now() + int(days * DAY)
    gone = await growing.step()
    await growing.seldom()
    return gone


async def event(columba: Columba) -> int:
    an_id = columba.app.ids()
    row = (an_id, an_id, columba.account_id, status.TEST, 50, columba.app.ids._clock(), None, None)
    await written(columba, Step(CORE["insert_events"], [row]))
    return an_id


async def delivery(columba: Columba, event_id: int, state: int, days: float = 0) -> None:
    row = (ENDPOINT, event_id, state, columba.app.ids._clock() + int(days * DAY))
    await written(columba, Step(DELIVER, [row]), Step(ATTEMPT, [row]))


async def test_events_go_with_their_deliveries_and_attempts(columba: Columba) -> None:
    old = [await event(columba) for _ in range(3)]
    await delivery(columba, old[0], DELIVERED)
    assert await pass_over(columba, 29) == 0
    assert await pass_over(columba, 31) == 3
    assert await there(columba, "events") == []
    assert await there(columba, "deliveries", "event_id") == await there(columba, "attempts", "event_id") == []
    assert columba.app.growing.swept["events"] == 3


async def test_what_is_on_its_way_or_may_be_replayed_keeps_its_event(columba: Columba) -> None:
    pending, failed, untouched, done = [await event(columba) for _ in range(4)]
    await delivery(columba, pending, PENDING, 100)
    await delivery(columba, failed, FAILED, 20)
    await delivery(columba, untouched, PENDING)  # of an endpoint that is switched off
    await delivery(columba, done, DELIVERED)
    assert await pass_over(columba, 31) == 1
    assert await there(columba, "events") == [pending, failed, untouched]
    assert await pass_over(columba, 91) == 1
    assert await there(columba, "events") == [pending, failed]
    assert await pass_over(columba, 111) == 1
    assert await there(columba, "deliveries", "event_id") == await there(columba, "attempts", "event_id") == [pending]


async def test_however_many_there_are(columba: Columba, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that stay are passed over, at the edges of batches and readings too."""
    monkeypatch.setattr(growing, "AT_ONCE", 7)
    monkeypatch.setattr(growing, "LOOK", 10)
    monkeypatch.setattr(growing, "REST", 0)
    those = [await event(columba) for _ in range(60)]
    live = those[3:15] + those[40:41]
    now = columba.app.ids._clock()
    await written(columba, Step(DELIVER, [(ENDPOINT, an_id, FAILED, now) for an_id in live]))
    assert await pass_over(columba, 31) == len(those) - len(live)
    assert await there(columba, "events") == live
    assert columba.app.growing.behind["events"] == 0


async def hear(columba: Columba, text: str) -> int:
    made = await columba.whole("POST", "/v1/sandbox/inbound", {"from": ANNA, "to": "+12025550100", "text": text})
    assert made.status == 201, made.json
    return ids.read("msg", made.json["id"]) or 0


async def test_forwards_go_when_nothing_of_their_rule_is_live(columba: Columba) -> None:
    text = await hear(columba, "Hello")
    now, drawn = columba.app.ids._clock(), [columba.app.ids() for _ in range(5)]
    late = now + 20 * DAY

    def run(an_id: int, rule_id: int, n: int) -> Row:
        more = (columba.account_id, status.TEST, 1, 0, ENDPOINT, 0, WAITING, now, now, None, "", None, None)
        return (0, an_id, text, rule_id, n, 0, *more)

    gone, done, waits, dead, off = drawn
    rows = [run(gone, 1, 0), run(done, 2, 0), run(waits, 2, 1), run(dead, 3, 0), run(off, 4, 0)]
    await written(columba, Step(RUNS["insert_runs"], rows))
    states = [
        (gone, DELIVERED, now), (done, DELIVERED, now), (waits, WAITING, late), (dead, FAILED, late), (off, PENDING, now),
    ]  # fmt: skip
    await written(columba, Step(STATE, states))
    await pass_over(columba, 89)
    assert await there(columba, "runs") == drawn
    await pass_over(columba, 91)
    assert await there(columba, "runs") == [done, waits, dead]
    await pass_over(columba, 111)
    assert await there(columba, "runs") == []


async def test_a_rule_is_not_shown_a_past_that_it_may_have_dealt_with(columba: Columba) -> None:
    rule = {"name": "r", "then": [{"tag": "seen"}]}
    made = (await columba.whole("POST", "/v1/rules", rule)).json
    await hear(columba, "one")

    async def done() -> bool:
        return bool(await columba.app.store.read(kept("runs")))

    await eventually(done)
    asked = {"since": "2024-01-02T00:00:00Z", "send": True}
    replay = f"/v1/rules/{made['id']}/replay"
    assert (await columba.whole("POST", replay, asked)).json["started"] == 0
    await pass_over(columba, 91)
    assert await there(columba, "runs") == []
    await hear(columba, "two")
    reply = (await columba.whole("POST", replay, asked)).json
    assert (reply["started"], reply["seen"]) == (0, 1)
    another = (await columba.whole("POST", "/v1/rules", rule)).json
    reply = (await columba.whole("POST", f"/v1/rules/{another['id']}/replay", asked)).json
    assert (reply["started"], reply["seen"]) == (2, 2)


async def test_versions_of_rules_go_when_nothing_names_them(columba: Columba) -> None:
    rule = {"name": "r", "then": [{"tag": "seen"}]}
    made = [(await columba.whole("POST", "/v1/rules", rule)).json["id"] for _ in range(2)]
    await pass_over(columba, 1)
    assert (await columba.whole("DELETE", f"/v1/rules/{made[0]}")).status == 204
    await pass_over(columba, 89)
    assert len(await there(columba, "rule_versions", "rule_id")) == 3
    await pass_over(columba, 91)
    assert await there(columba, "rule_versions", "rule_id") == [ids.read("rul", made[1])]


async def test_verifications_and_jobs_go(columba: Columba) -> None:
    api = columba.whole
    for number in (ANNA, "+447700900778"):
        assert (await api("POST", "/v1/verifications", {"to": number})).status == 201
    (an_id, _) = [each["id"] for each in (await api("GET", "/v1/verifications")).json["data"]]
    assert (await api("POST", f"/v1/verifications/{an_id}/cancel")).status == 200
    assert (await api("POST", "/v1/privacy/export", {"number": "+447700900779"})).status == 200
    await pass_over(columba, 29)
    assert len(await there(columba, "verifications")) == 2
    await pass_over(columba, 31)
    assert len(await there(columba, "verifications")) == 1  # the other is still open
    assert len(await there(columba, "privacy_jobs")) == 1
    await pass_over(columba, 366)
    assert await there(columba, "privacy_jobs") == []


async def test_keys_that_are_good_for_nothing_go(columba: Columba) -> None:
    app, now = columba.app, columba.app.ids._clock()
    revoked, expired = app.ids(), app.ids()
    await app.keys.create(revoked, columba.account_id, status.TEST, "r", [], "ck_test_revoked")
    await app.keys.create(expired, columba.account_id, status.TEST, "e", [], "ck_test_expired", expires_at=now + DAY)
    await app.keys.revoke(revoked)
    good = {an_id for an_id in app.keys.all if an_id not in (revoked, expired)}
    await pass_over(columba, 89)
    assert set(await there(columba, "keys")) == {*good, revoked, expired}
    await pass_over(columba, 92)
    assert set(await there(columba, "keys")) == good

    async def known() -> bool:
        return set(app.keys.all) == good

    await eventually(known)


async def test_refused_rows_of_files_go(columba: Columba, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "AT_ONCE", 2)
    api = columba.whole
    made = (await api("POST", "/v1/consents/imports", {"name": "list.csv", "source": "form"})).json
    file = b"number,action\r\n" + b"nobody,opt_out\r\n" * 5
    sent = await api("POST", made["upload_url"], file, headers={"content-type": "text/csv"})
    assert sent.json["refused"] == 5, sent.json
    assert len(await there(columba, "import_refusals", "n")) == 5
    await pass_over(columba, 89)
    assert len(await there(columba, "import_refusals", "n")) == 5
    await pass_over(columba, 92)
    assert await there(columba, "import_refusals", "n") == await there(columba, "imports") == []


async def test_what_is_kept_for_good_stays(tmp_path: Path) -> None:
    for_good: dict[str, Any] = {"keep_events": 0, "keep_forwards": 0, "keep_verifications": 0, "keep_audit": 0}
    async with running(tmp_path, **for_good) as columba:
        await event(columba)
        assert (await columba.whole("GET", "/v1/messages")).status == 200
        assert await pass_over(columba, 3_000) == 0
        assert len(await there(columba, "events")) == 1
    async with running(tmp_path, keep_dead_letters=0) as columba:
        (an_id,) = await there(columba, "events")
        await delivery(columba, an_id, FAILED)
        assert await pass_over(columba, 3_000) == 0


async def test_a_process_that_is_not_the_first_leaves_it_to_that(columba: Columba) -> None:
    await event(columba)
    columba.app.lanes.peers = ("", *columba.app.lanes.peers)
    assert await pass_over(columba, 31) == 0
    assert len(await there(columba, "events")) == 1


async def test_who_comes_back_for_what_is_not_kept_is_told(columba: Columba) -> None:
    api = columba.whole
    old = ids.show("evt", ids.first_at(columba.app.ids._clock() - 31 * DAY))
    new = ids.show("evt", ids.first_at(columba.app.ids._clock() - 29 * DAY))
    sent = await columba.send(ANNA)
    for last, gap in ((old, True), (new, False), ("evt_0000000000000", False)):
        async with api.follow("/v1/events/stream", headers={"last-event-id": last}) as stream:
            first = await stream.next()
        assert first.data["data"]["id"] == ids.show("msg", sent.id)
        assert stream.body.startswith(b"event: missed\n") == gap
        if gap:
            assert f'data: {{"last_event_id":"{old}","kept_since":"'.encode() in stream.body
            assert b"id: " not in stream.body.partition(b"\n\n")[0]
