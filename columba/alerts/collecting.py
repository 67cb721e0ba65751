"""From events to notices: what has come to alerts becomes incidents, and those, when it is time, what is told.

Three steps, each of them safe to be taken by any process at any moment: events are taken and counted in one transaction;
a notice is claimed, written down for each recipient and its incidents marked in another; what has not come again for
long is over. Fails with StoreUnavailable, and then it is all still to be done.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from columba.alerts.moments import next_digest, quiet_until
from columba.alerts.room import ENDS, SQL, Alert, Alerts
from columba.alerts.shapes import Channel, Email, Slack, Text, Webhook, types_of
from columba.alerts.telling import Incident, Notice, concerns, notice, tell
from columba.core.ids import Ids
from columba.core.model import Event
from columba.http.egress import EgressError
from columba.http.egress.url import parse_url
from columba.store import Row, Step, Store, StoreUnavailable, plan
from columba.vault import Vault
from columba.webhooks.delivering import event_of

AT_ONCE: Final = 500
MOST_INCIDENTS: Final = 1_000
GATHER_S: Final = 0.2
BEGINS: Final = frozenset(kind for those in ENDS.values() for kind in those)

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Collecting:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        alerts: Alerts,
        vault: Vault,
        send: Callable[[], None],
    ) -> None:
        """`send`: there are notices to be sent."""
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._alerts = alerts
        self._vault = vault
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()

    def made(self, pairs: list[tuple[int, Event]]) -> None:
        """Deliveries that were just committed, perhaps to alerts."""
        alerts = self._alerts.all
        if (
            alerts
            and self._soon is None
            and not self._stopped
            and any(endpoint_id in alerts for endpoint_id, _ in pairs)
        ):
            self._soon = self._loop.call_later(GATHER_S, self._begin)

    def _begin(self) -> None:
        self._soon = None
        task = self._loop.create_task(self._quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self) -> None:
        try:
            await self.collect()
        except StoreUnavailable:
            pass  # the chore does it
        except Exception:
            log.exception("alerts.collect_failed")

    async def stop(self) -> None:
        self._stopped = True
        if self._soon is not None:
            self._soon.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def step(self) -> None:
        """A chore: all of it."""
        await self.collect()
        await self.settle()
        await self.notify()

    # Events

    async def collect(self) -> None:
        """Count what has come."""
        while self._alerts.all:
            alerts: list[Row] = [(an_id,) for an_id in self._alerts.all]
            rows = await self._store.read(SQL["news"], alerts, most=AT_ONCE)
            if rows:
                await self._take(rows)
            if len(rows) < AT_ONCE:
                return

    async def _take(self, rows: Sequence[Row]) -> None:
        now = self._clock()
        taken: list[Row] = []
        began: list[Row] = []
        ended: list[Row] = []
        arms: list[Row] = []
        for row in rows:
            alert_id, event = row[-1], event_of(row[:-1])
            key = f"{alert_id}.{event.id}"
            taken.append((key, alert_id, event.id))
            alert = self._alerts.all.get(alert_id)
            if alert is None or not concerns(alert.rule.where, event):
                continue
            told = tell(event)
            ends = ENDS.get(event.type)
            if ends is not None and set(ends) & set(types_of(alert.rule.on)):
                ended.append((key, alert_id, told.thing, told.latest, event.at))
            else:
                began.append((key, alert_id, told.thing, told.title, told.latest, int(event.type in BEGINS), event.at))
            arms.append(self._arm(key, alert, now))
        await self._store.commit(
            plan(
                Step(SQL["take_news"], taken),
                Step(SQL["open_incidents"], began, given=0),
                Step(SQL["close_incidents"], ended, given=0),
                Step(SQL["arm"], arms, given=0),
            )
        )

    @staticmethod
    def _arm(key: str, alert: Alert, now: int) -> Row:
        rule = alert.rule
        if rule.digest is not None:
            return (key, alert.id, next_digest(rule.digest, now), 0)
        return (key, alert.id, now + rule.wait * 1000, rule.every * 1000)

    async def begin(self, alert: Alert, thing: str, title: str, latest: str) -> None:
        """Something goes wrong that no event tells of; its end is told by `end`."""
        now = self._clock()
        await self._store.commit(
            plan(
                Step(SQL["open_incidents"], [("", alert.id, thing, title, latest, 1, now)]),
                Step(SQL["arm"], [self._arm("", alert, now)]),
            )
        )

    async def end(self, alerts: Iterable[Alert], thing: str, why: str) -> None:
        """It is over."""
        now = self._clock()
        those = list(alerts)
        await self._store.commit(
            plan(
                Step(SQL["close_incidents"], [("", alert.id, thing, why, now) for alert in those]),
                Step(SQL["arm"], [self._arm("", alert, now) for alert in those]),
            )
        )

    async def settle(self) -> None:
        """End what has not come again for long."""
        now = self._clock()
        rows: list[Row] = [
            (each.id, now - each.rule.settle * 1000) for each in self._alerts.all.values() if each.enabled
        ]
        for alert_id, thing in await self._store.read(SQL["settled"], rows) if rows else ():
            alert = self._alerts.all[alert_id]
            await self.end([alert], thing, f"It has not come again for {_span(alert.rule.settle)}.")

    # Notices

    async def notify(self) -> None:
        """Write down what is to be told now."""
        now = self._clock()
        for alert_id, due in await self._store.read(SQL["due_alerts"], now=now, most=AT_ONCE):
            alert = self._alerts.all.get(alert_id)
            if alert is None or not alert.enabled:
                await self._store.commit(plan(Step(SQL["nothing_to_tell"], [(alert_id, due)])))
                continue
            until = quiet_until(alert.rule.quiet, now)
            if until is not None:
                await self._store.commit(plan(Step(SQL["postpone"], [(alert_id, due, until)])))
            else:
                await self._notify(alert, due, now)

    async def _notify(self, alert: Alert, due: int, now: int) -> None:
        found = [
            Incident(*row) for row in await self._store.read(SQL["incidents"], alert_id=alert.id, most=MOST_INCIDENTS)
        ]
        told = notice(alert.id, alert.name, alert.account_id, found, now, alert.rule.recovery)
        over: list[Row] = [
            (alert.id, each.thing, each.times, each.closed_at) for each in found if each.closed_at is not None
        ]
        if told is None:
            await self._store.commit(
                plan(Step(SQL["nothing_to_tell"], [(alert.id, due)]), Step(SQL["forget_closed"], over))
            )
            return
        digest = alert.rule.digest
        again = now + alert.rule.every * 1000 if digest is None else next_digest(digest, now + 60_000)
        results = await self._store.commit(
            plan(
                Step(SQL["claim_notice"], [(alert.id, due, now)]),
                Step(SQL["insert_notices"], self.rows(alert, told, now), given=0),
                Step(SQL["mark_told"], [(alert.id, each.thing, each.times) for each in found], given=0),
                Step(SQL["forget_closed"], over, given=0),
                Step(SQL["arm_again"], [(alert.id, again)], given=0),
            )
        )
        if alert.id in {row[0] for row in results[0]}:
            self._send()

    def rows(self, alert: Alert, told: Notice, now: int) -> list[Row]:
        """A notice for each recipient of each channel."""
        text = _encode(told).decode()
        return [
            (
                alert.id, self._ids(), alert.account_id, alert.mode, kind_of(channel), recipient,
                self._vault.seal(_encode(channel).decode()), text, 0, 0, now, None, now,
            )
            for channel, recipient in recipients(alert.channels)
        ]  # fmt: skip


def kind_of(channel: Channel) -> str:
    return str(channel.__struct_config__.tag)


def recipients(channels: Iterable[Channel]) -> list[tuple[Channel, str]]:
    """Each channel to one recipient, with what to call them."""
    found: list[tuple[Channel, str]] = []
    for channel in channels:
        if isinstance(channel, Email | Text):
            found += [(msgspec.structs.replace(channel, to=[each]), each) for each in dict.fromkeys(channel.to)]
        else:
            found.append((channel, host_of(channel)))
    return found


def host_of(channel: Webhook | Slack) -> str:
    try:
        return parse_url(channel.url).host
    except EgressError:
        return ""


def _span(seconds: int) -> str:
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
