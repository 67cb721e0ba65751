"""Changes to a carrier while messages are on their way: in force at once, and nothing lost or sent twice."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from columba.app import clock
from columba.carriers import kinds
from columba.core import ids, status
from columba.core.contract import Carrier
from columba.errors import Refusal
from columba.routing.carriers import SQL, block
from columba.store import Statement, Step, plan
from tests.api import eventually
from tests.routing import lines
from tests.routing.house import Routed, number, routed

EVENTS = Statement("test_events", (), (), "select type from events where subject = :subject order by id")
OWN = Statement(
    "test_own",
    (("id", "int"), ("token", "text")),
    (),
    "insert into lanes (id, token, epoch) select id, token, 1 from {rows} r where true "
    "on conflict (id) do update set token = excluded.token",
)
BEAT = Statement(
    "test_beat",
    (("token", "text"), ("beat", "int")),
    (),
    "update nodes set token = (select token from {rows} r), beat = (select beat from {rows} r) where n = 1000",
)
ROWS = Statement(
    "test_rows",
    (),
    (),
    "select (select count(*) from carriers where id = :id), "
    "(select count(*) from carrier_states where lane >= :id and lane < :id + 64)",
)


@pytest.fixture(autouse=True)
def line_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds(), "line", lines.KIND)
    monkeypatch.setattr(lines.Line, "opened", [])


def people(count: int) -> Iterable[str]:
    return (f"+44770090{n:04}" for n in range(1000, 1000 + count))


async def taken(line: lines.Line, count: int) -> list[int]:
    """The messages that a session has, once it has so many."""

    async def look() -> list[int] | None:
        found = [part.message_id for part, _ in line.taken]
        return found if len(found) == count else None

    got: list[int] = await eventually(look)
    return got


async def in_force(house: Routed, an_id: str) -> None:
    """Returns once the carrier's lanes here run as it says."""

    async def look() -> bool:
        wanted = house.app.sending.lanes()
        lanes = house.app.lanes.owned
        mine = [lane for lane in wanted if lane & ~63 == number(an_id)]
        return all(lane in lanes and lanes[lane].spec == wanted[lane] for lane in mine)

    await eventually(look)


async def draining(house: Routed, an_id: str) -> None:
    """Returns once the carrier's lane here waits for its end."""

    async def look() -> bool:
        return house.app.lanes.owned[number(an_id)].draining

    await eventually(look)


async def opened(count: int) -> lines.Line:
    """The last session that was opened, once there have been so many."""

    async def look() -> lines.Line | None:
        return lines.Line.opened[-1] if len(lines.Line.opened) == count else None

    line: lines.Line = await eventually(look)
    return line


async def test_the_only_enabled_carrier_takes_live_messages_and_no_other(house: Routed) -> None:
    async def refusal() -> str:
        with pytest.raises(Refusal) as raised:
            await house.send()
        assert raised.value.code == "no_route"
        return raised.value.detail

    assert "No live carrier" in await refusal()
    first = await house.make(enabled=False)
    assert "No live carrier" in await refusal()
    second = await house.make()
    message = await house.send()
    assert (await house.message(message.id))[2] == number(second)
    assert await house.ends([message]) == ["delivered"]
    await house.api("PATCH", f"/v1/carriers/{first}", {"enabled": True})
    assert "Several" in await refusal()
    await house.api("PATCH", f"/v1/carriers/{second}", {"enabled": False})
    message = await house.send()
    assert (await house.message(message.id))[2] == number(first)
    assert (await house.api("DELETE", f"/v1/carriers/{second}")).status == 204
    assert await house.ends([message]) == ["delivered"]
    assert await house.ends([await house.columba.send()]) == ["delivered"]  # by a test key, whatever carriers there are


