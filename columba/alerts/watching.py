"""What no transaction tells: carriers that are down, and messages that don't arrive as they should.

A carrier is down when none of its sessions has been up for GRACE_MS; that, and that it is up again, become events, once,
whichever processes notice. Delivery rates are looked at now and then, by one process each time.
"""

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from columba.alerts.collecting import Collecting
from columba.alerts.room import CHECK_MS, SQL, Alert, Alerts
from columba.alerts.shapes import DeliveryRate
from columba.alerts.telling import RATE
from columba.core import events, ids, status
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.model import CARRIER_DOWN, CARRIER_UP, Event, rfc3339
from columba.routing.states import States, state_of
from columba.store import Row, Step, Store, plan

GRACE_MS: Final = 15_000
SAMPLE: Final = 10_000  # messages that a rate is taken from, the newest

log = structlog.get_logger()


class Watching:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        carriers: Callable[[], Mapping[int, Carrier]],
        problem: Callable[[int], str],
        states: States,
        alerts: Alerts,
        collecting: Collecting,
    ) -> None:
        """`problem`: why a carrier's configuration can't be used, or nothing."""
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._carriers = carriers
        self._problem = problem
        self._states = states
        self._alerts = alerts
        self._collecting = collecting
        self._down: dict[int, int] = {}  # since when, as this process has seen it

    # Carriers

    async def carriers(self) -> None:
        """A chore: tell what has gone down, or is up again."""
        now = self._clock()
        all_of_them = self._carriers()
        used = [each for each in all_of_them.values() if each.account_id is not None and each.state == "on"]
        known = {row[0]: bool(row[1]) for row in await self._store.read(SQL["watched"])}
        sessions = await self._states.of(used) if used else {}
        for carrier in used:
            state, why = state_of(carrier, sessions[carrier.id], self._problem(carrier.id))
            if state != "down":
                self._down.pop(carrier.id, None)
            if state == "down":
                since = self._down.setdefault(carrier.id, now)
                if known.get(carrier.id, True) and now - since >= GRACE_MS:
                    await self._tell(carrier, CARRIER_DOWN, why, since, now)
            elif state == "up" and known.get(carrier.id) is False:
                await self._tell(carrier, CARRIER_UP, why, now, now)
        await self._forget(known, {carrier.id for carrier in used}, all_of_them)

    async def _tell(self, carrier: Carrier, kind: int, why: str, since: int, now: int) -> None:
        up = kind == CARRIER_UP
        data = {
            "id": ids.show("car", carrier.id), "name": carrier.name, "kind": carrier.kind,
            "state": "up" if up else "down", "why": why or None, "since": rfc3339(since),
        }  # fmt: skip
        account_id = carrier.account_id or 0
        event = Event(self._ids(), account_id, carrier.mode, kind, carrier.id, now, data)
        results = await self._store.commit(
            plan(Step(SQL["watch"], [(carrier.id, int(up), now)]), *events.steps([events.row(event)], 1, given=0))
        )
        if carrier.id in {row[0] for row in results[0]}:
            if up:
                log.info("carrier.up", carrier=carrier.name)
            else:
                log.warning("carrier.down", carrier=carrier.name, why=why)
            self._publisher.published(results[2], {event.id: event})

    async def _forget(self, known: Mapping[int, bool], used: set[int], all_of_them: Mapping[int, Carrier]) -> None:
        """One that was down, and is not to be up any more."""
        for carrier_id, up in known.items():
            if carrier_id in used:
                continue
            self._down.pop(carrier_id, None)
            await self._store.commit(plan(Step(SQL["unwatch"], [(carrier_id,)])))
            if not up:
                paused = carrier_id in all_of_them and all_of_them[carrier_id].state == "paused"
                why = "It was paused." if paused else "It is not in use any more."
                thing = f"carrier {ids.show('car', carrier_id)}"
                await self._collecting.end(self._alerts.all.values(), thing, why)

    # Delivery rates

    async def rates(self) -> None:
        """A chore: look at the rates that are due."""
        now = self._clock()
        watched = [each for each in self._alerts.all.values() if each.enabled and each.rule.delivery_rate is not None]
        if not watched:
            return
        claims: list[Row] = [(each.id, now, now + CHECK_MS) for each in watched]
        mine = {row[0] for row in (await self._store.commit(plan(Step(SQL["claim_check"], claims))))[0]}
        for alert in watched:
            if alert.id in mine and alert.rule.delivery_rate is not None:
                await self._rate(alert, alert.rule.delivery_rate, now)

    async def _rate(self, alert: Alert, wanted: DeliveryRate, now: int) -> None:
        lane = ids.read("car", wanted.carrier) if wanted.carrier is not None else 0
        ((delivered, ended),) = await self._store.read(
            SQL["rate"], account_id=alert.account_id, mode=alert.mode, after=ids.first_at(now - wanted.window * 1000),
            first_lane=lane or 0, most=SAMPLE, klass=_class(wanted),
        )  # fmt: skip
        incidents = await self._store.read(SQL["incidents"], alert_id=alert.id, most=1_000)
        is_open = any(row[0] == RATE and row[7] is None for row in incidents)
        share = f"{delivered} of {ended} were delivered ({100 * delivered / ended:.0f} %)" if ended else ""
        if ended >= wanted.least and delivered < wanted.below * ended:
            if not is_open:
                title = f"Fewer than {100 * wanted.below:g} % of messages are delivered"
                await self._collecting.begin(alert, RATE, title, share)
        elif is_open and (ended >= wanted.least or not ended):
            await self._collecting.end([alert], RATE, f"{share or 'Nothing was sent'}.")


def _class(wanted: DeliveryRate) -> int:
    return -1 if wanted.class_ is None else status.CLASSES.index(wanted.class_)
