"""`/v1/senders` and `/v1/pools`: what messages may come from.

They belong to an account in one of its modes. As long as it has registered none, it may send from whatever its carriers
take; from the first one on, from its own alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from columba.core import ids, status
from columba.core.contract import Carrier, by_name
from columba.core.ids import Ids
from columba.core.model import rfc3339
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.keys import Key
from columba.numbers import COUNTRIES
from columba.numbers import sender as read_sender
from columba.senders.room import POOL, Sender, Senders
from columba.senders.shapes import (
    CountryRule,
    CountryRules,
    NewPool,
    NewRule,
    NewSender,
    PoolChange,
    PoolView,
    SenderChange,
    SenderView,
)
from columba.senders.spec import Rule, Spec, pace, shipped

TRIES = 5  # to change what others change at the same moment
TAG = "Senders"


def endpoints(senders: Senders, carriers: Callable[[int, int], Iterable[Carrier]], new_id: Ids) -> list[Endpoint]:
    """`carriers` gives those of an account in a mode."""

    async def find(call: Call[Any, Any], pool: bool = False) -> Sender:
        await senders.refresh()
        found = senders.all.get(ids.read("pool" if pool else "snd", call.path["id"]) or 0)
        who = _caller(call)
        if (
            found is None
            or (found.account_id, found.mode) != (who.account_id, who.mode)
            or (found.kind == POOL) != pool
        ):
            raise Refusal("not_found", "There is no such pool." if pool else "There is no such sender.")
        return found

    def carriers_of(who: Key, asked: Sequence[str]) -> tuple[int, ...]:
        there = by_name(carriers(who.account_id, who.mode))
        _check(asked, there, "carriers", "carrier")
        return tuple(there[each] for each in dict.fromkeys(asked))

    def members_of(who: Key, asked: Sequence[str]) -> tuple[int, ...]:
        there = {ids.show("snd", each.id): each.id for each in senders.of(who.account_id, who.mode)}
        _check(asked, there, "senders", "sender")
        return tuple(there[each] for each in dict.fromkeys(asked))

    async def change(call: Call[Any, Any], pool: bool, changed: Callable[[Sender], tuple[str, bool, Spec]]) -> Sender:
        for _ in range(TRIES):
            was = await find(call, pool)
            if await senders.change(was, *changed(was)):
                return await find(call, pool)
        raise Refusal("conflict", "It is being changed by others at this moment.")

    def listed(call: Call[None, Paging], pools: bool) -> list[Sender]:
        who = _caller(call)
        last = decode_cursor(call.query.cursor, tuple[int])
        those = [e for e in senders.of(who.account_id, who.mode, pools) if last is None or e.id < last[0]]
        return those[: call.query.limit + 1]

    @endpoint(
        "POST", "/v1/senders", body=NewSender, answer=SenderView, status=201, scope="senders:write", tag=TAG,
        summary="Register a sender", refusals=("conflict", "too_many"),
        example={"sender": "+12025550100", "default_for": ["US"]},
    )  # fmt: skip
    async def create_sender(call: Call[NewSender, None]) -> SenderView:
        """From the first one on, the account sends from its own senders alone; others are refused with
        `sender_not_allowed`."""
        who, asked = _caller(call), call.body
        read = read_sender(asked.sender)
        spec = Spec(
            asked.description, tuple(dict.fromkeys(asked.capabilities)), tuple(asked.countries),
            carriers_of(who, asked.carriers), tuple(asked.default_for), asked.registration, asked.rate,
        )  # fmt: skip
        made = await senders.add(new_id(), who.account_id, who.mode, read.kind, read.value, asked.enabled, spec)
        if made is None:
            raise Refusal("conflict", f"{read.value} is registered already.")
        return _view(made)

    @endpoint(
        "GET", "/v1/senders", query=Paging, answer=Page[SenderView], scope="senders:read", tag=TAG,
        summary="List senders",
    )  # fmt: skip
    async def list_senders(call: Call[None, Paging]) -> Page[SenderView]:
        """The newest first."""
        await senders.refresh()
        return page(listed(call, False), call.query.limit, _view, lambda each: (each.id,))

    @endpoint("GET", "/v1/senders/{id}", answer=SenderView, scope="senders:read", tag=TAG, summary="Read a sender")
    async def get_sender(call: Call[None, None]) -> SenderView:
        return _view(await find(call))

    @endpoint(
        "PATCH", "/v1/senders/{id}", body=SenderChange, answer=SenderView, scope="senders:write", tag=TAG,
        summary="Change a sender", refusals=("conflict",), example={"enabled": False},
    )  # fmt: skip
    async def update_sender(call: Call[SenderChange, None]) -> SenderView:
        """In force everywhere within a second. What is on its way already goes on."""
        who, asked = _caller(call), call.body
        new = {
            name: tuple(dict.fromkeys(value)) if isinstance(value, list) else value
            for name in ("description", "capabilities", "countries", "default_for", "registration", "rate")
            if (value := getattr(asked, name)) is not UNSET
        }
        if asked.carriers is not UNSET:
            new["carriers"] = carriers_of(who, asked.carriers)
        return _view(
            await change(
                call, False,
                lambda was: (
                    was.value, was.enabled if asked.enabled is UNSET else asked.enabled,
                    msgspec.structs.replace(was.spec, **new),
                ),
            )
        )  # fmt: skip

    @endpoint("DELETE", "/v1/senders/{id}", scope="senders:write", tag=TAG, summary="Delete a sender")
    async def delete_sender(call: Call[None, None]) -> None:
        """Pools are without it then. When the last one is gone, the account may send from anything again."""
        await senders.remove((await find(call)).id)

    @endpoint(
        "GET", "/v1/senders/rules", answer=CountryRules, scope="senders:read", tag=TAG,
        summary="List the rules of countries",
    )  # fmt: skip
    async def list_sender_rules(call: Call[None, None]) -> CountryRules:
        """The countries that don't simply allow names, as far as Columba knows or you have said."""
        who = _caller(call)
        await senders.refresh()
        rules = senders.rules(who.account_id, who.mode)
        return CountryRules([_rule(country, rule) for country, rule in sorted(rules.items())])

    @endpoint(
        "PUT", "/v1/senders/rules/{country}", body=NewRule, answer=CountryRule, scope="senders:write", tag=TAG,
        summary="Set the rule of a country",
        example={"names": "registered", "source": "The carrier's account manager", "date": "2026-11-20"},
    )  # fmt: skip
    async def set_sender_rule(call: Call[NewRule, None]) -> CountryRule:
        """It holds for your account in place of the one that Columba comes with."""
        who, country, asked = _caller(call), _country(call), call.body
        rule = Rule(asked.names, asked.source, asked.date)
        await senders.set_rule(who.account_id, who.mode, country, rule)
        return _rule(country, rule)

    @endpoint(
        "DELETE", "/v1/senders/rules/{country}", scope="senders:write", tag=TAG,
        summary="Go back to a country's usual rule",
    )  # fmt: skip
    async def delete_sender_rule(call: Call[None, None]) -> None:
        who = _caller(call)
        await senders.set_rule(who.account_id, who.mode, _country(call), None)

    @endpoint(
        "POST", "/v1/pools", body=NewPool, answer=PoolView, status=201, scope="senders:write", tag=TAG,
        summary="Make a pool of senders", refusals=("conflict", "too_many"),
        example={"name": "Support", "senders": ["snd_0ajk7w2kn0410", "snd_0ajk7w2kn0411"]},
    )  # fmt: skip
    async def create_pool(call: Call[NewPool, None]) -> PoolView:
        """Messages that name it as their `from` come from one of its senders: one that may send there and whose carrier is
        well, a local number where there is one, and the same for the same recipient."""
        who, asked = _caller(call), call.body
        spec = Spec(members=members_of(who, asked.senders), sticky=asked.sticky, local=asked.local)
        made = await senders.add(new_id(), who.account_id, who.mode, POOL, asked.name, True, spec)
        if made is None:
            raise Refusal("conflict", f"There is a pool {asked.name!r} already.")
        return _pool(made)

    @endpoint(
        "GET", "/v1/pools", query=Paging, answer=Page[PoolView], scope="senders:read", tag=TAG, summary="List pools"
    )
    async def list_pools(call: Call[None, Paging]) -> Page[PoolView]:
        """The newest first."""
        await senders.refresh()
        return page(listed(call, True), call.query.limit, _pool, lambda each: (each.id,))

    @endpoint("GET", "/v1/pools/{id}", answer=PoolView, scope="senders:read", tag=TAG, summary="Read a pool")
    async def get_pool(call: Call[None, None]) -> PoolView:
        return _pool(await find(call, True))

    @endpoint(
        "PATCH", "/v1/pools/{id}", body=PoolChange, answer=PoolView, scope="senders:write", tag=TAG,
        summary="Change a pool", refusals=("conflict",), example={"sticky": False},
    )  # fmt: skip
    async def update_pool(call: Call[PoolChange, None]) -> PoolView:
        who, asked = _caller(call), call.body
        new: dict[str, Any] = {
            name: value for name in ("sticky", "local") if (value := getattr(asked, name)) is not UNSET
        }  # fmt: skip
        if asked.senders is not UNSET:
            new["members"] = members_of(who, asked.senders)
        return _pool(
            await change(
                call, True,
                lambda was: (
                    was.value if asked.name is UNSET else asked.name, True, msgspec.structs.replace(was.spec, **new)
                ),
            )
        )  # fmt: skip

    @endpoint("DELETE", "/v1/pools/{id}", scope="senders:write", tag=TAG, summary="Delete a pool")
    async def delete_pool(call: Call[None, None]) -> None:
        """Its senders stay."""
        await senders.remove((await find(call, True)).id)

    return [
        create_sender,
        list_senders,
        list_sender_rules,
        set_sender_rule,
        delete_sender_rule,
        get_sender,
        update_sender,
        delete_sender,
        create_pool,
        list_pools,
        get_pool,
        update_pool,
        delete_pool,
    ]


