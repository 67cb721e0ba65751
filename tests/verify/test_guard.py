"""The guard: attacks that have codes sent for nothing are stopped; people who enter theirs are not."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from columba.core.submission import Caller
from columba.errors import Refusal
from columba.store import Statement
from columba.verify.shapes import NewVerification
from tests.api import Columba, running
from tests.verify.house import ANNA, check, code_of, events_of, start

# What an attacker's numbers begin with, and how many digits are drawn.
COUNTS = Statement("test_counts", (), (), "select key from verify_counts")
BEGINNINGS = (("+88017", 8), ("+44791", 7), ("+2519112", 5), ("+3670123", 4), ("+67575712", 3), ("+120255501", 2))


async def attack(
    columbas: list[Columba], beginning: str, digits: int, requests: int = 10_000, seed: int = 7
) -> Counter[str]:
    """Ask for codes for numbers with one beginning, some at once, in each process in turn; what that came to."""
    drawn = random.Random(seed)
    came: Counter[str] = Counter()

    async def ask(columba: Columba, to: str) -> None:
        try:
            await columba.app.verifying.start(Caller(columba.account_id, 0), NewVerification(to=to))
            came["sent"] += 1
        except Refusal as refusal:
            came[refusal.code] += 1

    for n in range(0, requests, 50):
        numbers = [f"{beginning}{drawn.randrange(10**digits):0{digits}d}" for _ in range(50)]
        await asyncio.gather(*(ask(columbas[(n + k) % len(columbas)], to) for k, to in enumerate(numbers)))
    return came


@pytest.mark.parametrize(("beginning", "digits"), BEGINNINGS)
async def test_an_attack_on_a_prefix_is_stopped_within_50_sends(small: Columba, beginning: str, digits: int) -> None:
    requests = 10_000 if digits == 5 else 1_000
    came = await attack([small], beginning, digits, requests)
    assert came["sent"] <= 50
    assert came["blocked"] + came["too_many_attempts"] + came["sent"] == requests
    await small.app.verifying.counting.report()
    (told,) = await events_of(small, "blocked")
    assert told["kind"] == "prefix"
    assert (beginning + "0" * 8).startswith(told["value"][: len(beginning)])
    (block,) = (await small.whole("GET", "/v1/verifications/blocks")).json["data"]
    assert (block["value"], block["unentered"]) == (told["value"], came["sent"])


async def test_two_processes_share_what_they_have_counted(tmp_path: Path, tables_url: str) -> None:
    key = {"secret_key": "ab" * 32}
    async with running(tmp_path / "a", tables_url, **key) as one, running(tmp_path / "b", tables_url, **key) as two:
        came = await attack([one, two], "+44791", 7, 1_000)
        assert 0 < came["sent"] <= 50


async def test_its_neighbours_go_on(small: Columba) -> None:
    await attack([small], "+44791112", 4, 500)
    reply = await small.whole("POST", "/v1/verifications", {"to": "+447911129999"})
    assert (reply.status, reply.json["code"]) == (403, "blocked")
    assert int(reply.headers["retry-after"]) > 0
    assert (await start(small.whole, "+447911210000"))["status"] == "pending"
    assert (await start(small.whole, ANNA))["status"] == "pending"


async def test_people_who_enter_their_codes_are_not_taken_for_an_attack(columba: Columba) -> None:
    api = columba.whole
    for n in range(100, 220):
        begun = await start(api, f"+44791100{n:04d}")
        if n % 3:  # a third never do
            assert await check(api, begun, await code_of(api, begun)) == ("approved", True)
    assert (await api("GET", "/v1/verifications/blocks")).json["data"] == []


async def test_a_rush_of_people_is_let_go_on_once_they_enter_their_codes(columba: Columba) -> None:
    api = columba.whole
    numbers = [f"+44791100{n:04d}" for n in range(100, 160)]
    replies = await asyncio.gather(*(api("POST", "/v1/verifications", {"to": to}) for to in numbers))
    begun = [reply.json for reply in replies if reply.status == 201]
    assert len(begun) == 44
    for each in begun[:20]:
        assert await check(api, each, await code_of(api, each)) == ("approved", True)
    columba.app.verifying.counting._blocked.clear()  # what memory believes for two seconds
    assert (await start(api, "+447911000200"))["status"] == "pending"
    assert (await api("GET", "/v1/verifications/blocks")).json["data"] != []
    for each in begun[20:]:
        assert await check(api, each, await code_of(api, each)) == ("approved", True)
    assert (await api("GET", "/v1/verifications/blocks")).json["data"] == []


async def test_a_block_is_ended_by_its_account(columba: Columba) -> None:
    api = columba.whole
    await attack([columba], "+44791112", 4, 100)
    (block,) = (await api("GET", "/v1/verifications/blocks")).json["data"]
    other = await columba.key(account_id=await columba.another_account())
    assert (await api("GET", "/v1/verifications/blocks", key=other)).json["data"] == []
    assert (await api("DELETE", f"/v1/verifications/blocks/{block['id']}", key=other)).status == 404
    assert (await api("DELETE", f"/v1/verifications/blocks/{block['id']}")).status == 204
    assert (await start(api, "+447911129999"))["status"] == "pending"
    assert (await api("DELETE", f"/v1/verifications/blocks/{block['id']}")).status == 404


async def test_it_ends_by_itself_and_lets_a_few_try(small: Columba) -> None:
    await attack([small], "+44791112", 4, 100)
    verifying = small.app.verifying
    now = small.app.ids._clock
    verifying._clock = lambda: now() + 3_700_000
    came = await attack([small], "+44791112", 4, 100, seed=8)
    assert 0 < came["sent"] <= 16, came


SETTINGS: list[tuple[dict[str, Any], list[dict[str, Any]], tuple[int, str]]] = [
    ({"guard": {"address_sends": 2}}, [{"address": "203.0.113.7"}] * 3, (429, "too_many_attempts")),
    ({"guard": {"address_sends": 2}}, [{"address": f"2001:db8::{n}"} for n in range(3)], (429, "too_many_attempts")),
    ({"guard": {"device_sends": 2}}, [{"device": "a"}] * 3, (429, "too_many_attempts")),
    ({"guard": {"country_sends": 2}}, [{}] * 3, (429, "too_many_attempts")),
    ({"guard": {"daily_sends": 2}}, [{}] * 3, (429, "too_many_attempts")),
    ({"guard": {"network_sends": 2}}, [{}] * 3, (429, "too_many_attempts")),
    ({"deny": [{"kind": "prefix", "value": "+447741"}]}, [{}], (403, "blocked")),
    ({"deny": [{"kind": "number", "value": "+447741123000"}]}, [{}], (403, "blocked")),
    ({"deny": [{"kind": "country", "value": "GB"}]}, [{}], (403, "blocked")),
    ({"deny": [{"kind": "address", "value": "203.0.113.0/24"}]}, [{"address": "203.0.113.7"}], (403, "blocked")),
    ({"deny": [{"kind": "device", "value": "a"}]}, [{"device": "a"}], (403, "blocked")),
    ({"countries": ["FR"]}, [{}], (403, "country_not_allowed")),
]


async def test_what_an_account_sets(small: Columba) -> None:
    api = small.whole
    for settings, asked, (status, code) in SETTINGS:
        key = await small.key(account_id=await small.another_account())
        assert (await api("PATCH", "/v1/settings/verifications", settings, key=key)).status == 200
        for n, each in enumerate(asked):
            to = {"to": f"+44774112300{n}", **each}
            reply = await api("POST", "/v1/verifications", to, key=key)
            wanted = (status, code) if n == len(asked) - 1 else (201, None)
            assert (reply.status, reply.json.get("code")) == wanted, (settings, reply.json)


async def test_what_codes_may_cost_in_a_day(columba: Columba) -> None:
    api = columba.whole
    assert (await api("POST", "/v1/prices", {"csv": "country,price,currency\nGB,0.04,EUR\n"})).status < 300
    settings = {"guard": {"daily_spend": "0.1"}}
    assert (await api("PATCH", "/v1/settings/verifications", settings)).json["guard"]["daily_spend"] == "0.1"
    begun = [await start(api, f"+44774112300{n}") for n in (0, 2)]
    reply = await api("POST", "/v1/verifications", {"to": "+447741123003"})
    assert (reply.status, reply.json["code"]) == (429, "too_many_attempts")
    assert (await api("POST", f"/v1/verifications/{begun[0]['id']}/resend")).status == 429
    assert (await start(api, "+33612345678"))["status"] == "pending"  # nobody knows what that costs


async def test_whom_an_account_trusts_is_not_counted_with_others(small: Columba) -> None:
    allow = [{"kind": "prefix", "value": "+44791112"}, {"kind": "country", "value": "FR"}]
    settings = {"allow": allow, "countries": ["GB"]}
    assert (await small.whole("PATCH", "/v1/settings/verifications", settings)).status == 200
    came = await attack([small], "+44791112", 4, 100)
    assert came["sent"] >= 95  # but for numbers that were drawn too often
    assert (await start(small.whole, "+33612345678"))["status"] == "pending"


async def test_live_keys_send_to_their_own_country_alone(tmp_path: Path) -> None:
    for default, to, code in (
        ("GB", "+33612345678", "country_not_allowed"), ("GB", ANNA, "no_route"),
        ("", ANNA, "country_not_allowed"),
    ):  # fmt: skip
        async with running(tmp_path / f"{default}{code}", default_country=default) as columba:
            reply = await columba.whole("POST", "/v1/verifications", {"to": to}, key=columba.live_key)
            assert reply.json["code"] == code


async def test_settings_are_checked_and_kept(columba: Columba) -> None:
    api = columba.whole
    asked = {"brand": "Acme", "length": 4, "expires_in": 120, "guard": {"spare": 10}}
    shown = (await api("PATCH", "/v1/settings/verifications", asked)).json
    assert (shown["brand"], shown["checks"], shown["guard"]["number_sends"]) == ("Acme", 5, 5)
    assert (await api("GET", "/v1/settings/verifications")).json == shown
    assert (await api("GET", "/v1/settings/verifications", key=columba.live_key)).json["brand"] == ""
    assert (await start(api))["length"] == 4
    for wrong, field in (
        ({"countries": ["XX"]}, "countries[0]"), ({"deny": [{"kind": "prefix", "value": "44"}]}, "deny[0].value"),
        ({"allow": [{"kind": "address", "value": "x"}]}, "allow[0].value"), ({"guard": {"spare": -1}}, "guard.spare"),
    ):  # fmt: skip
        reply = await api("PATCH", "/v1/settings/verifications", wrong)
        assert (reply.status, reply.fields[0][0]) == (422, field)


async def test_counts_are_forgotten(columba: Columba) -> None:
    await start(columba.whole)
    counting = columba.app.verifying.counting
    now = columba.app.ids._clock
    for later, left in ((0, True), (4 * 86_400_000, False)):
        counting._clock = lambda later=later: now() + later  # type: ignore[misc]
        await counting.sweep()
        assert bool(await columba.app.store.read(COUNTS)) is left
