"""`/v1/carriers`: an account sets up its ways to the networks, looks after them and tries them out.

Carriers belong to the account that made them, and to its live mode; a test key sees the simulated carrier, which is there
by itself. Secrets are taken and never given back.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from columba.carriers import kinds
from columba.core import ids, status
from columba.core.contract import Air, Carrier, Session, Web, anywhere
from columba.core.ids import Ids
from columba.core.receive import Receive
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import rfc3339
from columba.keys import Key
from columba.routing import config as configs
from columba.routing.carriers import Carriers, Configured, Wanted, block
from columba.routing.health import FINE, Health
from columba.routing.shapes import (
    CarrierChange,
    CarrierError,
    CarrierHealth,
    CarrierKinds,
    CarrierKindView,
    CarrierSession,
    CarrierView,
    Deletion,
    NewCarrier,
)
from columba.routing.states import SessionState, States, state_of
from columba.routing.trial import Trial, try_out

TRIES = 5  # to change what others change at the same moment
Check = Callable[[Any], Iterable[FieldError]]


def endpoints(
    carriers: Carriers,
    states: States,
    receive: Receive,
    connect: Callable[[Carrier, int, Air], Session],
    new_id: Ids,
    clock: Callable[[], int],
    random: Callable[[], float],
    public_url: str = "",
    checks: Mapping[str, Check] | None = None,
    reach: Callable[[str], Awaitable[str]] = anywhere,
    web: Web | None = None,
    health: Callable[[int], Health] = lambda _carrier: FINE,
) -> list[Endpoint]:
    """The endpoints under /v1/carriers. `checks` are what the operator forbids in the configuration of a kind."""
    trying: set[int] = set()

    async def find(call: Call[Any, Any]) -> Carrier:
        await carriers.refresh()
        an_id = ids.read("car", call.path["id"])
        who = _caller(call)
        for carrier in carriers.of(who.account_id, who.mode):
            if carrier.id == an_id:
                return carrier
        raise Refusal("not_found", "There is no such carrier.")

    async def find_own(call: Call[Any, Any]) -> Configured:
        """One that the caller may change."""
        carrier = await find(call)
        _live(call)
        return carriers.configured[carrier.id]

    async def change(call: Call[Any, Any], wanted: Callable[[Configured], Wanted], anew: bool = False) -> CarrierView:
        for _ in range(TRIES):
            was = await find_own(call)
            if await carriers.change(was, wanted(was), anew):
                return await view(call, await find(call))
        raise Refusal("conflict", "It is being changed by others at this moment.")

    def read(kind_name: str, given: configs.Plain) -> Any:
        kind = kinds().get(kind_name)
        if kind is None:
            raise Refusal("conflict", f"This Columba has no carriers of kind {kind_name}.")
        config, errors = configs.read(kind, given)
        check = (checks or {}).get(kind_name)
        if config is not None and check is not None:
            errors = [*errors, *check(config)]
        if errors:
            raise invalid(errors)
        return config

    async def view(call: Call[Any, Any], carrier: Carrier) -> CarrierView:
        return (await views(call, [carrier]))[0]

    async def views(call: Call[Any, Any], those: list[Carrier]) -> list[CarrierView]:
        sessions = await states.of(those)
        waiting = await carriers.waiting([carrier.id for carrier in those])
        base = public_url or f"{call.scope.get('scheme', 'http')}://{call.header('host') or 'localhost'}"
        return [
            _view(
                carrier,
                carriers.configured.get(carrier.id),
                sessions[carrier.id],
                waiting[carrier.id],
                health(carrier.id),
                base,
            )
            for carrier in those
        ]

    @endpoint(
        "POST", "/v1/carriers", body=NewCarrier, answer=CarrierView, status=201, scope="carriers:write",
        tag="Carriers", summary="Set up a carrier", refusals=("wrong_mode", "too_many"),
        example={"name": "try-out", "kind": "sandbox", "config": {"latency_ms": 20}, "rate": 100},
    )  # fmt: skip
    async def create_carrier(call: Call[NewCarrier, None]) -> CarrierView:
        """Its sessions are opened at once, by whichever process has its lanes: read it again to see it `up`. Live messages
        take it from now on, if it is the only one that is enabled and no route says otherwise."""
        who, asked = _caller(call), call.body
        _live(call)
        config = read(asked.kind, asked.config)
        wanted = Wanted(
            asked.name, config, asked.config, asked.rate, asked.window, asked.lanes, asked.on_unknown,
            "on" if asked.enabled else "off",
        )  # fmt: skip
        return await view(
            call, await carriers.add(block(new_id), who.account_id, who.mode, kinds()[asked.kind], wanted)
        )

    @endpoint(
        "GET", "/v1/carriers", query=Paging, answer=Page[CarrierView], scope="carriers:read", tag="Carriers",
        summary="List carriers",
    )  # fmt: skip
    async def list_carriers(call: Call[None, Paging]) -> Page[CarrierView]:
        """The newest first. A test key sees the simulated carrier."""
        who, query = _caller(call), call.query
        await carriers.refresh()
        last = decode_cursor(query.cursor, tuple[int])
        all_of_them = [each for each in carriers.of(who.account_id, who.mode) if last is None or each.id < last[0]]
        found = all_of_them[: query.limit + 1]
        shown = {each.id: each for each in found}
        by_id = dict(zip(shown, await views(call, found), strict=True))
        return page(found, query.limit, lambda each: by_id[each.id], lambda each: (each.id,))

    @endpoint(
        "GET", "/v1/carriers/kinds", answer=CarrierKinds, scope="carriers:read", tag="Carriers",
        summary="List kinds of carriers",
    )  # fmt: skip
    async def list_carrier_kinds(call: Call[None, None]) -> CarrierKinds:
        """What can be set up, and how each kind is configured."""
        return CarrierKinds(
            [
                CarrierKindView(kind.name, msgspec.json.schema(kind.config), list(kind.callbacks))
                for _, kind in sorted(kinds().items())
            ]
        )

    @endpoint("GET", "/v1/carriers/{id}", answer=CarrierView, scope="carriers:read", tag="Carriers", summary="Read one")
    async def get_carrier(call: Call[None, None]) -> CarrierView:
        """How it is configured and how its sessions are."""
        return await view(call, await find(call))

    @endpoint(
        "PATCH", "/v1/carriers/{id}", body=CarrierChange, answer=CarrierView, scope="carriers:write", tag="Carriers",
        summary="Change a carrier", refusals=("wrong_mode", "conflict"), example={"rate": 50},
    )  # fmt: skip
    async def update_carrier(call: Call[CarrierChange, None]) -> CarrierView:
        """In force within a second everywhere. Another configuration has its sessions closed, once what is on the wire has
        been answered, and opened anew; rate and window change in passing. What waits on sessions that there are no more
        moves to the others. While it isn't enabled nothing is routed to it, and what waits for it stays."""
        asked = call.body

        def wanted(was: Configured) -> Wanted:
            now = was.wanted
            config, given = now.config, None
            if asked.config is not UNSET:
                given = configs.changed(was.given, asked.config)
                config = read(was.carrier.kind, given)
            state = now.state
            if asked.enabled is not UNSET:
                state = "off" if not asked.enabled else "on" if state == "off" else state
            return Wanted(
                _or(asked.name, now.name), config, given, _or(asked.rate, now.rate), _or(asked.window, now.window),
                _or(asked.lanes, now.lanes), _or(asked.on_unknown, now.on_unknown), state,
            )  # fmt: skip

        return await change(call, wanted)

    @endpoint(
        "DELETE", "/v1/carriers/{id}", query=Deletion, scope="carriers:write", tag="Carriers",
        summary="Delete a carrier", refusals=("wrong_mode", "conflict"),
    )  # fmt: skip
    async def delete_carrier(call: Call[None, Deletion]) -> None:
        """Refused with `conflict` while messages wait to be sent through it. With `force` those fail, with the error
        `carrier_unavailable`; what is on the wire is waited for. Its secrets are gone at once. Receipts that come later
        are not heard any more."""
        found = await find_own(call)
        await carriers.remove(found.carrier.id, call.query.force)

    @endpoint(
        "POST", "/v1/carriers/{id}/pause", answer=CarrierView, scope="carriers:write", tag="Carriers",
        summary="Pause a carrier", refusals=("wrong_mode", "conflict"),
    )  # fmt: skip
    async def pause_carrier(call: Call[None, None]) -> CarrierView:
        """Nothing is sent until it is resumed. Messages are still accepted for it, and wait; its sessions stay open, so
        that receipts and inbound texts come in."""
        return await change(call, lambda was: _enabled(was)._replace(state="paused"))

    @endpoint(
        "POST", "/v1/carriers/{id}/resume", answer=CarrierView, scope="carriers:write", tag="Carriers",
        summary="Resume a carrier", refusals=("wrong_mode", "conflict"),
    )  # fmt: skip
    async def resume_carrier(call: Call[None, None]) -> CarrierView:
        """What has waited is sent, in order and as fast as its rate allows."""
        return await change(call, lambda was: _enabled(was)._replace(state="on"))

    @endpoint(
        "POST", "/v1/carriers/{id}/rebind", answer=CarrierView, scope="carriers:write", tag="Carriers",
        summary="Open a carrier's sessions anew", refusals=("wrong_mode", "conflict"),
    )  # fmt: skip
    async def rebind_carrier(call: Call[None, None]) -> CarrierView:
        """Its sessions are closed, each once what is on the wire has been answered, and opened anew. What waits is kept."""
        return await change(call, _enabled, anew=True)

    @endpoint(
        "POST", "/v1/carriers/{id}/test", answer=Trial, scope="carriers:write", tag="Carriers",
        summary="Try a carrier out", refusals=("conflict",),
    )  # fmt: skip
    async def test_carrier(call: Call[None, None]) -> Trial:
        """Opens one more session as it is configured, closes it, and says within some ten seconds what happened. Nothing is
        sent. A network that allows no further session says so here."""
        carrier = await find(call)
        if carrier.config is None:
            return Trial(False, carriers.configured[carrier.id].problem, 0)
        if carrier.id in trying:
            raise Refusal("conflict", "It is being tried out at this moment.")
        trying.add(carrier.id)
        try:
            return await try_out(carrier, connect, receive, clock, random, reach=reach, web=web)
        finally:
            trying.discard(carrier.id)

    return [
        create_carrier,
        list_carriers,
        list_carrier_kinds,
        get_carrier,
        update_carrier,
        delete_carrier,
        pause_carrier,
        resume_carrier,
        rebind_carrier,
        test_carrier,
    ]


