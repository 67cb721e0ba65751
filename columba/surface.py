"""The surface: what is reached over HTTP, and how it is described.

A capability's endpoints are a line in `_endpoints`. What carries the load, or takes files, stands before the framework as a
raw route; so do providers' callbacks.
"""

import itertools
import os
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from columba import __version__
from columba.alerts.api import endpoints as alerts_endpoints
from columba.carriers import address_checks, connect
from columba.carriers.sandbox import recording as sandbox_recording
from columba.carriers.smpp.config import outbinding
from columba.consent.api import endpoints as consent_endpoints
from columba.consent.files import endpoints as consent_files_endpoints
from columba.consent.imports import PATH as CONSENT_FILE
from columba.consent.imports import kind as consent_kind
from columba.contacts.api import endpoints as contacts_endpoints
from columba.contacts.files import endpoints as contact_files_endpoints
from columba.contacts.rows import PATH as CONTACT_FILE
from columba.contacts.rows import kind as contact_kind
from columba.content.api import endpoints as content_endpoints
from columba.core.model import TYPES
from columba.core.submission import Caller
from columba.doors.callbacks import PREFIX as CALLBACKS
from columba.doors.callbacks import Callbacks
from columba.doors.smpp.api import endpoints as smpp_endpoints
from columba.events.api import Event as EventShape
from columba.events.api import endpoints as events_endpoints
from columba.forwarding import echo
from columba.forwarding.destinations_api import endpoints as destinations_endpoints
from columba.http.direct import Direct
from columba.http.dispatch import build
from columba.http.docs_page import docs_routes
from columba.http.endpoint import Endpoint
from columba.http.openapi import Webhook, document
from columba.imports.room import Imports
from columba.keys import LESSER, SCOPES, Key
from columba.keys.api import endpoints as keys_endpoints
from columba.keys.auth import Auth
from columba.keys.oauth import PATH as OAUTH_PATH
from columba.keys.oauth import OAuth
from columba.media.api import endpoints as media_endpoints
from columba.messages.api import endpoints as messages_endpoints
from columba.messages.hot import Hot
from columba.privacy.api import endpoints as privacy_endpoints
from columba.privacy.audit_api import endpoints as audit_endpoints
from columba.privacy.watch import watched
from columba.quiet.api import endpoints as quiet_endpoints
from columba.routing.api import endpoints as carriers_endpoints
from columba.routing.routes_api import endpoints as routes_endpoints
from columba.sandbox.api import endpoints as sandbox_endpoints
from columba.senders.api import endpoints as senders_endpoints
from columba.spend import money
from columba.spend.api import endpoints as spend_endpoints
from columba.templates.api import endpoints as templates_endpoints
from columba.verify.api import endpoints as verify_endpoints
from columba.webhooks.api import endpoints as webhooks_endpoints

if TYPE_CHECKING:
    from columba.app import App

ABOUT = """
Send texts, receive answers, follow every change of a message. Keys go into `Authorization: Bearer ck_...`; a test key
reaches the simulated network only and costs nothing. Errors are problem details (RFC 9457) that name every field.
""".strip()
TOLD = "Posted to the webhooks that subscribe to `{}`."


def surface(app: "App") -> tuple[ASGIApp, Mapping[bytes, Direct]]:
    """Everything over HTTP, and the paths that are served past ASGI where a request is plain."""
    new_request_id = request_ids(app.token[:10])
    limits = app.limits
    auth = Auth(app.keys, app.vault, app.clock, limits)
    repeats = app.repeats
    oauth = OAuth(auth, app.vault, app.clock, new_request_id)
    hot = Hot(
        app.accept,
        app.ids,
        auth.caller,
        repeats.first_answer,
        new_request_id,
        app.metrics.request,
        app.policy,
        app.templates.make,
    )
    consent_imports, contact_imports = (
        Imports(app.store, app.ids, app.clock, kind, auth.key, app.keys.default_country, new_request_id)
        for kind in (consent_kind(app.consent.ledger, app.consent.policy, app.clock), contact_kind(app.contacts))
    )
    endpoints = _endpoints(app, oauth, consent_imports, contact_imports)
    described = partial(
        document,
        endpoints,
        title="Columba",
        version=__version__,
        description=ABOUT,
        scopes=SCOPES,
        webhooks=[Webhook(name, TOLD.format(name), EventShape) for name in TYPES.values()],
    )

    def observe(endpoint: Endpoint | None, method: str, code: int, seconds: float) -> None:
        app.metrics.request(method, endpoint.path if endpoint is not None else "other", code, seconds)

    callbacks = Callbacks(
        app.carriers, app.receive, app.clock, new_request_id, app.metrics.request, app.settings.public_url
    )
    raw: dict[tuple[str, str], ASGIApp] = {
        ("POST", "/v1/messages"): hot.message,
        ("POST", "/v1/messages/batch"): hot.batch,
        ("POST", OAUTH_PATH): oauth,
        ("POST", CONSENT_FILE): consent_imports,
        ("POST", CONTACT_FILE): contact_imports,
        **app.operation.routes(),
        **docs_routes(described),
        **echo.routes(),
    }
    asgi = build(
        watched(endpoints, app.audit, app.clock),
        authenticate=auth.key,
        new_request_id=new_request_id,
        clock=time.perf_counter,
        idempotency=repeats,
        limit=limits,
        lesser=LESSER,
        observe=observe,
        raw_routes=raw,
        raw_prefixes={CALLBACKS: callbacks, echo.BELOW: echo.echo()},
    )
    return asgi, {b"/v1/messages": hot.direct}


