"""Webhook endpoints: who wants which events, where, and signed with what.

Owns the tables webhooks and subscriptions, and the snapshot of them that the lanes use. Changes are made to an endpoint
as it was read: one that another process changed meanwhile is not changed, and None says so.

An endpoint of kind `callback` stands for an origin that messages named in their `callback_url`. The first one of an
account (in each of its modes) takes all origins and holds the secret that signs for all of them; each further origin
has one of its own, so that a dead one slows no other, up to MOST_CALLBACKS.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from columba.core import ids
from columba.core.model import TYPES, WEBHOOK_TEST
from columba.core.snapshots import Snapshots
from columba.errors import FieldError, Refusal
from columba.http.egress import EgressError
from columba.http.egress.url import parse_url
from columba.store import Row, Step, Store, plan, statements
from columba.vault import Vault
from columba.webhooks.signature import decode_secret, new_secret

SQL = statements(Path(__file__).with_name("webhooks.sql"))
SCHEDULE = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)  # seconds after each failed attempt
OVERLAP_MS = 24 * 3_600_000  # for which a replaced secret goes on signing
MOST_ENDPOINTS, MOST_CALLBACKS = 1_000, 200  # of an account in one mode
ANY_ORIGIN = "*"
SWEEP = 2_000  # deliveries deleted in one transaction

BY_REQUEST, IS_GONE, FAILED_FOR_LONG = "by_request", "gone", "failing"
REASONS = {
    BY_REQUEST: "It was disabled by request.",
    IS_GONE: "The server answered 410: the address is gone.",
    FAILED_FOR_LONG: "Every attempt failed for five days.",
}


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
    created_at: int
    updated_at: int

    @property
    def enabled(self) -> bool:
        return self.state == "enabled"

    def rotating(self, now: int) -> bool:
        return self.previous_secret is not None and now < (self.previous_until or 0)

    def keys(self, now: int) -> list[bytes]:
        """What to sign with: two secrets while one replaces the other."""
        keys = [decode_secret(self.secret)]
        if self.previous_secret is not None and self.rotating(now):
            keys.append(decode_secret(self.previous_secret))
        return keys


def delivery_id(endpoint_id: int, event_id: int) -> str:
    """`dlv_...`: the event's number and the endpoint's, which together are the delivery's."""
    return ids.show("dlv", event_id) + ids.show("", endpoint_id)[1:]


def read_delivery_id(text: str) -> tuple[int, int] | None:
    """The endpoint's number and the event's."""
    event_id, endpoint_id = ids.read("dlv", text[:17]), ids.read("", f"_{text[17:]}")
    return None if event_id is None or endpoint_id is None else (endpoint_id, event_id)


def matches(pattern: str, name: str) -> bool:
    return pattern in (name, "*") or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


def types_of(patterns: Sequence[str]) -> list[int]:
    """The event types that patterns such as `message.*` subscribe to. A test goes to the tested endpoint alone."""
    return [n for n, name in TYPES.items() if n != WEBHOOK_TEST and any(matches(p, name) for p in patterns)]


def check_patterns(patterns: Sequence[str]) -> Iterable[FieldError]:
    """Those that no type matches, with all that there are."""
    for index, pattern in enumerate(patterns):
        if not any(matches(pattern, name) for name in TYPES.values()):
            detail = f"There is no event type {pattern}. There are {', '.join(TYPES.values())}, and patterns: *"
            families = dict.fromkeys(name.partition(".")[0] for name in TYPES.values())
            yield FieldError(
                f"events[{index}]", "invalid_value", ", ".join([detail, *(f"{each}.*" for each in families)]) + "."
            )


def url_problem(field: str, problem: EgressError) -> FieldError:
    """Why a URL can't be taken, as a problem of its field."""
    if problem.kind == "forbidden_address":
        detail = f"{problem.detail} Use a public address, or have the operator allow it with --allow-network."
        return FieldError(field, "forbidden_url", detail)
    return FieldError(field, "invalid_url", problem.detail)


def origin_of(url: str) -> str:
    """Scheme, host and port, in one spelling; Refusal for what is no URL."""
    try:
        target = parse_url(url)
    except EgressError as problem:
        raise Refusal("invalid_request", errors=[url_problem("callback_url", problem)]) from None
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{'https' if target.tls else 'http'}://{host}:{target.port}"


def replaced(was: Endpoint, secret: str, now: int) -> dict[str, object]:
    """What changes with another secret: the one before signs too for a day. One that is being replaced already ends."""
    return {"secret": secret, "previous_secret": was.secret, "previous_until": now + OVERLAP_MS}


