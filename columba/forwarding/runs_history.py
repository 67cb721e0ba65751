"""The past through a rule: texts that came before it was there set its actions in motion, each once.

What a rule has done with a text is known by its rows, so that a replay can be repeated or interrupted; it begins after the
texts of which those were let go as too old. It goes on in steps, each a transaction of its own, and waits while the store is
busy.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.model import Event, Message, message_of, rfc3339
from columba.forwarding.conditions import said_of
from columba.forwarding.people import People
from columba.forwarding.rule import Rule
from columba.forwarding.rules_index import Match, fits
from columba.forwarding.rules_shapes import RuleReplayed
from columba.forwarding.runs import SQL, Places, Planned, context_of, plan_runs
from columba.forwarding.runs_follower import EVENTS, Following, read_facts, write
from columba.store import Row, Step, Store, plan

AT_ONCE = 500  # texts of one transaction
MOST = 200_000  # texts of one request
BUSY = 20_000  # rows that wait for the store: no more are added


class History:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        places: Places,
        account: Callable[[int], Mapping[str, Any]],
        handled: Callable[[Message], bool],
        following: Following,
        publisher: events.Publisher,
        people: People,
    ) -> None:
        self._people = people
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._places = places
        self._account = account
        self._handled = handled
        self._following = following
        self._publisher = publisher

    async def replay(self, rule: Rule, since: int, until: int, send: bool) -> RuleReplayed:
        seen = matched = started = 0
        after, before = ids.first_at(since) - 1, ids.first_at(until)
        ((known,),) = await self._store.read(SQL["known_since"], rule_id=rule.id)
        after = max(after, known)
        while seen < MOST:
            rows = await self._store.read(
                SQL["past_texts"], account_id=rule.account_id, mode=rule.mode, after=after, before=before, most=AT_ONCE
            )
            texts = [message_of(row) for row in rows]
            seen += len(texts)
            found = await self._matching(rule, [text for text in texts if text.extra.redacted_at is None])
            matched += len(found)
            if send and found:
                started += await self._start(rule, found)
            if len(rows) < AT_ONCE:
                return RuleReplayed(seen=seen, matched=matched, started=started, next_since=None)
            after = texts[-1].id
            while self._store.backlog > BUSY:  # noqa: ASYNC110 - the store tells nobody when it has room
                await asyncio.sleep(0.05)
        next_since = rfc3339(ids.time_of(after))
        return RuleReplayed(seen=seen, matched=matched, started=started, next_since=next_since)

    async def _matching(self, rule: Rule, texts: Sequence[Message]) -> list[tuple[Message, dict[str, str]]]:
        condition = rule.condition
        facts = await read_facts(self._store, self._people, texts, condition.asks, condition.knows)
        account = self._account(rule.account_id)
        found = []
        for text in texts:
            known = facts[text.id]
            said = said_of(text, context_of(text, {}, account, known.contact), known, self._handled(text))
            if fits(rule, said):
                found.append((text, said.groups))
        return found

    async def _start(self, rule: Rule, found: Sequence[tuple[Message, dict[str, str]]]) -> int:
        """How many runs that made."""
        asked = [(text.id, rule.id) for text, _ in found]
        done = {row[0] for row in await self._store.read(SQL["done_by_rule"], asked)}
        now = self._clock()
        rows: list[Row] = []
        told: list[tuple[Message, Planned]] = []
        for text, groups in found:
            if text.id not in done:
                read_at = asyncio.get_running_loop().time()
                planned = plan_runs(text, [Match(rule, groups)], self._places, self._ids, now, read_at)
                rows += planned.rows
                told.append((text, planned))
        if not rows:
            return 0
        results = await self._store.commit(
            plan(
                Step(SQL["texts_there"], [(text.id,) for text, _ in told]),
                *write(rows, told, 0, self._ids, now, 1),
            )
        )
        there = {row[0] for row in results[1]}
        happened: dict[int, Event] = {}
        jobs = []
        for _, planned in told:
            jobs += [job for job in planned.jobs if job.id in there]
            happened |= planned.events
        self._following.offer(jobs)
        self._publisher.published(results[1 + EVENTS + 1], happened)
        return sum(1 for row in rows if row[1] in there)
