"""Columba put together: the one place that knows every room, and the order in which they start and stop.

Read it from top to bottom: store, ids, snapshots; the gates and followers of the main path in their order; the job kinds
on lanes; the doors.
"""

import asyncio
import contextlib
import os
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from columba import __version__, sandbox
from columba.carriers import connect
from columba.carriers.sandbox import Config as SandboxConfig
from columba.carriers.sandbox import recording as sandbox_recording
from columba.core import events
from columba.core.accept import Accept, Gate, StoreGate, router
from columba.core.contract import Carrier
from columba.core.housekeeping import Chore, Housekeeping
from columba.core.ids import Ids
from columba.core.inbound import Follower
from columba.core.lanes import Lanes, join
from columba.core.model import TYPES
from columba.core.overdue import Overdue
from columba.core.receive import Receive as ReceivePath
from columba.core.sending import Look, Sending
from columba.core.snapshots import Snapshots
from columba.core.status import LIVE, MODES, TEST
from columba.doors.smpp.handing import Handing
from columba.doors.smpp.logins import Logins
from columba.doors.smpp.server import SmppDoor
from columba.events.api import Event as EventShape
from columba.events.api import endpoints as events_endpoints
from columba.events.feed import Feed, mend_order
from columba.http.dispatch import build
from columba.http.docs_page import docs_routes
from columba.http.egress import Egress, Policy
from columba.http.endpoint import Endpoint
from columba.http.openapi import Webhook, document
from columba.keys import SCOPES, Keys, new_secret
from columba.keys.api import endpoints as keys_endpoints
from columba.keys.auth import Auth
from columba.keys.limits import Limits
from columba.keys.oauth import PATH as OAUTH_PATH
from columba.keys.oauth import OAuth
from columba.keys.repeats import Repeats
from columba.messages import urls
from columba.messages.api import endpoints as messages_endpoints
from columba.messages.cancel import Canceling
from columba.messages.hot import Hot
from columba.messages.redact import Redacting
from columba.metrics import Metrics
from columba.operation import Operation
from columba.routing.api import endpoints as carriers_endpoints
from columba.routing.carriers import Carriers
from columba.routing.emptying import Emptying
from columba.routing.states import States
from columba.sandbox.api import endpoints as sandbox_endpoints
from columba.settings import Settings, networks
from columba.store import Store, StoreRefused, StoreUnavailable, open_store
from columba.vault import Vault, key_file, parse_key
from columba.webhooks.api import endpoints as webhooks_endpoints
from columba.webhooks.delivering import Delivering
from columba.webhooks.endpoints import Endpoints

log = structlog.get_logger()

ABOUT = """
Send texts, receive answers, follow every change of a message. Keys go into `Authorization: Bearer ck_...`; a test key
reaches the simulated network only and costs nothing. Errors are problem details (RFC 9457) that name every field.
""".strip()


def clock() -> int:
    return time.time_ns() // 1_000_000


TOLD = "Posted to the webhooks that subscribe to `{}`."


