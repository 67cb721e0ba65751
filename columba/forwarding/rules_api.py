"""`/v1/rules`: what is to be done with texts from people.

Everything belongs to an account in one of its modes. A change is in force within a second everywhere, for texts that come
from then on; what was set in motion before goes on as it was.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from columba.core import ids
from columba.core.ids import Ids
from columba.core.model import rfc3339
from columba.errors import FieldError, Refusal
from columba.forwarding import rules_shapes as shapes
from columba.forwarding.rule import Rule, decode_spec, problems_of
from columba.forwarding.rules import MOST_RULES, SQL, Rules
from columba.forwarding.rules_shapes import (
    NewRule,
    Replaying,
    Restoring,
    RuleChange,
    RuleList,
    RuleReplayed,
    RuleVersion,
    Spec,
)
from columba.forwarding.runs_history import History
from columba.forwarding.trying import RulesTrial, RulesTried, Trying
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import milliseconds
from columba.keys import Key
from columba.store import Store

TAG: Final = "Rules"
TRIES: Final = 5  # to change what others change at the same moment
EXAMPLE: Final = {
    "name": "Orders",
    "when": {"to": ["+12025550100"], "text": {"regex": "(?i)^order (?P<order>[0-9]+)"}},
    "then": [{"tag": "order"}, {"reply": {"text": "Thank you, we look after order {{ groups.order }}."}}],
}


def endpoints(
    rules: Rules,
    history: History,
    trying: Trying,
    store: Store,
    new_id: Ids,
    clock: Callable[[], int],
    is_destination: Callable[[int, int, str], bool],
    country: Callable[[int], str | None],
    mails: bool,
) -> list[Endpoint]:
    """`is_destination` says whether an account has a destination in a mode; `country` is its default one; `mails`
    whether there is a mail server."""

    def check(who: Key, spec: Spec) -> None:
        problems = problems_of(
            spec, lambda an_id: is_destination(who.account_id, who.mode, an_id), country(who.account_id)
        )
        for n, action in enumerate(() if mails else spec.then):
            if action.email is not None:
                detail = (
                    "No mail server is set, so nothing would be sent: the operator sets smtp_url (COLUMBA_SMTP_URL)."
                )
                problems.append(FieldError(f"then[{n}].email", "no_mail_server", detail))
        if problems:
            raise invalid(problems)

    async def find(call: Call[Any, Any]) -> Rule:
        await rules.refresh()
        who = _caller(call)
        found = rules.all.get(ids.read("rul", call.path["id"]) or 0)
        if found is None or found.account_id != who.account_id or found.mode != who.mode:
            raise Refusal("not_found", "There is no such rule.")
        return found

    def view(rule: Rule) -> shapes.Rule:
        return _view(rule, rules.position(rule))

    async def change(call: Call[Any, Any], changes: Callable[[Rule], dict[str, Any]]) -> shapes.Rule:
        """`changes` gives what is different: change (the word for it), name, spec, enabled, position."""
        for _ in range(TRIES):
            was = await find(call)
            new = {"name": was.name, "spec": was.spec, "enabled": was.enabled, "position": None, **changes(was)}
            if new["spec"] is not was.spec:
                check(_caller(call), new["spec"])
            changed = await rules.change(was, key_id=_caller(call).id, **new)
            if changed is not None:
                return view(changed)
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint(
        "POST", "/v1/rules", body=NewRule, answer=shapes.Rule, status=201, scope="rules:write", tag=TAG,
        summary="Add a rule", refusals=("too_many", "invalid_code", "no_mail_server"), example=EXAMPLE,
    )  # fmt: skip
    async def create_rule(call: Call[NewRule, None]) -> shapes.Rule:
        """Texts that come from now on and that it matches set its actions in motion, each once. Rules are asked in their
        order; each that matches is followed, until one says `stop` or `drop`."""
        who, asked = _caller(call), call.body
        await rules.refresh()
        known = rules.of(who.account_id, who.mode)
        if known is not None and len(known.rules) >= MOST_RULES:
            raise Refusal("too_many", f"There are {MOST_RULES} rules already.")
        spec = Spec(asked.when, tuple(asked.then), asked.stop, asked.schedule)
        check(who, spec)
        owner = (who.account_id, who.mode)
        return view(await rules.add(new_id(), owner, asked.name, spec, asked.enabled, asked.position, who.id))

    @endpoint(
        "GET", "/v1/rules", query=RuleList, answer=Page[shapes.Rule], scope="rules:read", tag=TAG, summary="List rules"
    )
    async def list_rules(call: Call[None, RuleList]) -> Page[shapes.Rule]:
        """In their order."""
        who, query = _caller(call), call.query
        await rules.refresh()
        known = rules.of(who.account_id, who.mode)
        after = decode_cursor(query.cursor, tuple[int])
        found = [
            (rule, position)
            for position, rule in enumerate(known.rules if known is not None else (), 1)
            if (after is None or position > after[0]) and (query.enabled is None or rule.enabled is query.enabled)
        ][: query.limit + 1]
        return page(found, query.limit, lambda each: _view(*each), lambda each: (each[1],))

    @endpoint("GET", "/v1/rules/{id}", answer=shapes.Rule, scope="rules:read", tag=TAG, summary="Read a rule")
    async def get_rule(call: Call[None, None]) -> shapes.Rule:
        return view(await find(call))

    @endpoint(
        "PATCH", "/v1/rules/{id}", body=RuleChange, answer=shapes.Rule, scope="rules:write", tag=TAG,
        summary="Change a rule", refusals=("conflict", "invalid_code", "no_mail_server"), example={"enabled": False},
    )  # fmt: skip
    async def update_rule(call: Call[RuleChange, None]) -> shapes.Rule:
        """What is left out stays. Each change is a new version, and every version can be had back."""
        asked = call.body

        def changes(was: Rule) -> dict[str, Any]:
            named = {name: getattr(asked, name) for name in ("when", "then", "stop", "schedule")}
            given = {name: value for name, value in named.items() if value is not UNSET}
            if "then" in given:
                given["then"] = tuple(given["then"])
            new: dict[str, Any] = {"change": "changed"}
            if given:
                new["spec"] = msgspec.structs.replace(was.spec, **given)
            for name in ("name", "enabled", "position"):
                if getattr(asked, name) is not UNSET:
                    new[name] = getattr(asked, name)
            if asked.enabled is not UNSET and asked.enabled is not was.enabled and len(new) == 2:
                new["change"] = "enabled" if asked.enabled else "disabled"
            elif asked.position is not UNSET and len(new) == 2:
                new["change"] = "moved"
            return new

        return await change(call, changes)

    @endpoint("DELETE", "/v1/rules/{id}", scope="rules:write", tag=TAG, summary="Delete a rule", refusals=("conflict",))
    async def delete_rule(call: Call[None, None]) -> None:
        """What it has set in motion goes on. Its versions stay, and so does what it has done."""
        for _ in range(TRIES):
            if await rules.remove(await find(call), _caller(call).id):
                return
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint(
        "GET", "/v1/rules/{id}/versions", query=Paging, answer=Page[RuleVersion], scope="rules:read", tag=TAG,
        summary="List a rule's versions",
    )  # fmt: skip
    async def list_rule_versions(call: Call[None, Paging]) -> Page[RuleVersion]:
        """The newest first: what each change left, and which key made it. Those of a deleted rule too."""
        who, query = _caller(call), call.query
        after = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["versions_of"], rule_id=ids.read("rul", call.path["id"]) or 0, account_id=who.account_id, mode=who.mode,
            before=after[0] if after is not None else (1 << 31) - 1, most=query.limit + 1,
        )  # fmt: skip
        if not rows and after is None:
            raise Refusal("not_found", "There is no such rule.")
        return page(rows, query.limit, _version_view, lambda row: (row[0],))

    @endpoint(
        "POST", "/v1/rules/{id}/restore", body=Restoring, answer=shapes.Rule, scope="rules:write", tag=TAG,
        summary="Go back to a version", refusals=("conflict", "invalid_code", "no_mail_server"),
        example={"version": 1},
    )  # fmt: skip
    async def restore_rule(call: Call[Restoring, None]) -> shapes.Rule:
        """The rule is again what it was then, but for its place; that is a new version. One that was deleted is there again,
        as the last."""
        who = _caller(call)
        rows = await store.read(
            SQL["version"], rule_id=ids.read("rul", call.path["id"]) or 0, version=call.body.version,
            account_id=who.account_id, mode=who.mode,
        )  # fmt: skip
        if not rows:
            raise Refusal("not_found", "There is no such version of this rule.")
        ((enabled, name, text),) = rows
        spec = decode_spec(text)
        an_id = ids.read("rul", call.path["id"]) or 0
        await rules.refresh()
        if an_id not in rules.all:
            check(who, spec)
            revived = await rules.revive(an_id, (who.account_id, who.mode), name, spec, bool(enabled), who.id)
            if revived is not None:
                return view(revived)
        return await change(
            call, lambda was: {"change": "restored", "name": name, "spec": spec, "enabled": bool(enabled)}
        )

    @endpoint(
        "POST", "/v1/rules/{id}/replay", body=Replaying, answer=RuleReplayed, status=202, scope="rules:write", tag=TAG,
        summary="Show a rule the past", refusals=("conflict",), example={"since": "2026-01-31T09:30:00.000Z"},
    )  # fmt: skip
    async def replay_rule(call: Call[Replaying, None]) -> RuleReplayed:
        """Texts that came before the rule was there, or while it was off, are held against it, and what it matches sets its
        actions in motion. What the rule has done with a text already it does not do again: this can be repeated. With
        `send: false` they are only counted."""
        found, now = await find(call), clock()
        if milliseconds(call.body.since) >= now:
            raise invalid([FieldError("since", "invalid_time", "Expected a time in the past.")])
        until = now if call.body.until is None else min(now, milliseconds(call.body.until))
        return await history.replay(found, milliseconds(call.body.since), until, call.body.send)

    @endpoint(
        "POST", "/v1/rules/test", body=RulesTrial, answer=RulesTried, scope="rules:write", tag=TAG,
        summary="Try the rules out", refusals=("invalid_code", "not_found"),
        example={"message": {"from": "+447700900123", "to": "+12025550100", "text": "Order 12"}},
    )  # fmt: skip
    async def test_rules(call: Call[RulesTrial, None]) -> RulesTried:
        """A text, made up or of the past, is held against all rules: which match and why others don't, and what would be
        done, request by request, secrets masked. With `send: true` the requests are really sent, and their answers shown;
        replies, texts and e-mails are only shown, and nothing is kept."""
        who = _caller(call)
        if call.body.message_id is not None and "messages:read" not in who.scopes:
            raise Refusal("forbidden", "A text of the past is shown: the key lacks the scope messages:read.")
        await rules.refresh()
        return await trying(who, call.body)

    return [
        create_rule, list_rules, test_rules, get_rule, update_rule, delete_rule, list_rule_versions, restore_rule,
        replay_rule,
    ]  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _view(rule: Rule, position: int) -> shapes.Rule:
    spec = rule.spec
    return shapes.Rule(
        id=ids.show("rul", rule.id), name=rule.name, position=position, enabled=rule.enabled, schedule=spec.schedule,
        when=spec.when, then=list(spec.then), stop=spec.stop, version=rule.version,
        created_at=rfc3339(rule.created_at), updated_at=rfc3339(rule.updated_at),
    )  # fmt: skip


def _version_view(row: Any) -> RuleVersion:
    version, change, key_id, at, enabled, name, text = row
    spec = decode_spec(text)
    return RuleVersion(
        version=version, change=change, changed_by=ids.show("key", key_id) if key_id else None, at=rfc3339(at), name=name,
        enabled=bool(enabled), schedule=spec.schedule, when=spec.when, then=list(spec.then), stop=spec.stop,
    )  # fmt: skip
