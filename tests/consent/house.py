"""The main path with consent, quiet hours and content joined to it as the program joins them, over a network that does as
it is told and a clock that stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from columba.consent.ledger import Said
from columba.consent.pools import Pools
from columba.consent.room import Consent, open_consent
from columba.content import Content
from columba.content.holding import Holding
from columba.core import rate, status
from columba.core.accept import Accept
from columba.core.contract import Carrier, Inbound
from columba.core.ids import Ids
from columba.core.lanes import Lanes, Pace, join
from columba.core.model import Message
from columba.core.receive import Receive
from columba.core.sending import Sending
from columba.core.snapshots import Snapshots
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.policies import Policies, Policy
from columba.quiet import QuietHours
from columba.senders.room import Sender
from columba.store import open_store
from columba.vault import Vault
from tests import tables
from tests.core.rig import MOMENTS, NORTH, QUICK, Clock, Door, Network, Rig
from tests.route import router

KEY = bytes(range(32))
OURS = "+12025550100"
SOMEBODY = "+447700900123"


class House(Rig):
    """One process."""

    consent: Consent
    quiet: QuietHours
    content: Content
    holding: Holding
    policies: Policies
    pool_members: dict[int, Sender]

    async def start(self, pace: Pace = QUICK, random: Callable[[], float] = lambda: 0.5, **_: Any) -> None:  # type: ignore[override]
        store, clock = self.store, self.clock
        self.ids = Ids(await join(store, self.token), clock)
        self.snapshots = Snapshots(store)
        self.pool_members = {}
        self.policies = Policies(store, self.snapshots, clock)
        self.consent = await open_consent(
            store, self.policies, Vault(KEY), self.ids, clock, self.publisher, Pools(lambda: self.pool_members)
        )
        spares = self.consent.replies.spares
        self.quiet = QuietHours(self.policies, clock, spares)
        self.content = Content(store, self.policies, clock, spares)
        self.receive = Receive(store, self.ids, clock, self.publisher, (self.consent.follower,))
        self.sending = Sending(
            store, self.ids, clock, random, lambda: self.carriers, self.network.connect, self.receive, self.publisher,
            looks=(self.consent.stopping.look, self.quiet.look),
        )  # fmt: skip
        self.lanes = Lanes(store, (self.sending,), self.ids.node, self.token, clock, self.ids.renumber, pace)
        self.sending.lanes_of = self.lanes
        self.accept = Accept(
            store, self.ids, clock, self.lanes, self.publisher, router(lambda: self.carriers),
            (self.quiet.gate, self.content.gate), (self.consent.gate,),
        )  # fmt: skip
        self.consent.replies.accept = self.accept
        self.consent.stopping.lanes, self.consent.stopping.sending = self.lanes, self.sending
        self.holding = Holding(store, self.ids, clock, self.lanes, self.publisher, (self.quiet.gate,))
        store.on_bell(self.lanes.heard)
        store.on_bell(self.consent.stopping.heard)
        await self.commit("insert_account", [(1,), (2,), (3,)])
        await self.snapshots.start()
        await self.lanes.start()

    async def stop(self) -> None:
        await self.consent.stop()
        await self.snapshots.stop()
        await super().stop()

    # Doing

    def pause(self, paused: bool = True) -> None:
        """The network's lane stands still, or goes on."""
        self.carriers = {
            an_id: Carrier(
                carrier.id, carrier.account_id, carrier.name, carrier.kind, carrier.mode, carrier.config,
                state="paused" if paused else "on",
            )
            for an_id, carrier in self.carriers.items()
        }  # fmt: skip
        self.lanes.refresh()

    async def hears(self, text: str, sender: str = SOMEBODY, to: str = OURS, account: int = 1) -> Message:
        """Somebody writes."""
        (message,) = await self.receive.inbound(self.carriers[NORTH.id], [Inbound(sender, to, text)], account)
        return message

    async def try_to(self, to: str = SOMEBODY, text: str = "hello", account: int = 1, **how: Any) -> Message | Refusal:
        (outcome,) = await self.say_all([Submission(to, text, **how)], account)
        return outcome

    async def code(self, to: str = SOMEBODY, **how: Any) -> str | None:
        """What a message would be refused with."""
        outcome = await self.try_to(to, **how)
        return outcome.code if isinstance(outcome, Refusal) else None

    async def told(self, action: int, number: str = SOMEBODY, **said: Any) -> int | None:
        """What the API would record."""
        told = {"account_id": 1, "mode": status.LIVE, "source": "api", "at": self.clock(), **said}
        (an_id,) = await self.consent.ledger.record([Said(number=number, action=action, **told)])
        return an_id

    async def ledger(self, number: str = SOMEBODY, account: int = 1) -> list[tuple[Any, ...]]:
        """(action, sender, class, source), the newest first."""
        from columba.consent import SQL

        rows = await self.store.read(
            SQL["ledger_of"], account_id=account, mode=status.LIVE, hash=self.consent.ledger.hashes(number),
            before=(1 << 63) - 1, most=100,
        )  # fmt: skip
        return [(row[5], row[2], row[3], row[6]) for row in rows]

    async def set(self, policy: Policy[Any, Any], document: msgspec.Struct | None) -> None:
        """What is set for a room is this, and nothing else."""
        nothing: dict[str, Any] = dict.fromkeys(each.encode_name for each in msgspec.structs.fields(policy.usual))
        said = {} if document is None else msgspec.to_builtins(document)
        await self.policies.change(policy, 1, status.LIVE, nothing | said, policy.read)

    async def caller(self) -> Caller:
        return Caller(1, status.LIVE)


@contextlib.asynccontextmanager
async def living(
    place: Path | str,
    network: Network,
    clock: Clock,
    token: str = "one",
    carriers: Iterable[Carrier] = (NORTH,),
    **how: Any,
) -> AsyncIterator[House]:
    tables.lay(place)
    store = Door(await open_store(place))
    house = House(store, network, clock, token)
    house.carriers = {carrier.id: carrier for carrier in carriers}
    try:
        with mock.patch.multiple(rate, **MOMENTS):  # type: ignore[call-overload]
            await house.start(**how)
            yield house
        if not house.crashed:
            network.give_all()
            await house.stop()
        else:
            await asyncio.sleep(0)
    finally:
        await store.close()
