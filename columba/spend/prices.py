"""The price table: what a part costs, by carrier, country, prefix and class; imported from CSV.

The most particular line counts: a carrier's own before one for all, a longer prefix before a shorter, a prefix before a
country, a class before any. From a snapshot in memory; imports fail with StoreUnavailable, and with Refusal that names
the lines that can't be.
"""

import asyncio
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from columba.core.model import Message
from columba.core.snapshots import Snapshots
from columba.core.status import CLASSES
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.numbers import COUNTRIES, country_of
from columba.spend import money
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("spend.sql"))
MOST: Final = 200_000  # lines of an account in a mode
MOST_NAMED: Final = 20  # problems of one import
MOST_KNOWN: Final = 50_000
COLUMNS: Final = ("carrier", "country", "prefix", "class", "price", "currency")
ANY: Final = 0  # carrier
AT_ONCE: Final = 2_000


class Line(NamedTuple):
    """One price. A carrier of 0, no country, no prefix and class -1 are any."""

    carrier_id: int
    country: str
    prefix: str
    klass: int
    price: int
    currency: str


class _Table(NamedTuple):
    by_place: Mapping[tuple[int, str, int], int]  # carrier, prefix or country, class
    carriers: frozenset[int]
    longest: int
    currency: str


class Prices:
    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self._tables: Mapping[tuple[int, int], _Table] = {}
        self._known: dict[tuple[int, int, int, int, str], int | None] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._turn = asyncio.Lock()
        snapshots.on("prices", self._load)

    async def _load(self) -> None:
        found: dict[tuple[int, int], dict[tuple[int, str, int], int]] = {}
        currencies: dict[tuple[int, int], str] = {}
        for account_id, mode, carrier_id, country, prefix, klass, price, currency in await self._store.read(
            SQL["prices"]
        ):
            who = (account_id, mode)
            found.setdefault(who, {})[carrier_id, prefix or country, klass] = price
            currencies[who] = currency
        self._tables = {
            who: _Table(
                prices,
                frozenset(carrier for carrier, _, _ in prices),
                max(len(place) for _, place, _ in prices),
                currencies[who],
            )
            for who, prices in found.items()
        }
        self._known = {}

    @property
    def empty(self) -> bool:
        return not self._tables

    def of(self, message: Message, carrier_id: int) -> int | None:
        """What a part of a message costs with a carrier; None where no line says."""
        if not self._tables:
            return None
        table = self._tables.get((message.account_id, message.mode))
        if table is None:
            return None
        to = message.to
        key = (message.account_id, message.mode, carrier_id, message.klass, to[: max(table.longest, 9)])
        try:
            return self._known[key]
        except KeyError:
            pass
        price = _find(table, carrier_id, to, message.klass)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = price
        return price

    def currency(self, account_id: int, mode: int) -> str | None:
        """The one currency of an account's prices; None where there are none."""
        table = self._tables.get((account_id, mode))
        return table.currency if table is not None else None

    def count(self, account_id: int, mode: int) -> int:
        table = self._tables.get((account_id, mode))
        return len(table.by_place) if table is not None else 0

    # Changes

    async def put(self, account_id: int, mode: int, lines: Sequence[Line], replace: int | None) -> None:
        """Add lines, or replace those for the same. `replace` first removes all of a carrier, or (-1) all."""
        now = self._clock()
        rows = [(account_id, mode, *line, now) for line in lines]
        async with self._turn:
            await self.refresh()
            table = self._tables.get((account_id, mode))
            if table is not None and replace != -1:
                others = {line.currency for line in lines} - {table.currency}
                if others:
                    detail = f"The prices are in {table.currency}: one table has one currency. Replace all of them."
                    raise Refusal("conflict", detail)
                if len(table.by_place) + len(lines) > MOST:
                    raise Refusal("too_many", f"A price table has at most {MOST} lines.")
            drop = [] if replace is None else [(account_id, mode, replace)]
            for start in range(0, max(len(rows), 1), AT_ONCE):
                await self._store.commit(
                    plan(
                        Step(SQL["drop_prices"], drop if start == 0 else []),
                        Step(SQL["put_prices"], rows[start : start + AT_ONCE]),
                        self._snapshots.bump("prices"),
                    )
                )
            await self._snapshots.changed()

    async def drop(self, account_id: int, mode: int, carrier_id: int) -> None:
        async with self._turn:
            await self._store.commit(
                plan(Step(SQL["drop_prices"], [(account_id, mode, carrier_id)]), self._snapshots.bump("prices"))
            )
            await self._snapshots.changed()

    async def refresh(self) -> None:
        await self._snapshots.refresh()


