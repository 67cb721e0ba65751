"""`/v1/routes`: which carrier takes which message, and why.

Routes belong to an account in one of its modes; their carriers are those that it has there, so a test key's routes lead
to the simulated carrier and nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from columba.core import ids, status
from columba.core.accept import Accept
from columba.core.contract import Carrier, by_name
from columba.core.ids import Ids
from columba.core.model import Message
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import rfc3339
from columba.keys import Key
from columba.messages.shapes import NewMessage
from columba.numbers import country_of
from columba.routing import rules
from columba.routing.carriers import Carriers
from columba.routing.route_shapes import (
    Explained,
    ExplainedCarrier,
    Explanation,
    NewRoute,
    Refused,
    RouteCarrier,
    RouteChange,
    RouteFailover,
    RouteName,
    RouteView,
    conditions,
)
from columba.routing.router import Passed, Router
from columba.routing.routes import Route, Routes
from columba.spend import money

TRIES = 5  # to change what others change at the same moment
TAG = "Routes"


class _Listed(NamedTuple):
    position: int
    route: Route


def endpoints(
    routes: Routes,
    carriers: Carriers,
    router: Router,
    accept: Accept,
    new_id: Ids,
    caller: Callable[[Key], Any],
    price: Callable[[Message, int], int | None],
    currency: Callable[[int, int], str | None],
) -> list[Endpoint]:
    """`caller` is whom `accept` knows a key as; `price` and `currency` say what a message's part costs."""

    async def find(call: Call[Any, Any]) -> _Listed:
        await routes.refresh()
        an_id = ids.read("rte", call.path["id"])
        who = _caller(call)
        for position, route in enumerate(routes.of(who.account_id, who.mode), 1):
            if route.id == an_id:
                return _Listed(position, route)
        raise Refusal("not_found", "There is no such route.")

    async def ways(who: Key, asked: Sequence[RouteCarrier]) -> tuple[rules.Way, ...]:
        await carriers.refresh()
        there = by_name(carriers.of(who.account_id, who.mode))
        found: list[rules.Way] = []
        errors: list[FieldError] = []
        for place, each in enumerate(asked):
            an_id = there.get(each.carrier)
            field = f"carriers[{place}].carrier"
            if an_id is None:
                errors.append(
                    FieldError(
                        field, "invalid_value", f"You have no {status.MODES[who.mode]} carrier of this id or name."
                    )
                )
            elif an_id in {way.carrier for way in found}:
                errors.append(FieldError(field, "invalid_value", "It is there twice."))
            else:
                found.append(rules.Way(an_id, each.weight))
        if errors:
            raise invalid(errors)
        return tuple(found)

    @endpoint(
        "POST", "/v1/routes", body=NewRoute, answer=RouteView, status=201, scope="routes:write", tag=TAG,
        summary="Add a route", refusals=("too_many",),
        example={"name": "Britain", "when": {"country": ["GB"]}, "carriers": [{"carrier": "car_0ajk7w2kn0400"}],
                 "strategy": "order"},
    )  # fmt: skip
    async def create_route(call: Call[NewRoute, None]) -> RouteView:
        """In force everywhere within a second: for new messages at once, and for where others go on to."""
        who, asked = _caller(call), call.body
        spec = rules.Spec(await ways(who, asked.carriers), asked.when.read(), asked.strategy, _failover(asked.failover))
        made = await routes.add(
            new_id(), who.account_id, who.mode, asked.name, spec, asked.enabled, asked.position
        )  # fmt: skip
        return _view(_placed(routes, made.id))

    @endpoint(
        "GET", "/v1/routes", query=Paging, answer=Page[RouteView], scope="routes:read", tag=TAG, summary="List routes"
    )
    async def list_routes(call: Call[None, Paging]) -> Page[RouteView]:
        """In the order in which they are tried."""
        who, query = _caller(call), call.query
        await routes.refresh()
        last = decode_cursor(query.cursor, tuple[int])
        first = 0 if last is None else max(0, min(last[0], 100_000))
        those = [_Listed(position, each) for position, each in enumerate(routes.of(who.account_id, who.mode), 1)]
        return page(those[first : first + query.limit + 1], query.limit, _view, lambda each: (each.position,))

    @endpoint("GET", "/v1/routes/{id}", answer=RouteView, scope="routes:read", tag=TAG, summary="Read a route")
    async def get_route(call: Call[None, None]) -> RouteView:
        return _view(await find(call))

    @endpoint(
        "PATCH", "/v1/routes/{id}", body=RouteChange, answer=RouteView, scope="routes:write", tag=TAG,
        summary="Change or move a route", refusals=("conflict",), example={"position": 1},
    )  # fmt: skip
    async def update_route(call: Call[RouteChange, None]) -> RouteView:
        """In force everywhere within a second. What waits for a carrier stays with it, unless it must go on."""
        asked, who = call.body, _caller(call)
        for _ in range(TRIES):
            was = (await find(call)).route
            spec = was.spec
            if asked.carriers is not UNSET:
                spec = msgspec.structs.replace(spec, ways=await ways(who, asked.carriers))
            if asked.when is not UNSET:
                spec = msgspec.structs.replace(spec, when=asked.when.read())
            if asked.strategy is not UNSET:
                spec = msgspec.structs.replace(spec, strategy=asked.strategy)
            if asked.failover is not UNSET:
                spec = msgspec.structs.replace(spec, failover=_failover(asked.failover))
            name = was.name if asked.name is UNSET else asked.name
            enabled = was.enabled if asked.enabled is UNSET else asked.enabled
            if await routes.change(was, name, spec, enabled):
                if asked.position is not UNSET:
                    await routes.move(routes.all[was.id], asked.position)
                return _view(_placed(routes, was.id))
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint("DELETE", "/v1/routes/{id}", scope="routes:write", tag=TAG, summary="Delete a route")
    async def delete_route(call: Call[None, None]) -> None:
        """What it has sent its way goes on."""
        await routes.remove((await find(call)).route.id)

    @endpoint(
        "POST", "/v1/routes/explain", body=NewMessage, answer=Explanation, scope="routes:read", tag=TAG,
        summary="See which way a message would take", idempotency="none",
        example={"to": "+447700900123", "text": "Hello"},
    )  # fmt: skip
    async def explain_route(call: Call[NewMessage, None]) -> Explanation:
        """Asks what accepting the message asks, and says why each other route and carrier is passed over. Nothing is sent
        or kept. What is drawn by lot may be drawn otherwise the next time."""
        who = _caller(call)
        await routes.refresh()
        asked = call.body.submission()
        message = accept.draft(caller(who), asked)
        if isinstance(message, Refusal):
            raise invalid(list(message.errors))
        refusal = accept.admit(message)
        first = refusal.errors[0] if refusal is not None and refusal.errors else None
        refused = (
            None if refusal is None else Refused(refusal.code, refusal.detail) if first is None
            else Refused(first.code, first.detail)
        )  # fmt: skip
        carrier = carriers.all[message.lane & ~63] if refusal is None else None
        each = price(message, carrier.id) if carrier is not None else None
        looked, passed = router.explain(message, carrier)
        taken = next((each for each in looked if not each.why), None)
        return Explanation(
            route=RouteName(ids.show("rte", taken.id), taken.name) if taken is not None else None,
            carrier=RouteName(ids.show("car", carrier.id), carrier.name) if carrier is not None else None,
            to=message.to,
            from_=message.sender or None,
            country=country_of(message.to),
            encoding=status.ENCODINGS[message.encoding],  # type: ignore[arg-type]
            segments=message.segments,
            price=None if each is None else money.show(each * message.segments),
            currency=currency(who.account_id, who.mode) if each is not None else None,
            refused=refused,
            routes=[
                Explained(ids.show("rte", each.id), each.name, position, not each.why, each.why)
                for position, each in enumerate(looked, 1)
            ],
            carriers=[_carrier(each, carrier, message.segments) for each in passed],
        )

    return [create_route, list_routes, get_route, update_route, delete_route, explain_route]


