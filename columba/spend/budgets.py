"""Budgets: how much an account may spend, held in the transaction that accepts a message.

`Overspending` and `Debiting` are the main path's gates for it; accounts without a budget cost nothing there. What a
message did not cost is given back when it has ended: at once where this process sees it end, else within minutes. Fails
with StoreUnavailable, and with Refusal for what is not to be done.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import structlog

from columba.core import status
from columba.core.events import Publisher
from columba.core.ids import time_of
from columba.core.model import Event, Message
from columba.core.snapshots import Snapshots
from columba.errors import Refusal
from columba.spend import money
from columba.spend.prices import SQL, Prices
from columba.store import Row, Statement, Step, Store, StoreUnavailable, plan

DAY_MS: Final = 86_400_000
CHECK_MS: Final = 30_000
LATEST_MS: Final = 3_600_000
MOST: Final = 2_000

log = structlog.get_logger()


class Budget(NamedTuple):
    """What is set for an account; the money itself is in the store alone."""

    currency: str
    unpriced: str  # "refuse" or "pass": messages whose price isn't known


class Standing(NamedTuple):
    """A budget as the store has it. `spent` is today's."""

    currency: str
    balance: int | None
    daily_cap: int | None
    unpriced: str
    spent: int
    updated_at: int


class Budgets:
    def __init__(
        self, store: Store, snapshots: Snapshots, clock: Callable[[], int], prices: Prices, publisher: Publisher
    ) -> None:
        self.all: Mapping[tuple[int, int], Budget] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._prices = prices
        self._turn = asyncio.Lock()
        self._ended: set[int] = set()
        self._settling: asyncio.Task[None] | None = None
        snapshots.on("budgets", self._load)
        publisher.on_happened.append(self.happened)

    async def _load(self) -> None:
        self.all = {
            (row[0], row[1]): Budget(row[2], row[5]) for row in await self._store.read(SQL["budgets"])
        }  # fmt: skip

    @property
    def day(self) -> int:
        return self._clock() // DAY_MS

    def cost(self, message: Message) -> int | None:
        """What a message is to cost on the lane that it takes; None where no price is known."""
        price = self._prices.of(message, message.lane & ~63)
        return None if price is None else price * message.segments

    def limited(self, message: Message) -> Budget | None:
        return self.all.get((message.account_id, message.mode)) if self.all else None

    # Messages go on, and end

    async def afford(self, costs: Mapping[int, int]) -> set[int]:
        """Messages that are to cost this much now, all their tries together: those for which there is the money. It is
        taken; what was never in a budget costs it nothing."""
        if not costs or not self.all:
            return set(costs)
        rows = [(an_id, amount, self.day) for an_id, amount in costs.items()]
        results = await self._store.commit(
            plan(
                Step(SQL["debited"], [row[:1] for row in rows]),
                Step(SQL["may_cost"], rows),
                Step(SQL["more_debits"], feed=1),
                Step(SQL["debit"], feed=1),
            )
        )
        debited = {row[0] for row in results[0]}
        paid = {row[0] for row in results[1]}
        return {an_id for an_id in costs if an_id not in debited or an_id in paid}

    def happened(self, events: Mapping[int, Event]) -> None:
        """Of what has just happened: messages with a debit that have ended."""
        if not self.all:
            return
        for event in events.values():
            message = event.message
            if message is not None and status.DELIVERED <= event.type < status.RECEIVED and self.limited(message):
                self._ended.add(message.id)
        if self._ended and self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        try:
            while self._ended:
                some = [self._ended.pop() for _ in range(min(len(self._ended), MOST))]
                try:
                    await self._give_back(some)
                except StoreUnavailable:
                    return  # `step` finds them
                except Exception:
                    log.exception("spend.refund_failed")
        finally:
            self._settling = None

    async def _give_back(self, some: Iterable[int]) -> set[int]:
        """Which of them have ended."""
        results = await self._store.commit(
            plan(
                Step(SQL["ended_debits"], [(an_id,) for an_id in some]),
                Step(SQL["drop_debits"], feed=0),
                Step(SQL["refund"], feed=0),
            )
        )
        return {row[0] for row in results[0]}

    async def step(self) -> None:
        """Look at debits whose messages may have ended where nobody saw it; again later, the older the rarer."""
        while True:
            now = self._clock()
            due = [row[0] for row in await self._store.read(SQL["due_debits"], now=now, most=MOST)]
            if due:
                ended = await self._give_back(due)
                later = [(an_id, now + _patience(an_id, now)) for an_id in due if an_id not in ended]
                await self._store.commit(plan(Step(SQL["later_debits"], later)))
            if len(due) < MOST:
                return

    # What is set

    async def of(self, account_id: int, mode: int) -> Standing | None:
        rows = await self._store.read(SQL["budget"], account_id=account_id, mode=mode)
        if not rows:
            return None
        currency, balance, daily_cap, unpriced, day, spent, updated_at = rows[0]
        return Standing(currency, balance, daily_cap, unpriced, spent if day == self.day else 0, updated_at)

    async def set(self, account_id: int, mode: int, currency: str, unpriced: str | None, **given: int | None) -> None:
        """Set the `balance` and the `daily_cap`, as far as they are given; None is none."""
        row = (
            account_id, mode, currency, int("balance" in given), given.get("balance"), int("daily_cap" in given),
            given.get("daily_cap"), unpriced, self._clock(),
        )  # fmt: skip
        async with self._turn:
            await self._commit(Step(SQL["set_budget"], [row]))

    async def top_up(self, account_id: int, mode: int, amount: int) -> bool:
        """Add to the balance; False where there is no budget."""
        results = await self._store.commit(plan(Step(SQL["top_up"], [(account_id, mode, amount, self._clock())])))
        return any(row[0] == account_id for row in results[0])

    async def remove(self, account_id: int, mode: int) -> None:
        """From now on it may spend what it likes."""
        async with self._turn:
            await self._commit(Step(SQL["drop_budget"], [(account_id, mode)]))

    async def _commit(self, step: Step) -> None:
        await self._store.commit(plan(step, self._snapshots.bump("budgets")))
        await self._snapshots.changed()

    async def refresh(self) -> None:
        await self._snapshots.refresh()