class Endpoints:
    """The endpoints in memory, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, vault: Vault) -> None:
        self.all: Mapping[int, Endpoint] = {}
        self.failing: frozenset[int] = frozenset()  # those that were reported, as of the last loading
        self._rows: dict[int, Row] = {}
        self._callbacks: dict[tuple[int, int, str], int] = {}
        self._count: dict[tuple[int, int], int] = {}  # of callbacks
        self._store = store
        self._snapshots = snapshots
        self._vault = vault
        snapshots.on("webhooks", self._load)

    async def _load(self) -> None:
        read = await self._store.read(SQL["endpoints"])
        rows = {row[0]: row[:-1] for row in read}
        found = {}
        for an_id, row in rows.items():
            found[an_id] = self.all[an_id] if self._rows.get(an_id) == row else self._endpoint(row)
        self.all, self._rows = found, rows
        self.failing = frozenset(row[0] for row in read if row[-1])
        callbacks = [each for each in found.values() if each.kind == "callback"]
        self._callbacks = {(each.account_id, each.mode, each.url): each.id for each in callbacks}
        self._count = {}
        for each in callbacks:
            self._count[each.account_id, each.mode] = self._count.get((each.account_id, each.mode), 0) + 1

    def _endpoint(self, row: Row) -> Endpoint:
        return Endpoint(
            row[0], row[1], row[2], row[3], row[4], tuple(msgspec.json.decode(row[5])), row[6],
            msgspec.json.decode(row[7], type=Settings), self._vault.open(row[8]) if row[8] else "",
            self._vault.open(row[9]) if row[9] else None, *row[10:],
        )  # fmt: skip

    async def refresh(self) -> None:
        """See what other processes have changed."""
        await self._snapshots.refresh()

    async def changed(self) -> None:
        """Something was changed in a plan of its own: see it, and tell the other processes."""
        await self._snapshots.changed()

    def of(self, account_id: int, mode: int) -> list[Endpoint]:
        """Those of kind `endpoint`, the newest first."""
        return [
            each
            for each in reversed(list(self.all.values()))
            if each.kind == "endpoint" and each.account_id == account_id and each.mode == mode
        ]

    def signer(self, endpoint: Endpoint) -> Endpoint:
        """Whose secret signs what is sent to an endpoint."""
        if endpoint.secret:
            return endpoint
        return self.all[self._callbacks[endpoint.account_id, endpoint.mode, ANY_ORIGIN]]

    async def add(
        self, an_id: int, account_id: int, mode: int, url: str, patterns: Sequence[str], description: str,
        settings: Settings, at: int, secret: str, kind: str = "endpoint",
    ) -> Endpoint | None:  # fmt: skip
        """A new endpoint; None when there is a callback of this URL already."""
        row = (
            an_id, account_id, mode, kind, url, _text(list(patterns)), description, _text(settings),
            self._vault.seal(secret) if secret else "", at,
        )  # fmt: skip
        await self._store.commit(
            plan(
                Step(SQL["insert_endpoint"], [row]),
                Step(SQL["insert_subscriptions"], [(an_id, account_id, mode, n) for n in types_of(patterns)], given=0),
                Step(SQL["bump_webhooks"], [(an_id,)], given=0),
            )
        )
        await self.changed()
        return self.all.get(an_id)

    async def change(self, was: Endpoint, now: int, **changes: object) -> Endpoint | None:
        """Change an endpoint. Its subscriptions follow; a disabled one has none."""
        at = max(now, was.updated_at + 1)
        e: Endpoint = msgspec.structs.replace(was, updated_at=at, **changes)
        row = (
            e.id, was.updated_at, e.url, _text(list(e.events)), e.description, _text(e.settings),
            self._vault.seal(e.secret), self._vault.seal(e.previous_secret) if e.previous_secret else None,
            e.previous_until, e.state, e.reason, int(e.enabled and not was.enabled), at,
        )  # fmt: skip
        wanted = types_of(e.events) if e.enabled else []
        results = await self._store.commit(
            plan(
                Step(SQL["update_endpoint"], [row]),
                Step(SQL["delete_subscriptions"], [(e.id,)], given=0),
                Step(SQL["insert_subscriptions"], [(e.id, e.account_id, e.mode, n) for n in wanted], given=0),
                Step(SQL["bump_webhooks"], [(e.id,)], given=0),
            )
        )
        await self.changed()
        return self.all.get(e.id) if any(found[0] == e.id for found in results[0]) else None

    async def remove(self, an_id: int) -> None:
        """Nothing is sent to it any more; `sweep` deletes what there is of it."""
        await self._store.commit(
            plan(
                Step(SQL["hide_endpoint"], [(an_id,)]),
                Step(SQL["delete_subscriptions"], [(an_id,)]),
                Step(SQL["bump_webhooks"], [(an_id,)]),
            )
        )
        await self.changed()

    async def sweep(self) -> None:
        """Delete removed endpoints with their deliveries, a few at a time: a chore."""
        for (an_id,) in await self._store.read(SQL["hidden_endpoints"]):
            while True:
                ((upto,),) = await self._store.read(SQL["next_rubbish"], endpoint_id=an_id, most=SWEEP)
                if upto is None:
                    break
                steps = [Step(SQL[name], [(an_id, upto)]) for name in ("sweep_deliveries", "sweep_attempts")]
                await self._store.commit(plan(*steps))
            await self._store.commit(plan(Step(SQL["delete_endpoint"], [(an_id,)])))

    # Callbacks

    def known_callback(self, account_id: int, mode: int, url: str) -> int | None:
        """The endpoint for a message's callback_url, when it needs no new one."""
        found = self._callbacks.get((account_id, mode, origin_of(url)))
        if found is None and self._count.get((account_id, mode), 0) >= MOST_CALLBACKS:
            return self._callbacks.get((account_id, mode, ANY_ORIGIN))
        return found

    async def callback(self, account_id: int, mode: int, url: str, an_id: int, at: int, random: bytes) -> int:
        """The endpoint for a callback_url, made if it is a new one."""
        origin = origin_of(url)
        if (account_id, mode, ANY_ORIGIN) not in self._callbacks:
            return (await self.callback_secret(account_id, mode, an_id, at, random)).id
        await self.add(an_id, account_id, mode, origin, (), "", Settings(), at, "", kind="callback")
        return self._callbacks[account_id, mode, origin]

    async def callback_secret(self, account_id: int, mode: int, an_id: int, at: int, random: bytes) -> Endpoint:
        """The endpoint whose secret signs an account's callbacks, made if there is none."""
        place = (account_id, mode, ANY_ORIGIN)
        if place not in self._callbacks:
            await self.add(an_id, *place, (), "", Settings(), at, new_secret(random), kind="callback")
        return self.all[self._callbacks[place]]


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
