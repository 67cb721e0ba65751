"""Runs: what a rule does with a text, one for each action, of a forward one for each destination.

A run is a row from the transaction on that recorded the text, and a job of a lane: of its destination's, or of its
account's. Its id never changes: it is what receivers know a forward by. Pure, but for the templates that are rendered.

How runs of a rule hang together is said in `chain`: the forward's mode, whether there is a next destination, and whether
something waits for what the destinations answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from columba.core import ids, model, status
from columba.core.ids import Ids
from columba.core.model import Extra, Message, rfc3339
from columba.forwarding.conditions import keyword_of
from columba.forwarding.rule import (
    ALL,
    DROP,
    FORWARD,
    KINDS,
    LOOK,
    REPLY,
    TAG,
    TEXT,
    Rule,
)
from columba.forwarding.rules_index import Match
from columba.forwarding.telling import explain
from columba.store import Row, statements

SQL = statements(Path(__file__).with_name("runs.sql"))
PENDING, DELIVERED, DEAD, WAITING, SKIPPED, FAILED, CANCELED = range(7)
STATUSES = ("pending", "delivered", "dead", "waiting", "skipped", "failed", "canceled")
EMPTY = "The text came out empty: nothing is sent."
NO_DESTINATION = "no_destination: The destination was deleted before the text came."
MAKES_MESSAGES = (REPLY, TEXT)
MODE_OF, HAS_NEXT, IS_AWAITED, WAS_HANDLED = 3, 4, 8, 16  # the bits of `chain`

_encode = msgspec.json.Encoder().encode
_groups = msgspec.json.Decoder(dict[str, str]).decode
_object = msgspec.json.Decoder(dict[str, Any]).decode


class Run(msgspec.Struct, gc=False):
    """A job. `to` is the person whose order is kept, or ''. `steps` is what the destination's steps came to before.
    `contact` is who wrote, where that was just looked up for the rules."""

    id: int
    account_id: int
    lane: int
    rule_id: int
    version: int
    n: int
    k: int
    kind: int
    chain: int
    message: Message
    read_at: float  # the loop's time
    attempts: int = 0
    base: int = 0
    to: str = ""
    ref: int | None = None
    groups: dict[str, str] = {}
    edits: dict[str, Any] | None = None
    steps: dict[str, Any] | None = None
    klass: int = status.TRANSACTIONAL
    contact: Mapping[str, Any] | UnsetType | None = UNSET

    @property
    def cost(self) -> int:
        return 1

    @property
    def subject(self) -> int:
        return self.message.id


def run_of(row: Row, read_at: float) -> Run:
    """From a row of `due_runs`."""
    return Run(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], model.message_of(row[16:]), read_at,
        row[9], row[10], row[11], row[12], {} if row[13] is None else _groups(row[13]),
        None if row[14] is None else _object(row[14]), None if row[15] is None else _object(row[15]),
    )  # fmt: skip


class Places(NamedTuple):
    """What planning asks of destinations: has an account one in its mode, and does it want a person's texts in order?"""

    exists: Callable[[int, int, int], bool]
    ordered: Callable[[int], bool]


class Planned(msgspec.Struct):
    """What matches come to: rows for the plan, and the jobs that may go at once."""

    rows: list[Row] = []
    jobs: list[Run] = []
    tags: list[str] = []
    done: list[tuple[Run, int]] = []  # by being written, with their state: tags, drops, and what has nowhere to go
    events: dict[int, model.Event] = {}


def plan_runs(
    message: Message,
    matches: Iterable[Match],
    places: Places,
    new_id: Ids,
    now: int,
    read_at: float,
    contact: Mapping[str, Any] | UnsetType | None = UNSET,
) -> Planned:
    """All runs of a text, in their order."""
    planned = Planned()
    for rule, groups in matches:
        for n, k, kind, lane, chain, state, to in _places_of(rule, message, places):
            ref = new_id() if kind in MAKES_MESSAGES else None
            run = Run(
                new_id(), message.account_id, lane, rule.id, rule.version, n, k, kind, chain, message, read_at, 0, 0, to,
                ref, groups, contact=contact,
            )  # fmt: skip
            planned.rows.append(row_of(run, message.id, state, now))
            if state == PENDING:
                planned.jobs.append(run)
            elif state in (DELIVERED, DEAD):
                planned.done.append((run, state))
        planned.tags += [move.tag for move in rule.moves if move.tag is not None and move.tag not in planned.tags]
    return planned