def _endpoints(app: "App", oauth: OAuth, consent_imports: Imports, contact_imports: Imports) -> list[Endpoint]:
    """All, in the order in which they are described."""

    def price(account_id: int, mode: int, to: str, text: str, sender: str | None, klass: int) -> str | None:
        cost = app.cost(account_id, mode, to, text, sender, klass)
        return None if cost is None else money.show(cost)

    def caller(key: Key) -> Caller:
        return Caller(key.account_id, key.mode, key.id, default_country=app.keys.default_country(key.account_id))

    return [
        *messages_endpoints(app.store, app.cancel, app.redact, app.clock, app.keys.default_country),
        *templates_endpoints(app.templates, app.store, app.ids, price),
        *verify_endpoints(app.verifying, app.policies, app.store, app.clock),
        *media_endpoints(app.media, app.fetching, app.egress, app.store, app.clock),
        *sandbox_endpoints(app.receive, app.carriers),
        *events_endpoints(app.store, app.feed, app.keys, app.stopping, app.events_since),
        *webhooks_endpoints(app.endpoints, app.delivering, app.store, app.egress, app.ids, app.clock, os.urandom),
        *app.forwards.endpoints(),
        *destinations_endpoints(
            app.destinations,
            app.performing,
            app.egress,
            app.ids,
            app.clock,
            app.account,
            app.forwards.naming,
            app.people_known,
        ),
        *echo.endpoints(),
        *contacts_endpoints(app.contacts, app.store, app.keys.default_country),
        *contact_files_endpoints(app.store, contact_imports),
        *consent_endpoints(
            app.store,
            app.consent.ledger,
            app.policies,
            app.consent.policy,
            app.consent.pools,
            app.clock,
            app.keys.default_country,
        ),
        *consent_files_endpoints(app.store, consent_imports),
        *quiet_endpoints(app.quiet, app.policies, app.clock, app.keys.default_country),
        *content_endpoints(app.content, app.holding, app.policies, app.store, app.clock),
        *privacy_endpoints(app.jobs, app.store, app.keys.default_country, app.policies, app.sweeping.rules),
        *audit_endpoints(app.audit, app.store),
        *carriers_endpoints(
            app.network,
            app.states,
            app.receive,
            connect,
            app.ids,
            app.clock,
            random.random,
            app.settings.public_url,
            {
                **address_checks(app.policy),
                "sandbox": sandbox_recording(app.settings.sandbox_record),
                "smpp": outbinding(app.settings.smpp_outbind),
            },
            app.egress.reach,
            app.web,
            app.healths.of,
        ),
        *routes_endpoints(
            app.routes,
            app.network,
            app.router,
            app.accept,
            app.ids,
            caller,
            app.prices.of,
            app.prices.currency,
        ),
        *senders_endpoints(app.senders, app.network.of, app.ids),
        *spend_endpoints(app.prices, app.budgets, app.network.of, app.store, app.clock),
        *smpp_endpoints(app.smpp, app.sending, app.carriers, app.keys, app.stopping),
        *alerts_endpoints(app.alerts, app.alert_sending, app.store, app.egress, app.ids, app.clock),
        *keys_endpoints(app.keys, app.ids, app.clock, os.urandom),
        *oauth.endpoints(),
        *app.operation.endpoints(),
    ]


def request_ids(prefix: str) -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"req_{prefix}{next(numbers):08x}"
