"""`accept`: the only way in for messages to people.

It normalises, plans the parts, asks the gates, chooses the lane, and commits message, body, event and deliveries in one
plan; the commit is the acknowledgement. Gates that need only the message run before; those that need the store add
steps. Fails with a Refusal for one message, never for its neighbours; with StoreUnavailable when nothing was kept.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from columba.core import events, model, status
from columba.core.ids import Ids
from columba.core.lanes import Lanes
from columba.core.model import BINARY, Event, Extra, Message
from columba.core.submission import DEFAULT_VALID_S, Caller, Submission, examine
from columba.errors import FieldError, Refusal
from columba.store import Results, Row, Statement, Step, Store, StoreUnavailable, plan

SQL = events.SQL
log = structlog.get_logger()
BACKLOG = 200_000  # rows waiting for the store; beyond it the edge says 503

Gate = Callable[[Message], Refusal | None]
Route = Callable[[Message], int | Refusal]
# Looks up what submissions name as their media, and notes it in them; None where there is nothing to look up.
Resolve = Callable[[Caller, Sequence[Submission]], Awaitable[None] | None]
# More steps for the plan that accepts: the messages, and the place of the step that keeps them.
Also = Callable[[Sequence[Message], int], Sequence[Step]]


class StoreGate(Protocol):
    """A gate that only the store can answer, inside the accepting transaction, and what it writes of what is kept.

    `refuses` runs with the rows of `row`, which begin with `ref`, and gives (ref, message id, code) of those that it
    refuses. `keeps` runs with the rows of `kept`, which begin with the message's id, for the messages that are kept.
    """

    @property
    def refuses(self) -> Statement: ...
    @property
    def keeps(self) -> Statement | None: ...
    def row(self, ref: int, message: Message) -> Row | None: ...
    def kept(self, message: Message) -> Row | None: ...
    def refusal(self, message: Message, code: str) -> Refusal: ...


class _Kept(NamedTuple):
    """What a plan came to: the claims taken, the messages kept, and for those refused the gate and its code."""

    claimed: set[int]
    there: set[int]
    refused: Mapping[int, tuple[StoreGate, str]]

    def refusal(self, message: Message) -> Refusal:
        gate, code = self.refused[message.id]
        return gate.refusal(message, code)


_NONE_REFUSED: Mapping[int, tuple[StoreGate, str]] = {}


class Idempotency(NamedTuple):
    """An Idempotency-Key to be taken in the accepting transaction, with the answer that goes with it."""

    key: str
    body_hash: str
    answer: Callable[[Sequence["Message | Refusal"]], str]


class Repeated(Exception):
    """The Idempotency-Key was taken before: the answer is the first one's."""


Tell = Callable[["Message | Exception"], None]
"""Told the message once it is durable, or why it is not; raises nothing."""


