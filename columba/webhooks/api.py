"""`/v1/webhooks` and `/v1/deliveries`: who wants to hear of what, and what became of telling them.

Everything belongs to an account in one of its modes. A secret is in the answer that makes or replaces it and in no other,
but for the one that signs callbacks, which no request makes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import UNSET

from columba.core import ids
from columba.core.ids import Ids
from columba.core.model import TYPE_NUMBERS, TYPES, rfc3339
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.egress import Egress
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, encode_cursor, page
from columba.http.times import milliseconds
from columba.keys import Key
from columba.store import Store
from columba.webhooks import endpoints as room
from columba.webhooks import shapes
from columba.webhooks.deliveries import Deliveries
from columba.webhooks.delivering import STATUSES, Delivering
from columba.webhooks.endpoints import (
    BY_REQUEST,
    MOST_ENDPOINTS,
    REASONS,
    SQL,
    Endpoints,
    Settings,
    read_delivery_id,
    url_problem,
)
from columba.webhooks.shapes import (
    CallbackSecret,
    Delivery,
    DeliveryDetail,
    DeliveryList,
    Recovered,
    Recovery,
    SecretRotation,
    Tested,
    Webhook,
    WebhookWithSecret,
)
from columba.webhooks.signature import new_secret

TRIES = 5  # to change what others change at the same moment
V = TypeVar("V", bound=Webhook)


def endpoints(
    webhooks: Endpoints,
    delivering: Delivering,
    store: Store,
    egress: Egress,
    new_id: Ids,
    clock: Callable[[], int],
    random: Callable[[int], bytes],
) -> list[Endpoint]:
    """The endpoints under /v1/webhooks and /v1/deliveries. `random` gives so many random bytes."""
    deliveries = Deliveries(store, new_id, clock, webhooks, delivering)

    class NewWebhook(shapes.NewWebhook, kw_only=True, forbid_unknown_fields=True):
        __doc__ = shapes.NewWebhook.__doc__

        def check_url(self) -> list[FieldError]:
            problem = egress.check_url(self.url)
            return [] if problem is None else [url_problem("url", problem)]

    class WebhookChange(shapes.WebhookChange, kw_only=True, forbid_unknown_fields=True):
        __doc__ = shapes.WebhookChange.__doc__

        def check_url(self) -> list[FieldError]:
            problem = None if self.url is UNSET else egress.check_url(self.url)
            return [] if problem is None else [url_problem("url", problem)]

    async def find(call: Call[Any, Any]) -> room.Endpoint:
        await webhooks.refresh()
        found = _owned(webhooks, call, ids.read("whk", call.path["id"]))
        if found is None or found.kind != "endpoint":
            raise Refusal("not_found", "There is no such webhook.")
        return found

    async def change(call: Call[Any, Any], changes: Callable[[room.Endpoint], Mapping[str, object]]) -> room.Endpoint:
        for _ in range(TRIES):
            was = await find(call)
            changed = await webhooks.change(was, clock(), **changes(was))
            if changed is not None:
                return changed
        raise Refusal("conflict", "It is being changed by others at this moment.")

    async def view(kind: type[V], found: room.Endpoint, **more: str) -> V:
        (row,) = await store.read(SQL["health"], [(found.id,)]) or [(0, None)]
        return _view(kind, found, row[1], clock(), **more)

    @endpoint(
        "POST", "/v1/webhooks", body=NewWebhook, answer=WebhookWithSecret, status=201, scope="webhooks:write",
        tag="Webhooks", summary="Add a webhook endpoint", refusals=("too_many",),
        example={"url": "https://example.org/hooks/sms", "events": ["message.*"]},
    )  # fmt: skip
    async def create_webhook(call: Call[NewWebhook, None]) -> WebhookWithSecret:
        """Events of these types are sent to the URL from now on, signed with the secret of the answer: it is shown this
        once."""
        who, asked = _caller(call), call.body
        if len(webhooks.of(who.account_id, who.mode)) >= MOST_ENDPOINTS:
            raise Refusal("too_many", f"There are {MOST_ENDPOINTS} webhooks already.")
        secret = asked.secret or new_secret(random(24))
        settings = _settings(Settings(), asked)
        made = await webhooks.add(
            new_id(), who.account_id, who.mode, asked.url, list(dict.fromkeys(asked.events)), asked.description,
            settings, clock(), secret,
        )  # fmt: skip
        assert made is not None
        return await view(WebhookWithSecret, made, secret=secret)

    @endpoint(
        "GET", "/v1/webhooks", query=Paging, answer=Page[Webhook], scope="webhooks:read", tag="Webhooks",
        summary="List webhook endpoints",
    )  # fmt: skip
    async def list_webhooks(call: Call[None, Paging]) -> Page[Webhook]:
        """The newest first. What messages name as their `callback_url` is not among them."""
        who, query = _caller(call), call.query
        await webhooks.refresh()
        last = decode_cursor(query.cursor, tuple[int])
        all_of_them = [e for e in webhooks.of(who.account_id, who.mode) if last is None or e.id < last[0]]
        found = all_of_them[: query.limit + 1]
        since = {row[0]: row[1] for row in await store.read(SQL["health"], [(e.id,) for e in found])}
        return page(found, query.limit, lambda e: _view(Webhook, e, since.get(e.id), clock()), lambda e: (e.id,))

    @endpoint(
        "GET", "/v1/webhooks/{id}", answer=Webhook, scope="webhooks:read", tag="Webhooks",
        summary="Read a webhook endpoint",
    )  # fmt: skip
    async def get_webhook(call: Call[None, None]) -> Webhook:
        return await view(Webhook, await find(call))

    @endpoint(
        "PATCH", "/v1/webhooks/{id}", body=WebhookChange, answer=Webhook, scope="webhooks:write", tag="Webhooks",
        summary="Change a webhook endpoint", refusals=("conflict",), example={"enabled": True},
    )  # fmt: skip
    async def update_webhook(call: Call[WebhookChange, None]) -> Webhook:
        """In force within a second everywhere, for what waits already too."""
        asked = call.body

        def changes(was: room.Endpoint) -> Mapping[str, object]:
            named = {name: getattr(asked, name) for name in ("url", "description")}
            found = {name: value for name, value in named.items() if value is not UNSET}
            if asked.events is not UNSET:
                found["events"] = tuple(dict.fromkeys(asked.events))
            if asked.enabled is not UNSET and asked.enabled != was.enabled:
                found |= {"state": "enabled", "reason": None} if asked.enabled else _DISABLED
            return found | {"settings": _settings(was.settings, asked)}

        return await view(Webhook, await change(call, changes))

    @endpoint(
        "DELETE", "/v1/webhooks/{id}", scope="webhooks:write", tag="Webhooks", summary="Delete a webhook endpoint"
    )
    async def delete_webhook(call: Call[None, None]) -> None:
        """With its deliveries, those that wait too."""
        await webhooks.remove((await find(call)).id)

    @endpoint(
        "POST", "/v1/webhooks/{id}/rotate-secret", body=SecretRotation, body_may_be_missing=True, answer=WebhookWithSecret,
        scope="webhooks:write", tag="Webhooks", summary="Replace a webhook's secret", refusals=("conflict",), example={},
    )  # fmt: skip
    async def rotate_webhook_secret(call: Call[SecretRotation | None, None]) -> WebhookWithSecret:
        """For 24 hours each request has two signatures, by the new secret and by the one before, so that the receiver can
        change over at leisure. A secret that was being replaced already ends now."""
        secret = (call.body or SecretRotation()).secret or new_secret(random(24))
        changed = await change(call, lambda was: room.replaced(was, secret, clock()))
        return await view(WebhookWithSecret, changed, secret=secret)

    @endpoint(
        "POST", "/v1/webhooks/{id}/test", answer=Tested, scope="webhooks:write", tag="Webhooks",
        summary="Test a webhook endpoint",
    )  # fmt: skip
    async def test_webhook(call: Call[None, None]) -> Tested:
        """Sends a `webhook.test` event at once, and answers with what came back. It is not tried again, and says nothing of
        the endpoint's health; one that is disabled can be tested too."""
        return await deliveries.test(await find(call))

    @endpoint(
        "POST", "/v1/webhooks/{id}/recover", body=Recovery, answer=Recovered, status=202, scope="webhooks:write",
        tag="Webhooks", summary="Deliver again what was missed", example={"since": "2026-01-31T09:30:00.000Z"},
    )  # fmt: skip
    async def recover_webhook(call: Call[Recovery, None]) -> Recovered:
        """All events of this time that the endpoint's patterns match and that it has not had become deliveries again: those
        that failed, those that wait for another try, those of the time when it was disabled or not yet there. Their ids
        stay."""
        found, now = await find(call), clock()
        since = milliseconds(call.body.since)
        if since >= now:
            raise invalid([FieldError("since", "invalid_time", "Expected a time in the past.")])
        until = now if call.body.until is None else min(now, milliseconds(call.body.until))
        return Recovered(count=await deliveries.recover(found, since, until))

    # Callbacks

    async def secret_of_callbacks(who: Key) -> room.Endpoint:
        await webhooks.refresh()
        return await webhooks.callback_secret(who.account_id, who.mode, new_id(), clock(), random(24))

    @endpoint(
        "GET", "/v1/webhooks/callback-secret", answer=CallbackSecret, scope="webhooks:write", tag="Webhooks",
        summary="Read the secret that signs callbacks",
    )  # fmt: skip
    async def get_callback_secret(call: Call[None, None]) -> CallbackSecret:
        """What is sent to the `callback_url` of messages is signed with this secret, one for the account in each mode."""
        return _callback_secret(await secret_of_callbacks(_caller(call)), clock())

    @endpoint(
        "POST", "/v1/webhooks/callback-secret/rotate", body=SecretRotation, body_may_be_missing=True, answer=CallbackSecret,
        scope="webhooks:write", tag="Webhooks", summary="Replace the secret that signs callbacks",
        refusals=("conflict",), example={},
    )  # fmt: skip
    async def rotate_callback_secret(call: Call[SecretRotation | None, None]) -> CallbackSecret:
        """For 24 hours each callback has two signatures, by the new secret and by the one before."""
        secret = (call.body or SecretRotation()).secret or new_secret(random(24))
        for _ in range(TRIES):
            was = await secret_of_callbacks(_caller(call))
            changed = await webhooks.change(was, clock(), **room.replaced(was, secret, clock()))
            if changed is not None:
                return _callback_secret(changed, clock())
        raise Refusal("conflict", "It is being changed by others at this moment.")

    # Deliveries

    async def find_delivery(call: Call[Any, Any]) -> tuple[room.Endpoint, int]:
        await webhooks.refresh()
        place = read_delivery_id(call.path["id"])
        found = None if place is None else _owned(webhooks, call, place[0])
        if found is None or place is None:
            _no_delivery()
        return found, place[1]

    @endpoint(
        "GET", "/v1/deliveries", query=DeliveryList, answer=Page[Delivery], scope="webhooks:read", tag="Webhooks",
        summary="List deliveries",
    )  # fmt: skip
    async def list_deliveries(call: Call[None, DeliveryList]) -> Page[Delivery]:
        """The newest first, those to the `callback_url` of messages too. A page of a list that is narrowed down may have
        fewer than `limit`, or none: go on until `next_cursor` is null."""
        who, query = _caller(call), call.query
        await webhooks.refresh()
        those = [e.id for e in webhooks.all.values() if e.account_id == who.account_id and e.mode == who.mode]
        problems = []
        if query.endpoint is not None:
            wanted = ids.read("whk", query.endpoint)
            if wanted not in those:
                problems.append(FieldError("endpoint", "invalid_value", "There is no such webhook."))
            those = [an_id for an_id in those if an_id == wanted]
        event_id = kind = None
        if query.event is not None:
            event_id, kind = ids.read("evt", query.event), TYPE_NUMBERS.get(query.event)
            if event_id is None and kind is None:
                detail = f"Expected an event's id (evt_...) or one of {', '.join(TYPES.values())}."
                problems.append(FieldError("event", "invalid_value", detail))
        if problems:
            raise invalid(problems)
        status = None if query.status is None else STATUSES.index(query.status)
        after = decode_cursor(query.cursor, tuple[int, int])
        if event_id is not None:
            found, last = await deliveries.of_event(event_id, those, status, query.limit, after)
        else:
            found, last = await deliveries.page(those, status, kind, query.limit, after)
        return Page(found, None if last is None else encode_cursor(*last))

    @endpoint(
        "GET", "/v1/deliveries/{id}", answer=DeliveryDetail, scope="webhooks:read", tag="Webhooks",
        summary="Read a delivery with its attempts",
    )  # fmt: skip
    async def get_delivery(call: Call[None, None]) -> DeliveryDetail:
        """Each attempt with what was sent, what came back and, where it failed, what to do about it."""
        return await deliveries.detail(*await find_delivery(call)) or _no_delivery()

    @endpoint(
        "POST", "/v1/deliveries/{id}/replay", answer=DeliveryDetail, status=202, scope="webhooks:write", tag="Webhooks",
        summary="Deliver again",
    )  # fmt: skip
    async def replay_delivery(call: Call[None, None]) -> DeliveryDetail:
        """It is sent as soon as may be, with the same `webhook-id`, and its retry schedule begins anew."""
        place = await find_delivery(call)
        if await deliveries.detail(*place) is None:
            _no_delivery()
        await deliveries.replay(*place)
        return await deliveries.detail(*place) or _no_delivery()

    return [
        create_webhook, list_webhooks, get_callback_secret, rotate_callback_secret, get_webhook, update_webhook,
        delete_webhook, rotate_webhook_secret, test_webhook, recover_webhook, list_deliveries, get_delivery,
        replay_delivery,
    ]  # fmt: skip


