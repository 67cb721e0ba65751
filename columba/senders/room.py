"""Senders in memory, the changes to them, and which one a message comes from.

`gate` stands on the main path: an account that has registered senders sends from those alone, and a country's rules hold
for names in any case. From snapshots in memory; changes fail with StoreUnavailable, and with Refusal for what can't be.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from columba.core import ids
from columba.core.model import Message
from columba.core.snapshots import Snapshots
from columba.core.status import LIVE
from columba.core.submission import is_pool
from columba.errors import FieldError, Refusal
from columba.numbers import country_of
from columba.senders.dlt import template_of
from columba.senders.spec import ANYTHING, Rule, Spec, name_refused, pace, shipped, why_not
from columba.store import Row, Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("senders.sql"))
MOST: Final = 10_000  # senders and pools of an account in a mode
POOL: Final = "pool"

_encode = msgspec.json.Encoder().encode
_spec = msgspec.json.Decoder(Spec).decode
_rule = msgspec.json.Decoder(Rule).decode

Healthy = Callable[[int], bool]


class Sender(msgspec.Struct, frozen=True):
    """A sender, or a pool: then `value` is its name."""

    id: int
    account_id: int
    mode: int
    kind: str
    value: str
    enabled: bool
    spec: Spec
    version: int
    created_at: int
    updated_at: int


class _Account(NamedTuple):
    """What an account may send from in one mode."""

    by_value: Mapping[str, Sender]
    pools: Mapping[str, Sender]  # by how they are written
    rules: Mapping[str, Rule]


class Senders:
    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        clock: Callable[[], int],
        healthy: Healthy = lambda _carrier: True,
        strict: bool = False,
    ) -> None:
        """`strict`: live messages come from registered senders alone, even before there are any."""
        self.all: Mapping[int, Sender] = {}
        self.paces: Mapping[tuple[int, int, str], float] = {}
        self.healthy = healthy
        self._strict = strict
        self._accounts: Mapping[tuple[int, int], _Account] = {}
        self._rules: Mapping[tuple[int, int], Mapping[str, Rule]] = {}
        self._restricted = False  # whether any sender is set up at some carriers only
        self._registered = False  # whether any has a registration that goes with its messages
        self._turns = 0
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._turn = asyncio.Lock()
        snapshots.on("senders", self._load)

    async def _load(self) -> None:
        known = self.all
        found: dict[int, Sender] = {}
        for row in await self._store.read(SQL["senders"]):
            was = known.get(row[0])
            if was is None or was.version != row[7]:
                was = Sender(
                    row[0], row[1], row[2], row[3], row[4], bool(row[5]), _spec(row[6]), row[7], row[8], row[9]
                )
            found[row[0]] = was
        rules: dict[tuple[int, int], dict[str, Rule]] = {}
        for account_id, mode, country, text in await self._store.read(SQL["sender_rules"]):
            rules.setdefault((account_id, mode), {})[country] = _rule(text)
        by_account: dict[tuple[int, int], list[Sender]] = {}
        for each in found.values():
            by_account.setdefault((each.account_id, each.mode), []).append(each)
        self._accounts = {
            who: _Account(
                {each.value: each for each in those if each.kind != POOL},
                {ids.show("pool", each.id): each for each in those if each.kind == POOL},
                {**shipped(), **rules.get(who, {})},
            )
            for who, those in by_account.items()
        }
        self._rules = {who: {**shipped(), **own} for who, own in rules.items()}
        self._restricted = any(each.spec.carriers for each in found.values())
        self._registered = any(each.spec.registration.dlt is not None for each in found.values())
        self.paces = {
            (each.account_id, each.mode, each.value): rate
            for each in found.values()
            if (rate := pace(each.spec)) is not None
        }
        self.all = found

    async def refresh(self) -> None:
        await self._snapshots.refresh()

    def of(self, account_id: int, mode: int, pools: bool = False) -> list[Sender]:
        """An account's senders, or its pools, the newest first."""
        return [
            each
            for each in reversed(list(self.all.values()))
            if each.account_id == account_id and each.mode == mode and (each.kind == POOL) == pools
        ]

    def rules(self, account_id: int, mode: int) -> Mapping[str, Rule]:
        """The rules of countries as they hold for an account."""
        return self._rules.get((account_id, mode)) or shipped()

    # On the main path

    def gate(self, message: Message) -> Refusal | None:
        """What a message comes from: checked, or chosen where it names a pool or nothing."""
        account = self._accounts.get((message.account_id, message.mode))
        asked = message.sender
        if account is None or not account.by_value:
            if self._strict and asked and message.mode == LIVE:
                return _refused(f"{asked} is none of your senders: register it, or leave `from` out.")
            if asked == "" or asked[0] == "+" or asked.isdigit():
                return None
            if is_pool(asked):
                return _refused("There is no such pool.", "invalid_sender")
            country = country_of(message.to)
            rule = self.rules(message.account_id, message.mode).get(country, ANYTHING)
            no = name_refused(asked, country, rule)
            return _refused(no) if no else None
        country = country_of(message.to)
        rule = account.rules.get(country, ANYTHING)
        own = account.by_value.get(asked)
        if own is not None:
            no = _why_not(own, country, rule)
            return _refused(no) if no else _without_template(own, message, country)
        pool = account.pools.get(asked)
        if pool is not None:
            members = [self.all[an_id] for an_id in pool.spec.members if an_id in self.all]
            chosen, no = self._choose(members, message, country, rule, pool.spec), "None of its senders may send there."
        elif asked == "":
            chosen, no = self._default(account, message, country, rule), "None of your senders may send there."
        elif is_pool(asked):
            return _refused("There is no such pool.", "invalid_sender")
        else:
            return _refused(f"{asked} is none of your senders: register it, or leave `from` out.")
        if chosen is None:
            return _refused(no)
        message.sender = chosen.value
        return _without_template(chosen, message, country)

    def carriers_of(self, message: Message) -> Collection[int] | None:
        """The carriers that its sender is set up at; None for all."""
        if not self._restricted:
            return None
        account = self._accounts.get((message.account_id, message.mode))
        own = account.by_value.get(message.sender) if account is not None else None
        return own.spec.carriers or None if own is not None else None

    def registration(self, message: Message) -> Mapping[str, str] | None:
        """What goes with a message's parts, for networks that ask for the sender's registration."""
        if not self._registered or message.to[:3] != "+91":
            return None
        account = self._accounts.get((message.account_id, message.mode))
        own = account.by_value.get(message.sender) if account is not None else None
        dlt = own.spec.registration.dlt if own is not None else None
        if dlt is None:
            return None
        found = {"dlt_entity_id": dlt.entity_id}
        template = template_of(message.text or "", dlt.templates)
        return found if template is None else {**found, "dlt_template_id": template}

    def _default(self, account: _Account, message: Message, country: str, rule: Rule) -> Sender | None:
        """The account's default for the country, else for all, else whichever may send there."""
        for wanted in (country, "*", None):
            those = [
                each for each in account.by_value.values() if wanted is None or wanted in each.spec.default_for
            ]  # fmt: skip
            chosen = self._choose(those, message, country, rule, Spec())
            if chosen is not None:
                return chosen
        return None

    def _choose(self, those: Iterable[Sender], message: Message, country: str, rule: Rule, how: Spec) -> Sender | None:
        usable = [each for each in those if not _why_not(each, country, rule)]
        if message.extra.media:
            usable = [each for each in usable if "mms" in each.spec.capabilities] or usable
        usable = [each for each in usable if self._is_healthy(each)] or usable
        if how.local:
            usable = _nearest(usable, message.to, country)
        if len(usable) < 2:
            return usable[0] if usable else None
        if how.sticky:
            return max(usable, key=lambda each: _affinity(message.to, each.id))
        self._turns += 1
        return usable[self._turns % len(usable)]

    def _is_healthy(self, sender: Sender) -> bool:
        carriers = sender.spec.carriers
        return not carriers or any(self.healthy(carrier) for carrier in carriers)

    # Changes

    async def add(
        self, an_id: int, account_id: int, mode: int, kind: str, value: str, enabled: bool, spec: Spec
    ) -> Sender | None:
        """A new sender or pool; None when there is one of this value."""
        async with self._turn:
            if sum(each.account_id == account_id and each.mode == mode for each in self.all.values()) >= MOST:
                raise Refusal("too_many", f"There are {MOST} senders already.")
            row = (an_id, account_id, mode, kind, value, int(enabled), _text(spec), self._clock())
            results = await self._commit(Step(SQL["insert_sender"], [row]))
        return self.all.get(an_id) if any(found[0] == an_id for found in results) else None

    async def change(self, was: Sender, value: str, enabled: bool, spec: Spec) -> bool:
        """Make it so; False when it was changed since it was read."""
        row = (was.id, was.version, value, int(enabled), _text(spec), self._clock())
        results = await self._commit(Step(SQL["update_sender"], [row]))
        return any(found[0] == was.id for found in results)

    async def remove(self, an_id: int) -> None:
        await self._commit(Step(SQL["delete_sender"], [(an_id,)]))

    async def set_rule(self, account_id: int, mode: int, country: str, rule: Rule | None) -> None:
        """An account's own rule for a country; None goes back to the one that Columba comes with."""
        if rule is None:
            await self._commit(Step(SQL["drop_rule"], [(account_id, mode, country)]))
        else:
            row = (account_id, mode, country, _encode(rule).decode(), self._clock())
            await self._commit(Step(SQL["set_rule"], [row]))

    async def _commit(self, step: Step) -> Sequence[Row]:
        results = await self._store.commit(plan(step, self._snapshots.bump("senders")))
        await self._snapshots.changed()
        return results[0]


