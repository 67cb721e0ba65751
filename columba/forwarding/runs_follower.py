"""The rules as a follower of texts from people: what they set in motion is written with the text itself.

Rules are matched in memory; the runs that come of it are rows of the transaction that records the text, and go to their
lanes as soon as it is committed. Where rules ask who the person is, contacts are looked up before, for all texts of that
moment at once. Rules that ask what only the store knows are looked at right afterwards, by a run of
their own. So are all rules of an account when matching fails: a text is recorded whatever its owner's rules are like.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import UNSET

from columba.core import events, ids, model
from columba.core.ids import Ids
from columba.core.inbound import RECORDED, Heard
from columba.core.lanes import Lanes
from columba.core.model import ACTION_DONE, FORWARD_DEAD, Event, Message
from columba.forwarding.conditions import NO_FACTS, Facts, said_of
from columba.forwarding.people import People, who
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
CONTACT = "contact"  # where it is noted who wrote


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
        people: People,
    ) -> None:
        self.lanes_of: Lanes | None = None
        self.matched = 0
        self._people = people
        self._rules = rules
        self._places = places
        self._account = account
        self._ids = new_id
        self._clock = clock
        self._time = loop_time
        self._publisher = publisher

    def ask(self, heard: Sequence[Heard]) -> Awaitable[None] | None:
        """Who wrote, where rules ask that."""
        owners = self._rules.owners
        asked = []
        for each in heard if owners else ():
            rules = owners.get((each.message.account_id, each.message.mode))
            if rules is not None and rules.knows and not rules.asks:
                asked.append(each)
        return self._ask(asked) if asked else None

    async def _ask(self, asked: Sequence[Heard]) -> None:
        try:
            found = await self._people([who(each.message) for each in asked])
        except Exception:  # the text is recorded all the same, and looked at once it is there
            log.exception("rules.contacts_not_found", texts=len(asked))
            return
        for each in asked:
            each.noticed[CONTACT] = found.get(who(each.message))

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        rows: list[Row] = []
        told: list[tuple[Message, Planned]] = []
        owners = self._rules.owners
        if owners:
            for each in heard:
                message = each.message
                rules = owners.get((message.account_id, message.mode))
                if rules is not None:
                    planned = self._plan(rules, each)
                    if planned.rows:
                        rows += planned.rows
                        each.noticed[NOTICED] = planned
                        told.append((message, planned))
        return write(rows, told, RECORDED, self._ids, self._clock(), at)

    def _plan(self, rules: RuleSet, each: Heard) -> Planned:
        message, handled = each.message, each.handled
        try:
            if not rules.asks:
                if not rules.knows:
                    return self.plan(rules, message, NO_FACTS, handled)
                if CONTACT in each.noticed:
                    return self.plan(rules, message, Facts(contact=each.noticed[CONTACT]), handled)
        except Exception:
            log.exception("rules.not_matched", message=ids.show("msg", message.id))
        return look_later(message, handled, self._ids, self._clock(), self._time())

    def plan(self, rules: RuleSet, message: Message, facts: Facts, handled: bool) -> Planned:
        """What an account's rules do with a text."""
        context = context_of(message, {}, self._account(message.account_id), facts.contact)
        matches = rules.match(said_of(message, context, facts, handled))
        if not matches:
            return Planned()
        self.matched += 1
        contact = facts.contact if rules.knows else UNSET
        return plan_runs(message, matches, self._places, self._ids, self._clock(), self._time(), contact)

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


async def read_facts(
    store: Store, people: People, texts: Sequence[Message], asks: bool = True, knows: bool = True
) -> Mapping[int, Facts]:
    """What the store knows of the persons who wrote, by message: with `asks` whether it is their first text, with `knows`
    who they are."""
    found = await people([who(text) for text in texts]) if knows else {}
    asked = [(text.id, text.account_id, text.mode, text.sender) for text in texts] if asks else []
    rows = await store.read(SQL["facts"], asked) if asked else []
    firsts = {an_id: (bool(new), last_to > last_from) for an_id, new, last_to, last_from in rows}
    return {text.id: Facts(*firsts.get(text.id, (False, False)), found.get(who(text))) for text in texts}


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