class Overspending:
    """The gate that refuses what there is no money for, and notes what is taken for the rest."""

    refuses: Statement = SQL["overspent"]
    keeps: Statement | None = SQL["insert_debits"]

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def row(self, ref: int, message: Message) -> Row | None:
        budget = self._budgets.limited(message)
        if budget is None:
            return None
        cost = self._budgets.cost(message)
        if cost is None and budget.unpriced == "pass":
            cost = 0
        return (ref, message.id, message.account_id, message.mode, self._budgets.day, cost)

    def kept(self, message: Message) -> Row | None:
        if self._budgets.limited(message) is None:
            return None
        check_at = message.due_at + CHECK_MS
        cost = self._budgets.cost(message) or 0
        return (message.id, message.account_id, message.mode, self._budgets.day, cost, check_at)

    def refusal(self, message: Message, code: str) -> Refusal:
        cost = self._budgets.cost(message)
        if cost is None:
            return Refusal(code, "No price is known for this number, and the account's spend is bounded.")
        budget = self._budgets.limited(message)
        return Refusal(code, f"It would cost {money.show(cost)} {budget.currency if budget is not None else ''}.")


class Debiting:
    """Takes the money: the other half of `Overspending`. It refuses nothing."""

    refuses: Statement = SQL["overspent"]
    keeps: Statement | None = SQL["debit"]

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def row(self, _ref: int, _message: Message) -> Row | None:
        return None

    def kept(self, message: Message) -> Row | None:
        if self._budgets.limited(message) is None:
            return None
        return (message.id, message.account_id, message.mode, self._budgets.day, self._budgets.cost(message) or 0)

    def refusal(self, _message: Message, code: str) -> Refusal:
        return Refusal(code)


def _patience(message_id: int, now: int) -> int:
    """The older a message, the less likely it is that it ends just now."""
    return min(LATEST_MS, max(CHECK_MS, (now - time_of(message_id)) // 4))
