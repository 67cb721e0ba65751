"""Columba put together: the one place that knows every room, and the order in which they start and stop.

Read it from top to bottom: store, ids, snapshots; the gates and followers of the main path in their order; the job kinds
on lanes. What is reached over HTTP is in `surface.py`, what runs in the background in `chores.py`.
"""

import asyncio
import contextlib
import os
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Collection, Mapping
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from columba import sandbox
from columba.alerts import sending as alert_sending
from columba.alerts.collecting import Collecting
from columba.alerts.room import Alerts
from columba.alerts.watching import Watching
from columba.carriers import connect, kinds
from columba.carriers.sandbox import Config as SandboxConfig
from columba.chores import chores
from columba.consent.pools import Pools
from columba.consent.room import open_consent
from columba.contacts.looking import Looking
from columba.contacts.room import Contacts
from columba.content import Content
from columba.content.holding import Holding
from columba.core import events, ids
from columba.core.accept import Accept, Gate, StoreGate
from columba.core.contract import Carrier, Web
from columba.core.cutting import measured
from columba.core.housekeeping import Housekeeping
from columba.core.ids import Ids
from columba.core.inbound import Follower
from columba.core.lanes import Lanes, join
from columba.core.model import Message, show_media
from columba.core.overdue import Overdue
from columba.core.receive import Receive as ReceivePath
from columba.core.sending import Look, Sending
from columba.core.snapshots import Snapshots
from columba.core.status import LIVE, MODES, TEST
from columba.core.submission import Caller, Submission
from columba.doors.smpp.handing import Handing
from columba.doors.smpp.logins import Logins
from columba.doors.smpp.measures import measures as smpp_measures
from columba.doors.smpp.server import SmppDoor
from columba.errors import Refusal
from columba.events.feed import Feed, mend_order
from columba.forwarding.auth.oauth2 import Tokens
from columba.forwarding.destinations import Destinations, TokenShelf
from columba.forwarding.performing import Performing
from columba.forwarding.rendering import File
from columba.forwarding.room import Forwards
from columba.forwarding.runs_acting import mailing
from columba.http.direct import Direct
from columba.http.egress import Egress, EgressError, Policy
from columba.keeping import keeping
from columba.keys import Keys, new_secret
from columba.keys.limits import Limits
from columba.keys.repeats import Repeats
from columba.mail import read_relay
from columba.media import attaching
from columba.media.fetching import Fetching
from columba.media.kept import KeptError, open_kept
from columba.media.links import Links
from columba.media.room import Limits as MediaLimits
from columba.media.room import Media
from columba.messages import urls
from columba.messages.cancel import Canceling
from columba.messages.redact import Redacting
from columba.metrics import Metrics
from columba.operation import Operation
from columba.policies import Policies
from columba.privacy.commands import left, operator
from columba.quiet import QuietHours
from columba.routing.carriers import Carriers
from columba.routing.emptying import Emptying
from columba.routing.failover import Failover
from columba.routing.health import Healths
from columba.routing.router import Router
from columba.routing.routes import Routes
from columba.routing.second import SecondRoutes
from columba.routing.states import States
from columba.senders.pacing import Pacing
from columba.senders.room import Senders
from columba.settings import Settings, networks
from columba.spend.budgets import Budgets, Debiting, Overspending
from columba.spend.prices import Prices
from columba.store import Store, StoreRefused, StoreUnavailable, open_store
from columba.surface import surface
from columba.templates.room import Templates
from columba.vault import Vault, key_file, parse_key
from columba.verify.codes import Codes
from columba.verify.second import SecondCarriers, around
from columba.verify.verifying import Verifying
from columba.verify.verifying import policy as verify_policy
from columba.webhooks.delivering import Delivering
from columba.webhooks.endpoints import Endpoints

log = structlog.get_logger()


PATIENCE_S = 30.0  # for a database that starts at the same time


def clock() -> int:
    return time.time_ns() // 1_000_000


