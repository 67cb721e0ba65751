"""How long texts, media, numbers and messages are kept: what is older goes, a small batch at a time.

An account says so by class of message. How far each sweep has come is noted with what it did, so that none begins from the
start again; messages that have not ended yet are noted aside, and looked at again. One process does it for all. Fails with
StoreUnavailable alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from columba.core import ids, model, status
from columba.core.model import Extra
from columba.numbers import mask
from columba.policies import Policy
from columba.privacy.holding import Parts
from columba.privacy.people import SQL, erasing
from columba.privacy.shapes import Retention
from columba.store import Row, Step, Store, plan

AT_ONCE: Final = 500
MOST_STEPS: Final = 40  # batches of one kind, before it is another's turn
REST: Final = 4  # times what a batch took: the store is the main path's for most of the time
LEAST_REST_S, LONGEST_REST_S = 0.01, 5.0
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
WHAT: Final = ("bodies", "media", "numbers", "messages")

Place = tuple[int, int, int, str]  # account, mode, class, what
InForce = tuple[tuple[str, int, int], ...]  # what, class, days
_extra = msgspec.json.Decoder(Extra).decode


def in_force(retention: Retention, _mode: int) -> InForce:
    return tuple(
        (what, klass, days)
        for what in WHAT
        for klass, name in enumerate(status.CLASSES)
        if (days := getattr(getattr(retention, what), name)) is not None
    )


def policy() -> Policy[Retention, InForce]:
    return Policy("retention", Retention, in_force, Retention())


class Sweeping:
    """`beside_...` are the steps for what others keep of messages' texts, of their media, and of messages as a whole.

    `live_days`: what a message set in motion and nobody touched for so long is not waited for; 0 waits for ever.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        rules: Policy[Retention, InForce],
        accounts: Callable[[], Sequence[int]],
        beside_bodies: Sequence[Parts],
        beside_media: Sequence[Parts],
        beside_messages: Sequence[Parts],
        live_days: int,
        is_first: Callable[[], bool],
    ) -> None:
        self.rules = rules
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._beside = {"bodies": beside_bodies, "media": beside_media, "numbers": (), "messages": beside_messages}
        self._live_days = live_days
        self._is_first = is_first
        self.swept: dict[str, int] = {}  # messages that were dealt with, by what went of them
        self._again: dict[Place, int] = {}  # how far we are with those that had not ended
        self._forgot = 0
        self._loop = asyncio.get_running_loop()

    async def step(self) -> int:
        """Let go what is too old: a chore. How many messages were dealt with."""
        done, more = 0, self._is_first()
        forgetting = more and self._clock() - self._forgot >= HOUR_MS
        while more:
            more = False
            for account_id in self._accounts():
                for mode in (status.TEST, status.LIVE):
                    for what, klass, days in self.rules.of(account_id, mode):
                        place = (account_id, mode, klass, what)
                        some, finished = await self._turn(place, ids.first_at(self._clock() - days * DAY_MS))
                        done += some
                        more = more or not finished
                        if forgetting:
                            await self._store.commit(plan(Step(SQL["forget_left"], [place])))
            if forgetting:
                self._forgot, forgetting = self._clock(), False
        return done

    async def _turn(self, place: Place, before: int) -> tuple[int, bool]:
        """Some batches of one kind: with how many messages was dealt, and whether that is all."""
        account_id, mode, klass, what = place
        done = 0
        if (what, klass) == ("numbers", status.OTP):
            done += await self._verifications(account_id, mode, before)
        for _ in range(MOST_STEPS):
            began = self._loop.time()
            some = await (self._sweep_messages if what == "messages" else self._sweep)(place, before)
            if some is None:
                return done, True
            done += some
            self.swept[what] = self.swept.get(what, 0) + some
            await asyncio.sleep(min(LONGEST_REST_S, max(LEAST_REST_S, REST * (self._loop.time() - began))))
        return done, False

    async def _verifications(self, account_id: int, mode: int, before: int) -> int:
        """Verifications are about numbers alone: they go with those of codes."""
        step = Step(SQL["age_verifications"], [(account_id, mode, before)])
        return len((await self._store.commit(plan(step)))[0])

    async def _upto(self, place: Place) -> int:
        account_id, mode, klass, what = place
        swept = await self._store.read(SQL["swept"], account_id=account_id, mode=mode)
        return next((row[2] for row in swept if (row[0], row[1]) == (klass, what)), 0)

    async def _sweep(self, place: Place, before: int) -> int | None:
        """Some of one kind; None when there are none."""
        account_id, mode, klass, what = place
        upto = await self._upto(place)
        given = {"account_id": account_id, "mode": mode, "class": klass, "most": AT_ONCE}
        rows = await self._store.read(SQL["aged"], (), after=upto, before=before, **given)
        again = await self._store.read(SQL["aged_left"], (), what=what, **given)
        if not rows and not again:
            return None
        ended = [row for row in rows if row[2] >= status.SENT] + again
        left = [(*place, row[0]) for row in rows if row[2] < status.SENT]
        await self._store.commit(
            plan(
                *self._steps(what, ended),
                Step(SQL["set_swept"], [(*place, rows[-1][0])] if rows else []),
                Step(SQL["leave"], left),
                Step(SQL["unleave"], [(*place, row[0]) for row in again]),
            )
        )
        return len(ended)

    async def _sweep_messages(self, place: Place, before: int) -> int | None:
        """Some messages, with all that hangs on them; then those that had not ended when it was their turn."""
        account_id, mode, klass, what = place
        given = {"account_id": account_id, "mode": mode, "class": klass, "most": AT_ONCE}
        rows = await self._store.read(SQL["aged"], (), after=await self._upto(place), before=before, **given)
        if rows:
            over, left = await self._over(rows)
            noted = [
                Step(SQL["set_swept"], [(*place, rows[-1][0])]),
                Step(SQL["leave"], [(*place, an_id) for an_id in left]),
            ]
        else:
            rows = await self._store.read(SQL["left_after"], (), what=what, after=self._again.get(place, 0), **given)
            self._again[place] = rows[-1][0] if rows else 0
            if not rows:
                return None
            over, _ = await self._over(rows)
            noted = [Step(SQL["unleave"], [(*place, row[0]) for row in over])]
        tags = [(row[0], account_id, mode, tag) for row in over if row[5] for tag in _extra(row[5]).tags or ()]
        beside = [step for parts in self._beside[what] for step in parts([row[0] for row in over])]
        gone = [(row[0],) for row in over]
        costs = Step(SQL["sweep_costs"], gone, given=0)
        await self._store.commit(plan(*erasing(gone, tags, beside), costs, *noted))
        return len(over)

    async def _over(self, rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
        """Those with which nothing is to be done any more, and the others."""
        since = self._clock() - self._live_days * DAY_MS if self._live_days else 0
        found = await self._store.read(SQL["over_messages"], [(row[0], since) for row in rows])
        those = {row[0] for row in found}
        return [row for row in rows if row[0] in those], [row[0] for row in rows if row[0] not in those]

    def _steps(self, what: str, rows: Sequence[Row]) -> list[Step]:
        if what == "numbers":
            aged = [
                (an_id, mask(to), sender) if direction == status.OUTBOUND else (an_id, to, mask(sender))
                for an_id, direction, _, to, sender, _ in rows
            ]
            return [Step(SQL["age_numbers"], aged)]
        extras = [(row[0], model.extra_text(self._aged(what, row[5]))) for row in rows]
        beside = [step for parts in self._beside[what] for step in parts([row[0] for row in rows])]
        return [Step(SQL["age_bodies" if what == "bodies" else "age_extra"], extras), *beside]

    def _aged(self, what: str, text: str | None) -> Extra:
        extra = model.NO_EXTRA if text is None else _extra(text)
        if what == "media":
            return msgspec.structs.replace(extra, media=None)
        return msgspec.structs.replace(extra, metadata=None, redacted_at=extra.redacted_at or self._clock())