async def test_a_paused_carrier_keeps_what_comes_and_its_session(house: Routed) -> None:
    an_id = await house.make({"host": "a"}, kind="line")
    paused = (await house.api("POST", f"/v1/carriers/{an_id}/pause")).json
    assert (paused["state"], paused["enabled"]) == ("paused", True)
    await in_force(house, an_id)
    messages = [await house.send(to) for to in people(3)]
    assert (await house.get(an_id))["waiting"] == 3
    assert (await house.api("POST", f"/v1/carriers/{an_id}/pause")).json["state"] == "paused"
    (line,) = lines.Line.opened
    assert not line.closed
    assert line.taken == []
    resumed = (await house.api("POST", f"/v1/carriers/{an_id}/resume")).json
    assert resumed["state"] == "up"
    assert await taken(line, 3) == [message.id for message in messages]
    found = await house.get(an_id)
    assert (found["waiting"], found["window_in_use"]) == (3, 3)
    line.answer()
    await house.until(an_id, lambda it: it["waiting"] == 0)
    await house.api("PATCH", f"/v1/carriers/{an_id}", {"enabled": False})
    for verb in ("pause", "resume"):
        assert (await house.api("POST", f"/v1/carriers/{an_id}/{verb}")).json["code"] == "conflict"


async def test_another_configuration_opens_the_session_anew_after_what_is_on_the_wire(house: Routed) -> None:
    an_id = await house.make({"host": "a"}, kind="line", window=2)
    (line,) = lines.Line.opened
    messages = [await house.send(to) for to in people(5)]
    first = await taken(line, 2)
    await house.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"host": "b"}})
    await house.send("+447700902000")
    await draining(house, an_id)
    assert not line.closed  # it waits for the answers
    assert len(lines.Line.opened) == 1
    line.answer()
    after = await opened(2)
    assert (line.closed, line.taken, after.config.host) == (True, [], "b")
    sent = set(first)
    while len(sent) < 6:
        got = await eventually(lambda: _some(after))
        assert not sent & set(got)
        sent |= set(got)
        after.answer()
    assert {message.id for message in messages} <= sent
    found = await house.until(an_id, lambda it: it["waiting"] == 0)
    assert found["config"]["host"] == "b"


async def _some(line: lines.Line) -> list[int]:
    return [part.message_id for part, _ in line.taken]


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"name": "b", "rate": 10, "window": 3}, False),
        ({"config": {"host": "a"}}, False),  # as it was
        ({"config": {"password": "n3w"}}, True),
        ({"on_unknown": "unknown"}, True),
    ],
)
async def test_only_what_matters_to_a_session_opens_it_anew(small: Routed, change: dict[str, Any], anew: bool) -> None:
    an_id = await small.make({"host": "a"}, kind="line")
    assert (await small.api("PATCH", f"/v1/carriers/{an_id}", change)).status == 200
    if anew:
        await opened(2)
    else:
        await in_force(small, an_id)
        assert len(lines.Line.opened) == 1