def _why_not(sender: Sender, country: str, rule: Rule) -> str:
    if not sender.enabled:
        return f"{sender.value} is not enabled."
    return why_not(sender.kind, sender.value, sender.spec, country, rule)


def _without_template(sender: Sender, message: Message, country: str) -> Refusal | None:
    """In India a text is one of the sender's registered templates; where none are named, its carrier looks after that."""
    dlt = sender.spec.registration.dlt
    if (
        country != "IN"
        or dlt is None
        or not dlt.templates
        or template_of(message.text or "", dlt.templates) is not None
    ):
        return None
    detail = f"In India a text must be one of the templates that are registered for {sender.value}."
    return Refusal("not_a_template", detail, [FieldError("text", "not_a_template", detail)])


def _nearest(those: list[Sender], to: str, country: str) -> list[Sender]:
    """Numbers of the recipient's own area, else country; else all."""
    at_home = [each for each in those if each.kind == "number" and country_of(each.value) == country]
    if not at_home:
        return those
    area = 5 if to[:2] == "+1" else 0  # where all numbers of a country are as long, and begin with their area
    return [each for each in at_home if area and each.value[:area] == to[:area]] or at_home


def _affinity(to: str, an_id: int) -> bytes:
    """Rendezvous hashing: a recipient keeps their sender while it is there, whatever comes or goes besides."""
    return hashlib.blake2b(f"{to}/{an_id}".encode(), digest_size=8).digest()


def _refused(detail: str, code: str = "sender_not_allowed") -> Refusal:
    if code == "invalid_sender":
        return Refusal("invalid_request", errors=[FieldError("from", code, detail)])
    return Refusal(code, detail, [FieldError("from", code, detail)])


def _text(spec: Spec) -> str:
    return _encode(spec).decode()
