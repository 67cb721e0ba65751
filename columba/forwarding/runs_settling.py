"""Settling: what an attempt came to, written with all that follows from it in one plan.

The attempt, the run's state, the next destination of a forward, what waited for an answer, values for the message, a reply
made from the answer, the event and its deliveries: all of it or nothing, and nothing for a lane that was lost.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from columba.core import events, ids, model
from columba.core.ids import Ids
from columba.core.lanes import Lane
from columba.core.model import ACTION_DONE, ACTION_FAILED, FORWARD_DEAD, FORWARD_DELIVERED, FORWARD_FAILED, Event
from columba.forwarding.rule import FIRST_SUCCESS, FORWARD, REPLY
from columba.forwarding.runs import (
    DEAD,
    DELIVERED,
    HAS_NEXT,
    IS_AWAITED,
    MODE_OF,
    PENDING,
    SKIPPED,
    SQL,
    STATUSES,
    Run,
    about,
    error_view,
    row_of,
)
from columba.store import Row, Step, plan

FROM_ANSWER = 1_000  # from here on `k` counts replies that answers ask for
MOST_VALUE = 10_000  # characters of a value that is kept with a message
MOST_KEPT = 20_000  # characters of a request's body and of an answer

_encode = msgspec.json.Encoder().encode


class Outcome(NamedTuple):
    """One attempt, and what came of it. `error` is None when it was a success: `code: what happened` otherwise.

    request: what was sent, its secrets masked. refused: it is not to be tried again. counts: False when it was our own
    fault. saved: values for the message. reply: a text for the person. note: what went wrong although it was a success.
    exchanges: all requests and answers, where there were several.
    """

    at: int
    error: str | None = None
    status: int | None = None
    latency_ms: int | None = None
    request: Any = None
    answer: str | None = None
    retry_after: float | None = None
    slow: bool = False
    refused: bool = False
    counts: bool = True
    saved: Mapping[str, Any] | None = None
    reply: str | None = None
    note: str | None = None
    exchanges: Sequence[Any] = ()


class Ended(NamedTuple):
    """What becomes of a run: its state, and when it is due if it is to be tried again."""

    run: Run
    outcome: Outcome
    state: int
    due: int = 0

    @property
    def well(self) -> bool | None:
        """What it says of the destination; None when nothing."""
        outcome = self.outcome
        return outcome.error is None if outcome.counts and not outcome.refused else None


class Settled(NamedTuple):
    """What there is to do after the commit."""

    finished: list[Run]
    retried: list[tuple[Run, int]]
    released: set[int]  # lanes that have more to do
    made: list[Run]


async def settle(
    lane: Lane,
    ended: Sequence[Ended],
    new_id: Ids,
    clock: Callable[[], int],
    publisher: events.Publisher,
    named: Callable[[int], str],
    outcomes: dict[str, int],
) -> Settled | None:
    """Write what ended; None when the lane was lost. `named` shows where a run goes; `outcomes` counts."""
    now = clock()
    fence = lane.id
    rows: list[Row] = []
    attempts: list[Row] = []
    waiting: list[Row] = []
    skipped: list[Row] = []
    following: list[Row] = []
    awaited: list[Row] = []
    behind: list[Row] = []
    values: list[Row] = []
    replies: list[Row] = []
    made: list[Row] = []
    happened: dict[int, Event] = {}
    settled = Settled([], [], set(), [])
    for run, outcome, state, due in ended:
        outcome = _storable(outcome)
        message = run.message
        place = (fence, message.id, run.rule_id)
        tried = outcome.counts
        if tried:
            run.attempts += 1
            attempts.append(
                (
                    fence, run.id, run.attempts, outcome.at, outcome.status, outcome.latency_ms,
                    outcome.error or outcome.note, _kept(outcome.request), _cut(outcome.answer),
                    _kept(outcome.exchanges) if len(outcome.exchanges) > 1 else None,
                )
            )  # fmt: skip
        rows.append(
            (
                fence, message.id, run.id, state, run.attempts, due or now, outcome.at, outcome.status, outcome.latency_ms,
                outcome.error or outcome.note, _kept(run.steps) if run.steps and state != DELIVERED else None,
            )
        )  # fmt: skip
        if outcome.saved:
            texts = {
                name: text for name, value in outcome.saved.items() if (text := _kept(value)) not in (None, "null")
            }
            saved = {name: outcome.saved[name] for name, text in texts.items() if len(text) <= MOST_VALUE}
            values += [(fence, message.id, name, texts[name]) for name in saved]
            message.extra = msgspec.structs.replace(message.extra, metadata={**(message.extra.metadata or {}), **saved})
        if outcome.reply and state == DELIVERED:
            settled.made.append(_reply(run, outcome.reply, new_id))
            replies.append(row_of(settled.made[-1], fence, PENDING, now))
        if state == PENDING:
            settled.retried.append((run, due))
            if run.to:
                behind.append((fence, run.id, run.to, due))
        else:
            settled.finished.append(run)
            if run.chain:
                mode = run.chain & MODE_OF
                if mode and (state == DELIVERED) is (mode == FIRST_SUCCESS):
                    skipped.append((*place, run.n, run.k, now))
                elif run.chain & HAS_NEXT:
                    following.append((*place, run.n, run.k + 1, now))
                if run.chain & IS_AWAITED:
                    awaited.append((*place, now))
                waiting.append(place)
        event = _event(run, outcome, state, due, new_id, now, named)
        if event is not None:
            made.append(events.row(event))
            happened[event.id] = event
    steps = (
        Step(events.SQL["fence"], [(fence, lane.epoch, lane.token)]),
        Step(SQL["lock_waiting"], waiting, given=0),
        Step(SQL["settle_runs"], rows, given=0),
        Step(SQL["insert_attempts"], attempts, given=0),
        Step(SQL["skip_rest"], skipped, given=0),
        Step(SQL["start_next"], following, given=0),
        Step(SQL["release_waiting"], awaited, given=0),
        Step(SQL["hold_back"], behind, given=0),
        Step(SQL["save_values"], values, given=0),
        Step(SQL["insert_runs"], replies, given=0),
        *events.steps(made, 10, given=2),
    )
    anew = events.Anew(new_id, happened)
    results = await lane.settle(plan(*steps), anew)
    if results is None or not lane.is_ours(results[0]):
        return None
    for _, _, state, _ in ended:
        name = "retried" if state == PENDING else STATUSES[state]
        outcomes[name] = outcomes.get(name, 0) + 1
    if settled.made:  # one that was replied to before is not again
        there = {row[0] for row in results[9]}
        settled.made[:] = [run for run in settled.made if run.id in there]
    publisher.published(results[11], anew.events(happened))
    if following or awaited:
        settled.released.update(row[1] for place in (5, 6) for row in results[place])
    return settled


def _event(
    run: Run, outcome: Outcome, state: int, due: int, new_id: Ids, now: int, named: Callable[[int], str]
) -> Event | None:
    """What is told of it; nothing of what is tried again for another time."""
    if run.kind == FORWARD:
        if state == PENDING and not (outcome.counts and run.attempts - run.base == 1):
            return None
        kind = FORWARD_DELIVERED if state == DELIVERED else FORWARD_DEAD if state == DEAD else FORWARD_FAILED
        name = "forward"
    else:
        if state == PENDING:
            return None
        kind = ACTION_DONE if state in (DELIVERED, SKIPPED) else ACTION_FAILED
        name = "action"
    more: dict[str, Any] = {"attempts": run.attempts, "error": error_view(outcome.error)}
    if run.kind == FORWARD:
        more["destination"] = named(run.lane)
        more["next_attempt_at"] = model.rfc3339(due) if state == PENDING else None
    elif run.ref is not None and state == DELIVERED:
        more["message_id"] = ids.show("msg", run.ref)
    data = {name: about(run.id, run.rule_id, run.kind, state, **more)}
    message = run.message
    return Event(new_id(), message.account_id, message.mode, kind, message.id, now, data, message)


def _reply(run: Run, text: str, new_id: Ids) -> Run:
    """A reply that a destination's answer asks for: an action of the account, its text decided already."""
    return Run(
        new_id(), run.account_id, run.account_id, run.rule_id, run.version, run.n, FROM_ANSWER + run.k, REPLY, 0,
        run.message, run.read_at, ref=new_id(), edits={"say": text},
    )  # fmt: skip


def _storable(outcome: Outcome) -> Outcome:
    """Without NUL in its words: a plan that can't be written would hold the lane up."""
    if "\0" in (outcome.error or "") + (outcome.note or "") + (outcome.reply or ""):
        return outcome._replace(error=_cut(outcome.error), note=_cut(outcome.note), reply=_cut(outcome.reply))
    return outcome


def _kept(value: Any) -> str | None:
    """As JSON; no store keeps a NUL."""
    return None if value is None else _encode(value).decode().replace("\\u0000", "\\ufffd")


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MOST_KEPT].replace("\0", "\ufffd")
