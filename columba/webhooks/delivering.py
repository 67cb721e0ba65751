"""Delivering events: the job kind that posts them, signed, to the endpoints that want them.

One lane an endpoint. Owns what becomes of each attempt: retried by the endpoint's schedule with jitter, Retry-After kept
to, given up after the last; it is settled together with what it means for the endpoint's health. The rest is
`core/posting.py`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from columba.core import events, ids, model, status
from columba.core.circuit import OPEN_FIRST_S, Circuit
from columba.core.ids import Ids
from columba.core.lanes import Lane, Spec
from columba.core.model import OTHER_EVENTS, WEBHOOK_DISABLED, WEBHOOK_FAILING, WEBHOOK_RECOVERED, Event
from columba.core.posting import Posting, Reads, due_again
from columba.http.egress import Egress, EgressError
from columba.store import Results, Row, Step, Store, StoreUnavailable, plan
from columba.webhooks import health
from columba.webhooks.endpoints import SQL, Endpoint, Endpoints
from columba.webhooks.health import Health, Story
from columba.webhooks.outcomes import MOST_ANSWER, Attempt, answered, unanswered
from columba.webhooks.signature import sign

PENDING, DELIVERED, FAILED = 0, 1, 2
STATUSES = ("pending", "delivered", "failed")

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

    @property
    def subject(self) -> int:
        return self.letter.event.subject


class _Signer(NamedTuple):
    """What signs for an endpoint, until it changes or a rotation ends."""

    endpoint: Endpoint
    keys: list[bytes]
    until: int


class Delivering(Posting[Endpoint, Delivery, Attempt]):
    name = "webhook"
    reads = Reads(SQL["delivery_backlog"], SQL["due_deliveries"], SQL["pending_deliveries"])

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
        super().__init__(store, clock, lambda: endpoints.all)
        self.latency: Callable[[float, bool], None] = lambda _seconds, _ok: None
        self._ids = new_id
        self._random = random
        self._endpoints = endpoints
        self._egress = egress
        self.publisher = publisher
        self._healths: dict[int, Health] = {}
        self._signers: dict[int, _Signer] = {}
        publisher.on_deliveries.append(self.made)

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

    # What posting asks

    def spec_of(self, endpoint: Endpoint) -> Spec | None:
        return Spec(None, endpoint.settings.concurrency) if endpoint.enabled else None

    def job_of(self, row: Row, read_at: float) -> Delivery:
        return delivery_of(row, read_at)

    def opened(self, lane: Lane) -> None:
        super().opened(lane)
        if lane.id in self._endpoints.failing:
            self._lines[lane.id].circuit = Circuit(OPEN_FIRST_S)
            lane.limit = 1

    def closed(self, lane: Lane) -> None:
        super().closed(lane)
        self._healths.pop(lane.id, None)
        self._signers.pop(lane.id, None)

    def moved(self, lane_ids: Collection[int]) -> None:
        self._signers.clear()
        for lane_id in lane_ids:
            self._healths.pop(lane_id, None)

    async def postpone(self, lane: Lane, jobs: Sequence[Delivery], until: int) -> None:
        raise NotImplementedError  # deliveries keep no person's order

    # Out

    async def post(self, endpoint: Endpoint, job: Delivery) -> Attempt:
        now = self._clock()
        letter = job.letter
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

    def broken(self, endpoint: Endpoint, _job: Delivery, error: str) -> Attempt:
        return Attempt(self._clock(), endpoint.url, None, 0, error, None)

    def _keys(self, endpoint: Endpoint, now: int) -> list[bytes]:
        known = self._signers.get(endpoint.id)
        if known is None or known.endpoint is not endpoint or now >= known.until:
            owner = self._endpoints.signer(endpoint)
            until = owner.previous_until or 0 if owner.rotating(now) else 1 << 62
            known = self._signers[endpoint.id] = _Signer(endpoint, owner.keys(now), until)
        return known.keys

    # Back

    def _due_again(self, endpoint: Endpoint, job: Delivery, attempt: Attempt, now: int) -> int | None:
        """When to try again; None when that was the last time."""
        if attempt.gone and endpoint.kind == "callback":
            return None
        return due_again(attempt, endpoint.settings.retry_schedule, job.attempts - job.base, now, self._random())

    async def settle(self, lane: Lane, ended: Sequence[tuple[Delivery, Attempt]]) -> None:
        now = self._clock()
        lane_id = lane.id
        endpoint = self._endpoints.all.get(lane_id)
        settled: list[Any] = []
        failed: list[Any] = []
        finished: list[Delivery] = []
        retried: list[tuple[Delivery, int]] = []
        given_up: list[Event] = []
        for job, attempt in ended:
            at, url, code, latency, error, answer, _, _, _ = attempt
            if error is None:
                job.attempts += 1
                settled.append((lane_id, job.id, DELIVERED, job.attempts, at, at, code, latency, None, answer))
                finished.append(job)
                continue
            due = None if endpoint is None else self._due_again(endpoint, job, attempt, now)
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
            known = self._healths.get(lane_id) or await self._read_health(lane)
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
            await self._spread(lane, story, results[3:])

    async def _spread(self, lane: Lane, story: Story, results: Results) -> None:
        """Tell the news that came true."""
        found = {row[0] for row in results[health.NEWS]}
        happened = {event.id: event for event, _ in story.news if event.id in found}
        if not happened:
            return
        self.publisher.published(results[health.LISTENERS], happened)
        types = {event.type for event in happened.values()}
        known = self._healths.get(lane.id)
        if known is not None:
            known.reported = WEBHOOK_FAILING in types or (known.reported and WEBHOOK_RECOVERED not in types)
        if WEBHOOK_DISABLED in types:
            lane.draining = True
            with contextlib.suppress(StoreUnavailable):
                await self._endpoints.changed()

    async def _read_health(self, lane: Lane) -> Health:
        while not lane.gone:
            try:
                ((_, since, failures, reported),) = await self._store.read(SQL["health"], [(lane.id,)])
            except StoreUnavailable:
                await asyncio.sleep(0.2)
            except ValueError:  # deleted meanwhile
                break
            else:
                found = Health(since, failures, bool(reported))
                if not lane.gone:
                    self._healths[lane.id] = found
                return found
        return Health()


def url_for(endpoint: Endpoint, event: Event) -> str:
    """Where an event goes: a callback to the very URL that its message named."""
    if endpoint.kind == "callback" and event.message is not None:
        return event.message.extra.callback_url or endpoint.url
    return endpoint.url


def delivery_of(row: Row, read_at: float) -> Delivery:
    """From a row of `due_deliveries`."""
    return Delivery(row[0], row[4], Letter(event_of(row), ids.show("evt", row[0])), read_at, row[7], row[8])


def event_of(row: Sequence[Any]) -> Event:
    """From a row of `due_deliveries` and those like it. Of a message that is no more only the id is left."""
    message = model.message_of(row[9:]) if row[9] is not None else None
    data = msgspec.json.decode(row[3]) if row[3] is not None else None
    if message is None and row[1] < OTHER_EVENTS:
        data = {"id": ids.show("msg", row[6]), **(data or {})}
    return Event(row[0], row[4], row[5], row[1], row[6], row[2], data, message)
