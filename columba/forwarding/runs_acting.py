"""Acting: the job kind for what rules do besides forwarding: replies, texts to other numbers, e-mails.

One lane an account. A text that is made has its id before it is accepted, written with the run: whatever happens in
between, it is accepted once. It passes the gates like any other. What is refused for good is dead, and its reason kept;
what failed for a passing reason is tried again.

A run of kind `look` is a text whose rules ask what only the store knows: here they are matched, once the text is there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from columba.core import events, ids
from columba.core.accept import Accept
from columba.core.again import again_in
from columba.core.ids import Ids
from columba.core.lanes import Backlog, Lane, Spec
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.forwarding.conditions import NO_FACTS, Facts
from columba.forwarding.people import Contact, People, who
from columba.forwarding.rule import EMAIL, LOOK, REPLY, knows, template
from columba.forwarding.rules import Rules
from columba.forwarding.rules_shapes import Action
from columba.forwarding.rules_shapes import Spec as RuleSpec
from columba.forwarding.runs import (
    DEAD,
    DELIVERED,
    EMPTY,
    PENDING,
    SKIPPED,
    SQL,
    WAS_HANDLED,
    Planned,
    Run,
    context_of,
    run_of,
)
from columba.forwarding.runs_follower import EVENTS, Following, read_facts, write
from columba.forwarding.runs_settling import Ended, Outcome, settle
from columba.mail import Mail as EMail
from columba.mail import MailError, Relay, send_mail
from columba.store import Row, Step, Store, StoreUnavailable, plan
from columba.usercode import UserCodeError

SCHEDULE = (5, 60, 300, 1_800, 7_200)  # seconds after each failed attempt
WINDOW = 200
MOST_TO_ONE, WITHIN_MS = 30, 3_600_000  # automatic texts to one number: two machines must not talk without end
MOST_NUMBERS = 50_000

log = structlog.get_logger()
_json = msgspec.json.Decoder().decode


class Letter(NamedTuple):
    """An e-mail to be sent. `id` is the same for every attempt."""

    id: int
    account_id: int
    mode: int
    to: tuple[str, ...]
    subject: str
    text: str


Mail = Callable[[Letter], Awaitable[None]]
"""Sends an e-mail. Raises Refusal for what is not to be tried again, anything else for what is."""


def mailing(relay: Relay, clock: Callable[[], int]) -> Mail:
    """Sends by the operator's mail server."""

    async def mail(letter: Letter) -> None:
        try:
            await send_mail(relay, EMail(ids.show("mail", letter.id), letter.to, letter.subject, letter.text), clock())
        except MailError as error:
            raise Refusal("mail_refused" if error.final else "mail_unavailable", error.detail) from None

    return mail