class App:
    """One process of Columba. `start` before serving `asgi`, `stop` after."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.asgi: ASGIApp

    async def start(self) -> None:
        settings = self.settings
        data = Path(settings.data)
        self.metrics = Metrics()
        self.store: Store = await open_store(settings.database or data, self.metrics.commit)
        await mend_order(self.store)
        token = secrets.token_hex(8)
        self._run, self._requests = token[:10], 0  # what request ids are made of
        self.ids = Ids(await join(self.store, token), clock)
        self.vault = Vault(parse_key(settings.secret_key) if settings.secret_key else key_file(data / "secret.key"))
        self.snapshots = Snapshots(self.store)
        usual = {"default_country": settings.default_country} if settings.default_country else {}
        self.keys = Keys(self.store, self.snapshots, clock, usual)
        self.logins = Logins(self.store, self.snapshots, clock)
        self.endpoints = Endpoints(self.store, self.snapshots, self.vault)
        self.publisher = events.Publisher()
        self.policy = Policy(networks(settings.allow_network))
        self.egress = Egress(self.policy, per_endpoint=200)
        self.network = Carriers(
            self.store,
            self.snapshots,
            self.vault,
            clock,
            sandbox.carrier(SandboxConfig(record=settings.sandbox_record or None)),
        )

        # The main path: who joins it, each in their order.
        gates: list[Gate] = [urls.gate(self.policy), sandbox.gate]
        store_gates: list[StoreGate] = []
        looks: list[Look] = []
        followers: list[Follower] = []
        self.receive = ReceivePath(self.store, self.ids, clock, self.publisher, followers)
        self.sending = Sending(
            self.store,
            self.ids,
            clock,
            random.random,
            self.carriers,
            connect,
            self.receive,
            self.publisher,
            self.egress.reach,
            looks,
        )
        self.delivering = Delivering(
            self.store, self.ids, clock, random.random, self.endpoints, self.egress, self.publisher
        )
        self.handing = Handing(self.store, clock, random.random)
        kinds = (self.sending, self.delivering, self.handing)
        self.lanes = Lanes(self.store, kinds, self.ids.node, token, clock, self.ids.renumber)
        self.sending.lanes_of = self.delivering.lanes_of = self.handing.lanes_of = self.lanes
        self.delivering.latency = self.metrics.webhook
        self.accept = Accept(
            self.store,
            self.ids,
            clock,
            self.lanes,
            self.publisher,
            router(self.carriers),
            gates,
            store_gates,
            self._callback,
        )
        self.states = States(self.store, self.sending)
        emptying = Emptying(self.store, self.ids, clock, self.publisher, self.sending, self.carriers)
        self.feed = Feed(self.store)
        self.publisher.on_events.append(self.feed.told)
        self.redact = Redacting(self.store, clock, (self.feed.forget, self.delivering.forget))
        self.cancel = Canceling(self.store, self.ids, clock, self.lanes, self.sending, self.publisher)
        overdue = Overdue(self.store, self.ids, clock, self.publisher, settings.receipt_timeout)
        repeats = self.repeats = Repeats(self.store, self.vault, self.ids, clock)
        self.limits = Limits(clock)
        self.smpp = SmppDoor(
            self.store, self.ids, clock, self.keys, self.logins, self.limits, self.accept, self.cancel, self.handing,
            networks(settings.smpp_from),
        )  # fmt: skip
        self.housekeeping = Housekeeping(
            (
                Chore("expire", 5.0, self.sending.expire),
                Chore("overdue", 10.0, overdue.step),
                Chore("receipts", 2.0, self.receive.rematch),
                Chore("fragments", 1.0, self.receive.inbox.join_due),
                Chore("webhooks", 60.0, self.endpoints.sweep),
                Chore("carriers", 60.0, self.network.sweep),
                Chore("states", 1.0, self.states.step),
                Chore("emptying", 2.0, emptying.step),
                Chore("parked", 600.0, self.receive.sweep),
                Chore("idempotency", 600.0, repeats.sweep),
                Chore("smpp_parts", 5.0, self.smpp.step),
                Chore("smpp_kept", 600.0, self.smpp.sweep),
            )
        )

        self.store.on_bell(self.lanes.heard)
        self.store.on_bell(self.snapshots.heard)
        self.store.on_bell(self.cancel.heard)
        self.store.on_bell(self.redact.heard)
        self.store.on_bell(self.feed.heard)
        self.snapshots.on("carriers", self._lanes_changed)
        self.snapshots.on("webhooks", self._lanes_changed)
        self.operation = Operation(
            self.metrics, self.store, self.lanes, self.stopping, clock, networks(settings.metrics_from)
        )
        self.operation.measure(self.accept, self.receive, self.publisher)
        self.asgi = self._doors()
        await self.snapshots.start()
        await self.lanes.start()
        self.housekeeping.start()
        self.metrics.start()
        if settings.smpp_port != "" or settings.smpp_tls_port != "":
            try:
                await self.smpp.start(
                    settings.host,
                    None if settings.smpp_port == "" else settings.smpp_port,
                    None if settings.smpp_tls_port == "" else settings.smpp_tls_port,
                    (settings.smpp_tls_cert, settings.smpp_tls_key),
                )
            except (OSError, ValueError) as error:
                raise StoreRefused(
                    f"SMPP can't be served ({error}): check --smpp-port, and the TLS certificate and key."
                ) from error

    def carriers(self) -> Mapping[int, Carrier]:
        return self.network.all

    async def _lanes_changed(self) -> None:
        self.lanes.refresh()

    def _callback(self, account_id: int, mode: int, url: str) -> int | Awaitable[int]:
        known = self.endpoints.known_callback(account_id, mode, url)
        if known is not None:
            return known
        return self.endpoints.callback(account_id, mode, url, self.ids(), clock(), os.urandom(24))

    # The doors

    def _doors(self) -> ASGIApp:
        settings = self.settings
        limits = self.limits
        auth = Auth(self.keys, self.vault, clock, limits)
        repeats = self.repeats
        oauth = OAuth(auth, self.vault, clock, self._request_id)
        hot = Hot(
            self.accept,
            self.ids,
            auth.caller,
            repeats.first_answer,
            self._request_id,
            self.metrics.request,
            self.policy,
        )
        endpoints = [
            *messages_endpoints(self.store, self.cancel, self.redact, clock, self.keys.default_country),
            *events_endpoints(self.store, self.feed, self.keys, clock, self.stopping),
            *webhooks_endpoints(self.endpoints, self.delivering, self.store, self.egress, self.ids, clock, os.urandom),
            *carriers_endpoints(
                self.network,
                self.states,
                self.receive,
                connect,
                self.ids,
                clock,
                random.random,
                settings.public_url,
                {"sandbox": sandbox_recording(settings.sandbox_record)},
                self.egress.reach,
            ),
            *sandbox_endpoints(self.receive, self.carriers),
            *keys_endpoints(self.keys, self.ids, clock, os.urandom),
            *oauth.endpoints(),
            *self.operation.endpoints(),
        ]
        described = document(
            endpoints,
            title="Columba",
            version=__version__,
            description=ABOUT,
            scopes=SCOPES,
            webhooks=[Webhook(name, TOLD.format(name), EventShape) for name in TYPES.values()],
        )
        raw: dict[tuple[str, str], ASGIApp] = {
            ("POST", "/v1/messages"): hot.message,
            ("POST", "/v1/messages/batch"): hot.batch,
            ("POST", OAUTH_PATH): oauth,
            **self.operation.routes(),
            **docs_routes(described),
        }
        return build(
            endpoints,
            authenticate=auth.key,
            new_request_id=self._request_id,
            clock=time.perf_counter,
            idempotency=repeats,
            limit=limits,
            observe=self._observe,
            raw_routes=raw,
        )

    def _request_id(self) -> str:
        self._requests += 1
        return f"req_{self._run}{self._requests:08x}"

    def _observe(self, endpoint: Endpoint | None, method: str, code: int, seconds: float) -> None:
        self.metrics.request(method, endpoint.path if endpoint is not None else "other", code, seconds)

    # First and last

    async def welcome(self, port: int) -> None:
        """Say where we are; on the first start, the keys."""
        host = self.settings.host if self.settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        url = self.settings.public_url or f"http://{host}:{port}"
        out = [f"Columba is ready at {url}   (API reference: {url}/docs)"]
        if await self.keys.first_account(self.ids(), "default"):
            account_id = next(iter(self.keys.accounts))
            made = {}
            for mode in (LIVE, TEST):
                made[mode] = new_secret(mode, os.urandom)
                await self.keys.create(self.ids(), account_id, mode, f"first {MODES[mode]} key", [], made[mode])
            out += [
                "",
                "This is a new installation. Its keys are shown this once: keep them.",
                f"  live key  {made[LIVE]}",
                f"  test key  {made[TEST]}",
                "",
                "Send a first text to the simulated network:",
                f"  curl {url}/v1/messages -H 'Authorization: Bearer {made[TEST]}' \\",
                '    -H \'Content-Type: application/json\' -d \'{"to": "+447700900123", "text": "Hello"}\'',
            ]
        print("\n".join(out), file=sys.stdout, flush=True)
        self.operation.started = True

    async def stop(self) -> None:
        self.stopping.set()
        await self.smpp.stop()
        self.metrics.stop()
        await self.housekeeping.stop()
        await self.lanes.stop(self.settings.stop_timeout)
        await self.sending.stop()
        await self.snapshots.stop()
        with contextlib.suppress(StoreUnavailable, OSError):
            await self.egress.close()
        await self.store.close()
