"""The alerts in memory, and the changes to them.

Owns the table alerts and its snapshot. An alert's events come to it as deliveries, by subscriptions as webhooks have them.
Changes are made to an alert as it was read: None says that another process was first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from columba.alerts.moments import next_digest
from columba.alerts.shapes import Channel, Rule, types_of
from columba.core.model import CARRIER_DOWN, CARRIER_UP, WEBHOOK_DISABLED, WEBHOOK_FAILING, WEBHOOK_RECOVERED
from columba.core.snapshots import Snapshots
from columba.store import Row, Step, Store, plan, statements
from columba.vault import Vault, VaultError

SQL = statements(Path(__file__).with_name("alerts.sql"))
MOST = 200  # of an account in one mode
CHECK_MS = 30_000  # how often a delivery rate is looked at
# What an event is the end of.
ENDS: Mapping[int, tuple[int, ...]] = {
    CARRIER_UP: (CARRIER_DOWN,),
    WEBHOOK_RECOVERED: (WEBHOOK_FAILING, WEBHOOK_DISABLED),
}
log = structlog.get_logger()
_channels = msgspec.json.Decoder(tuple[Channel, ...]).decode
_rule = msgspec.json.Decoder(Rule).decode


class Alert(msgspec.Struct, frozen=True):
    id: int
    account_id: int
    mode: int
    name: str
    enabled: bool
    rule: Rule
    channels: tuple[Channel, ...]
    version: int
    created_at: int
    updated_at: int


def wanted(rule: Rule) -> list[int]:
    """The types of events that come to an alert: those that it names, and the ends of those."""
    named = types_of(rule.on)
    return [*named, *(end for end, begins in ENDS.items() if end not in named and set(begins) & set(named))]


class Alerts:
    def __init__(self, store: Store, snapshots: Snapshots, vault: Vault) -> None:
        self.all: Mapping[int, Alert] = {}
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        snapshots.on("alerts", self._load)

    async def _load(self) -> None:
        found = {}
        for row in await self._store.read(SQL["alerts"]):
            try:
                found[row[0]] = Alert(
                    row[0], row[1], row[2], row[3], bool(row[4]), _rule(row[5]), _channels(self._vault.open(row[6])),
                    *row[7:],
                )  # fmt: skip
            except (VaultError, msgspec.MsgspecError) as error:
                log.error("alert.unreadable", alert=row[0], error=str(error))
        self.all = found

    async def refresh(self) -> None:
        await self._snapshots.refresh()

    def of(self, account_id: int, mode: int) -> list[Alert]:
        """The newest first."""
        return [each for each in reversed([*self.all.values()]) if (each.account_id, each.mode) == (account_id, mode)]

    async def add(
        self, an_id: int, account_id: int, mode: int, name: str, enabled: bool, rule: Rule, channels: Sequence[Channel],
        at: int,
    ) -> Alert:  # fmt: skip
        row = (
            an_id, account_id, mode, name, int(enabled), _text(rule), self._seal(channels), _check_at(rule, enabled, at),
            at,
        )  # fmt: skip
        subscriptions = self._subscriptions(an_id, account_id, mode, rule, enabled)
        await self._store.commit(
            plan(
                Step(SQL["insert_alert"], [row]),
                Step(SQL["insert_subscriptions"], subscriptions, given=0),
                self._snapshots.bump("alerts"),
            )
        )
        await self._snapshots.changed()
        return self.all[an_id]

    async def change(self, was: Alert, at: int, **changes: object) -> Alert | None:
        now: Alert = msgspec.structs.replace(was, updated_at=at, **changes)
        row = (
            now.id, was.version, now.name, int(now.enabled), _text(now.rule), self._seal(now.channels),
            _check_at(now.rule, now.enabled, at), _notify_at(was.rule, now.rule, at), at,
        )  # fmt: skip
        gone: list[Row] = [] if now.enabled else [(now.id,)]  # what is off starts anew
        results = await self._store.commit(
            plan(
                Step(SQL["update_alert"], [row]),
                Step(SQL["delete_subscriptions"], [(now.id,)], given=0),
                Step(
                    SQL["insert_subscriptions"],
                    self._subscriptions(now.id, now.account_id, now.mode, now.rule, now.enabled),
                    given=0,
                ),
                Step(SQL["forget_incidents"], gone, given=0),
                Step(SQL["forget_events"], gone, given=0),
                self._snapshots.bump("alerts"),
            )
        )
        await self._snapshots.changed()
        return self.all.get(now.id) if now.id in {found[0] for found in results[0]} else None

    async def remove(self, alert: Alert) -> None:
        gone = [(alert.id,)]
        await self._store.commit(
            plan(
                Step(SQL["delete_subscriptions"], gone),
                Step(SQL["forget_events"], gone),
                Step(SQL["forget_incidents"], gone),
                Step(SQL["forget_notices"], gone),
                Step(SQL["delete_alert"], gone),
                self._snapshots.bump("alerts"),
            )
        )
        await self._snapshots.changed()

    async def erase(self, account_id: int, mode: int, number: str) -> None:
        """Forget a person's number in what was told."""
        row = (account_id, mode, number)
        await self._store.commit(plan(Step(SQL["erase_incidents"], [row]), Step(SQL["erase_notices"], [row])))

    def _seal(self, channels: Sequence[Channel]) -> str:
        return self._vault.seal(_text(channels))

    @staticmethod
    def _subscriptions(an_id: int, account_id: int, mode: int, rule: Rule, enabled: bool) -> list[Row]:
        return [(an_id, account_id, mode, n) for n in wanted(rule)] if enabled else []


def _check_at(rule: Rule, enabled: bool, at: int) -> int | None:
    return at if enabled and rule.delivery_rate is not None else None


def _notify_at(was: Rule, now: Rule, at: int) -> int | None:
    """When to tell what waits, where it was to be told by another clock."""
    if (was.wait, was.every, was.digest, was.quiet) == (now.wait, now.every, now.digest, now.quiet):
        return None
    return at if now.digest is None else next_digest(now.digest, at)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
