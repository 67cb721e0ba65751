"""The dry run: a text through all rules, and what would be done, request by request.

The same code as for real texts, but that nothing is kept: rules are asked one by one, so that each can say why it doesn't
match; requests are rendered as they would be sent, secrets masked, or really sent if that is asked for. Fails with Refusal
for a message that there isn't; what can't be rendered is said in its place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from columba.core import ids, model, status
from columba.core.events import SQL as CORE
from columba.core.ids import Ids
from columba.core.inbound import person
from columba.core.model import Extra, Message
from columba.errors import FieldError, Refusal
from columba.forwarding.conditions import Facts, said_of
from columba.forwarding.destinations import Destinations
from columba.forwarding.destinations_views import GotResponse, SentRequest, TriedExchange
from columba.forwarding.people import Contact, People, seen_by
from columba.forwarding.performing import Performed, Performing
from columba.forwarding.rule import ALL, FIRST_SUCCESS, KINDS, Move, Rule, template
from columba.forwarding.rules import Rules
from columba.forwarding.rules_index import Match
from columba.forwarding.rules_shapes import Action
from columba.forwarding.runs import EMPTY, SQL, context_of, error_view
from columba.forwarding.runs_follower import read_facts
from columba.forwarding.runs_shapes import ForwardError
from columba.keys import Key
from columba.store import Store
from columba.usercode import UserCodeError

NOT_KEPT = 64  # the lane of a text that never came: the sandbox's


class Sample(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text as if it had come in.

    first: whether it is the first text from this number, or the first since you sent it one
    """

    from_: Annotated[str, Meta(min_length=1, max_length=64)] = field(name="from", default="+447700900123")
    to: Annotated[str, Meta(min_length=1, max_length=64)] = "+12025550100"
    text: Annotated[str, Meta(max_length=10_000)] = ""
    media: Annotated[list[Annotated[str, Meta(max_length=2_000)]], Meta(max_length=10)] = []
    metadata: dict[str, Any] = {}
    carrier: Annotated[str, Meta(max_length=64)] | None = None
    first: Literal["text", "reply"] | None = None


