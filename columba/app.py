"""Columba put together: the one place that knows every room, and the order in which they start and stop.

Read it from top to bottom: store, ids, snapshots; the gates and followers of the main path in their order; the job kinds
on lanes; the doors.
"""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from columba import sandbox
from columba.carriers import connect
from columba.core import events
from columba.core.accept import Accept, router
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.lanes import Lanes, join
from columba.core.receive import Receive as ReceivePath
from columba.core.sending import Sending
from columba.core.snapshots import Snapshots
from columba.http.egress import Egress, Policy
from columba.keys import Keys
from columba.settings import Settings
from columba.store import Store, open_store
from columba.vault import Vault, key_file, parse_key
from columba.webhooks.delivering import Delivering
from columba.webhooks.endpoints import Endpoints

log = structlog.get_logger()


def clock() -> int:
    return time.time_ns() // 1_000_000


class App:
    """One process of Columba. `start` before serving, `stop` after."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()

    async def start(self) -> None:
        settings = self.settings
        data = Path(settings.data)
        self.store: Store = await open_store(settings.database or data)
        token = secrets.token_hex(8)
        self.node = await join(self.store, token)
        self.ids = Ids(self.node, clock)
        self.vault = Vault(parse_key(settings.secret_key) if settings.secret_key else key_file(data / "secret.key"))
        self.snapshots = Snapshots(self.store)
        self.keys = Keys(self.store, self.snapshots, clock)
        self.endpoints = Endpoints(self.store, self.snapshots, self.vault)
        self.publisher = events.Publisher()
        self.egress = Egress(Policy(settings.networks()))

        # The main path: gates and followers in their order.
        gates = (sandbox.gate,)
        followers = ()
        carriers = self.carriers
        self.receive = ReceivePath(self.store, self.ids, clock, self.publisher, followers)
        self.sending = Sending(
            self.store, self.ids, clock, random.random, carriers, connect, self.receive, self.publisher
        )
        self.delivering = Delivering(
            self.store, self.ids, clock, random.random, self.endpoints, self.egress, self.publisher
        )
        self.lanes = Lanes(self.store, (self.sending, self.delivering), self.node, token, clock, self.ids.renumber)
        self.sending.lanes_of = self.delivering.lanes_of = self.lanes
        self.accept = Accept(
            self.store, self.ids, clock, self.lanes, self.publisher, router(carriers), gates, self._callback
        )
        self._sandbox = {sandbox.CARRIER_ID: sandbox.carrier()}
        self.store.on_bell(self.lanes.heard)
        self.store.on_bell(self.snapshots.heard)
        self.snapshots.on("webhooks", self._lanes_changed)
        await self.snapshots.start()
        await self.lanes.start()

    def carriers(self) -> Mapping[int, Carrier]:
        return self._sandbox

    async def _lanes_changed(self) -> None:
        self.lanes.refresh()

    def _callback(self, account_id: int, mode: int, url: str):  # type: ignore[no-untyped-def]
        known = self.endpoints.known_callback(account_id, mode, url)
        if known is not None:
            return known
        return self.endpoints.callback(account_id, mode, url, self.ids(), clock(), os.urandom(24))

    async def stop(self) -> None:
        self.stopping.set()
        await self.lanes.stop()
        await self.snapshots.stop()
        with contextlib.suppress(Exception):
            await self.egress.close()
        await self.store.close()
