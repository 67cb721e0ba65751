"""What parts cost, and how much an account may spend: never more, whoever accepts; what was not sent is given back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from columba.core import status
from columba.core.accept import Idempotency
from columba.core.model import Message
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.spend import money
from tests.api import eventually
from tests.routing.house import Routed, number, routed

PRICES = "country,price,currency\nGB,0.04,EUR\nFR,0.1,EUR\n"


async def prices(house: Routed, csv: str = PRICES, key: str | None = None, **more: Any) -> Any:
    reply = await house.api("POST", "/v1/prices", {"csv": csv, **more}, key=key)
    assert reply.status == 200, reply.json
    return reply.json


async def budget(house: Routed, **fields: Any) -> Any:
    reply = await house.api("PATCH", "/v1/spend", fields)
    assert reply.status == 200, reply.json
    return reply.json


async def spend(house: Routed) -> Any:
    return (await house.api("GET", "/v1/spend")).json


async def balance(house: Routed, wanted: str) -> None:
    """Once it is so: what is given back comes a moment later."""

    async def look() -> bool:
        return bool((await spend(house))["balance"] == wanted)

    await eventually(look)


@pytest.mark.parametrize(
    ("text", "amount"), [("0", 0), ("1", 1_000_000), ("0.0395", 39_500), ("12.000001", 12_000_001), ("007", 7_000_000)]
)
def test_money_is_exact(text: str, amount: int) -> None:
    assert money.read(text) == amount
    assert money.read(money.show(amount)) == amount
    assert money.show(39_500) == "0.0395"
    assert money.show(-1) == "-0.000001"


@pytest.mark.parametrize("text", ["", ".5", "1e3", "1,5", "0.0000001", "NaN", "١"])
def test_what_is_no_money(text: str) -> None:
    with pytest.raises(ValueError):
        money.read(text)


# Prices


async def test_the_most_particular_price_counts(small: Routed) -> None:
    a, b = [await small.make(name=name) for name in "AB"]
    await prices(
        small,
        "carrier,country,prefix,class,price,currency\n"
        ",,,,1,EUR\n,GB,,,2,EUR\n,,+4477,,3,EUR\n,,44770,otp,4,EUR\n"
        f"A,,,,5,EUR\n{a},FR,,,6,EUR\n",
    )
    of = small.app.prices.of
    for to, klass, carrier, price in (
        ("+4915112345678", 1, b, 1),
        ("+447400900123", 1, b, 2),
        ("+447700900123", 1, b, 3),
        ("+447700900123", 0, b, 4),
        ("+447710900123", 0, b, 3),
        ("+447700900123", 0, a, 5),
        ("+33612345678", 1, a, 6),
    ):
        text = Message(1, small.columba.account_id, status.LIVE, 0, klass, 0, to, "", "a", 0, 1, status.QUEUED, 0, 0, 0)
        assert of(text, number(carrier)) == price * 1_000_000, (to, klass)
        assert of(text, number(carrier)) == price * 1_000_000


async def test_prices_are_imported_replaced_listed_and_deleted(house: Routed) -> None:
    a = await house.make(name="A")
    lines = "".join(f"A,GB,,{klass},0.0{n},EUR\n" for n, klass in enumerate(("otp", "transactional", "marketing"), 1))
    csv = "\ufeffcarrier,country,prefix,class,price,currency\n\n" + lines + ",FR,,,0.1,EUR\n,FR,,,0.2,EUR\n"
    assert await prices(house, csv) == {"imported": 4, "prices": 4}
    first = (await house.api("GET", "/v1/prices?limit=3")).json
    rest = (await house.api("GET", f"/v1/prices?limit=3&cursor={first['next_cursor']}")).json
    rows = [(each["carrier"], each["country"], each["class"], each["price"]) for each in first["data"] + rest["data"]]
    assert rows == [
        (None, "FR", None, "0.2"), (a, "GB", "otp", "0.01"), (a, "GB", "transactional", "0.02"),
        (a, "GB", "marketing", "0.03"),
    ]  # fmt: skip
    assert len((await house.api("GET", "/v1/prices?carrier=A")).json["data"]) == 3
    assert len((await house.api("GET", "/v1/prices?country=FR")).json["data"]) == 1
    again = "carrier,price,currency\nA,0.5,EUR\n"
    assert await prices(house, again, replace="carrier", carrier="A") == {"imported": 1, "prices": 2}
    other = await house.api("POST", "/v1/prices", {"csv": "price,currency\n1,USD\n"})
    assert (other.status, other.json["code"]) == (409, "conflict")
    assert await prices(house, "price,currency\n1,USD\n", replace="all") == {"imported": 1, "prices": 1}
    assert (await house.api("DELETE", "/v1/prices?carrier=A")).status == 204
    assert len((await house.api("GET", "/v1/prices")).json["data"]) == 1
    assert (await house.api("DELETE", "/v1/prices")).status == 204
    assert (await house.api("GET", "/v1/prices")).json["data"] == []


@pytest.mark.parametrize(
    ("csv", "problems"),
    [
        ("", ["csv"]),
        ("price\n1\n", ["csv"]),
        ("price,currency,colour\n1,EUR,red\n", ["csv"]),
        ("price,currency\n1,EUR\n1,USD\n", ["csv"]),
        ("price,currency\n1,EUR,x\n-1,EUR\n1,E\nx,EUR\n", ["csv[2]", "csv[3]", "csv[4]", "csv[5]"]),
        ("country,prefix,price,currency\nGB,33,1,EUR\nXX,,1,EUR\n,a,1,EUR\n", ["csv[2]", "csv[3]", "csv[4]"]),
        ("class,carrier,price,currency\nslow,,1,EUR\n,B,1,EUR\n", ["csv[2]", "csv[3]"]),
        ('price,currency\n"1,EUR\n', ["csv[2]"]),
    ],
)
async def test_each_line_that_can_not_be_is_named_and_nothing_is_imported(
    small: Routed, csv: str, problems: list[str]
) -> None:
    reply = await small.api("POST", "/v1/prices", {"csv": csv})
    assert reply.status == 422, reply.json
    assert [field for field, _ in reply.fields] == problems
    assert (await small.api("GET", "/v1/prices")).json["data"] == []


async def test_what_parts_cost_is_recorded_and_reported(house: Routed) -> None:
    a = await house.make(name="A")
    await prices(house)
    messages = [await house.send(), await house.send(text="Hello " * 40), await house.send("+4915112345678")]
    await house.ends(messages)
    from columba.core import ids

    shown = [(await house.api("GET", f"/v1/messages/{ids.show('msg', each.id)}")).json for each in messages]
    assert [(each["price"], each["currency"]) for each in shown] == [("0.04", "EUR"), ("0.08", "EUR"), (None, None)]
    assert [part["price"] for part in shown[1]["parts"]] == ["0.04", "0.04"]
    report = (await house.api("GET", "/v1/spend/report")).json
    assert report["data"] == [{"carrier": a, "messages": 2, "parts": 3, "amount": "0.12", "currency": "EUR"}]
    assert (await house.api("GET", "/v1/spend/report?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z")).json[
        "data"
    ] == []
    assert (await spend(house))["bounded"] is False


# Budgets


async def test_the_balance_is_spent_and_not_a_cent_more(house: Routed) -> None:
    await house.make(name="A")
    await prices(house)
    made = await budget(house, balance="0.10")
    assert (made["bounded"], made["currency"], made["balance"], made["daily_cap"]) == (True, "EUR", "0.1", None)
    answers = [await house.api("POST", "/v1/messages", {"to": "+447700900123", "text": "a"}) for _ in range(3)]
    assert [each.status for each in answers] == [202, 202, 402]
    assert answers[2].json["code"] == "insufficient_balance"
    assert (await spend(house))["balance"] == "0.02"
    topped = await house.api("POST", "/v1/spend/top-up", {"amount": "0.02"}, headers={"Idempotency-Key": "once"})
    assert topped.json["balance"] == "0.04"
    await house.api("POST", "/v1/spend/top-up", {"amount": "0.02"}, headers={"Idempotency-Key": "once"})
    assert (await house.api("POST", "/v1/messages", {"to": "+447700900123", "text": "a"})).status == 202
    assert (await spend(house))["balance"] == "0"


async def test_the_days_cap_counts_the_day(house: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.make(name="A")
    await prices(house)
    await budget(house, daily_cap="0.10")
    await house.send()
    await house.send()
    with pytest.raises(Refusal) as refused:
        await house.send()
    assert refused.value.code == "daily_cap_reached"
    assert (await spend(house))["spent_today"] == "0.08"
    clock = house.app.budgets._clock
    monkeypatch.setattr(house.app.budgets, "_clock", lambda: clock() + 86_400_000)
    assert (await spend(house))["spent_today"] == "0"
    await house.send()
    assert (await spend(house))["spent_today"] == "0.04"


async def test_of_a_batch_what_can_be_paid_goes(house: Routed) -> None:
    await house.make(name="A")
    await prices(house)
    await budget(house, balance="0.20")
    rows = [{"to": to, "text": "a"} for to in ("+33612345678", "+447700900123", "+33612345679", "+447700900124")]
    reply = await house.api("POST", "/v1/messages/batch", {"messages": rows})
    assert (reply.json["accepted"], reply.json["refused"]) == (3, 1)
    assert [each.get("error", {}).get("code") for each in reply.json["data"]] == [
        None, None, "insufficient_balance", None,
    ]  # fmt: skip
    assert (await spend(house))["balance"] == "0.02"


async def test_a_repeated_key_pays_once(small: Routed) -> None:
    await small.make(name="A")
    await prices(small)
    await budget(small, balance="1")
    for _ in range(2):
        reply = await small.api(
            "POST", "/v1/messages", {"to": "+447700900123", "text": "a"}, headers={"Idempotency-Key": "k"}
        )
        assert reply.status == 202
    assert (await spend(small))["balance"] == "0.96"


async def test_without_a_price_it_is_refused_or_free_as_asked(small: Routed) -> None:
    await small.make(name="A")
    await prices(small)
    await budget(small, balance="1")
    with pytest.raises(Refusal) as refused:
        await small.send("+4915112345678")
    assert refused.value.code == "no_price"
    await budget(small, unpriced="pass")
    await small.send("+4915112345678")
    assert (await spend(small))["balance"] == "1"


async def test_what_is_never_sent_is_given_back(house: Routed) -> None:
    await house.make({"receipt_ms": 1}, name="A")
    await prices(house)
    await budget(house, balance="1", daily_cap="1")
    from columba.app import clock
    from columba.core import ids

    (failed, delivered) = [await house.send("+447700900001"), await house.send()]
    assert await house.ends([failed, delivered]) == ["failed", "delivered"]
    await balance(house, "0.96")
    later = await house.send(send_at=clock() + 3_600_000)
    assert (await spend(house))["balance"] == "0.92"
    canceled = await house.api("POST", f"/v1/messages/{ids.show('msg', later.id)}/cancel")
    assert canceled.status == 200, canceled.json
    await balance(house, "0.96")
    assert (await spend(house))["spent_today"] == "0.04"
    undelivered = await house.send("+447700900002")  # the carrier took it: it costs
    assert await house.ends([undelivered]) == ["undelivered"]
    await balance(house, "0.92")


async def test_what_nobody_saw_end_is_given_back_too(house: Routed, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.make(name="A")
    await prices(house)
    await budget(house, balance="1")
    monkeypatch.setattr(house.app.budgets, "happened", lambda events: None)
    house.app.publisher.on_happened.clear()
    failed = await house.send("+447700900001")
    await house.ends([failed])
    await house.app.budgets.step()
    assert (await spend(house))["balance"] == "0.96"  # its time has not come
    clock = house.app.budgets._clock
    monkeypatch.setattr(house.app.budgets, "_clock", lambda: clock() + 60_000)
    await house.app.budgets.step()
    assert (await spend(house))["balance"] == "1"
    await house.app.budgets.step()
    assert (await spend(house))["balance"] == "1"


async def test_a_dearer_carrier_is_paid_for_before_a_message_goes_there(
    house: Routed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.core.flight.RETRY_FIRST_MS", 50)
    monkeypatch.setattr("columba.core.flight.RETRY_MOST_MS", 500)
    a, b = [await house.make({"error_rate": rate, "latency_ms": 1}, name=name) for name, rate in (("A", 1), ("B", 0))]
    await house.api("POST", "/v1/routes", {"name": "r", "carriers": [{"carrier": a}, {"carrier": b}]})
    await prices(house, "carrier,price,currency\nA,0.04,EUR\nB,0.1,EUR\n")
    await budget(house, balance="0.15")
    one, two = [await house.send("+447700900111"), await house.send("+447700900112")]
    assert await house.ends([one]) == ["delivered"]
    await balance(house, "0.01")  # 0.10 for the one, 0.04 kept for the other, which can't go on
    assert (await house.message(two.id))[2] == number(a)
    await house.api("POST", "/v1/spend/top-up", {"amount": "1"})
    await house.app.failover.step()
    assert await house.ends([two], 10) == ["delivered"]
    await balance(house, "0.95")


async def test_top_ups_at_once_are_all_added(house: Routed) -> None:
    await budget(house, balance="0", currency="EUR")
    asked = [house.api("POST", "/v1/spend/top-up", {"amount": "0.5"}) for _ in range(20)]
    assert {each.status for each in await asyncio.gather(*asked)} == {200}
    await balance(house, "10")


async def test_bounds_are_taken_away(small: Routed) -> None:
    await small.make(name="A")
    await prices(small)
    await budget(small, balance="0", daily_cap="1")
    with pytest.raises(Refusal):
        await small.send()
    assert (await budget(small, balance=None))["bounded"] is True
    await small.send()
    assert (await budget(small, daily_cap=None))["bounded"] is False
    await small.send()
    top_up = await small.api("POST", "/v1/spend/top-up", {"amount": "1"})
    assert (top_up.status, top_up.json["code"]) == (409, "conflict")
    wrong = await small.api("PATCH", "/v1/spend", {"balance": "1", "currency": "USD"})
    assert (wrong.status, wrong.json["code"]) == (409, "conflict")


async def test_budgets_and_prices_are_their_accounts_and_modes(house: Routed) -> None:
    await house.make(name="A")
    await prices(house)
    await budget(house, balance="0")
    stranger = await house.columba.key(status.LIVE, account_id=await house.columba.another_account())
    for key in (stranger, house.columba.test_key):
        assert (await house.api("GET", "/v1/spend", key=key)).json["bounded"] is False
        assert (await house.api("GET", "/v1/prices", key=key)).json["data"] == []
        assert (await house.api("DELETE", "/v1/prices", key=key)).status == 204
        required = await house.api("PATCH", "/v1/spend", {"balance": "1"}, key=key)
        assert required.fields == [("currency", "required")]
    sent = await house.api("POST", "/v1/messages", {"to": "+447700900123", "text": "a"}, key=house.columba.test_key)
    assert sent.status == 202
    assert len((await house.api("GET", "/v1/prices")).json["data"]) == 2


async def test_two_processes_that_accept_at_once_overshoot_nothing(tmp_path: Path, tables_url: str) -> None:
    """Singles, batches and repeated keys, from both at the same moments: what is accepted costs what there was."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    key = {"secret_key": "ab" * 32}
    async with routed(tmp_path / "a", tables_url, **key) as one, routed(tmp_path / "b", tables_url, **key) as two:
        await one.make({"receipt_ms": 1}, name="A")
        await prices(one)
        await budget(one, balance="4", daily_cap="4.2")
        await two.app.snapshots.refresh()
        refused: list[str] = []
        who = Caller(one.columba.account_id, status.LIVE)

        async def single(house: Routed, n: int) -> int:
            try:
                await house.app.accept.one(who, Submission(f"+4477009{n:05}", "a"))
            except Refusal as refusal:
                refused.append(refusal.code)
                return 0
            return 1

        async def batch(house: Routed, n: int) -> int:
            asked = [Submission(f"+4477008{n * 10 + i:05}", "a") for i in range(10)]
            once = Idempotency(f"key {n}", "hash", lambda _: "{}") if n % 2 else None
            outcomes = await house.app.accept(who, asked, idempotency=once)
            return sum(isinstance(each, Message) for each in outcomes)

        counts = await asyncio.gather(
            *(single(house, 1000 + n) for n in range(60) for house in (one, two)),
            *(batch(house, 2 * n + (house is two)) for n in range(5) for house in (one, two)),
        )
        assert sum(counts) == 100
        assert set(refused) == {"insufficient_balance"}
        assert (await spend(one))["balance"] == "0"
