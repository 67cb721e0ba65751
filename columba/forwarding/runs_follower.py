"""The rules as a follower of texts from people: what they set in motion is written with the text itself.

Rules are matched in memory; the runs that come of it are rows of the transaction that records the text, and go to their
lanes as soon as it is committed. Rules that ask what only the store knows are looked at right afterwards, by a run of
their own. So are all rules of an account when matching fails: a text is recorded whatever its owner's rules are like.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from columba.core import events, ids, model
from columba.core.ids import Ids
from columba.core.inbound import RECORDED, Heard
from columba.core.lanes import Lanes
from columba.core.model import ACTION_DONE, FORWARD_DEAD, Event, Message
from columba.forwarding.conditions import Facts, said_of
from columba.forwarding.rules import Rules
from columba.forwarding.rules_index import RuleSet
from columba.forwarding.runs import (
    DEAD,
    NO_DESTINATION,
    SQL,
    Places,
    Planned,
    Run,
    about,
    context_of,
    error_view,
    look_later,
    plan_runs,
    tagged,
)
from columba.store import Results, Row, Step, Store

log = structlog.get_logger()
NOTICED = "runs"  # where what was planned waits for the commit


class Following:
    """A Follower of columba/core/inbound.py."""

    def __init__(
        self,
        rules: Rules,
        places: Places,
        account: Callable[[int], Mapping[str, Any]],
        new_id: Ids,
        clock: Callable[[], int],
        loop_time: Callable[[], float],
        publisher: events.Publisher,
    ) -> None:
        self.lanes_of: Lanes | None = None
        self.matched = 0
        self._rules = rules
        self._places = places
        self._account = account
        self._ids = new_id
        self._clock = clock
        self._time = loop_time
        self._publisher = publisher

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        rows: list[Row] = []
        told: list[tuple[Message, Planned]] = []
        owners = self._rules.owners
        if owners:
            for each in heard:
                message = each.message
                rules = owners.get((message.account_id, message.mode))
                if rules is not None:
                    planned = self._plan(rules, message, each.handled)
                    if planned.rows:
                        rows += planned.rows
                        each.noticed[NOTICED] = planned
                        told.append((message, planned))
        return write(rows, told, RECORDED, self._ids, self._clock(), at)

    def _plan(self, rules: RuleSet, message: Message, handled: bool) -> Planned:
        try:
            if not rules.asks:
                return self.plan(rules, message, Facts(), handled)
        except Exception:
            log.exception("rules.not_matched", message=ids.show("msg", message.id))
        return look_later(message, handled, self._ids, self._clock(), self._time())

    def plan(self, rules: RuleSet, message: Message, facts: Facts, handled: bool) -> Planned:
        """What an account's rules do with a text."""
        context = context_of(message, {}, self._account(message.account_id))
        matches = rules.match(said_of(message, context, facts, handled))
        if not matches:
            return Planned()
        self.matched += 1
        return plan_runs(message, matches, self._places, self._ids, self._clock(), self._time())

    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None:
        jobs: list[Run] = []
        happened: dict[int, Event] = {}
        for each in recorded:
            planned = each.noticed.get(NOTICED)
            if planned is not None:
                jobs += planned.jobs
                happened |= planned.events
        self.offer(jobs)
        if happened:
            self._publisher.published(results[at + EVENTS + 1], happened)

    def offer(self, jobs: Sequence[Run]) -> None:
        """Committed runs: to their lanes."""
        if self.lanes_of is None:
            return
        if len(jobs) == 1:
            self.lanes_of.offer(jobs[0].lane, jobs)
            return
        by_lane: dict[int, list[Run]] = {}
        for job in jobs:
            by_lane.setdefault(job.lane, []).append(job)
        for lane, those in by_lane.items():
            self.lanes_of.offer(lane, those)


async def read_facts(store: Store, texts: Sequence[Message]) -> Mapping[int, Facts]:
    """What the store knows of the persons who wrote, by message."""
    asked = [(text.id, text.account_id, text.mode, text.sender) for text in texts]
    rows = await store.read(SQL["facts"], asked)
    return {an_id: Facts(bool(new), last_to > last_from) for an_id, new, last_to, last_from in rows}


EVENTS = 3  # the place of the events among the steps of `write`


def write(
    rows: Sequence[Row], told: Sequence[tuple[Message, Planned]], given: int, new_id: Ids, now: int, at: int
) -> tuple[Step, ...]:
    """Runs, tags, and the events of what is done by being written, for a plan in which they begin at `at`.

    `given` is the place of a step that returns the ids of the messages that they are held to.
    """
    tags: list[Row] = []
    bodies: list[Row] = []
    made: list[Row] = []
    for message, planned in told:
        if planned.tags:
            message.extra = tagged(message, planned.tags)
            tags += [(message.id, message.account_id, message.mode, tag) for tag in planned.tags]
            bodies.append((message.id, model.extra_text(message.extra)))
        for run, state in planned.done:
            if state == DEAD:
                kind, error = FORWARD_DEAD, error_view(NO_DESTINATION)
                more = {
                    "attempts": 0,
                    "error": error,
                    "destination": ids.show("dst", run.lane),
                    "next_attempt_at": None,
                }
                data = {"forward": about(run.id, run.rule_id, run.kind, state, **more)}
            else:
                kind, data = ACTION_DONE, {"action": about(run.id, run.rule_id, run.kind, state)}
            event = Event(new_id(), message.account_id, message.mode, kind, message.id, now, data, message)
            planned.events[event.id] = event
            made.append(events.row(event))
    return (
        Step(SQL["insert_runs"], rows, given=given),
        Step(events.SQL["insert_tags"], tags, given=given),
        Step(SQL["retag_bodies"], bodies, given=given),
        *events.steps(made, at + EVENTS, given=given),
    )