_DISABLED = {"state": "disabled", "reason": BY_REQUEST}


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _owned(webhooks: Endpoints, call: Call[Any, Any], an_id: int | None) -> room.Endpoint | None:
    who = _caller(call)
    found = None if an_id is None else webhooks.all.get(an_id)
    return found if found is not None and (found.account_id, found.mode) == (who.account_id, who.mode) else None


def _no_delivery() -> NoReturn:
    raise Refusal("not_found", "There is no such delivery.")


def _settings(was: Settings, asked: shapes.NewWebhook | shapes.WebhookChange) -> Settings:
    """Settings with what was asked for; null is the usual."""
    usual = Settings()
    changes = {}
    for name in Settings.__struct_fields__:
        value = getattr(asked, name)
        if value is not UNSET:
            changes[name] = (
                getattr(usual, name) if value is None else tuple(value) if name == "retry_schedule" else value
            )
    return msgspec.structs.replace(was, **changes)


def _view(kind: type[V], e: room.Endpoint, failing_since: int | None, now: int, **more: str) -> V:
    return kind(
        id=ids.show("whk", e.id),
        url=e.url,
        events=list(e.events),
        description=e.description,
        enabled=e.enabled,
        disabled_reason=None if e.enabled else REASONS.get(e.reason or "", e.reason),
        failing_since=None if failing_since is None else rfc3339(failing_since),
        retry_schedule=list(e.settings.retry_schedule),
        timeout=e.settings.timeout,
        concurrency=e.settings.concurrency,
        rotating_until=_rotating_until(e, now),
        created_at=rfc3339(e.created_at),
        updated_at=rfc3339(e.updated_at),
        **more,
    )


def _rotating_until(e: room.Endpoint, now: int) -> str | None:
    return rfc3339(e.previous_until or 0) if e.rotating(now) else None


def _callback_secret(e: room.Endpoint, now: int) -> CallbackSecret:
    return CallbackSecret(secret=e.secret, rotating_until=_rotating_until(e, now))