async def test_a_new_session_waits_until_the_old_one_is_closed(small: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks allow so many sessions, often one."""
    let, order = asyncio.Event(), []

    async def close(line: lines.Line) -> None:
        order.append("closing")
        await let.wait()
        order.append("closed")

    monkeypatch.setattr(lines.Line, "close", close)
    an_id = await small.make({"host": "a"}, kind="line")
    await small.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"host": "b"}})

    async def closing() -> bool:
        return bool(order) and (await small.get(an_id))["state"] == "connecting"

    await eventually(closing)
    assert len(lines.Line.opened) == 1
    let.set()
    await opened(2)
    assert order == ["closing", "closed"]


async def test_a_session_that_was_replaced_has_no_say_any_more(small: Routed) -> None:
    an_id = await small.make({"host": "a"}, kind="line")
    (old,) = lines.Line.opened
    await small.api("PATCH", f"/v1/carriers/{an_id}", {"config": {"host": "down"}})
    await opened(2)
    old.air.ready(True, "")
    assert (await small.get(an_id))["state"] == "down"
    message = await small.send()
    assert (await small.message(message.id))[0] == "queued"


async def test_a_disabled_carrier_keeps_what_waits_until_it_expires(small: Routed) -> None:
    an_id = await small.make({"host": "down"}, kind="line")
    message = await small.send(valid_for=1)
    later = await small.send()
    await small.api("PATCH", f"/v1/carriers/{an_id}", {"enabled": False})
    (first,) = lines.Line.opened

    async def closed() -> bool:
        return first.closed

    await eventually(closed)
    assert (await small.get(an_id))["sessions"] == []

    async def expired() -> bool:
        await small.app.sending.expire()
        return (await small.message(message.id))[0] == "expired"

    await eventually(expired)
    assert (await small.get(an_id))["waiting"] == 1
    await small.api("PATCH", f"/v1/carriers/{an_id}", {"enabled": True})
    line = await opened(2)
    line.air.ready(True, "")
    assert await taken(line, 1) == [later.id]


async def test_deleting_waits_for_what_waits_unless_it_is_to_fail(house: Routed) -> None:
    an_id = await house.make({"host": "a"}, kind="line", window=1)
    (line,) = lines.Line.opened
    on_the_wire, *waiting = [await house.send(to) for to in people(4)]
    scheduled = await house.send("+447700903000", send_at=clock() + 86_400_000)
    await taken(line, 1)
    refused = await house.api("DELETE", f"/v1/carriers/{an_id}")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert "5 messages" in refused.json["detail"]
    assert (await house.api("DELETE", f"/v1/carriers/{an_id}?force=true")).status == 204
    assert (await house.api("GET", f"/v1/carriers/{an_id}")).status == 404
    with pytest.raises(Refusal):
        await house.send()
    await draining(house, an_id)
    assert (await house.message(waiting[0].id))[0] == "queued"  # the one on the wire comes first
    line.answer()

    async def failed() -> bool:
        found = [await house.message(message.id) for message in (*waiting, scheduled)]
        return all(each[:2] == ("failed", "carrier_unavailable") for each in found)

    await eventually(failed)
    assert (await house.message(on_the_wire.id))[0] == "sent"
    events = await house.app.store.read(EVENTS, subject=waiting[0].id)
    assert [status.NAMES[row[0]] for row in events] == ["queued", "failed"]


async def test_a_deleted_carrier_leaves_nothing_behind(house: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    an_id = await house.make(lanes=2)
    lane = number(an_id)
    await house.states.step()
    assert (await house.api("DELETE", f"/v1/carriers/{an_id}")).status == 204
    monkeypatch.setattr("columba.routing.carriers.DELETED_MS", -1)
    await house.carriers.sweep()
    assert lane not in house.carriers.all
    assert await house.app.store.read(ROWS, id=lane) == [(0, 0)]

    async def let_go() -> bool:
        return lane not in house.app.lanes.owned and lane + 1 not in house.app.lanes.owned

    await eventually(let_go)
    assert (await house.api("DELETE", f"/v1/carriers/{an_id}")).status == 404


async def test_what_waits_on_lanes_that_go_moves_to_those_that_stay(house: Routed) -> None:
    asked = {"name": "a", "kind": "line", "config": {"host": "silent"}, "lanes": 4}
    an_id = (await house.api("POST", "/v1/carriers", asked)).json["id"]
    await opened(4)
    messages = [await house.send(to) for to in people(12)]
    lanes = {message.lane - number(an_id) for message in messages}
    assert lanes == {0, 1, 2, 3}
    await house.api("PATCH", f"/v1/carriers/{an_id}", {"lanes": 2, "config": {"host": "up"}, "window": 20})

    async def all_taken() -> bool:
        return sum(len(line.taken) for line in lines.Line.opened) == 12

    await eventually(all_taken)
    sessions = [line for line in lines.Line.opened if line.taken]
    assert sorted(line.n for line in sessions) == [0, 1]
    for line in sessions:
        got = [part.message_id for part, _ in line.taken]
        assert {int(part.to[-4:]) % 2 for part, _ in line.taken} == {line.n}
        assert len(got) == len(set(got)) == 6
        line.answer()
    await house.until(an_id, lambda it: it["waiting"] == 0)
    found = await house.api("PATCH", f"/v1/carriers/{an_id}", {"lanes": 4})
    assert len(found.json["sessions"]) == 4
    await house.until(an_id, lambda it: all(each["state"] == "up" for each in it["sessions"]))


async def test_one_process_sees_the_sessions_of_another(tmp_path: Path, tables_url: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with routed(tmp_path / "a", tables_url, secret_key="ab" * 32) as first:
        an_id = await first.make({"host": "a"}, kind="line", lanes=8)
        async with routed(tmp_path / "b", tables_url, secret_key="ab" * 32) as second:
            second.api.key = first.columba.live_key
            lane = number(an_id)

            def owners() -> tuple[int, int]:
                mine = range(lane, lane + 8)
                counts = [sum(each in house.app.lanes.owned for each in mine) for house in (first, second)]
                return counts[0], counts[1]

            async def shared() -> bool:
                return sum(owners()) == 8 and 0 not in owners()

            await eventually(shared)
            for house in (first, second):
                found = await house.until(an_id, lambda it: all(each["state"] == "up" for each in it["sessions"]))
                assert len(found["sessions"]) == 8
            theirs = next(
                line for line in lines.Line.opened if lane + line.n in second.app.lanes.owned and not line.closed
            )
            theirs.air.ready(False, "The network has gone.")
            found = await first.until(an_id, lambda it: "down" in {each["state"] for each in it["sessions"]})
            assert {each["why"] for each in found["sessions"]} == {"", "The network has gone."}
            assert found["state"] == "up"
            await second.api("PATCH", f"/v1/carriers/{an_id}", {"name": "renamed"})
            assert (await first.get(an_id))["name"] == "renamed"
        # What a process that has gone said of its sessions does not count any more.
        await first.until(an_id, lambda it: all(each["state"] == "up" for each in it["sessions"]))


async def test_what_another_process_said_counts_while_it_lives_and_has_the_lane(house: Routed) -> None:
    carrier = Carrier(64_000, house.columba.account_id, "elsewhere", "line", status.LIVE, lines.Config("a"))
    said = (carrier.id, "elsewhere", 1, "", 1, 7, None, None, None)
    beat: list[Any] = [("elsewhere", clock())]
    await house.app.store.commit(
        plan(Step(SQL["write_states"], [said]), Step(OWN, [(carrier.id, "elsewhere")]), Step(BEAT, beat))
    )

    async def seen() -> tuple[bool, int]:
        ((session,),) = (await house.states.of([carrier])).values()
        return session.up, session.flying

    assert await seen() == (True, 7)
    await house.app.store.commit(plan(Step(OWN, [(carrier.id, "another")])))
    assert await seen() == (False, 0)
    await house.app.store.commit(
        plan(Step(OWN, [(carrier.id, "elsewhere")]), Step(BEAT, [("elsewhere", clock() - 60_000)]))
    )
    assert await seen() == (False, 0)


async def test_a_rate_is_that_of_all_sessions_together(small: Routed) -> None:
    an_id = await small.make(rate=50, window=7, lanes=4)
    specs = [spec for lane, spec in small.app.sending.lanes().items() if lane & ~63 == number(an_id)]
    assert sum(spec.rate or 0 for spec in specs) == 50
    assert [spec.window for spec in specs] == [7] * 4


def test_ids_of_carriers_leave_room_for_their_lanes() -> None:
    now = 1_770_000_000_000
    new_id = ids.Ids(7, lambda: now)
    drawn = []
    for n in range(300):
        drawn += [block(new_id)] if n % 3 else [new_id()]
        now += n % 7 == 0
    blocks = [an_id for n, an_id in enumerate(drawn) if n % 3]
    assert all(an_id & 63 == 0 for an_id in blocks)
    lanes = [an_id + n for an_id in blocks for n in range(64)]
    assert len(set(lanes)) == len(lanes)
    assert not set(lanes) & {an_id for n, an_id in enumerate(drawn) if not n % 3}
