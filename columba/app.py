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
from collections.abc import Awaitable, Collection, Mapping
from functools import partial
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from columba import __version__, sandbox
from columba.alerts import sending as alert_sending
from columba.alerts.api import endpoints as alerts_endpoints
from columba.alerts.collecting import Collecting
from columba.alerts.room import Alerts
from columba.alerts.watching import Watching
from columba.carriers import address_checks, connect, kinds
from columba.carriers.sandbox import Config as SandboxConfig
from columba.carriers.sandbox import recording as sandbox_recording
from columba.carriers.smpp.config import outbinding
from columba.consent.api import endpoints as consent_endpoints
from columba.consent.files import endpoints as consent_files_endpoints
from columba.consent.imports import PATH as CONSENT_FILE
from columba.consent.imports import Imports
from columba.consent.pools import Pools
from columba.consent.room import open_consent
from columba.content import Content
from columba.content.api import endpoints as content_endpoints
from columba.content.holding import Holding
from columba.core import events, ids
from columba.core.accept import Accept, Caller, Gate, StoreGate, Submission
from columba.core.contract import Carrier, Web
from columba.core.cutting import measured
from columba.core.housekeeping import Chore, Housekeeping
from columba.core.ids import Ids
from columba.core.inbound import Follower
from columba.core.lanes import Lanes, join
from columba.core.model import TYPES, Message, show_media
from columba.core.overdue import Overdue
from columba.core.receive import Receive as ReceivePath
from columba.core.sending import Look, Sending
from columba.core.snapshots import Snapshots
from columba.core.status import LIVE, MODES, TEST
from columba.doors.callbacks import PREFIX as CALLBACKS
from columba.doors.callbacks import Callbacks
from columba.doors.smpp.api import endpoints as smpp_endpoints
from columba.doors.smpp.handing import Handing
from columba.doors.smpp.logins import Logins
from columba.doors.smpp.measures import measures as smpp_measures
from columba.doors.smpp.server import SmppDoor
from columba.errors import Refusal
from columba.events.api import Event as EventShape
from columba.events.api import endpoints as events_endpoints
from columba.events.feed import Feed, mend_order
from columba.forwarding import echo
from columba.forwarding.auth.oauth2 import Tokens
from columba.forwarding.destinations import Destinations, TokenShelf
from columba.forwarding.destinations_api import endpoints as destinations_endpoints
from columba.forwarding.performing import Performing
from columba.forwarding.rendering import File
from columba.forwarding.room import Forwards
from columba.forwarding.runs_acting import Letter
from columba.http.dispatch import build
from columba.http.docs_page import docs_routes
from columba.http.egress import Egress, EgressError, Policy
from columba.http.endpoint import Endpoint
from columba.http.openapi import Webhook, document
from columba.keys import LESSER, SCOPES, Keys, new_secret
from columba.keys.api import endpoints as keys_endpoints
from columba.keys.auth import Auth
from columba.keys.limits import Limits
from columba.keys.oauth import PATH as OAUTH_PATH
from columba.keys.oauth import OAuth
from columba.keys.repeats import Repeats
from columba.mail import Mail, MailError, read_relay, send_mail
from columba.media import attaching
from columba.media.api import endpoints as media_endpoints
from columba.media.fetching import Fetching
from columba.media.kept import KeptError, open_kept
from columba.media.links import Links
from columba.media.room import Limits as MediaLimits
from columba.media.room import Media
from columba.messages import urls
from columba.messages.api import endpoints as messages_endpoints
from columba.messages.cancel import Canceling
from columba.messages.hot import Hot
from columba.messages.redact import Redacting
from columba.metrics import Metrics
from columba.operation import Operation
from columba.policies import Policies
from columba.privacy import others
from columba.privacy.api import endpoints as privacy_endpoints
from columba.privacy.audit import Audit
from columba.privacy.audit_api import endpoints as audit_endpoints
from columba.privacy.holding import Holding as Held
from columba.privacy.jobs import Jobs
from columba.privacy.people import People
from columba.privacy.retention import Sweeping
from columba.privacy.retention import policy as retention_policy
from columba.privacy.watch import watched
from columba.quiet import QuietHours
from columba.quiet.api import endpoints as quiet_endpoints
from columba.routing.api import endpoints as carriers_endpoints
from columba.routing.carriers import Carriers
from columba.routing.emptying import Emptying
from columba.routing.failover import Failover
from columba.routing.health import Healths
from columba.routing.router import Router
from columba.routing.routes import Routes
from columba.routing.routes_api import endpoints as routes_endpoints
from columba.routing.second import SecondRoutes
from columba.routing.states import States
from columba.sandbox.api import endpoints as sandbox_endpoints
from columba.senders.api import endpoints as senders_endpoints
from columba.senders.pacing import Pacing
from columba.senders.room import Senders
from columba.settings import Settings, networks
from columba.spend import money
from columba.spend.api import endpoints as spend_endpoints
from columba.spend.budgets import Budgets, Debiting, Overspending
from columba.spend.prices import Prices
from columba.store import Store, StoreRefused, StoreUnavailable, open_store
from columba.templates.api import endpoints as templates_endpoints
from columba.templates.room import Templates
from columba.vault import Vault, key_file, parse_key
from columba.verify.api import endpoints as verify_endpoints
from columba.verify.codes import Codes
from columba.verify.held import holding as verify_holding
from columba.verify.second import SecondCarriers, around
from columba.verify.verifying import Verifying
from columba.verify.verifying import policy as verify_policy
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


