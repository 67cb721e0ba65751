"""Second carriers: a code whose text is not known to have arrived goes once more, the same code, over another carrier.

Each send is looked at once, when its time has come; whoever takes it from the store decides, so no two processes send it
again. Where no other carrier would take it, nothing happens. Fails with StoreUnavailable; a later step goes on.
"""

from collections.abc import Callable, Collection
from typing import Final

import structlog

from columba.core import status
from columba.core.accept import Route
from columba.core.model import Message
from columba.core.submission import Caller
from columba.errors import Refusal
from columba.store import Step, Store, plan
from columba.verify.found import SQL
from columba.verify.verifying import Verifying

AT_ONCE: Final = 200
UNDECIDED: Final = (status.SENT, status.UNKNOWN)

Another = Callable[[Message, Collection[int]], int | Refusal]
"""The lane of a carrier other than these."""

log = structlog.get_logger()


class SecondCarriers:
    def __init__(self, store: Store, clock: Callable[[], int], verifying: Verifying) -> None:
        self.sent_again = 0
        self._store = store
        self._clock = clock
        self._verifying = verifying

    async def step(self) -> int:
        """Look at those whose time has come: a chore. How many were sent again."""
        rows = await self._store.read(SQL["due_seconds"], now=self._clock(), most=AT_ONCE)
        if not rows:
            return 0
        results = await self._store.commit(plan(Step(SQL["take_seconds"], [(row[0], row[3]) for row in rows])))
        mine = {row[0] for row in results[0]}
        again = 0
        for an_id, account_id, mode, _, became in rows:
            if an_id in mine and became in UNDECIDED:
                again += await self._again(account_id, mode, an_id)
        self.sent_again += again
        return again

    async def _again(self, account_id: int, mode: int, an_id: int) -> bool:
        found = await self._verifying.find((account_id, mode), an_id)
        if found is None:
            return False
        carriers = await self._store.read(SQL["carriers_of"], message_id=found.message_id)
        tried = frozenset(row[0] for row in carriers)
        if not tried:
            return False
        try:
            await self._verifying.resend(Caller(account_id, mode), found, tried=tried)
        except Refusal as refusal:  # no other carrier, or as often as it may be: the person can ask for another
            log.info("verify.no_second_carrier", verification=an_id, code=refusal.code)
            return False
        return True


def around(tried: dict[int, frozenset[int]], route: Route, another: Another) -> Route:
    """`route`, but for messages that some carriers have tried in vain."""

    def choose(message: Message) -> int | Refusal:
        if tried and (before := tried.get(message.id)) is not None:
            return another(message, before)
        return route(message)

    return choose