def _check(asked: Sequence[str], there: dict[str, int], field: str, what: str) -> None:
    errors = [
        FieldError(f"{field}[{place}]", "invalid_value", f"You have no {what} of this id.")
        for place, each in enumerate(asked)
        if each not in there
    ]
    if errors:
        raise invalid(errors)


def _country(call: Call[Any, Any]) -> str:
    country = call.path["country"]
    if country not in COUNTRIES:
        raise Refusal("not_found", "There is no such country with numbers: write it as in GB.")
    return country


def _rule(country: str, rule: Rule) -> CountryRule:
    own = rule != shipped().get(country)
    return CountryRule(country=country, names=rule.names, source=rule.source, date=rule.date, own=own)


def _view(sender: Sender) -> SenderView:
    spec = sender.spec
    return SenderView(
        id=ids.show("snd", sender.id),
        sender=sender.value,
        kind=sender.kind,  # type: ignore[arg-type]
        mode=status.MODES[sender.mode],  # type: ignore[arg-type]
        enabled=sender.enabled,
        capabilities=list(spec.capabilities),
        countries=list(spec.countries),
        carriers=[ids.show("car", an_id) for an_id in spec.carriers],
        default_for=list(spec.default_for),
        registration=spec.registration,
        rate=pace(spec),
        description=spec.description,
        created_at=rfc3339(sender.created_at),
        updated_at=rfc3339(sender.updated_at),
    )


def _pool(pool: Sender) -> PoolView:
    return PoolView(
        id=ids.show("pool", pool.id),
        name=pool.value,
        mode=status.MODES[pool.mode],  # type: ignore[arg-type]
        senders=[ids.show("snd", an_id) for an_id in pool.spec.members],
        sticky=pool.spec.sticky,
        local=pool.spec.local,
        created_at=rfc3339(pool.created_at),
        updated_at=rfc3339(pool.updated_at),
    )


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
