"""What is owed is paid: after a crash, and by whichever process owns the lane."""

import contextlib
from pathlib import Path

import pytest

from tests.api import Columba, eventually, running
from tests.engines import Postgres
from tests.program import Reply, Sink
from tests.webhooks.conftest import LOOPBACK, Clock, House


def crash(columba: Columba) -> None:
    """From now on the process does as if it were dead: nothing is settled, no lane is handed over."""
    for lane in columba.app.lanes.owned.values():
        lane.close()
    columba.app.lanes.owned.clear()


@pytest.mark.parametrize("answered", [True, False])
async def test_what_was_pending_at_a_crash_is_delivered(
    tmp_path: Path, database: str, clock: Clock, sink: Sink, answered: bool
) -> None:
    sink.reply = Reply(500) if answered else Reply(delay=60)
    async with running(tmp_path, database, allow_network=LOOPBACK) as columba:
        house = House(columba, clock)
        hook = await house.hook(sink.url)
        for _ in range(5):
            await columba.send()
        if answered:
            await house.deliveries(5, status="pending")
            await house.true(house.own_lane(hook).is_idle)
        await house.arrived(sink, 5)
        crash(columba)
    sink.reply = Reply(200)
    clock.ahead += 60_000
    async with running(tmp_path, database, allow_network=LOOPBACK) as columba:
        house = House(columba, clock)
        await house.arrived(sink, 10)
        await house.deliveries(5, status="delivered")
        told = [request.headers["webhook-id"] for request in sink.requests]
        assert len(told) == 10
        assert sorted(told[:5]) == sorted(told[5:])
        assert len(set(told)) == 5


async def test_two_processes_share_the_work_and_the_news(
    tmp_path: Path, postgres_server: Postgres, tables_url: str, clock: Clock, sink: Sink, other: Sink
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        one, two = [
            House(await stack.enter_async_context(running(tmp_path, tables_url, allow_network=LOOPBACK)), clock)
            for _ in range(2)
        ]
        made = [
            (await one.post("/v1/webhooks", {"url": f"{sink.url}/{n}", "events": ["message.queued"]}, 201))
            for n in range(12)
        ]
        await one.post("/v1/webhooks", {"url": other.url, "events": ["webhook.*"]}, 201)

        async def owned_once() -> bool:
            owners = [house.lane(hook) is not None for hook in made for house in (one, two)]
            lanes = [len([each for each in made if house.lane(each)]) for house in (one, two)]
            return sum(owners) == 12 and all(lanes)

        await eventually(owned_once)
        for house in (one, two):
            for _ in range(10):
                await house.columba.send()
        requests = await one.arrived(sink, 240)
        await one.deliveries(240, status="delivered", limit=1000)
        assert len({(request.path, request.headers["webhook-id"]) for request in requests}) == 240 == len(sink.requests)

        # A change made here is in force there.
        theirs = next(hook for hook in made if two.lane(hook))
        await one.patch(theirs, url=f"{sink.url}/changed")
        await eventually(lambda: _has(two, theirs, f"{sink.url}/changed"), 1.0)
        await one.columba.send()
        requests = await one.arrived(sink, 252)
        assert [request.path for request in requests].count("/changed") == 1

        # So is a replay asked for here.
        delivery = (await one.deliveries(1, endpoint=theirs["id"]))[0]
        await one.post(f"/v1/deliveries/{delivery['id']}/replay")
        await one.arrived(sink, 253)

        # Both see endpoints fail, and each tells of its own.
        sink.reply = Reply(410)
        await one.columba.send()
        await two.columba.send()
        disabled = [request.json["data"]["id"] for request in await one.arrived(other, 12)]
        assert sorted(disabled) == sorted(hook["id"] for hook in made)
        await one.true(lambda: not any(house.lane(hook) for hook in made for house in (one, two)))
        assert len(await one.events("webhook.disabled")) == 12 == len(other.requests)


async def _has(house: House, hook: dict[str, str], url: str) -> bool:
    return any(each.url == url for each in house.app.endpoints.all.values())
