"""How long texts, media and numbers are kept: what is older goes, a small batch at a time.

An account says so by class of message. How far each sweep has come is noted with what it did, so that none begins from the
start again; messages that have not ended yet are noted aside, and looked at again. Fails with StoreUnavailable alone.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from columba.core import ids, model, status
from columba.core.model import Extra
from columba.numbers import mask
from columba.policies import Policy
from columba.privacy.holding import Parts
from columba.privacy.people import SQL
from columba.privacy.shapes import Retention
from columba.store import Row, Step, Store, plan

AT_ONCE: Final = 500
MOST_STEPS: Final = 40  # batches in one run of the chore
DAY_MS: Final = 86_400_000
WHAT: Final = ("bodies", "media", "numbers")

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
    """`beside_bodies` and `beside_media` are the steps for what others keep of messages' texts and media."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        rules: Policy[Retention, InForce],
        accounts: Callable[[], Sequence[int]],
        beside_bodies: Sequence[Parts],
        beside_media: Sequence[Parts],
    ) -> None:
        self.rules = rules
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._beside = {"bodies": beside_bodies, "media": beside_media, "numbers": ()}

    async def step(self) -> int:
        """Let go what is too old: a chore. How many messages were dealt with."""
        done = steps = 0
        for account_id in self._accounts():
            for mode in (status.TEST, status.LIVE):
                for what, klass, days in self.rules.of(account_id, mode):
                    before = ids.first_at(self._clock() - days * DAY_MS)
                    if (what, klass) == ("numbers", status.OTP):
                        done += await self._verifications(account_id, mode, before)
                    while steps < MOST_STEPS:
                        steps += 1
                        some = await self._sweep((account_id, mode, klass, what), before)
                        if some is None:
                            break
                        done += some
        return done

    async def _verifications(self, account_id: int, mode: int, before: int) -> int:
        """Verifications are about numbers alone: they go with those of codes."""
        step = Step(SQL["age_verifications"], [(account_id, mode, before)])
        return len((await self._store.commit(plan(step)))[0])

    async def _sweep(self, place: tuple[int, int, int, str], before: int) -> int | None:
        """Some of one kind; None when there are none."""
        account_id, mode, klass, what = place
        swept = await self._store.read(SQL["swept"], account_id=account_id, mode=mode)
        upto = next((row[2] for row in swept if (row[0], row[1]) == (klass, what)), 0)
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