def _find(table: _Table, carrier_id: int, to: str, klass: int) -> int | None:
    prices = table.by_place
    country = country_of(to)
    for carrier in (carrier_id, ANY):
        if carrier not in table.carriers:
            continue
        for place in (*(to[:end] for end in range(min(table.longest, len(to)), 1, -1)), country, ""):
            for each in (klass, -1):
                price = prices.get((carrier, place, each))
                if price is not None:
                    return price
    return None


def read_csv(text: str, carriers: Mapping[str, int]) -> list[Line]:
    """The lines of a CSV file with a head. `carriers` are known by id and by name. Refusal with what is wrong, by line."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    errors: list[FieldError] = []
    lines: dict[tuple[int, str, str, int], Line] = {}
    currencies: set[str] = set()
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        unknown = [name for name in head if name not in COLUMNS]
        if "price" not in head or "currency" not in head or unknown or len(set(head)) != len(head):
            detail = f"Expected a first line with price, currency and any of {', '.join(COLUMNS[:4])}."
            raise invalid([FieldError("csv", "invalid_value", detail)])
        for row in reader:
            if not row or not any(cell.strip() for cell in row):
                continue
            if len(lines) >= MOST:
                raise invalid([FieldError("csv", "too_many", f"A price table has at most {MOST} lines.")])
            line = _line(dict(zip(head, (cell.strip() for cell in row), strict=False)), carriers, len(row), len(head))
            if isinstance(line, str):
                errors.append(FieldError(f"csv[{reader.line_num}]", "invalid_value", line))
                if len(errors) == MOST_NAMED:
                    break
            else:
                lines[line[:4]] = line
                currencies.add(line.currency)
    except csv.Error as error:
        errors.append(FieldError(f"csv[{reader.line_num}]", "invalid_value", f"That is no CSV: {error}."))
    if len(currencies) > 1:
        errors.append(FieldError("csv", "invalid_value", f"One table has one currency, not {sorted(currencies)}."))
    if errors:
        raise invalid(errors)
    return list(lines.values())


def _line(cells: Mapping[str, str], carriers: Mapping[str, int], found: int, expected: int) -> Line | str:
    """A line, or what is wrong with it."""
    if found != expected:
        return f"It has {found} cells; the first line has {expected}."
    carrier, country = cells.get("carrier", ""), cells.get("country", "").upper()
    prefix, klass = cells.get("prefix", "").lstrip("+"), cells.get("class", "").lower()
    if carrier and carrier not in carriers:
        return f"You have no carrier {carrier[:64]!r}: name it by its id or its name."
    if country and country not in COUNTRIES:
        return f"There is no country {country[:8]!r} with numbers."
    if prefix and not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 15):
        return "Expected a prefix of digits, calling code first."
    if country and prefix and country_of(f"+{prefix:0<9}") not in (country, ""):
        return f"Numbers with the prefix {prefix} are not of {country}."
    if klass and klass not in CLASSES:
        return f"Expected a class of {', '.join(CLASSES)}, or none."
    currency = cells.get("currency", "").upper()
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        return "Expected a currency of three letters, such as EUR."
    try:
        price = money.read(cells.get("price", ""))
    except ValueError as error:
        return f"price: {error}"
    if price < 0:
        return "price: Expected no negative number."
    return Line(
        carriers[carrier] if carrier else ANY, "" if prefix else country, "+" + prefix if prefix else "",
        CLASSES.index(klass) if klass else -1, price, currency,
    )  # fmt: skip