class Acting:
    name = "action"

    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        rules: Rules,
        following: Following,
        publisher: events.Publisher,
        accounts: Callable[[], Collection[int]],
        account: Callable[[int], Mapping[str, Any]],
        country: Callable[[int], str | None],
        mail: Mail | None,
        destination: Callable[[int], str],
        people: People,
    ) -> None:
        self._people = people
        self.accept: Accept | None = None
        self.outcomes: dict[str, int] = {}
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._random = random
        self._rules = rules
        self._following = following
        self._publisher = publisher
        self._accounts = accounts
        self._account = account
        self._country = country
        self._mail = mail
        self._destination = destination
        self._loop = asyncio.get_running_loop()
        self._sent: OrderedDict[tuple[int, int, str], list[int]] = OrderedDict()  # when automatic texts went to it

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        return dict.fromkeys(self._accounts(), Spec(None, WINDOW))

    def opened(self, lane: Lane) -> None:
        pass

    def closed(self, lane: Lane) -> None:
        pass

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(SQL["run_backlog"], [(lane,) for lane in lanes])]

    async def refill(self, lane: int, klass: int, account_id: int, most: int, held: Sequence[Row]) -> Sequence[Run]:
        rows = await self._store.read(SQL["due_runs"], held, lane=lane, now=self._clock(), most=most)
        return [run_of(row, self._loop.time()) for row in rows]

    async def postpone(self, lane: Lane, jobs: Sequence[Run], until: int) -> None:
        raise NotImplementedError  # actions keep no person's order

    def dispatch(self, lane: Lane, jobs: list[Run]) -> None:
        looks = [job for job in jobs if job.kind == LOOK]
        if looks:
            lane.spawn(self._look(lane, looks))
            jobs = [job for job in jobs if job.kind != LOOK]
        texts = [job for job in jobs if job.kind != EMAIL]
        if texts:
            lane.spawn(self._work(lane, texts))
        for job in jobs:
            if job.kind == EMAIL:  # a mail server takes its time
                lane.spawn(self._work(lane, [job]))

    # Texts whose rules ask the store

    async def _look(self, lane: Lane, jobs: Sequence[Run]) -> None:
        try:
            facts = await self._facts(jobs)
        except StoreUnavailable:
            lane.landed(len(jobs))
            for job in jobs:
                lane.retry(job, self._clock() + 500)
            return
        looked: list[tuple[Run, Planned]] = []
        failed: list[Ended] = []
        for job in jobs:
            try:
                looked.append((job, self._planned(job, facts.get(job.message.id, NO_FACTS))))
            except Exception as error:
                log.exception("rules.not_looked_at", run=job.id)
                failed.append(self._failed(job, f"internal: {type(error).__name__}."))
        lane.landed(len(jobs))
        if failed:
            await self._settle(lane, failed)
        if looked:
            await self._follow(lane, looked)

    async def _facts(self, jobs: Sequence[Run]) -> Mapping[int, Facts]:
        sets = [self._rules.of(job.account_id, job.message.mode) for job in jobs]
        knows = any(rules is not None and rules.knows for rules in sets)
        return await read_facts(self._store, self._people, [job.message for job in jobs], knows=knows)

    def _planned(self, job: Run, facts: Facts) -> Planned:
        rules = self._rules.of(job.account_id, job.message.mode)
        if rules is None:
            return Planned()
        return self._following.plan(rules, job.message, facts, bool(job.chain & WAS_HANDLED))

    async def _follow(self, lane: Lane, looked: Sequence[tuple[Run, Planned]]) -> None:
        """In place of the looks comes what the rules do."""
        now = self._clock()
        settled = [
            (lane.id, job.message.id, job.id, DELIVERED, 1, now, now, None, None, None, None) for job, _ in looked
        ]
        steps = (
            Step(events.SQL["fence"], [(lane.id, lane.epoch, lane.token)]),
            Step(SQL["settle_runs"], settled, given=0),
            *write(
                [row for _, planned in looked for row in planned.rows],
                [(job.message, planned) for job, planned in looked],
                1,
                self._ids,
                now,
                2,
            ),
            Step(SQL["delete_runs"], [(job.message.id, job.id) for job, _ in looked], given=1),
        )
        happened = {an_id: event for _, planned in looked for an_id, event in planned.events.items()}
        anew = events.Anew(self._ids, happened)
        results = await lane.settle(plan(*steps), anew)
        if results is None or not lane.is_ours(results[0]):
            return
        lane.settled(job for job, _ in looked)
        there = {row[0] for row in results[2]}
        self._following.offer([run for _, planned in looked for run in planned.jobs if run.id in there])
        self._publisher.published(results[2 + EVENTS + 1], anew.events(happened))

    # Replies, texts, e-mails

    async def _work(self, lane: Lane, jobs: Sequence[Run]) -> None:
        try:
            specs = await self._rules.specs([(job.rule_id, job.version) for job in jobs])
            answers = await self._answers(lane, jobs)
            actions = [_action(job, specs.get((job.rule_id, job.version))) for job in jobs]
            asking = [who(job.message) for job, action in zip(jobs, actions, strict=True) if action and knows(action)]
            found = await self._people(asking) if asking else {}
        except StoreUnavailable:
            lane.landed(len(jobs))
            for job in jobs:
                lane.retry(job, self._clock() + 500)
            return
        ended = await asyncio.gather(
            *(
                self._act(job, action, answers, found.get(who(job.message)))
                for job, action in zip(jobs, actions, strict=True)
            )
        )
        lane.landed(len(jobs))
        await self._settle(lane, ended)

    async def _answers(self, lane: Lane, jobs: Sequence[Run]) -> Mapping[int, list[dict[str, Any]]]:
        """By run: what the destinations before it answered."""
        found: dict[int, list[dict[str, Any]]] = {}
        for an_id, _, _, destination, state, code, text in await self._store.read(
            SQL["answers_before"], [(job.id,) for job in jobs if job.n and "say" not in (job.edits or {})]
        ):
            found.setdefault(an_id, []).append(
                {
                    "destination": self._destination(destination),
                    "ok": state == DELIVERED,
                    "status": code,
                    "body": text or "",
                    "json": _read_json(text),
                }
            )
        return found

    async def _act(
        self, job: Run, action: Action | None, answers: Mapping[int, list[dict[str, Any]]], contact: Contact | None
    ) -> Ended:
        """Do it, and say what came of it."""
        now = self._clock()
        try:
            if action is None:
                return self._failed(job, "internal: What the rule said is not there any more.", refused=True)
            context = context_of(job.message, job.groups, self._account(job.account_id), contact, job.edits)
            before = answers.get(job.id, [])
            context["answers"] = before
            context["answer"] = before[-1] if before else None
            request = await self._do(job, action, context)
        except UserCodeError as error:
            return self._failed(job, f"template: {error}", refused=True)
        except Refusal as error:
            return self._failed(job, f"{error.code}: {error.detail}", refused=error.kind.http < 500)
        except Exception as error:
            log.exception("action.failed", run=job.id)
            return self._failed(job, f"internal: {type(error).__name__}.")
        return Ended(job, Outcome(now, None, request=request), SKIPPED if "skipped" in request else DELIVERED)

    async def _do(self, job: Run, action: Action, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was done, as it is kept."""
        message = job.message
        if job.kind == EMAIL:
            assert action.email is not None
            subject = " ".join(template(action.email.subject).render(context).split())
            text = template(action.email.text).render(context)
            if self._mail is None:
                raise Refusal("mail_refused", "No mail server is set: the operator sets smtp_url.")
            await self._mail(Letter(job.id, job.account_id, message.mode, tuple(action.email.to), subject, text))
            return {"to": list(action.email.to), "subject": subject, "text": text}
        asked = action.reply if job.kind == REPLY else action.text
        said = (job.edits or {}).get("say")
        to = message.sender if action.text is None or job.kind == REPLY else action.text.to[job.k]
        if said is None:  # of one that an answer asked for, nothing is left once the text was redacted
            said = template(asked.text).render(context) if asked is not None else ""
        sender = (asked.from_ if asked is not None else None) or message.to
        if not said.strip():
            return {"to": to, "from": sender, "text": "", "skipped": EMPTY}
        self._check_storm((job.account_id, message.mode, to))
        assert self.accept is not None
        caller = Caller(job.account_id, message.mode, default_country=self._country(job.account_id))
        await self.accept.one(caller, Submission(to, said, sender, id=job.ref))
        return {"to": to, "from": sender, "text": said}

    def _check_storm(self, number: tuple[int, int, str]) -> None:
        """Not more automatic texts to a number than a person would read."""
        now = self._clock()
        times = self._sent.pop(number, [])
        times = [at for at in times if at > now - WITHIN_MS]
        self._sent[number] = times
        if len(self._sent) > MOST_NUMBERS:
            self._sent.popitem(last=False)
        if len(times) >= MOST_TO_ONE:
            raise Refusal(
                "too_many", f"{MOST_TO_ONE} automatic texts went to {number[2]} within an hour: is it a machine?"
            )
        times.append(now)

    def _failed(self, job: Run, error: str, refused: bool = False) -> Ended:
        now = self._clock()
        wait = None if refused else again_in(SCHEDULE, job.attempts - job.base, self._random())
        if wait is None:
            return Ended(job, Outcome(now, error, refused=True), DEAD)
        return Ended(job, Outcome(now, error), PENDING, now + int(wait * 1000))

    async def _settle(self, lane: Lane, ended: Sequence[Ended]) -> None:
        if lane.gone:
            return
        done = await settle(lane, ended, self._ids, self._clock, self._publisher, self._destination, self.outcomes)
        if done is not None:
            lane.settled(done.finished)
            for job, due in done.retried:
                lane.retry(job, due)


def _action(job: Run, spec: RuleSpec | None) -> Action | None:
    return None if spec is None else spec.then[job.n]


def _read_json(text: str | None) -> Any:
    try:
        return _json(text) if text else None
    except msgspec.DecodeError:
        return None