def _here(host: str, port: int) -> str:
    """How this machine reaches us."""
    host = host if host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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
        self.templates = Templates(self.store, self.snapshots, clock)
        self.publisher = events.Publisher()
        self.policies = Policies(self.store, self.snapshots, clock)
        pools = Pools(lambda: self.senders.all)
        self.consent = await open_consent(self.store, self.policies, self.vault, self.ids, clock, self.publisher, pools)
        self.policy = Policy(networks(settings.allow_network))
        self.egress = Egress(self.policy, per_endpoint=200)
        self.web = Web(self.egress.request, settings.public_url, _here(settings.host, settings.port))
        self.network = Carriers(
            self.store,
            self.snapshots,
            self.vault,
            clock,
            sandbox.carrier(SandboxConfig(record=settings.sandbox_record or None)),
        )

        self._media(data)
        try:
            self.relay = read_relay(settings.smtp_url, settings.smtp_sender, settings.smtp_ca)
        except ValueError as error:
            raise StoreRefused(f"Mail can't be sent: {error}.") from error
        self.routes = Routes(self.store, self.snapshots, clock)
        self.senders = Senders(self.store, self.snapshots, clock, strict=settings.senders == "registered")
        self.prices = Prices(self.store, self.snapshots, clock)
        self.budgets = Budgets(self.store, self.snapshots, clock, self.prices, self.publisher)

        self.destinations = Destinations(self.store, self.snapshots, self.vault, clock)
        tokens = Tokens(TokenShelf(self.store, self.vault), clock)
        self.performing = Performing(self.egress, tokens, clock, os.urandom, self._file)
        self.forwards = Forwards(
            self.store, self.snapshots, self.ids, clock, random.random, self.publisher, self.destinations,
            self.performing, lambda: self.keys.accounts.keys(), self._account, self.keys.default_country,
            None if self.relay is None else self._mail, self._is_answered,
        )  # fmt: skip

        self.quiet = QuietHours(self.policies, clock, self.consent.replies.spares)
        self.content = Content(self.store, self.policies, clock, self.consent.replies.spares)

        # The main path: who joins it, each in their order.
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
            self.web,
        )
        self.healths = Healths(self.store, clock, self.carriers, self.sending)
        self.router = Router(
            self.carriers, self.routes, self.healths, random.random, self.prices.of, self.senders.carriers_of
        )
        self.senders.healthy = self.router.well
        self.sending.registered = self.senders.registration
        self.failover = self.sending.aside = Failover(
            self.store,
            self.ids,
            clock,
            self.publisher,
            self.sending,
            self.carriers,
            self.router,
            self.healths,
            self.prices,
            self.budgets,
        )
        self.second = self.receive.aside = SecondRoutes(
            self.store,
            self.ids,
            clock,
            self.publisher,
            self.sending,
            self.router,
            self.healths,
            self.failover,
            self.budgets,
        )
        self.delivering = Delivering(
            self.store, self.ids, clock, random.random, self.endpoints, self.egress, self.publisher
        )
        self.handing = Handing(self.store, clock, random.random)
        kinds = (self.sending, self.delivering, self.handing, self.forwards.forwarding, self.forwards.acting)
        self.lanes = Lanes(self.store, kinds, self.ids.node, token, clock, self.ids.renumber)
        self.sending.lanes_of = self.delivering.lanes_of = self.handing.lanes_of = self.lanes
        self.forwards.runs_on(self.lanes)
        self.sending.attach = attaching.attach(self.media.links)
        self.delivering.latency = self.metrics.webhook
        tried: dict[int, frozenset[int]] = {}
        self._route = around(tried, self.router, self._another)
        self.accept = Accept(
            self.store,
            self.ids,
            clock,
            self.lanes,
            self.publisher,
            measured(attaching.linked(self._route, self.carriers, self.media.links), self.carriers),
            gates,
            store_gates,
            self._callback,
            attaching.Attaching(self.store).resolve,
        )
        self.forwards.acting.accept = self.accept
        self.consent.replies.accept = self.accept
        self.verifying = Verifying(
            self.store, self.ids, clock, Codes(self.vault.derived("verification codes")),
            self.policies.room(verify_policy()), self.templates, self.accept, self.publisher, self.keys.default_country,
            tried, self._cost,
        )  # fmt: skip
        self.second_carriers = SecondCarriers(self.store, clock, self.verifying)
        self.consent.stopping.lanes, self.consent.stopping.sending = self.lanes, self.sending
        self.holding = Holding(self.store, self.ids, clock, self.lanes, self.publisher, (self.quiet.gate,))
        self.states = States(self.store, self.sending)
        self._alerts()
        emptying = Emptying(self.store, self.ids, clock, self.publisher, self.sending, self.carriers)
        self.feed = Feed(self.store)
        self.publisher.on_events.append(self.feed.told)
        self.redact = Redacting(
            self.store,
            clock,
            (
                self.feed.forget,
                self.delivering.forget,
                self.handing.forget,
                self.forwards.forwarding.forget,
                self.media.forget,
            ),
            (self.media.steps_without, self.forwards.steps_without),
        )
        self.cancel = Canceling(self.store, self.ids, clock, self.lanes, self.sending, self.publisher)
        self._privacy(token)
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
                Chore("health", 0.5, self._watch_carriers),
                Chore("debits", 5.0, self.budgets.step),
                Chore("second_routes", 1.0, self.second.step),
                Chore("healths", 60.0, self.healths.sweep),
                Chore("emptying", 2.0, emptying.step),
                Chore("parked", 600.0, self.receive.sweep),
                Chore("idempotency", 600.0, repeats.sweep),
                Chore("media", 2.0, self.fetching.step),
                Chore("media_kept", 60.0, self.media.sweep),
                Chore("alerts", 1.0, self.collecting.step),
                Chore("alert_notices", 2.0, self.alert_sending.step),
                Chore("alert_history", 3_600.0, self.alert_sending.sweep),
                Chore("alert_carriers", 2.0, self.watching.carriers),
                Chore("alert_rates", 5.0, self.watching.rates),
                Chore("stopping", 1.0, self.consent.stopping.step),
                Chore("consent_replies", 5.0, self.consent.replies.step),
                Chore("consent_kept", 600.0, self.consent.replies.sweep),
                Chore("content", 2.0, self.content.flush),
                Chore("content_kept", 3600.0, self.content.sweep),
                Chore("smpp_parts", 5.0, self.smpp.step),
                Chore("smpp_kept", 600.0, self.smpp.sweep),
                Chore("privacy", 2.0, self.jobs.step),
                Chore("privacy_kept", 600.0, self.jobs.sweep),
                Chore("retention", 30.0, self.sweeping.step),
                Chore("verifications", 1.0, self.verifying.expire),
                Chore("second_carriers", 1.0, self.second_carriers.step),
                Chore("verify_blocks", 1.0, self.verifying.report),
                Chore("verify_counts", 60.0, self.verifying.sweep),
            )
        )

        self.store.on_bell(self.lanes.heard)
        self.store.on_bell(self.snapshots.heard)
        self.store.on_bell(self.cancel.heard)
        self.store.on_bell(self.redact.heard)
        self.store.on_bell(self.feed.heard)
        self.store.on_bell(self.forwards.heard)
        self.store.on_bell(self.consent.stopping.heard)
        self.snapshots.on("carriers", self._lanes_changed)
        self.snapshots.on("webhooks", self._lanes_changed)
        self.snapshots.on("destinations", self._lanes_changed)
        self.snapshots.on("keys", self._lanes_changed)
        self.operation = Operation(
            self.metrics, self.store, self.lanes, self.stopping, clock, networks(settings.metrics_from)
        )
        self.metrics.others.append(smpp_measures(self.smpp, self.sending, self.carriers))
        self.operation.measure(self.accept, self.receive, self.publisher)
        self.operation.measure_forwards(self.forwards)
        self.operation.measure_media(self.fetching, self.alert_sending)
        self.operation.measure_routing(self.failover, self.second, self.healths)
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

    def _alerts(self) -> None:
        self.alerts = Alerts(self.store, self.snapshots, self.vault)
        self.alert_sending = alert_sending.Sending(
            self.store, self.ids, clock, random.random, self.vault, self.egress, self.relay, lambda: self.accept,
            self.keys.default_country,
        )  # fmt: skip
        self.collecting = Collecting(self.store, self.ids, clock, self.alerts, self.vault, self.alert_sending.wake)
        self.publisher.on_deliveries.append(self.collecting.made)
        self.watching = Watching(
            self.store, self.ids, clock, self.publisher, self.carriers, self._carrier_problem, self.states, self.alerts,
            self.collecting,
        )  # fmt: skip

    async def _file(self, url: str, timeout: float) -> File | None:
        """A file that is kept here, for a forward: what has just come in may still be on its way."""
        try:
            found = await self.media.of_link(url, min(timeout, 10.0))
        except Refusal as refusal:
            raise EgressError("timeout", refusal.detail) from None
        return None if found is None else File(found.body, found.content_type, found.name)

    async def _mail(self, letter: Letter) -> None:
        """An e-mail of a rule."""
        assert self.relay is not None
        try:
            await send_mail(
                self.relay, Mail(ids.show("mail", letter.id), letter.to, letter.subject, letter.text), clock()
            )
        except MailError as error:
            raise Refusal("mail_refused" if error.final else "mail_unavailable", error.detail) from None

    def _carrier_problem(self, carrier_id: int) -> str:
        found = self.network.configured.get(carrier_id)
        return found.problem if found is not None else ""

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

    def _is_answered(self, text: Message) -> bool:
        """Is it a keyword that consent answers by itself?"""
        found = self.consent.policy.of(text.account_id, text.mode).matcher(text.text or "")
        return found is not None and found.meaning != "weak"

    def _account(self, account_id: int) -> Mapping[str, str]:
        """An account, as templates see it."""
        found = self.keys.accounts.get(account_id)
        return {"id": ids.show("acc", account_id), "name": found.name if found is not None else ""}

    def _sharing(self) -> int:
        """How many processes may send from one sender."""
        return min(len(self.lanes.peers), sum(carrier.lanes for carrier in self.carriers().values()))

    async def _watch_carriers(self) -> None:
        await self.healths.step()
        await self.failover.step()

    def _price(self, account_id: int, mode: int, to: str, text: str, sender: str | None, klass: int) -> str | None:
        cost = self._cost(account_id, mode, to, text, sender, klass)
        return None if cost is None else money.show(cost)

    def _cost(self, account_id: int, mode: int, to: str, text: str, sender: str | None, klass: int) -> int | None:
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

    def _privacy(self, token: str) -> None:
        """What each room holds of people, in the order in which it is erased."""

        async def purge(_person: object) -> None:
            await self.media.purge()

        people = self.people = People(self.store, self.cancel, self.redact.everywhere, lambda: holdings)
        holdings = (
            Held("messages", people.show, people.erase),
            Held("media", erase=purge, parts=self.media.steps_without),
            Held("alerts", erase=lambda person: self.alerts.erase(person.account_id, person.mode, person.number)),
            Held("forwards", parts=others.forwards),
            others.consent(self.store, self.consent.ledger.hashes),
            verify_holding(self.store, clock),
            Held("events", erase=people.erase_rest),
        )
        self.jobs = Jobs(self.store, self.ids, clock, self.vault, self.publisher, token, lambda: holdings)
        self.store.on_bell(people.heard)
        self.sweeping = Sweeping(
            self.store, clock, self.policies.room(retention_policy()), lambda: [*self.keys.accounts],
            (self.forwards.steps_without,), (self.media.steps_without,),
        )  # fmt: skip
        self.audit = Audit(self.store, self.vault.derived("audit")[0])

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
            self.templates.make,
        )
        imports = Imports(
            self.store, self.ids, clock, self.consent.ledger, self.consent.policy, auth.key, self.keys.default_country,
            self._request_id,
        )  # fmt: skip
        endpoints = [  # in the order in which they are described
            *messages_endpoints(self.store, self.cancel, self.redact, clock, self.keys.default_country),
            *templates_endpoints(self.templates, self.store, self.ids, self._price),
            *verify_endpoints(self.verifying, self.policies, self.store, clock),
            *media_endpoints(self.media, self.fetching, self.egress, self.store, clock),
            *sandbox_endpoints(self.receive, self.carriers),
            *events_endpoints(self.store, self.feed, self.keys, self.stopping),
            *webhooks_endpoints(self.endpoints, self.delivering, self.store, self.egress, self.ids, clock, os.urandom),
            *self.forwards.endpoints(),
            *destinations_endpoints(
                self.destinations, self.performing, self.egress, self.ids, clock, self._account, self.forwards.naming
            ),
            *echo.endpoints(),
            *consent_endpoints(
                self.store,
                self.consent.ledger,
                self.policies,
                self.consent.policy,
                self.consent.pools,
                clock,
                self.keys.default_country,
            ),
            *consent_files_endpoints(self.store, imports),
            *quiet_endpoints(self.quiet, self.policies, clock, self.keys.default_country),
            *content_endpoints(self.content, self.holding, self.policies, self.store, clock),
            *privacy_endpoints(self.jobs, self.store, self.keys.default_country, self.policies, self.sweeping.rules),
            *audit_endpoints(self.audit, self.store),
            *carriers_endpoints(
                self.network,
                self.states,
                self.receive,
                connect,
                self.ids,
                clock,
                random.random,
                settings.public_url,
                {
                    **address_checks(self.policy),
                    "sandbox": sandbox_recording(settings.sandbox_record),
                    "smpp": outbinding(settings.smpp_outbind),
                },
                self.egress.reach,
                self.web,
                self.healths.of,
            ),
            *routes_endpoints(
                self.routes,
                self.network,
                self.router,
                self.accept,
                self.ids,
                lambda key: Caller(
                    key.account_id, key.mode, key.id, default_country=self.keys.default_country(key.account_id)
                ),
                self.prices.of,
                self.prices.currency,
            ),
            *senders_endpoints(self.senders, self.network.of, self.ids),
            *spend_endpoints(self.prices, self.budgets, self.network.of, self.store, clock),
            *smpp_endpoints(self.smpp, self.sending, self.carriers, self.keys, self.stopping),
            *alerts_endpoints(self.alerts, self.alert_sending, self.store, self.egress, self.ids, clock),
            *keys_endpoints(self.keys, self.ids, clock, os.urandom),
            *oauth.endpoints(),
            *self.operation.endpoints(),
        ]
        described = partial(
            document,
            endpoints,
            title="Columba",
            version=__version__,
            description=ABOUT,
            scopes=SCOPES,
            webhooks=[Webhook(name, TOLD.format(name), EventShape) for name in TYPES.values()],
        )
        callbacks = Callbacks(
            self.carriers, self.receive, clock, self._request_id, self.metrics.request, settings.public_url
        )
        raw: dict[tuple[str, str], ASGIApp] = {
            ("POST", "/v1/messages"): hot.message,
            ("POST", "/v1/messages/batch"): hot.batch,
            ("POST", OAUTH_PATH): oauth,
            ("POST", CONSENT_FILE): imports,
            **self.operation.routes(),
            **docs_routes(described),
            **echo.routes(),
        }
        return build(
            watched(endpoints, self.audit, clock),
            authenticate=auth.key,
            new_request_id=self._request_id,
            clock=time.perf_counter,
            idempotency=repeats,
            limit=limits,
            lesser=LESSER,
            observe=self._observe,
            raw_routes=raw,
            raw_prefixes={CALLBACKS: callbacks, echo.BELOW: echo.echo()},
        )

    def _request_id(self) -> str:
        self._requests += 1
        return f"req_{self._run}{self._requests:08x}"

    def _observe(self, endpoint: Endpoint | None, method: str, code: int, seconds: float) -> None:
        self.metrics.request(method, endpoint.path if endpoint is not None else "other", code, seconds)

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