class RulesTrial(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to try the rules with.

    message: a text
    message_id: or one of the past
    send: really send the requests of forwards
    """

    message: Sample | None = None
    message_id: Annotated[str, Meta(max_length=64)] | None = None
    send: bool = False

    def check(self) -> Iterable[FieldError]:
        if (self.message is None) == (self.message_id is None):
            yield FieldError("message", "required", "Expected one of message, message_id.")


class TriedRule(msgspec.Struct, kw_only=True):
    """why: why it doesn't match; null where it does"""

    id: str
    name: str
    matched: bool
    why: str | None
    groups: dict[str, str]


class TriedAction(msgspec.Struct, kw_only=True):
    """What would be done, or was.

    rule: by which rule
    action: the action's place in it, from 1
    destination: of a forward
    request: the request that forwards the text, as it is on the wire, `***` for its secrets; null where there is none
    requests: all of them, where the destination looks something up first
    response: what came back, where it was sent
    exchanges: all that was sent and came back
    message: the text that a reply or text is, the e-mail, or the tag
    skipped: why it isn't done
    error: why it can't be done, or failed
    """

    kind: Literal["forward", "reply", "tag", "text", "email", "drop"]
    rule: str
    action: int
    destination: str | None = None
    request: SentRequest | None = None
    requests: list[SentRequest] = []
    response: GotResponse | None = None
    exchanges: list[TriedExchange] = []
    message: dict[str, Any] | None = None
    skipped: str | None = None
    error: ForwardError | None = None


class RulesTried(msgspec.Struct, kw_only=True):
    """What the rules make of a text.

    rules: all of them, in their order
    actions: what those that match do, in order
    sent: whether the requests were really sent
    contact: who the person is among the contacts, as rules and templates see it; nobody, for keys without contacts:read
    """

    rules: list[TriedRule]
    actions: list[TriedAction]
    sent: bool
    contact: dict[str, Any] | None


class Trying:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        rules: Rules,
        destinations: Destinations,
        performing: Performing,
        account: Callable[[int], Mapping[str, Any]],
        handled: Callable[[Message], bool],
        people: People,
    ) -> None:
        self._people = people
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._rules = rules
        self._destinations = destinations
        self._performing = performing
        self._account = account
        self._handled = handled

    async def __call__(self, who: Key, asked: RulesTrial) -> RulesTried:
        message, facts = await self._message(who, asked)
        contact = None if facts.contact is None else dict(facts.contact)
        found = self._rules.of(who.account_id, who.mode)
        if found is None:
            return RulesTried(rules=[], actions=[], sent=asked.send, contact=contact)
        context = context_of(message, {}, self._account(who.account_id), facts.contact)
        judged, matches = found.judge(said_of(message, context, facts, self._handled(message)))
        groups = {match.rule.id: match.groups for match in matches}
        rules = [
            TriedRule(
                id=ids.show("rul", rule.id),
                name=rule.name,
                matched=why is None,
                why=why,
                groups=groups.get(rule.id, {}),
            )
            for rule, why in judged
        ]
        known = await self._known(message) if asked.message_id is not None else {}
        actions: list[TriedAction] = []
        for match in matches:
            actions += await self._actions(message, match, facts.contact, known, asked.send)
        return RulesTried(rules=rules, actions=actions, sent=asked.send, contact=contact)

    async def _message(self, who: Key, asked: RulesTrial) -> tuple[Message, Facts]:
        people = seen_by(self._people, who.scopes)
        if asked.message is not None:
            said = asked.message
            carrier = NOT_KEPT if said.carrier is None else ids.read("car", said.carrier) or 0
            now = self._clock()
            extra = Extra(media=said.media or None, metadata=said.metadata or None)
            message = Message(
                self._ids(), who.account_id, who.mode, status.INBOUND, status.TRANSACTIONAL, carrier, person(said.to),
                person(said.from_), said.text, 0, 1, status.RECEIVED, now, 0, now, extra=extra,
            )  # fmt: skip
            found = await read_facts(self._store, people, [message], asks=False)
            return message, found[message.id]._replace(
                first_text=said.first == "text", first_reply=said.first == "reply"
            )
        rows = await self._store.read(CORE["messages_by_id"], [(ids.read("msg", asked.message_id or "") or 0,)])
        message = model.message_of(rows[0]) if rows else _NOBODY
        if message.account_id != who.account_id or message.mode != who.mode or message.direction != status.INBOUND:
            raise Refusal("not_found", "There is no such text from a person.")
        return message, (await read_facts(self._store, people, [message]))[message.id]

    async def _known(self, message: Message) -> dict[tuple[int, int, int], int]:
        """The ids of what the rules have done with a text of the past: a request has the same id again."""
        rows = await self._store.read(
            SQL["runs_of_message"], message_id=message.id, account_id=message.account_id, mode=message.mode,
            before=(1 << 63) - 1, after=0, rule_id=0, lane=0, status=-1, kind=-1, error="", most=1_000,
        )  # fmt: skip
        return {(row[2], row[3], row[4]): row[0] for row in rows}

    async def _actions(
        self,
        message: Message,
        match: Match,
        contact: Contact | None,
        known: Mapping[tuple[int, int, int], int],
        send: bool,
    ) -> list[TriedAction]:
        rule, groups = match
        context = context_of(message, groups, self._account(message.account_id), contact)
        answers: list[dict[str, Any]] = []
        tried: list[TriedAction] = []
        for move, action in zip(rule.moves, rule.spec.then, strict=True):
            if action.forward is not None:
                tried += await self._forwards(message, rule, move, context, known, answers, send)
            else:
                seen = {**context, "answers": answers, "answer": answers[-1] if answers else None}
                tried += _others(message, rule, move, action, seen, send)
        return tried

    async def _forwards(
        self,
        message: Message,
        rule: Rule,
        move: Move,
        context: Mapping[str, Any],
        known: Mapping[tuple[int, int, int], int],
        answers: list[dict[str, Any]],
        send: bool,
    ) -> list[TriedAction]:
        tried: list[TriedAction] = []
        over: str | None = None
        for k, lane in enumerate(move.lanes):
            shown = _about(rule, move, ids.show("dst", lane))
            tried.append(shown)
            destination = self._destinations.get(lane, message.account_id, message.mode)
            if over is not None:
                shown.skipped = over
                continue
            if destination is None or not destination.enabled:
                detail = "It is disabled: forwards to it wait." if destination is not None else "It was deleted."
                shown.error = ForwardError(code="no_destination", detail=detail)
                continue
            an_id = ids.show("fwd", known.get((rule.id, move.n, k)) or self._ids())
            if not send:
                _performed(shown, await self._performing.rehearse(destination, context, idempotency_id=an_id))
                shown.exchanges = []
                if move.mode == FIRST_SUCCESS:
                    over = "Only if the one before fails."
                elif move.mode != ALL:
                    over = "Only when the one before has it."
                continue
            done = await self._performing.perform(destination, context, idempotency_id=an_id)
            _performed(shown, done)
            answers.append(_answer(lane, done))
            if move.mode != ALL and done.ok is (move.mode == FIRST_SUCCESS):
                over = "The one before has it." if done.ok else "The one before failed."
        return tried


