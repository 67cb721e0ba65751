"""Canceling: what is answered is true. A canceled message never reaches the carrier; one that has left is not canceled."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from columba.core import events, ids, status
from columba.core.contract import Inbound, Outcome, Part
from columba.core.lanes import SQL as LANES
from columba.core.lanes import share
from columba.store import Step, plan
from tests.api import Api, Columba, eventually, running
from tests.messages.conftest import hold, let_go, messages_of

ONE = {"to": "+447700900123", "text": "Hi"}


async def final(api: Api, an_id: str) -> dict[str, Any]:
    async def look() -> Any:
        shown = (await api("GET", f"/v1/messages/{an_id}")).json
        return shown if shown["status"] in ("delivered", "canceled", "unknown") else None

    found: dict[str, Any] = await eventually(look)
    return found


async def test_a_queued_message_is_not_sent(api: Api, columba: Columba) -> None:
    hold(columba)
    an_id = (await api("POST", "/v1/messages", ONE)).json["id"]
    reply = await api("POST", f"/v1/messages/{an_id}/cancel")
    assert (reply.status, reply.json["status"], reply.json["error"]) == (200, "canceled", None)
    let_go(columba)
    after = (await api("POST", "/v1/messages", ONE)).json["id"]  # to the same person, so on the same lane
    assert (await final(api, after))["status"] == "delivered"
    shown = await final(api, an_id)
    assert (shown["status"], shown["parts"]) == ("canceled", [])
    assert [step["type"] for step in shown["timeline"]] == ["message.queued", "message.canceled"]
    again = await api("POST", f"/v1/messages/{an_id}/cancel")
    assert (again.status, again.json["code"]) == (409, "not_cancelable")


async def test_a_scheduled_message_is_not_sent(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    an_id = (await api("POST", "/v1/messages", {**ONE, "send_at": later})).json["id"]
    assert (await api("POST", f"/v1/messages/{an_id}/cancel")).json["status"] == "canceled"
    on_time = (await api("POST", "/v1/messages", {**ONE, "send_at": later})).json["id"]
    assert (await final(api, on_time))["status"] == "delivered"
    shown = await final(api, an_id)
    assert [step["status"] for step in shown["timeline"]] == ["scheduled", "canceled"]


async def test_what_has_left_is_refused(api: Api, columba: Columba) -> None:
    sent = (await api("POST", "/v1/messages", ONE)).json["id"]
    await final(api, sent)
    app = columba.app
    (inbound,) = await app.receive.inbound(
        app.carriers()[64], [Inbound("+447700900101", "+12025550100", "Yes")], columba.account_id
    )
    for an_id in (sent, ids.show("msg", inbound.id)):
        reply = await api("POST", f"/v1/messages/{an_id}/cancel")
        assert (reply.status, reply.json["code"]) == (409, "not_cancelable")


async def test_what_is_on_the_wire_is_refused(columba: Columba) -> None:
    api = messages_of(columba, patience=0.1)
    wire: list[tuple[Part, Callable[[Part, Outcome], None]]] = []
    for session in columba.app.sending._sessions.values():
        session.send = lambda parts, done: wire.extend((part, done) for part in parts)  # type: ignore[method-assign]
    an_id = (await api("POST", "/v1/messages", ONE)).json["id"]
    reply = await api("POST", f"/v1/messages/{an_id}/cancel")
    assert (reply.status, reply.json["code"]) == (409, "not_cancelable")
    ((part, done),) = wire
    done(part, Outcome("sent", "carrier-1"))
    steps = await eventually(lambda: timeline(api, an_id, "sent"))
    assert steps == ["queued", "sent"]


async def timeline(api: Api, an_id: str, status: str) -> list[str]:
    shown = (await api("GET", f"/v1/messages/{an_id}")).json
    return [step["status"] for step in shown["timeline"]] if shown["status"] == status else []


async def test_what_has_partly_left_is_refused(columba: Columba) -> None:
    api = messages_of(columba, patience=0.1)
    hold(columba)
    message = await columba.send(text="x" * 200)
    row = (message.lane, message.id, 1, 64, "carrier-1", status.SENT, None, None, message.updated_at)
    await columba.app.store.commit(plan(Step(events.SQL["insert_parts"], [row])))
    an_id = ids.show("msg", message.id)
    assert (await api("POST", f"/v1/messages/{an_id}/cancel")).status == 409
    assert (await api("GET", f"/v1/messages/{an_id}")).json["status"] == "queued"


async def test_a_message_whose_lane_nobody_owns(api: Api, columba: Columba) -> None:
    columba.app.accept._route = lambda _message: 9984
    message = await columba.send()
    reply = await api("POST", f"/v1/messages/{ids.show('msg', message.id)}/cancel")
    assert (reply.status, reply.json["status"]) == (200, "canceled")
    claim = plan(Step(LANES["claim_lanes"], [(9984, columba.app.lanes.token, 6_000)]))
    assert [row[0] for row in (await columba.app.store.commit(claim))[0]] == [9984]  # it is free again


async def at_rest(one: Columba, two: Columba) -> bool:
    """Whether each lane is where it will stay."""
    both = (one.app.lanes, two.app.lanes)
    peers = sorted(lanes.token for lanes in both)
    owners = share([n for kind in both[0].kinds for n in kind.lanes()], peers)
    return all(
        sorted(lanes.peers) == peers and set(lanes.owned) == {n for n in owners if owners[n] == lanes.token}
        for lanes in both
    )


def slow(columba: Columba) -> None:
    for lane in columba.app.lanes.owned.values():
        lane.spec = lane.spec._replace(rate=150.0)


async def race(apis: list[Api], count: int, record: Path) -> None:
    """Cancel messages while they leave: each is either canceled or has left, as it was answered."""
    rows = [{"to": f"+4477009{n + 100:05d}", "text": "Hi"} for n in range(count)]
    batch = (await apis[0]("POST", "/v1/messages/batch", {"messages": rows})).json
    made = [row["id"] for row in batch["data"]]
    replies = await asyncio.gather(
        *(apis[n % len(apis)]("POST", f"/v1/messages/{an_id}/cancel") for n, an_id in enumerate(made))
    )
    assert {reply.status for reply in replies} <= {200, 409}
    canceled = {an_id for an_id, reply in zip(made, replies, strict=True) if reply.status == 200}
    for an_id in made:
        assert (await final(apis[0], an_id))["status"] == ("canceled" if an_id in canceled else "delivered")
    taken = [ids.show("msg", int(line.split()[0])) for line in record.read_text().splitlines()]
    assert sorted(taken) == sorted(set(made) - canceled)


async def test_a_race_with_the_carrier(tmp_path: Path, database: str) -> None:
    record = tmp_path / "taken"
    async with running(tmp_path, database, sandbox_record=str(record)) as columba:
        slow(columba)
        await race([messages_of(columba)], 60, record)


async def test_another_process_has_it(tmp_path: Path, tables_url: str) -> None:
    record = tmp_path / "taken"
    async with (
        running(tmp_path / "a", tables_url, sandbox_record=str(record)) as one,
        running(tmp_path / "b", tables_url, sandbox_record=str(record)) as two,
    ):
        await two.app.snapshots.refresh()
        apis = [messages_of(one), messages_of(two)]
        for each in apis:
            each.key = one.test_key
        await eventually(lambda: at_rest(one, two))
        hold(one)
        hold(two)
        for api in apis:
            for n in range(2):  # one for each of the sandbox's lanes
                an_id = (await api("POST", "/v1/messages", {**ONE, "to": f"+44770090012{n}"})).json["id"]
                for other in apis:
                    if other is not api:
                        reply = await other("POST", f"/v1/messages/{an_id}/cancel")
                        assert (reply.status, reply.json.get("status")) == (200, "canceled"), reply.json
        let_go(one)
        let_go(two)
        slow(one)
        slow(two)
        await race(apis, 40, record)