def _carrier(each: Passed, taken: Carrier | None, segments: int) -> ExplainedCarrier:
    option = each.option
    cost = None if option is None or option.price is None else money.show(option.price * segments)
    return ExplainedCarrier(
        ids.show("car", each.id), each.name, taken is not None and each.id == taken.id,
        None if option is None else round(option.standing, 3), cost, each.why,
    )  # fmt: skip


def _placed(routes: Routes, an_id: int) -> _Listed:
    route = routes.all.get(an_id)
    if route is None:
        raise Refusal("not_found", "The route was deleted meanwhile.")
    those = routes.of(route.account_id, route.mode)
    return _Listed(next(n for n, each in enumerate(those, 1) if each.id == an_id), route)


def _failover(asked: RouteFailover) -> rules.Failover:
    return rules.Failover(
        asked.submit, tuple(dict.fromkeys(asked.on)), asked.after,
        None if asked.max_cost is None else money.read(asked.max_cost),
    )  # fmt: skip


def _view(listed: _Listed) -> RouteView:
    route = listed.route
    failover = route.spec.failover
    return RouteView(
        id=ids.show("rte", route.id),
        name=route.name,
        mode=status.MODES[route.mode],  # type: ignore[arg-type]
        position=listed.position,
        enabled=route.enabled,
        when=conditions(route.spec.when),
        carriers=[RouteCarrier(carrier=ids.show("car", way.carrier), weight=way.weight) for way in route.spec.ways],
        strategy=route.spec.strategy,
        failover=RouteFailover(
            submit=failover.submit, on=list(failover.on), after=failover.after,
            max_cost=None if failover.max_cost is None else money.show(failover.max_cost),
        ),
        created_at=rfc3339(route.created_at),
        updated_at=rfc3339(route.updated_at),
    )  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