def _places_of(rule: Rule, message: Message, places: Places) -> Iterator[tuple[int, int, int, int, int, int, str]]:
    """n, k, kind, lane, chain, state and `to` of a rule's runs."""
    account_id = message.account_id
    forwarded = False
    for n, kind, mode, wanted, times, waits, awaited, _ in rule.moves:
        if kind == FORWARD:
            there = [lane for lane in wanted if places.exists(account_id, message.mode, lane)]
            lanes = wanted if mode == ALL else there or wanted[:1]
            chain = mode | (IS_AWAITED if awaited else 0)
            for k, lane in enumerate(lanes):
                more = HAS_NEXT if mode != ALL and k < len(lanes) - 1 else 0
                state = DEAD if lane not in there else PENDING if mode == ALL or not k else WAITING
                yield n, k, kind, lane, chain | more, state, message.sender if places.ordered(lane) else ""
            forwarded = forwarded or bool(there)
        elif kind in (TAG, DROP):
            yield n, 0, kind, account_id, 0, DELIVERED, ""
        else:
            for k in range(times):
                yield n, k, kind, account_id, 0, WAITING if forwarded and waits else PENDING, ""


def look_later(message: Message, handled: bool, new_id: Ids, now: int, read_at: float) -> Planned:
    """The rules ask what only the store knows: they are looked at once the text is there."""
    run = Run(
        new_id(), message.account_id, message.account_id, 0, 0, 0, 0, LOOK, handled * WAS_HANDLED, message, read_at
    )
    return Planned([row_of(run, message.id, PENDING, now)], [run])


def row_of(run: Run, gate: int, state: int, now: int) -> Row:
    """For `insert_runs`."""
    return (
        gate, run.id, run.message.id, run.rule_id, run.n, run.k, run.account_id, run.message.mode, run.version, run.kind,
        run.lane, run.chain, state, now, now, run.ref, run.to, _encode(run.groups).decode() if run.groups else None,
        _encode(run.edits).decode() if run.edits else None,
    )  # fmt: skip


def tagged(message: Message, tags: Sequence[str]) -> Extra:
    """With these tags too."""
    kept = message.extra.tags or []
    return msgspec.structs.replace(message.extra, tags=[*kept, *(tag for tag in tags if tag not in kept)])


def context_of(
    message: Message,
    groups: Mapping[str, str],
    account: Mapping[str, Any],
    contact: Mapping[str, Any] | None = None,
    edits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What expressions and templates see of a text."""
    extra = message.extra
    text = message.text or ""
    context: dict[str, Any] = {
        "id": ids.show("msg", message.id),
        "from": message.sender,
        "to": message.to,
        "text": text,
        "media": [model.media_link(word) for word in extra.media or ()],
        "received_at": rfc3339(ids.time_of(message.id)),
        "keyword": keyword_of(text),
        "groups": groups,
        "contact": contact,
        "account": account,
        "steps": {},
        "metadata": extra.metadata or {},
    }
    if edits and "values" in edits:
        context |= edits["values"]
    return context


def about(an_id: int, rule_id: int, kind: int, state: int, **more: Any) -> dict[str, Any]:
    """A run, as events tell of it."""
    return {
        "id": ids.show("fwd", an_id),
        "kind": KINDS[kind],
        "rule": ids.show("rul", rule_id),
        "status": STATUSES[state],
        **more,
    }


def error_view(error: str | None) -> dict[str, str] | None:
    if error is None:
        return None
    code, _, detail = explain(error).partition(": ")
    return {"code": code, "detail": detail}
