"""Delivering events: the job kind that posts them, signed, to the endpoints that want them.

One lane an endpoint: a dead one slows nobody. Owns the outcome of each attempt: retried by the endpoint's schedule with
jitter, Retry-After kept to, given up after the last. Outcomes of a lane are settled one batch after another, together
with what they mean for the endpoint's health. While its circuit is open one attempt goes at a time, to ask whether the
endpoint is back.

What waits in memory is read again before it goes if it has waited for long: a message may have been redacted meanwhile.
Fails by waiting: while the store can't be written, outcomes stay in memory (bounded by the lane).
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from columba.core import events, ids, model, status
from columba.core.circuit import OPEN_FIRST_S, Circuit
from columba.core.ids import Ids
from columba.core.lanes import Backlog, Lane, Lanes, Spec
from columba.core.model import OTHER_EVENTS, WEBHOOK_DISABLED, WEBHOOK_FAILING, WEBHOOK_RECOVERED, Event
from columba.http.egress import Egress, EgressError
from columba.store import Results, Step, Store, StoreUnavailable, plan
from columba.webhooks import health
from columba.webhooks.endpoints import SQL, Endpoint, Endpoints
from columba.webhooks.health import Health, Story
from columba.webhooks.outcomes import MOST_ANSWER, Attempt, answered, unanswered
from columba.webhooks.signature import sign

PENDING, DELIVERED, FAILED = 0, 1, 2
STATUSES = ("pending", "delivered", "failed")
MOST_RETRY_AFTER_S = 86_400
SLOW_S = 60.0  # at least, after a timeout or 429
OUR_FAULT_S = 1.0
STALE_S = 5.0  # after which a job in memory is read again

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Letter(msgspec.Struct, gc=False):
    """An event as it is sent: encoded once, however many endpoints want it."""

    event: Event
    id: str
    body: bytes = b""

    def encoded(self) -> bytes:
        if not self.body:
            self.body = _encode(model.event_view(self.event))
        return self.body


class Delivery(msgspec.Struct, gc=False):
    """A letter on its way to one endpoint: a job of the endpoint's lane. `id` is the event's."""

    id: int
    account_id: int
    letter: Letter
    read_at: float  # the loop's time
    attempts: int = 0
    base: int = 0
    klass: int = status.TRANSACTIONAL
    to: str = ""

    @property
    def cost(self) -> int:
        return 1


class Line:
    """A lane as it is seen here: how its endpoint is doing, and what has ended and is not settled."""

    __slots__ = ("circuit", "ended", "health", "lane", "posting", "settling")

    def __init__(self, lane: Lane, circuit: Circuit) -> None:
        self.lane = lane
        self.circuit = circuit
        self.posting: dict[int, asyncio.Task[None]] = {}  # by event: a task that nobody holds may be collected
        self.ended: list[tuple[Delivery, Attempt]] = []
        self.settling = False
        self.health: Health | None = None


class _Signer(NamedTuple):
    """What signs for an endpoint, until it changes or a rotation ends."""

    endpoint: Endpoint
    keys: list[bytes]
    until: int


class Delivering:
    name = "webhook"

    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        endpoints: Endpoints,
        egress: Egress,
        publisher: events.Publisher,
    ) -> None:
        self.lanes_of: Lanes | None = None
        self.latency: Callable[[float, bool], None] = lambda _seconds, _ok: None
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._random = random
        self._endpoints = endpoints
        self._egress = egress
        self.publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._lines: dict[int, Line] = {}
        self._signers: dict[int, _Signer] = {}
        self._redacted: set[int] = set()
        self._specs: tuple[Mapping[int, Endpoint], Mapping[int, Spec]] = ({}, {})
        publisher.on_deliveries.append(self.made)
        endpoints.on_change.append(self._changed)

    def made(self, pairs: list[tuple[int, Event]]) -> None:
        """Deliveries that were just committed: straight to their lanes."""
        if self.lanes_of is None:
            return
        now = self._loop.time()
        letters: dict[int, Letter] = {}
        by_lane: dict[int, list[Delivery]] = {}
        for endpoint_id, event in pairs:
            letter = letters.get(event.id)
            if letter is None:
                letter = letters[event.id] = Letter(event, ids.show("evt", event.id))
            job = Delivery(event.id, event.account_id, letter, now)
            jobs = by_lane.get(endpoint_id)
            if jobs is None:
                by_lane[endpoint_id] = [job]
            else:
                jobs.append(job)
        for lane_id, jobs in by_lane.items():
            self.lanes_of.offer(lane_id, jobs)

    def forget(self, message_id: int) -> None:
        """A message was redacted: what waits in memory of it is read again. What has waited for long is so anyway."""
        self._redacted.add(message_id)
        self._loop.call_later(2 * STALE_S, self._redacted.discard, message_id)

    def poke(self, endpoint_id: int) -> None:
        """Something in the store is due: look, whoever owns the lane."""
        if self.lanes_of is not None:
            lane = self.lanes_of.owned.get(endpoint_id)
            if lane is not None:
                lane.poke()
            self._store.ring(f"lane:{endpoint_id}")

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        if self._specs[0] is not self._endpoints.all:
            specs = {e.id: Spec(None, e.settings.concurrency) for e in self._endpoints.all.values() if e.enabled}
            self._specs = (self._endpoints.all, specs)
        return self._specs[1]

    def opened(self, lane: Lane) -> None:
        failing = lane.id in self._endpoints.failing
        self._lines[lane.id] = Line(lane, Circuit(OPEN_FIRST_S if failing else 0.0))
        lane.limit = 1 if failing else None

    def closed(self, lane: Lane) -> None:
        self._lines.pop(lane.id, None)
        self._signers.pop(lane.id, None)

    def _changed(self, endpoint_ids: Sequence[int]) -> None:
        """Another URL, or enabled again: what was learned of the endpoint holds no more."""
        self._signers.clear()
        for endpoint_id in endpoint_ids:
            line = self._lines.get(endpoint_id)
            if line is not None:
                line.health = None
                line.circuit = Circuit()
                line.lane.limit = None
                line.lane.resume()

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(SQL["delivery_backlog"], [(lane,) for lane in lanes])]

    async def refill(self, lane: int, klass: int, account_id: int, most: int) -> Sequence[Delivery]:
        rows = await self._store.read(SQL["due_deliveries"], endpoint_id=lane, now=self._clock(), most=most)
        return [self._delivery(row) for row in rows]

    def _delivery(self, row: Sequence[Any]) -> Delivery:
        letter = Letter(event_of(row), ids.show("evt", row[0]))
        return Delivery(row[0], row[4], letter, self._loop.time(), row[7], row[8])

    async def postpone(self, lane: Lane, jobs: Sequence[Delivery], until: int) -> None:
        raise NotImplementedError  # deliveries keep no person's order

    def dispatch(self, lane: Lane, jobs: list[Delivery]) -> None:
        endpoint = self._endpoints.all.get(lane.id)
        if endpoint is None or not endpoint.enabled:
            self._forget(lane, jobs)
            return
        stale = self._loop.time() - STALE_S
        if self._redacted or jobs[0].read_at < stale:
            old = [job for job in jobs if job.read_at < stale or job.letter.event.subject in self._redacted]
            if old and self.lanes_of is not None:
                self.lanes_of.spawn(self._renew(lane, old))
                there = {job.id for job in old}
                jobs = [job for job in jobs if job.id not in there]
        line = self._lines[lane.id]
        for job in jobs:
            self._begin(line, endpoint, job)

    def _begin(self, line: Line, endpoint: Endpoint, job: Delivery) -> None:
        line.posting[job.id] = self._loop.create_task(self._post(line, line.circuit.open_for > 0, endpoint, job))

    @staticmethod
    def _forget(lane: Lane, jobs: list[Delivery]) -> None:
        """They stay in the store as they are."""
        lane.landed(len(jobs))
        lane.settled(jobs)

    async def _renew(self, lane: Lane, jobs: list[Delivery]) -> None:
        """Send what the store has now for jobs that have waited for long."""
        try:
            rows = await self._store.read(SQL["pending_deliveries"], [(lane.id, job.id) for job in jobs])
        except StoreUnavailable:
            lane.landed(len(jobs))
            for job in jobs:
                lane.retry(job, self._clock())
            return
        line = self._lines.get(lane.id)
        if line is None or line.lane is not lane:
            return
        endpoint = self._endpoints.all.get(lane.id)
        fresh = {row[0]: self._delivery(row) for row in rows} if endpoint is not None else {}
        self._forget(lane, [job for job in jobs if job.id not in fresh])
        for job in jobs:
            if endpoint is not None and job.id in fresh:
                self._begin(line, endpoint, fresh[job.id])

    # Out

    async def _post(self, line: Line, probing: bool, endpoint: Endpoint, job: Delivery) -> None:
        circuit, lane = line.circuit, line.lane
        try:
            attempt = await self.attempt(endpoint, job.letter)
        except Exception as error:
            log.exception("webhook.attempt_failed", endpoint=endpoint.id, event=job.id)
            attempt = Attempt(self._clock(), endpoint.url, None, 0, f"internal: {type(error).__name__}.", None)
        del line.posting[job.id]
        if lane.gone:
            return
        if attempt.counts and circuit is line.circuit:
            if probing:
                circuit.probed(attempt.error is None)
                lane.limit = 1 if circuit.open_for else None
                lane.pause(circuit.open_for)
            elif not circuit.open_for and circuit.note(attempt.error is None):
                lane.limit = 1
                lane.pause(circuit.open_for)
        lane.landed()
        line.ended.append((job, attempt))
        if not line.settling and self.lanes_of is not None:
            line.settling = True
            self.lanes_of.spawn(self._settle_all(line))

    async def attempt(self, endpoint: Endpoint, letter: Letter) -> Attempt:
        """One POST, and what it came to."""
        now = self._clock()
        body = letter.encoded()
        stamp = now // 1000
        headers = {
            "content-type": "application/json",
            "webhook-id": letter.id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(letter.id, stamp, body, self._keys(endpoint, now)),
        }
        url = url_for(endpoint, letter.event)
        started = self._loop.time()
        try:
            answer = await self._egress.request(
                "POST", url, headers=headers, body=body, timeout=endpoint.settings.timeout, max_answer=MOST_ANSWER
            )
        except EgressError as error:
            seconds = self._loop.time() - started
            self.latency(seconds, False)
            return unanswered(now, url, error, seconds)
        self.latency(answer.latency, 200 <= answer.status < 300)
        return answered(now, url, answer)

    def _keys(self, endpoint: Endpoint, now: int) -> list[bytes]:
        known = self._signers.get(endpoint.id)
        if known is None or known.endpoint is not endpoint or now >= known.until:
            owner = self._endpoints.signer(endpoint)
            until = owner.previous_until or 0 if owner.rotating(now) else 1 << 62
            known = self._signers[endpoint.id] = _Signer(endpoint, owner.keys(now), until)
        return known.keys

    # Back

    def next_due(self, endpoint: Endpoint, job: Delivery, attempt: Attempt, now: int) -> int | None:
        """When to try again; None when that was the last time."""
        if not attempt.counts:
            return now + int(1000 * OUR_FAULT_S * (0.8 + 0.4 * self._random()))
        schedule = endpoint.settings.retry_schedule
        n = job.attempts - job.base
        if n >= len(schedule) or (attempt.gone and endpoint.kind == "callback"):
            return None
        wait = schedule[n] * (0.8 + 0.4 * self._random())
        if attempt.retry_after is not None:
            wait = max(wait, min(attempt.retry_after, MOST_RETRY_AFTER_S))
        elif attempt.slow:
            wait = max(wait, SLOW_S)
        return now + int(wait * 1000)

    async def _settle_all(self, line: Line) -> None:
        """What ends while a batch is being settled is the next batch: news can't be found twice."""
        try:
            while line.ended and not line.lane.gone:
                ended, line.ended = line.ended, []
                await self._settle(line, ended)
        finally:
            line.settling = False

    async def _settle(self, line: Line, ended: Sequence[tuple[Delivery, Attempt]]) -> None:
        now = self._clock()
        lane = line.lane
        lane_id = lane.id
        endpoint = self._endpoints.all.get(lane_id)
        settled: list[Any] = []
        failed: list[Any] = []
        finished: list[Delivery] = []
        retried: list[tuple[Delivery, int]] = []
        given_up: list[Event] = []
        for job, attempt in ended:
            at, url, code, latency, error, answer, *_ = attempt
            if error is None:
                job.attempts += 1
                settled.append((lane_id, job.id, DELIVERED, job.attempts, at, at, code, latency, None, answer))
                finished.append(job)
                continue
            due = None if endpoint is None else self.next_due(endpoint, job, attempt, now)
            if attempt.counts:
                job.attempts += 1
                failed.append((lane_id, job.id, job.attempts, at, code, latency, error, answer, url))
            outcome = FAILED if due is None else PENDING
            settled.append((lane_id, job.id, outcome, job.attempts, due or now, at, code, latency, error, None))
            if due is not None:
                retried.append((job, due))
                continue
            finished.append(job)
            event = job.letter.event
            if endpoint is not None and event.type < OTHER_EVENTS:  # news of news would have no end
                given_up.append(health.exhausted(endpoint, event, attempt, job.attempts, self._ids(), now))
        story = Story()
        if endpoint is not None and endpoint.kind == "endpoint":
            known = line.health or await self._read_health(line)
            if failed or known.failures or known.reported:
                story = health.tell(endpoint, known, [attempt for _, attempt in ended], self._ids, now)
        story.news += [(event, 0) for event in given_up]
        steps = [
            Step(events.SQL["fence"], [(lane_id, lane.epoch, lane.token)]),
            Step(SQL["settle_deliveries"], settled, given=0),
            Step(SQL["insert_attempts"], failed, given=0),
        ]
        if not story.is_empty:
            steps += health.steps(lane_id, story, now, len(steps))
        results = await lane.settle(plan(*steps))
        if results is None or not lane.is_ours(results[0]):
            return
        lane.settled(finished)
        for job, due in retried:
            lane.retry(job, due)
        if not story.is_empty:
            await self._spread(line, story, results[3:])

    async def _spread(self, line: Line, story: Story, results: Results) -> None:
        """Tell the news that came true."""
        found = {row[0] for row in results[health.NEWS]}
        happened = {event.id: event for event, _ in story.news if event.id in found}
        if not happened:
            return
        self.publisher.published(results[health.LISTENERS], happened)
        types = {event.type for event in happened.values()}
        if line.health is not None:
            line.health.reported = WEBHOOK_FAILING in types or (line.health.reported and WEBHOOK_RECOVERED not in types)
        if WEBHOOK_DISABLED in types:
            line.lane.draining = True
            with contextlib.suppress(StoreUnavailable):
                await self._endpoints.changed()

    async def _read_health(self, line: Line) -> Health:
        while not line.lane.gone:
            try:
                ((_, since, failures, reported),) = await self._store.read(SQL["health"], [(line.lane.id,)])
            except StoreUnavailable:
                await asyncio.sleep(0.2)
            except ValueError:  # deleted meanwhile
                break
            else:
                line.health = Health(since, failures, bool(reported))
                return line.health
        return Health()


def url_for(endpoint: Endpoint, event: Event) -> str:
    """Where an event goes: a callback to the very URL that its message named."""
    if endpoint.kind == "callback" and event.message is not None:
        return event.message.extra.callback_url or endpoint.url
    return endpoint.url


def event_of(row: Sequence[Any]) -> Event:
    """From a row of `due_deliveries` and those like it. Of a message that is no more only the id is left."""
    message = model.message_of(row[9:]) if row[9] is not None else None
    data = msgspec.json.decode(row[3]) if row[3] is not None else None
    if message is None and row[1] < OTHER_EVENTS:
        data = {"id": ids.show("msg", row[6]), **(data or {})}
    return Event(row[0], row[4], row[5], row[1], row[6], row[2], data, message)
