"""`/v1/prices` and `/v1/spend`: what parts cost, what was spent, and how much may be.

All of an account in one of its modes: a test key has prices and a budget of its own, to try out what happens at the cap.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core import ids, status
from columba.core.contract import Carrier, by_name
from columba.core.model import rfc3339
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import Moment, Timestamp, milliseconds
from columba.keys import Key
from columba.spend import money
from columba.spend.budgets import Budgets, Standing
from columba.spend.money import Amount, Currency
from columba.spend.prices import ANY, SQL, Prices, read_csv
from columba.store import Row, Store

BODY_LIMIT = 16 * 1024 * 1024
MOST_DAYS_MS = 400 * 86_400_000
TAG = "Spend"

CarrierName = Annotated[str, Meta(max_length=100, description="A carrier's id, or its name.")]
Cap = Annotated[
    str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", description="A decimal number as text.", examples=["250"])
]


class PriceImport(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A price table.

    csv: its first line names the columns: `price` and `currency`, and any of `carrier`, `country`, `prefix`, `class`. An
      empty cell is any
    replace: which lines go before: none but those for the same, those of this `carrier`, or all
    carrier: whose lines go, for `replace` of `carrier`
    """

    csv: Annotated[
        str, Meta(max_length=BODY_LIMIT, examples=["country,class,price,currency\nGB,,0.0395,EUR\nFR,otp,0.0712,EUR\n"])
    ]
    replace: Annotated[str, Meta(pattern="^(same|carrier|all)$")] = "same"
    carrier: CarrierName | None = None

    def check_carrier(self) -> Iterable[FieldError]:
        if (self.replace == "carrier") != (self.carrier is not None):
            yield FieldError("carrier", "invalid_value", "It goes with `replace` of `carrier`.")


class Imported(msgspec.Struct):
    """What came of it.

    imported: lines that were read
    prices: lines that there are now
    """

    imported: int
    prices: int


class Price(msgspec.Struct, kw_only=True):
    """A line of the price table; null is any.

    price: of one part
    """

    carrier: str | None
    country: str | None
    prefix: str | None
    class_: str | None = field(name="class")
    price: Amount
    currency: Currency
    updated_at: Timestamp


class PriceList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines."""

    carrier: CarrierName | None = None
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None


class PriceDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines go: those of a carrier, else all."""

    carrier: CarrierName | None = None


class Spend(msgspec.Struct, kw_only=True):
    """An account's budget. Without a balance and a cap, what it spends isn't bounded.

    balance: what is left of what was paid in
    daily_cap: what it may spend on one day, UTC
    spent_today: by that cap's count: what is given back when a message is never sent comes off again
    unpriced: messages whose price isn't known: `refuse` them, or let them `pass`, for nothing
    """

    bounded: bool
    currency: Currency | None
    balance: Amount | None
    daily_cap: Amount | None
    spent_today: Amount | None
    unpriced: Annotated[str, Meta(pattern="^(refuse|pass)$")]
    updated_at: Timestamp | None


class SpendChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays, and null takes a bound away.

    currency: that of the price table, if it is left out
    """

    currency: Currency | UnsetType = UNSET
    balance: Cap | None | UnsetType = UNSET
    daily_cap: Cap | None | UnsetType = UNSET
    unpriced: Annotated[str, Meta(pattern="^(refuse|pass)$")] | UnsetType = UNSET


class TopUp(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    amount: Cap


class SpentBy(msgspec.Struct):
    """What one carrier was paid."""

    carrier: str
    messages: int
    parts: int
    amount: Amount
    currency: Currency


class Spent(msgspec.Struct):
    """What was spent on the messages that were accepted in this time, as far as their prices were known."""

    since: Timestamp
    until: Timestamp
    data: list[SpentBy]


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """since: 30 days ago, if it is left out. until: now."""

    since: Moment | None = None
    until: Moment | None = None


def endpoints(
    prices: Prices,
    budgets: Budgets,
    carriers: Callable[[int, int], Iterable[Carrier]],
    store: Store,
    clock: Callable[[], int],
) -> list[Endpoint]:
    """`carriers` gives those of an account in a mode."""

    def named(who: Key, name: str | None, field: str = "carrier") -> int:
        known = by_name(carriers(who.account_id, who.mode))
        if name is None:
            return -1
        if name not in known:
            raise invalid([FieldError(field, "invalid_value", "You have no carrier of this id or name.")])
        return known[name]

    async def standing(who: Key) -> Spend:
        return _spend(await budgets.of(who.account_id, who.mode))

    @endpoint(
        "POST", "/v1/prices", body=PriceImport, body_limit=BODY_LIMIT, answer=Imported, scope="spend:write", tag=TAG,
        summary="Import prices", refusals=("too_many", "conflict"),
        example={"csv": "country,class,price,currency\nGB,,0.0395,EUR\nFR,otp,0.0712,EUR\n"},
    )  # fmt: skip
    async def import_prices(call: Call[PriceImport, None]) -> Imported:
        """All lines or none: each that can't be is named, by its number. The most particular line counts for a message: a
        carrier's own before one for all, a longer prefix before a shorter and before a country, a class before any."""
        who, asked = _caller(call), call.body
        lines = read_csv(asked.csv, by_name(carriers(who.account_id, who.mode)))
        replace = {"same": None, "all": -1}.get(asked.replace, -2)
        await prices.put(
            who.account_id, who.mode, lines, named(who, asked.carrier) if replace == -2 else replace
        )  # fmt: skip
        return Imported(len(lines), prices.count(who.account_id, who.mode))

    @endpoint(
        "GET", "/v1/prices", query=PriceList, answer=Page[Price], scope="spend:read", tag=TAG, summary="List prices"
    )
    async def list_prices(call: Call[None, PriceList]) -> Page[Price]:
        """By carrier, country, prefix and class."""
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int, str, str, int]) or (-1, "", "", -2)
        rows = await store.read(
            SQL["prices_of"], account_id=who.account_id, mode=who.mode, carrier_id=named(who, query.carrier),
            country=query.country or "", last_carrier=last[0], last_country=last[1], last_prefix=last[2],
            last_class=last[3], most=query.limit + 1,
        )  # fmt: skip
        return page(rows, query.limit, _price, lambda row: (row[0], row[1], row[2], row[3]))

    @endpoint(
        "DELETE", "/v1/prices", query=PriceDeletion, scope="spend:write", tag=TAG, summary="Delete prices"
    )  # fmt: skip
    async def delete_prices(call: Call[None, PriceDeletion]) -> None:
        """What was recorded stays."""
        who = _caller(call)
        await prices.drop(who.account_id, who.mode, named(who, call.query.carrier))

    @endpoint("GET", "/v1/spend", answer=Spend, scope="spend:read", tag=TAG, summary="Read the balance and the cap")
    async def get_spend(call: Call[None, None]) -> Spend:
        return await standing(_caller(call))

    @endpoint(
        "PATCH", "/v1/spend", body=SpendChange, answer=Spend, scope="spend:write", tag=TAG,
        summary="Bound what is spent", refusals=("conflict",), example={"daily_cap": "250", "currency": "EUR"},
    )  # fmt: skip
    async def update_spend(call: Call[SpendChange, None]) -> Spend:
        """A message is paid for in the transaction that accepts it, so neither bound is ever overshot, however many
        processes accept. In force within a second everywhere. With both null the budget is gone."""
        who, asked = _caller(call), call.body
        await budgets.refresh()
        was = await budgets.of(who.account_id, who.mode)
        currency = prices.currency(who.account_id, who.mode)
        if asked.currency is not UNSET:
            if currency is not None and asked.currency != currency:
                raise Refusal("conflict", f"The price table is in {currency}.")
            currency = asked.currency
        currency = currency or (was.currency if was is not None else None)
        if currency is None:
            raise invalid([FieldError("currency", "required", "There are no prices yet that say which it is.")])
        given = {
            name: None if value is None else money.read(value)
            for name, value in (("balance", asked.balance), ("daily_cap", asked.daily_cap))
            if value is not UNSET
        }
        unpriced = None if asked.unpriced is UNSET else asked.unpriced
        await budgets.set(who.account_id, who.mode, currency, unpriced, **given)
        now = await budgets.of(who.account_id, who.mode)
        if now is not None and now.balance is None and now.daily_cap is None:
            await budgets.remove(who.account_id, who.mode)
        return await standing(who)

    @endpoint(
        "POST", "/v1/spend/top-up", body=TopUp, answer=Spend, scope="spend:write", tag=TAG, summary="Add to the balance",
        refusals=("conflict",), example={"amount": "100"},
    )  # fmt: skip
    async def top_up(call: Call[TopUp, None]) -> Spend:
        """With an Idempotency-Key it is added once, however often it is asked."""
        who = _caller(call)
        if not await budgets.top_up(who.account_id, who.mode, money.read(call.body.amount)):
            raise Refusal("conflict", "The account's spend isn't bounded: set a balance with PATCH /v1/spend first.")
        return await standing(who)

    @endpoint(
        "GET", "/v1/spend/report", query=Span, answer=Spent, scope="spend:read", tag=TAG, summary="See what was spent"
    )
    async def spend_report(call: Call[None, Span]) -> Spent:
        """By carrier, the most first."""
        who, now = _caller(call), clock()
        until = now if call.query.until is None else milliseconds(call.query.until)
        since = until - 30 * 86_400_000 if call.query.since is None else milliseconds(call.query.since)
        if not 0 <= until - since <= MOST_DAYS_MS:
            raise invalid([FieldError("since", "out_of_range", "Expected a time before `until`, by at most 400 days.")])
        rows = await store.read(
            SQL["spent"], since=ids.first_at(since), until=ids.first_at(until + 1), account_id=who.account_id,
            mode=who.mode,
        )  # fmt: skip
        data = [SpentBy(ids.show("car", row[0]), row[4], row[2], money.show(int(row[3])), row[1]) for row in rows]
        return Spent(rfc3339(since), rfc3339(until), data)

    return [import_prices, list_prices, delete_prices, get_spend, update_spend, top_up, spend_report]


def _price(row: Row) -> Price:
    carrier_id, country, prefix, klass, price, currency, updated_at = row
    return Price(
        carrier=None if carrier_id == ANY else ids.show("car", carrier_id),
        country=country or None,
        prefix=prefix or None,
        class_=None if klass < 0 else status.CLASSES[klass],
        price=money.show(price),
        currency=currency,
        updated_at=rfc3339(updated_at),
    )


def _spend(found: Standing | None) -> Spend:
    if found is None:
        return Spend(
            bounded=False,
            currency=None,
            balance=None,
            daily_cap=None,
            spent_today=None,
            unpriced="pass",
            updated_at=None,
        )
    return Spend(
        bounded=True,
        currency=found.currency,
        balance=None if found.balance is None else money.show(found.balance),
        daily_cap=None if found.daily_cap is None else money.show(found.daily_cap),
        spent_today=money.show(found.spent),
        unpriced=found.unpriced,
        updated_at=rfc3339(found.updated_at),
    )


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