def _about(rule: Rule, move: Move, destination: str | None = None) -> TriedAction:
    kind: Any = KINDS[move.kind]
    return TriedAction(kind=kind, rule=ids.show("rul", rule.id), action=move.n + 1, destination=destination)


def _performed(shown: TriedAction, done: Performed) -> None:
    last = done.last
    shown.exchanges = [
        TriedExchange(
            step=each.step, request=each.request, response=each.response, error=each.error, skipped=each.skipped
        )
        for each in done.exchanges
    ]
    shown.requests = [each.request for each in done.exchanges if each.request is not None]
    if last is not None:
        shown.request, shown.response = last.request, last.response
    if done.skipped:
        shown.skipped = "The destination's condition is not true."
    why = error_view(done.error)
    shown.error = None if why is None else ForwardError(**why)


def _answer(lane: int, done: Performed) -> dict[str, Any]:
    response = None if done.last is None else done.last.response
    body = "" if response is None else response.body
    try:
        document = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        document = None
    return {
        "destination": ids.show("dst", lane), "ok": done.ok, "status": done.status, "body": body, "json": document,
    }  # fmt: skip


def _others(
    message: Message, rule: Rule, move: Move, action: Action, context: Mapping[str, Any], sent: bool
) -> Sequence[TriedAction]:
    """What is not a forward: shown, never done."""
    shown = _about(rule, move)
    if move.waits and not sent:
        shown.skipped = "It uses what a destination answers: try with `send`."
    try:
        if action.tag is not None:
            shown.message = {"tag": action.tag}
        elif action.reply is not None:
            text = template(action.reply.text).render(context)
            shown.message = {"to": message.sender, "from": action.reply.from_ or message.to, "text": text}
            shown.skipped = shown.skipped or (None if text.strip() else EMPTY)
        elif action.email is not None:
            subject = " ".join(template(action.email.subject).render(context).split())
            text = template(action.email.text).render(context)
            shown.message = {"to": list(action.email.to), "subject": subject, "text": text}
        elif action.text is not None:
            text = template(action.text.text).render(context)
            texts = []
            for to in action.text.to:
                each = _about(rule, move)
                each.message = {"to": to, "from": action.text.from_ or message.to, "text": text}
                each.skipped = shown.skipped or (None if text.strip() else EMPTY)
                texts.append(each)
            return texts
    except UserCodeError as error:
        shown.error = ForwardError(code="template", detail=str(error))
    return [shown]


_NOBODY = Message(0, 0, -1, 0, 0, 0, "", "", None, 0, 0, 0, 0, 0, 0)
