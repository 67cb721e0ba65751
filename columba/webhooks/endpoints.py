"""Webhook endpoints: who wants which events, where, and signed with what.

Owns the tables webhooks and subscriptions, and the snapshot of them that the lanes use. An endpoint of kind `callback`
is made by itself for the origin of a message's `callback_url`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from columba.core import events, ids
from columba.core.model import TYPES
from columba.core.snapshots import Snapshots
from columba.store import Step, Store, plan, statements
from columba.vault import Vault
from columba.webhooks.signature import decode_secret, new_secret

SQL = statements(Path(__file__).with_name("webhooks.sql"))
# Svix's schedule: seconds after each failed attempt.
SCHEDULE = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an endpoint is called, where it differs from the usual."""

    retry_schedule: tuple[int, ...] = SCHEDULE
    timeout: float = 15.0
    concurrency: int = 64


class Endpoint(msgspec.Struct, frozen=True):
    id: int
    account_id: int
    mode: int
    kind: str
    url: str
    events: tuple[str, ...]
    description: str
    settings: Settings
    secret: str
    previous_secret: str | None
    previous_until: int | None
    state: str
    reason: str | None
    failing_since: int | None
    created_at: int
    updated_at: int

    def keys(self, now: int) -> list[bytes]:
        """What to sign with: two secrets while one replaces the other."""
        keys = [decode_secret(self.secret)]
        if self.previous_secret is not None and now < (self.previous_until or 0):
            keys.append(decode_secret(self.previous_secret))
        return keys


def types_of(patterns: Sequence[str]) -> list[int]:
    """The event types that patterns such as `message.*` name."""
    return [
        number
        for number, name in TYPES.items()
        if any(p == name or p == "*" or (p.endswith(".*") and name.startswith(p[:-1])) for p in patterns)
    ]


class Endpoints:
    """The endpoints in memory, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, vault: Vault) -> None:
        self.all: Mapping[int, Endpoint] = {}
        self._callbacks: dict[tuple[int, int, str], int] = {}
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        snapshots.on("webhooks", self._load)

    async def _load(self) -> None:
        rows = await self._store.read(SQL["endpoints"])
        known = self.all
        found: dict[int, Endpoint] = {}
        for row in rows:
            was = known.get(row[0])
            if was is not None and was.updated_at == row[15]:
                found[was.id] = was
                continue
            found[row[0]] = Endpoint(
                row[0], row[1], row[2], row[3], row[4], tuple(msgspec.json.decode(row[5])), row[6],
                msgspec.json.decode(row[7], type=Settings), self._vault.open(row[8]),
                self._vault.open(row[9]) if row[9] else None, *row[10:],
            )  # fmt: skip
        self.all = found
        self._callbacks = {(e.account_id, e.mode, e.url): e.id for e in found.values() if e.kind == "callback"}

    def of(self, account_id: int, mode: int) -> list[Endpoint]:
        return [e for e in self.all.values() if e.account_id == account_id and e.mode == mode and e.kind == "endpoint"]

    async def add(
        self, an_id: int, account_id: int, mode: int, url: str, patterns: Sequence[str], description: str,
        settings: Settings, at: int, random: bytes, kind: str = "endpoint",
    ) -> Endpoint | None:  # fmt: skip
        row = (
            an_id, account_id, mode, kind, url, _text(list(patterns)), description, _text(settings),
            self._vault.seal(new_secret(random)), at,
        )  # fmt: skip
        subscriptions = [(an_id, account_id, mode, number) for number in types_of(patterns)]
        await self._store.commit(
            plan(
                Step(SQL["insert_endpoint"], [row]),
                Step(SQL["insert_subscriptions"], subscriptions, given=0),
                self._snapshots.bump("webhooks"),
            )
        )
        await self._snapshots.changed()
        return self.all.get(an_id)

    async def change(self, changed: Endpoint) -> None:
        """Store an endpoint as it now is. Its subscriptions follow; a disabled one has none."""
        e = changed
        row = (
            e.id, e.url, _text(list(e.events)), e.description, _text(e.settings), self._vault.seal(e.secret),
            self._vault.seal(e.previous_secret) if e.previous_secret else None, e.previous_until, e.state, e.reason,
            e.failing_since, e.updated_at,
        )  # fmt: skip
        wanted = types_of(e.events) if e.state == "enabled" else []
        await self._store.commit(
            plan(
                Step(SQL["update_endpoint"], [row]),
                Step(SQL["delete_subscriptions"], [(e.id,)]),
                Step(SQL["insert_subscriptions"], [(e.id, e.account_id, e.mode, n) for n in wanted]),
                self._snapshots.bump("webhooks"),
            )
        )
        await self._snapshots.changed()

    async def remove(self, an_id: int) -> None:
        one = [(an_id,)]
        await self._store.commit(
            plan(
                Step(SQL["delete_endpoint"], one),
                Step(SQL["delete_subscriptions"], one),
                Step(SQL["delete_deliveries"], one),
                Step(SQL["delete_attempts"], one),
                self._snapshots.bump("webhooks"),
            )
        )
        await self._snapshots.changed()

    async def callback(self, account_id: int, mode: int, url: str, an_id: int, at: int, random: bytes) -> int:
        """The endpoint for the origin of a message's callback_url, made when it is new."""
        origin = origin_of(url)
        found = self._callbacks.get((account_id, mode, origin))
        if found is not None:
            return found
        await self.add(an_id, account_id, mode, origin, (), "", Settings(), at, random, kind="callback")
        rows = await self._store.read(SQL["find_callback"], account_id=account_id, mode=mode, url=origin)
        return int(rows[0][0])

    def known_callback(self, account_id: int, mode: int, url: str) -> int | None:
        return self._callbacks.get((account_id, mode, origin_of(url)))


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


__all__ = ["SQL", "Endpoint", "Endpoints", "Settings", "events", "ids", "origin_of", "types_of"]