def _view(
    carrier: Carrier,
    found: Configured | None,
    sessions: list[SessionState],
    waiting: int,
    health: Health,
    base: str,
) -> CarrierView:
    state, why = state_of(carrier, sessions, found.problem if found is not None else "")
    shown = [
        CarrierSession(
            each.lane - carrier.id, each.state, each.why, rfc3339(each.since) if each.since else None, each.flying,
            _error(each),
        )
        for each in sessions
    ]  # fmt: skip
    kind = kinds().get(carrier.kind)
    an_id = ids.show("car", carrier.id)
    if carrier.config is not None:
        config = configs.shown(carrier.config)
    else:
        config = found.public if found is not None else {}
    return CarrierView(
        id=an_id,
        name=carrier.name,
        kind=carrier.kind,
        mode=status.MODES[carrier.mode],  # type: ignore[arg-type]
        state=state,
        why=why,
        enabled=carrier.state != "off",
        config=config,
        rate=carrier.rate,
        window=carrier.window,
        lanes=carrier.lanes,
        on_unknown=carrier.on_unknown,
        window_in_use=sum(each.flying for each in sessions),
        waiting=waiting,
        health=CarrierHealth(
            round(health.standing, 3),
            health.why,
            round(health.taken, 1),
            round(health.refused, 1),
            round(health.delivered, 1),
            round(health.undelivered, 1),
        ),
        last_error=max((each.last_error for each in shown if each.last_error), key=lambda it: it.at, default=None),
        sessions=shown,
        callbacks={name: f"{base}/callbacks/{an_id}/{name}" for name in (kind.callbacks if kind is not None else ())},
        created_at=rfc3339(found.created_at) if found is not None else None,
        updated_at=rfc3339(found.updated_at) if found is not None else None,
    )


def _error(session: SessionState) -> CarrierError | None:
    if session.error_at is None:
        return None
    return CarrierError(session.error, session.code, rfc3339(session.error_at))


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _live(call: Call[Any, Any]) -> None:
    if _caller(call).mode != status.LIVE:
        raise Refusal(
            "wrong_mode", "Carriers are for live messages: use a live key. A test key sends to the simulated carrier."
        )


def _enabled(was: Configured) -> Wanted:
    if was.carrier.state == "off":
        raise Refusal("conflict", 'It is not enabled: PATCH it with {"enabled": true} first.')
    return was.wanted


def _or(new: Any, old: Any) -> Any:
    return old if new is UNSET else new
