"""How carriers do: what makes one bad, what makes it good again, and that processes tell each other."""

import re
from pathlib import Path
from typing import Any

import pytest

from columba.core import status
from columba.routing.health import DEAD, WELL, Healths
from tests.api import eventually
from tests.core.rig import Clock
from tests.routing.house import Routed, number, routed
from tests.routing.two import Two, two

__all__ = ["two"]


class Nothing:
    """A store and a sending of nothing."""

    lanes_of = None

    async def read(self, *_: Any, **__: Any) -> list[Any]:
        return []


def healths(clock: Clock) -> Healths:
    nothing: Any = Nothing()
    return Healths(nothing, clock, lambda: {64: nothing, 128: nothing}, nothing)


async def test_errors_of_its_own_make_a_carrier_bad_and_time_makes_it_good() -> None:
    clock = Clock()
    health = healths(clock)
    assert health.standing(64) == 1.0
    health.settled(64, 100, 0, 100)
    await health.step()
    assert health.standing(64) == 1.0
    health.settled(64, 1, 100, 100)
    await health.step()
    assert DEAD < health.standing(64) < 0.6
    assert health.of(64).why.startswith("It lately refused 50%")
    health.settled(64, 0, 10, 10)  # nothing but refusals: that is enough, however much it has to its credit
    await health.step()
    assert health.standing(64) <= DEAD
    assert health.of(64).why == "It has refused the last 10 parts, for reasons of its own."
    assert health.standing(128) == 1.0
    clock.forward(180_000)
    await health.step()
    assert health.standing(64) >= WELL
    health.settled(64, 20, 0, 20)  # what it takes now says so too
    await health.step()
    assert health.standing(64) > 0.9


async def test_one_refusal_makes_nobody_bad() -> None:
    health = healths(Clock())
    health.settled(64, 0, 2, 2)
    health.receipts(64, 0, 5)
    await health.step()
    assert health.standing(64) >= WELL


async def test_receipts_that_say_nothing_came_make_a_carrier_bad() -> None:
    clock = Clock()
    health = healths(clock)
    health.receipts(64, 95, 5)
    await health.step()
    assert health.standing(64) > 0.9
    clock.forward(3_600_000)
    await health.step()
    health.receipts(64, 5, 95)
    await health.step()
    assert health.standing(64) < WELL
    assert "Of its receipts, 95% lately said that nothing came." in health.of(64).why


def test_a_bad_one_is_tried_once_a_second() -> None:
    clock = Clock()
    health = healths(clock)
    assert [health.probe(64), health.probe(64), health.probe(128)] == [True, False, True]
    clock.forward(1_000)
    assert health.probe(64)


async def test_a_provider_that_says_nothing_more_counts_as_down(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.first.does = "hangs"
    hanging = await two.send("+447700900001")
    await eventually(lambda: _true(bool(two.first.taken)))
    await two.app.healths.step()
    assert two.app.healths.standing(number(two.carriers_of["first"])) == 1.0  # it has its time
    monkeypatch.setattr("columba.routing.health.STALLED_MS", 50)

    async def stalled() -> bool:
        await two.app.healths.step()
        return two.app.healths.standing(number(two.carriers_of["first"])) == 0.0

    await eventually(stalled)
    message = await two.send("+447700900002")
    assert await two.ends([message]) == ["delivered"]
    assert set(two.second.taken) == {(message.id, 1)}
    assert (await two.message(hanging.id))[0] == "queued"
    two.first.die()


async def test_receipts_count_for_their_carrier_but_not_those_about_the_number(two: Two) -> None:
    two.first.receipt = (status.UNDELIVERED, "unknown_number")
    await two.ends(await two.send_many(3))
    two.first.receipt = (status.UNDELIVERED, "unreachable")
    await two.ends(await two.send_many(2))
    two.first.receipt = (status.DELIVERED, None)
    await two.ends(await two.send_many(4))
    await two.app.healths.step()
    health = (await two.get(two.carriers_of["first"]))["health"]
    assert (round(health["delivered"]), round(health["undelivered"]), round(health["taken"])) == (4, 2, 9)


async def test_processes_tell_each_other(tmp_path: Path, tables_url: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with routed(tmp_path / "a", tables_url, secret_key="ab" * 32) as one:
        an_id = number(await one.make())
        async with routed(tmp_path / "b", tables_url, secret_key="ab" * 32) as other:
            await eventually(lambda: _true(len(one.app.lanes.peers) == 2 and len(other.app.lanes.peers) == 2))
            await _load(other)
            one.app.healths.settled(an_id, 0, 200, 200)
            await one.app.healths.step()

            async def heard() -> bool:
                await other.app.healths.step()
                return other.app.healths.standing(an_id) < WELL

            await eventually(heard)
            # It is said of somewhat fewer from one moment to the next.
            whys = {re.sub(r"\d+", "N", each.app.healths.of(an_id).why) for each in (one, other)}
            assert whys == {"It has refused the last N parts, for reasons of its own."}


async def _load(house: Routed) -> None:
    await house.carriers.refresh()


async def _true(value: bool) -> bool:
    return value