def _here(host: str, port: int) -> str:
    """How this machine reaches us."""
    host = host if host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class App:
    """One process of Columba. `start` before serving `asgi`, `stop` after."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = clock
        self.stopping = asyncio.Event()
        self.asgi: ASGIApp
        self.direct: Mapping[bytes, Direct]  # past it

    async def start(self) -> None:
        await self._open()
        await self._rooms()
        self._main_path()
        self._beside()
        self._listen()
        self.asgi, self.direct = surface(self)
        await self.snapshots.start()
        await self.lanes.start()
        self.housekeeping.start()
        self.metrics.start()
        await self._serve_smpp()

    async def _open(self) -> None:
        """The store, and what everything stands on."""
        settings = self.settings
        data = Path(settings.data)
        self.metrics = Metrics()
        self.store: Store = await open_store(settings.database or data, self.metrics.commit, PATIENCE_S)
        await mend_order(self.store)
        self.token = secrets.token_hex(8)
        newest = (await self.store.read(events.SQL["newest_id"]))[0][0] or 0
        if ids.time_of(newest) > clock() + 1_000:
            log.warning("clock.behind", seconds=(ids.time_of(newest) - clock()) // 1000)
        self.ids = Ids(await join(self.store, self.token), clock, newest)
        self.vault = Vault(parse_key(settings.secret_key) if settings.secret_key else key_file(data / "secret.key"))
        self.snapshots = Snapshots(self.store)

    async def _rooms(self) -> None:
        """What accounts have set up, in memory; and the ways out."""
        settings = self.settings
        usual = {"default_country": settings.default_country} if settings.default_country else {}
        self.keys = Keys(self.store, self.snapshots, clock, usual)
        self.logins = Logins(self.store, self.snapshots, clock)
        self.endpoints = Endpoints(self.store, self.snapshots, self.vault)
        self.templates = Templates(self.store, self.snapshots, clock)
        self.publisher = events.Publisher()
        self.policies = Policies(self.store, self.snapshots, clock)
        pools = Pools(lambda: self.senders.all)
        self.consent = await open_consent(self.store, self.policies, self.vault, self.ids, clock, self.publisher, pools)
        self.policy = Policy(networks(settings.allow_network))
        self.egress = Egress(self.policy, per_endpoint=200)
        self.web = Web(self.egress.request, settings.public_url, _here(settings.host, settings.port))
        simulated = sandbox.carrier(SandboxConfig(record=settings.sandbox_record or None))
        self.network = Carriers(self.store, self.snapshots, self.vault, clock, simulated)

        self._media(Path(settings.data))
        try:
            self.relay = read_relay(settings.smtp_url, settings.smtp_sender, settings.smtp_ca)
        except ValueError as error:
            raise StoreRefused(f"Mail can't be sent: {error}.") from error
        self.routes = Routes(self.store, self.snapshots, clock)
        self.senders = Senders(self.store, self.snapshots, clock, strict=settings.senders == "registered")
        self.prices = Prices(self.store, self.snapshots, clock)
        self.budgets = Budgets(self.store, self.snapshots, clock, self.prices, self.publisher)

        self.contacts = Contacts(self.store, self.ids, clock)
        self.people_known = Looking(self.store)
        self.destinations = Destinations(self.store, self.snapshots, self.vault, clock)
        tokens = Tokens(TokenShelf(self.store, self.vault), clock)
        self.performing = Performing(self.egress, tokens, clock, os.urandom, self._file)
        self.forwards = Forwards(
            self.store, self.snapshots, self.ids, clock, random.random, self.publisher, self.destinations,
            self.performing, lambda: self.keys.accounts.keys(), self.account, self.keys.default_country,
            None if self.relay is None else mailing(self.relay, clock), self.consent.answers, self.people_known,
        )  # fmt: skip

        self.quiet = QuietHours(self.policies, clock, self.consent.replies.spares)
        self.content = Content(self.store, self.policies, clock, self.consent.replies.spares)

    def _main_path(self) -> None:
        """Who joins it, each in their order."""
        gates: list[Gate] = [
            self.senders.gate, urls.gate(self.policy), attaching.problems, sandbox.gate, self.quiet.gate,
            self.content.gate,
        ]  # fmt: skip
        store_gates: list[StoreGate] = [
            self.consent.gate, attaching.Uses(), Overspending(self.budgets), Debiting(self.budgets),
        ]  # fmt: skip
        looks: list[Look] = [
            self.consent.stopping.look, self.quiet.look, Pacing(lambda: self.senders.paces, self._sharing, clock),
        ]  # fmt: skip
        followers: list[Follower] = [
            self.consent.follower, attaching.Receiving(self.ids, self.vault.seal, self.fetching.wake),
            self.forwards.following,
        ]  # fmt: skip
        self.receive = ReceivePath(self.store, self.ids, clock, self.publisher, followers)
        self.receive.inbox.ask = self.forwards.following.ask
        self.sending = Sending(
            self.store, self.ids, clock, random.random, self.carriers, connect, self.receive, self.publisher,
            self.egress.reach, looks, self.web,
        )  # fmt: skip
        self.healths = Healths(self.store, clock, self.carriers, self.sending)
        self.router = Router(
            self.carriers, self.routes, self.healths, random.random, self.prices.of, self.senders.carriers_of
        )
        self.senders.healthy = self.router.well
        self.sending.registered = self.senders.registration
        self.failover = self.sending.aside = Failover(
            self.store, self.ids, clock, self.publisher, self.sending, self.carriers, self.router, self.healths,
            self.prices, self.budgets,
        )  # fmt: skip
        self.second = self.receive.aside = SecondRoutes(
            self.store, self.ids, clock, self.publisher, self.sending, self.router, self.healths, self.failover,
            self.budgets,
        )  # fmt: skip
        self.delivering = Delivering(
            self.store, self.ids, clock, random.random, self.endpoints, self.egress, self.publisher
        )
        self.handing = Handing(self.store, clock, random.random)
        kinds = (self.sending, self.delivering, self.handing, self.forwards.forwarding, self.forwards.acting)
        self.lanes = Lanes(self.store, kinds, self.ids.node, self.token, clock, self.ids.renumber)
        self.sending.lanes_of = self.delivering.lanes_of = self.handing.lanes_of = self.lanes
        self.forwards.runs_on(self.lanes)
        self.sending.attach = attaching.attach(self.media.links)
        self.delivering.latency = self.metrics.webhook
        tried: dict[int, frozenset[int]] = {}
        chosen = around(tried, self.router, self._another)
        route = measured(attaching.linked(chosen, self.carriers, self.media.links), self.carriers)
        self.accept = Accept(
            self.store, self.ids, clock, self.lanes, self.publisher, route, gates, store_gates, self._callback,
            attaching.Attaching(self.store).resolve,
        )  # fmt: skip
        self.forwards.acting.accept = self.accept
        self.consent.replies.accept = self.accept
        self.verifying = Verifying(
            self.store, self.ids, clock, Codes(self.vault.derived("verification codes")),
            self.policies.room(verify_policy()), self.templates, self.accept, self.publisher, self.keys.default_country,
            tried, self.cost,
        )  # fmt: skip
        self.second_carriers = SecondCarriers(self.store, clock, self.verifying)
        self.consent.stopping.lanes, self.consent.stopping.sending = self.lanes, self.sending
        self.holding = Holding(self.store, self.ids, clock, self.lanes, self.publisher, (self.quiet.gate,))
        self.states = States(self.store, self.sending)

    def _beside(self) -> None:
        """What stands beside the path, and the other doors."""
        settings = self.settings
        self._alerts()
        self.emptying = Emptying(self.store, self.ids, clock, self.publisher, self.sending, self.carriers)
        self.feed = Feed(self.store)
        self.publisher.on_events.append(self.feed.told)
        forgetting = (
            self.feed.forget,
            self.delivering.reread,
            self.handing.forget,
            self.forwards.forwarding.forget,
            self.media.forget,
        )
        self.redact = Redacting(self.store, clock, forgetting, (self.media.steps_without, self.forwards.steps_without))
        self.cancel = Canceling(self.store, self.ids, clock, self.lanes, self.sending, self.publisher)
        self.people, self.jobs, self.sweeping, self.growing, self.audit = keeping(self)
        self.overdue = Overdue(self.store, self.ids, clock, self.publisher, settings.receipt_timeout)
        self.repeats = Repeats(self.store, self.vault, self.ids, clock)
        self.limits = Limits(clock)
        self.smpp = SmppDoor(
            self.store, self.ids, clock, self.keys, self.logins, self.limits, self.accept, self.cancel, self.handing,
            networks(settings.smpp_from),
        )  # fmt: skip
        self.housekeeping = Housekeeping(chores(self))

    def _listen(self) -> None:
        """What processes tell each other, and what their operators are told."""
        hearing = (
            self.lanes.heard, self.snapshots.heard, self.cancel.heard, self.redact.heard,
            self.feed.heard, self.forwards.heard, self.consent.stopping.heard,
        )  # fmt: skip
        for heard in hearing:
            self.store.on_bell(heard)
        for topic in ("carriers", "webhooks", "destinations", "keys"):
            self.snapshots.on(topic, self._lanes_changed)
        self.operation = Operation(
            self.metrics, self.store, self.lanes, self.stopping, clock, networks(self.settings.metrics_from)
        )
        self.metrics.others.append(smpp_measures(self.smpp, self.sending, self.carriers))
        self.operation.measure(self.accept, self.receive, self.publisher)
        self.operation.measure_forwards(self.forwards)
        self.operation.measure_media(self.fetching, self.alert_sending)
        self.operation.measure_retention(self.growing, self.sweeping)
        self.operation.measure_routing(self.failover, self.second, self.healths)

    async def _serve_smpp(self) -> None:
        settings = self.settings
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

    def _alerts(self) -> None:
        self.alerts = Alerts(self.store, self.snapshots, self.vault)
        self.alert_sending = alert_sending.Sending(
            self.store, self.ids, clock, random.random, self.vault, self.egress, self.relay, lambda: self.accept,
            self.keys.default_country,
        )  # fmt: skip
        self.collecting = Collecting(self.store, self.ids, clock, self.alerts, self.vault, self.alert_sending.wake)
        self.publisher.on_deliveries.append(self.collecting.made)
        self.watching = Watching(
            self.store, self.ids, clock, self.publisher, self.carriers, self.network.problem, self.states, self.alerts,
            self.collecting,
        )  # fmt: skip

    async def _file(self, url: str, timeout: float) -> File | None:
        """A file that is kept here, for a forward: what has just come in may still be on its way."""
        try:
            found = await self.media.of_link(url, min(timeout, 10.0))
        except Refusal as refusal:
            raise EgressError("timeout", refusal.detail) from None
        return None if found is None else File(found.body, found.content_type, found.name)

    def _media_headers(self, carrier_id: int, url: str) -> Mapping[str, str]:
        """What a carrier wants to see on a request for media of its own."""
        carrier = self.carriers().get(carrier_id)
        known = carrier is not None and carrier.config is not None and carrier.kind in kinds()
        return kinds()[carrier.kind].fetch(carrier.config, url) if carrier is not None and known else {}

    def _media(self, data: Path) -> None:
        settings = self.settings
        try:
            kept = open_kept(settings.media_store, data, settings.media_option)
        except KeptError as error:
            raise StoreRefused(str(error)) from error
        base = settings.public_url or _here(settings.host, settings.port)
        links = Links(self.vault.derived("media links"), base, clock, settings.media_link_ttl)
        limits = MediaLimits(settings.media_max_size, settings.media_quota, settings.media_unused_ttl)
        self.media = Media(self.store, self.ids, clock, kept, links, limits)
        self.fetching = Fetching(
            self.store, self.ids, clock, random.random, self.media, kept, self.egress, self.vault.open, self.publisher,
            self._media_headers,
        )  # fmt: skip
        show_media(links.of)

    def account(self, account_id: int) -> Mapping[str, str]:
        """An account, as templates see it."""
        found = self.keys.accounts.get(account_id)
        return {"id": ids.show("acc", account_id), "name": found.name if found is not None else ""}

    def events_since(self) -> int:
        """Before when events are let go; 0 where all are kept."""
        days = self.settings.keep_events
        return clock() - days * 86_400_000 if days else 0

    def _sharing(self) -> int:
        """How many processes may send from one sender."""
        return min(len(self.lanes.peers), sum(carrier.lanes for carrier in self.carriers().values()))

    async def watch_carriers(self) -> None:
        await self.healths.step()
        await self.failover.step()

    def cost(self, account_id: int, mode: int, to: str, text: str, sender: str | None, klass: int) -> int | None:
        """What a text would cost, if it went now."""
        caller = Caller(account_id, mode, default_country=self.keys.default_country(account_id))
        message = self.accept.prepare(caller, Submission(to, text, sender, klass))
        if isinstance(message, Refusal):
            return None
        each = self.prices.of(message, message.lane & ~63)
        return None if each is None else each * message.segments

    def _another(self, message: Message, tried: Collection[int]) -> int | Refusal:
        taken = self.router.choose(message, tried)
        return taken if isinstance(taken, Refusal) else taken.carrier.lane_of(message.to)

    async def _lanes_changed(self) -> None:
        self.lanes.refresh()

    def _callback(self, account_id: int, mode: int, url: str) -> int | Awaitable[int]:
        known = self.endpoints.known_callback(account_id, mode, url)
        if known is not None:
            return known
        return self.endpoints.callback(account_id, mode, url, self.ids(), clock(), os.urandom(24))

    # First and last

    async def welcome(self, port: int) -> None:
        """Say where we are; on the first start, the keys."""
        url = self.settings.public_url or _here(self.settings.host, port)
        out = [f"Columba is ready at {url}   (API reference: {url}/docs)"]
        if await self.keys.first_account(self.ids(), "default"):
            account_id = next(iter(self.keys.accounts))
            made = {}
            for mode in (LIVE, TEST):
                made[mode] = new_secret(mode, os.urandom)
                an_id = self.ids()
                noted = left(
                    operator(), self.ids(), account_id, mode, clock(), "create_key", an_id, ids.show("key", an_id)
                )
                await self.keys.create(
                    an_id, account_id, mode, f"first {MODES[mode]} key", [], made[mode], beside=noted
                )
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
        await self.jobs.stop()
        await self.audit.stop()
        await self.consent.stop()
        with contextlib.suppress(StoreUnavailable):
            await self.content.flush()
        await self.fetching.stop()
        await self.collecting.stop()
        await self.alert_sending.stop()
        await self.lanes.stop(self.settings.stop_timeout)
        await self.sending.stop()
        await self.snapshots.stop()
        with contextlib.suppress(StoreUnavailable, OSError):
            await self.egress.close()
        await self.store.close()
