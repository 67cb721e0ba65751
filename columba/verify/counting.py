"""Counting: what was sent and entered, and whom the guard blocks by it, in the store.

A send is counted in the transaction that makes it, if the guard lets it there. Fails with Refusals.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from columba.core import events
from columba.core.ids import Ids
from columba.core.model import VERIFICATION_BLOCKED, Event, rfc3339
from columba.errors import Refusal
from columba.store import Row, Step, Store, plan
from columba.verify import guard
from columba.verify.found import SQL
from columba.verify.guard import Limit

# The places of the guard's steps in a plan: a level each, then what they block, then what is done if they let it.
JUDGE: Final = SQL["judge_counts"]
JUDGES: Final = tuple(range(1, guard.LEVELS + 1))
BLOCKS: Final = tuple(Step(SQL["block_counts"], feed=place) for place in JUDGES)
KEPT: Final = 2 * guard.LEVELS + 1
KNOWN_BLOCKS: Final = 10_000
TRUSTED_MS: Final = 2_000  # how long a block is believed without asking the store again
SWEPT_AT_ONCE, MOST_SWEEPS = 500, 200
AT_ONCE: Final = 500

log = structlog.get_logger()
Who = tuple[int, int]


class Counting:
    def __init__(self, store: Store, new_id: Ids, clock: Callable[[], int], publisher: events.Publisher) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._blocked: dict[tuple[int, int, str], tuple[int, int, str]] = {}

    def check_known(self, who: Who, limits: Sequence[Limit], now: int) -> None:
        """Refuse from memory what the store refused a moment ago: an attack is not to reach it."""
        if self._blocked:
            for each in limits:
                known = self._blocked.get((*who, each.key))
                if known is not None:
                    if now < known[0]:
                        raise _refusal(each.key, known[2], known[1], now)
                    del self._blocked[(*who, each.key)]

    async def admit(self, who: Who, ref: int, limits: Sequence[Limit], keep: Step, now: int) -> bool:
        """Do what `keep` does, and count a send, if the guard lets it; whether it was done. Refusal by the guard."""
        judged = [(ref, *who, each.key, now, each.window_ms, each.pace, each.spare, each.weight) for each in limits]
        by_level: list[list[Row]] = [[] for _ in JUDGES]
        for each, judging in zip(limits, judged, strict=True):
            by_level[each.level].append(judging)
        levels = [Step(JUDGE, rows, missing=JUDGES[:level] or None) for level, rows in enumerate(by_level)]
        results = await self._store.commit(
            plan(
                Step(SQL["touch_counts"], judged),
                *levels,
                *BLOCKS,
                keep._replace(missing=JUDGES),
                Step(SQL["count_sends"], [(ref, *who, each.key, each.weight) for each in limits], given=KEPT),
            ),
            apart=True,
        )
        for place in JUDGES:
            for found in results[place]:
                if found[0] == ref:
                    _, key, why, until, *_ = found
                    if len(self._blocked) >= KNOWN_BLOCKS:
                        self._blocked.clear()
                    self._blocked[(*who, key)] = (min(until, now + TRUSTED_MS), until, why)
                    raise _refusal(key, why, until, now)
        return any(row[0] == ref for row in results[KEPT])

    async def unblock(self, who: Who, key: str) -> bool:
        """Let those be sent codes again; False where they were not blocked."""
        self._blocked.pop((*who, key), None)
        results = await self._store.commit(plan(Step(SQL["unblock"], [(*who, key)])))
        return any(row[0] == key for row in results[0])

    def forget(self, now: int) -> None:
        """Memory keeps nobody for long."""
        for key in [key for key, known in self._blocked.items() if known[0] <= now]:
            del self._blocked[key]

    async def report(self) -> int:
        """Tell accounts of what was blocked: a chore. How many blocks that were."""
        rows = await self._store.read(SQL["unreported_blocks"], most=AT_ONCE)
        if not rows:
            return 0
        now = self._clock()
        held: list[Row] = []
        made: list[Row] = []
        happened: dict[int, Event] = {}
        for account_id, mode, key, until, sent, entered in rows:
            ref = self._ids()
            data = {**guard.what(key), "sent": sent, "unentered": sent - entered, "until": rfc3339(until)}
            event = Event(self._ids(), account_id, mode, VERIFICATION_BLOCKED, ref, now, data)
            held.append((ref, account_id, mode, key))
            made.append(events.row(event))
            happened[event.id] = event
            log.warning("verify.blocked", account=account_id, kind=data["kind"], sent=sent, entered=entered)
        results = await self._store.commit(
            plan(
                Step(SQL["hold_blocks"], held),
                Step(SQL["report_blocks"], held, given=0),
                *events.steps(made, 2, given=0),
            )
        )
        self._publisher.published(results[3], happened)
        return len(rows)

    async def sweep(self) -> None:
        """Forget counts that have not been touched for days: a chore."""
        now = self._clock()
        for _ in range(MOST_SWEEPS):
            results = await self._store.commit(plan(Step(SQL["sweep_counts"], [(now - 3 * guard.DAY, now)])))
            if len(results[0]) < SWEPT_AT_ONCE:
                return


def uncounted(ref: int, who: Who, limits: Sequence[Limit]) -> tuple[Step, Step]:
    """A send was counted that was not made."""
    rows = [(ref, *who, each.key, -each.weight) for each in limits]
    return Step(SQL["hold_counts"], rows), Step(SQL["count_sends"], rows)


def _refusal(key: str, why: str, until: int, now: int) -> Refusal:
    wait = max(1, (until - now) // 1000)
    if why == "pace":
        return Refusal("too_many_attempts", f"Too many codes for this {guard.what(key)['kind']}.", retry_after=wait)
    return Refusal("blocked", "Too many codes sent to such numbers were never entered.", retry_after=min(wait, 3600))