class Accept:
    def __init__(
        self,
        store: Store,
        ids: Ids,
        clock: Callable[[], int],
        lanes: Lanes,
        publisher: events.Publisher,
        route: Route,
        gates: Sequence[Gate] = (),
        store_gates: Sequence[StoreGate] = (),
        callbacks: Callable[[int, int, str], "int | Awaitable[int]"] | None = None,
        media: Resolve | None = None,
    ) -> None:
        self.accepted = 0
        self._media = media
        self.refused: dict[str, int] = {}
        self._store = store
        self._ids = ids
        self._clock = clock
        self._lanes = lanes
        self._publisher = publisher
        self._route = route
        self._gates = gates
        self._store_gates = store_gates
        self._callbacks = callbacks
        self._asked_last: tuple[Results, _Kept] = ([], _Kept(set(), set(), _NONE_REFUSED))
        self._loop = asyncio.get_running_loop()
        self._together: list[tuple[Message, Tell]] = []
        self._committing: set[asyncio.Task[None]] = set()

    def problems(self, caller: Caller, asked: Submission) -> list[FieldError]:
        """What is wrong with a submission by itself."""
        return examine(asked, caller.default_country, self._clock()).problems

    def prepare(self, caller: Caller, asked: Submission, batch_id: int | None = None) -> Message | Refusal:
        """Everything that needs no store. A Refusal with every problem that there is, never the first alone."""
        message = self.draft(caller, asked, batch_id)
        if isinstance(message, Refusal):
            return message
        refusal = self.admit(message)
        return message if refusal is None else refusal

    def draft(self, caller: Caller, asked: Submission, batch_id: int | None = None) -> Message | Refusal:
        """The message that a submission comes to by itself."""
        now = self._clock()
        to, sent_from, text, encoding, segments, due, problems = examine(asked, caller.default_country, now)
        if problems:
            return Refusal("invalid_request", errors=problems)
        if (
            asked.tags or asked.metadata or asked.media or asked.callback_url or asked.send_at is not None
            or asked.receipts is not None or asked.raw
        ):  # fmt: skip
            extra = Extra(
                asked.tags or None, asked.metadata or None, asked.media or None, asked.callback_url, asked.send_at,
                receipts=asked.receipts, raw=asked.raw or None,
            )  # fmt: skip
            if asked.raw:
                encoding, segments = encoding if text else BINARY, model.segments_of_raw(asked.raw)
        else:
            extra = model.NO_EXTRA
        return Message(
            asked.id or self._ids(), caller.account_id, caller.mode, status.OUTBOUND, asked.klass, 0, to, sent_from, text,
            encoding, segments, status.SCHEDULED if asked.send_at is not None else status.QUEUED, due,
            due + 1000 * (asked.valid_for or DEFAULT_VALID_S), now, 0, batch_id, None, None, extra, asked.callback,
        )  # fmt: skip

    def admit(self, message: Message) -> Refusal | None:
        """Ask the gates, and find its lane."""
        text = message.text
        for gate in self._gates:
            refusal = gate(message)
            if refusal is not None:
                return refusal
        if message.extra.raw and message.text != text:  # a gate has put another text there
            message.extra = msgspec.structs.replace(message.extra, raw=None)
        lane = self._route(message)
        if isinstance(lane, Refusal):
            return lane
        message.lane = lane
        return None

    async def one(self, caller: Caller, asked: Submission) -> Message:
        """Accept one message; durable when it returns. Those of the same turn of the loop are one plan."""
        if self._store.backlog > BACKLOG:
            raise Refusal("overloaded", retry_after=1)
        if asked.media and self._media is not None and (looking := self._media(caller, (asked,))) is not None:
            await looking
        message = self.prepare(caller, asked)
        if isinstance(message, Refusal):
            self._count((message,))
            raise message
        url = message.extra.callback_url
        if url is not None and self._callbacks is not None:
            found = self._callbacks(message.account_id, message.mode, url)
            message.callback = found if isinstance(found, int) else await found
        told: asyncio.Future[Message] = self._loop.create_future()
        self._join(message, partial(_settle, told))
        try:
            return await told
        except Refusal as refusal:
            if refusal.code == "internal" and asked.id is not None:  # it was accepted before
                return message
            raise

    def start(self, caller: Caller, asked: Submission, tell: Tell) -> None:
        """The same for what needs no look at media or callbacks. Raises the Refusal that can be told at once."""
        if self._store.backlog > BACKLOG:
            raise Refusal("overloaded", retry_after=1)
        message = self.prepare(caller, asked)
        if isinstance(message, Refusal):
            self._count((message,))
            raise message
        self._join(message, tell)

    def _join(self, message: Message, tell: Tell) -> None:
        if not self._together:
            self._loop.call_soon(self._go)
        self._together.append((message, tell))

    def _go(self) -> None:
        together, self._together = self._together, []
        task = self._loop.create_task(self._commit(together))
        self._committing.add(task)
        task.add_done_callback(self._committing.discard)

    async def _commit(self, together: Sequence[tuple[Message, Tell]]) -> None:
        messages = [message for message, _ in together]
        try:
            kept = await self._keep(messages)
        except StoreUnavailable as error:
            for _, tell in together:
                tell(error)
            return
        except Exception as error:  # one of them is to blame, and the others are not to suffer for it
            log.error("accept.together_failed", error=str(error))
            there, refused = set[int](), dict[int, tuple[StoreGate, str]]()
            for message in messages:
                with contextlib.suppress(Exception):
                    alone = await self._keep((message,))
                    there |= alone.there
                    refused.update(alone.refused)
            kept = _Kept(set(), there, refused)
        for message, tell in together:
            if message.id in kept.there:
                tell(message)
            elif message.id in kept.refused:
                refusal = kept.refusal(message)
                self._count((refusal,))
                tell(refusal)
            else:
                tell(Refusal("internal"))

    async def _keep(self, messages: Sequence[Message]) -> _Kept:
        """Commit messages that stand for themselves, and send those that are kept on their way."""
        steps, happened = self._steps(messages)
        results = await self._store.commit(plan(*steps), apart=True)
        first = len(self._store_gates)
        kept = self._returned(results, first, False)
        if not all(message.id in kept.there for message in messages):
            messages = [message for message in messages if message.id in kept.there]
        self.accepted += len(messages)
        self._hand_over(messages)
        self._publisher.published(results[first + 4], happened)
        return kept

    async def __call__(
        self,
        caller: Caller,
        asked: Sequence[Submission],
        *,
        batch_id: int | None = None,
        idempotency: Idempotency | None = None,
        also: Also | None = None,
    ) -> list[Message | Refusal]:
        """Accept what can be accepted; durable when it returns. Answers in the order asked."""
        if self._store.backlog > BACKLOG:
            raise Refusal("overloaded", retry_after=1)
        if self._media is not None and any(each.media for each in asked):
            looking = self._media(caller, asked)
            if looking is not None:
                await looking
        prepared = [self.prepare(caller, each, batch_id) for each in asked]
        messages = [each for each in prepared if isinstance(each, Message)]
        for message in messages:
            url = message.extra.callback_url
            if url is not None and self._callbacks is not None:
                found = self._callbacks(message.account_id, message.mode, url)
                message.callback = found if isinstance(found, int) else await found
        first = len(self._store_gates) + (1 if idempotency is not None else 0)
        while messages or idempotency is not None:
            claim: tuple[int, Step] | None = None
            if idempotency is not None:
                ref = batch_id if batch_id is not None else messages[0].id if messages else self._ids()
                row = (
                    ref, caller.account_id, caller.mode, idempotency.key, idempotency.body_hash, 202,
                    idempotency.answer(prepared), self._clock(),
                )  # fmt: skip
                claim = (ref, Step(SQL["claim_idempotency"], [row], missing=self._before))
            steps, happened = self._steps(messages, claim, also)
            results = await self._store.commit(plan(*steps), apart=True)
            # What came back may be that of many callers: only our own ids count.
            kept = self._returned(results, first, claim is not None)
            if kept.refused:
                was = len(messages)
                prepared = [
                    kept.refusal(each) if isinstance(each, Message) and each.id in kept.refused else each
                    for each in prepared
                ]
                messages = [each for each in messages if each.id not in kept.refused]
                if claim is not None and len(messages) < was:
                    continue  # nothing was kept: the answer that goes with the key is another one
            if claim is not None and claim[0] not in kept.claimed:
                raise Repeated
            if not all(message.id in kept.there for message in messages):
                given = {each.id for each in asked if each.id is not None}  # they were accepted before
                prepared = [
                    each if isinstance(each, Refusal) or each.id in kept.there or each.id in given
                    else Refusal("internal")
                    for each in prepared
                ]  # fmt: skip
                messages = [each for each in messages if each.id in kept.there]
            self._hand_over(messages)
            self._publisher.published(results[first + 4], happened)
            break
        self._count(prepared)
        return prepared

    @property
    def _before(self) -> tuple[int, ...] | None:
        """The places of the steps that refuse."""
        return tuple(range(len(self._store_gates))) or None

    def _returned(self, results: Results, first: int, claims: bool) -> _Kept:
        """What a plan came to. Callers whose plans were merged ask in turn, all for the same."""
        if self._asked_last[0] is not results:
            refused = _NONE_REFUSED
            for place, gate in enumerate(self._store_gates):
                if results[place]:
                    refused = {**refused, **{row[1]: (gate, row[2]) for row in results[place]}}
            claimed = {row[0] for row in results[first - 1]} if claims else set()
            self._asked_last = (results, _Kept(claimed, {row[0] for row in results[first]}, refused))
        return self._asked_last[1]

    def _steps(
        self, messages: Sequence[Message], claim: tuple[int, Step] | None = None, also: Also | None = None
    ) -> tuple[Sequence[Step], dict[int, Event]]:
        """The plan's steps: what the store refuses, `claim`, without which nothing is kept, and what is kept."""
        rows: list[Any] = []
        bodies: list[Any] = []
        tags: list[Any] = []
        made: list[Any] = []
        happened: dict[int, Event] = {}
        ref = 0 if claim is None else claim[0]
        for m in messages:
            an_event = self._ids()
            event = Event(an_event, m.account_id, m.mode, m.status, m.id, m.updated_at, None, m)
            rows.append(
                (
                    ref or m.id, m.id, m.account_id, m.mode, m.direction, m.status, m.klass, m.lane, m.to, m.sender,
                    m.encoding, m.segments, m.due_at, m.expires_at, m.updated_at, an_event, m.batch_id, m.callback,
                )
            )  # fmt: skip
            extra = m.extra
            bodies.append((m.id, m.text, model.extra_text(extra)))
            if extra.tags:
                tags += [(m.id, m.account_id, m.mode, tag) for tag in extra.tags]
            made.append((m.id, an_event, m.account_id, m.mode, m.status, m.updated_at, None, m.callback))
            happened[an_event] = event
        gates = self._store_gates
        first = len(gates) if claim is None else len(gates) + 1
        steps = [
            *(_asking(gate, ref, messages, place) for place, gate in enumerate(gates)),
            *(() if claim is None else (claim[1],)),
            Step(SQL["insert_messages"], rows, given=first - 1)
            if claim is not None
            else Step(SQL["insert_messages"], rows, missing=self._before),
            Step(SQL["insert_bodies"], bodies, given=first),
            Step(SQL["insert_tags"], tags, given=first),
            *events.steps(made, first + 3, given=first),
        ]
        for gate in gates:
            if gate.keeps is not None:
                kept = [row for message in messages if (row := gate.kept(message)) is not None]
                steps.append(Step(gate.keeps, kept, given=first))
        if also is not None:
            steps += also(messages, first)
        return steps, happened

    def _hand_over(self, messages: Sequence[Message]) -> None:
        """Memory first: what was just committed goes straight to its lane."""
        if len(messages) == 1:
            message = messages[0]
            if message.status == status.QUEUED:
                self._lanes.offer(message.lane, messages)
            else:
                self._lanes.due_later(message.lane, message.due_at)
            return
        by_lane: dict[int, list[Message]] = {}
        for message in messages:
            if message.status == status.QUEUED:
                by_lane.setdefault(message.lane, []).append(message)
            else:
                self._lanes.due_later(message.lane, message.due_at)
        for lane, those in by_lane.items():
            self._lanes.offer(lane, those)

    def _count(self, prepared: Sequence[Message | Refusal]) -> None:
        for each in prepared:
            if isinstance(each, Refusal):
                code = each.errors[0].code if each.errors else each.code
                self.refused[code] = self.refused.get(code, 0) + 1
            else:
                self.accepted += 1


def _settle(told: asyncio.Future[Message], came: Message | Exception) -> None:
    if told.done():  # its caller has gone away
        return
    if isinstance(came, Exception):
        told.set_exception(came)
    else:
        told.set_result(came)


def _asking(gate: StoreGate, ref: int, messages: Sequence[Message], place: int) -> Step:
    """The step that refuses: with what the gates before it have not."""
    rows = [row for message in messages if (row := gate.row(ref or message.id, message)) is not None]
    return Step(gate.refuses, rows, missing=tuple(range(place)) or None)
