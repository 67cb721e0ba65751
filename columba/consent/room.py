"""The parts of consent put together: what joins the main path, and where."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from columba.consent import SQL, settings
from columba.consent.follower import Carriers, Follower
from columba.consent.gate import ConsentGate
from columba.consent.hashes import Hashes, open_hashes
from columba.consent.ledger import Ledger
from columba.consent.pools import Pools
from columba.consent.replies import Replies
from columba.consent.settings import Document, InForce
from columba.consent.stopping import Stopping
from columba.core import events
from columba.core.ids import Ids
from columba.core.model import Message
from columba.policies import Policies, Policy
from columba.store import Store
from columba.vault import Vault

log = structlog.get_logger()


class Consent:
    """`gate` asks in the accepting transaction, `stopping.look` before the wire, `follower` hears what people write."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        hashes: Hashes,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        pools: Pools,
    ) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.pools = pools
        self.policy: Policy[Document, InForce] = policies.room(
            Policy(settings.ROOM, Document, settings.in_force, Document())
        )
        self.replies = Replies(store, clock)
        self.stopping = Stopping(store, new_id, clock, publisher, pools)
        self.ledger = Ledger(store, new_id, clock, hashes, publisher, self.stopping, self.replies, self._spawn)
        self.gate = ConsentGate(self.policy, hashes, pools, self.replies)
        self.follower = Follower(self.policy, self.ledger, self.replies, pools, new_id, clock, self._spawn)
        publisher.on_failures.append(Carriers(store, self.ledger, self._spawn).failed)

    def answers(self, text: Message) -> bool:
        """Is it a keyword that is answered here?"""
        found = self.policy.of(text.account_id, text.mode).matcher(text.text or "")
        return found is not None and found.meaning != "weak"

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)


async def _logged(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("consent.failed")


async def open_consent(
    store: Store,
    policies: Policies,
    vault: Vault,
    new_id: Ids,
    clock: Callable[[], int],
    publisher: events.Publisher,
    pools: Pools,
) -> Consent:
    """Ready to be joined to the main path: opt-outs that are still being carried out are known."""
    consent = Consent(store, policies, await open_hashes(store, vault, SQL), new_id, clock, publisher, pools)
    await consent.stopping.load()
    return consent
