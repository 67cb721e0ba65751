"""Delivering events: the job kind that posts them, signed, to the endpoints that want them.

One lane an endpoint: a dead one slows nobody. Owns the outcome of each attempt: retried by the endpoint's schedule with
jitter, Retry-After kept to, given up after the last, disabled by 410 or after five failing days (each an event of its
own). An open circuit asks once in a while whether the endpoint is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import structlog

from columba.core import events, ids, model, status
from columba.core.ids import Ids
from columba.core.lanes import Backlog, Lane, Lanes, Spec
from columba.core.model import Event
from columba.http.egress import Egress, EgressError
from columba.store import Step, Store, StoreUnavailable, plan
from columba.webhooks.endpoints import SQL, Endpoint, Endpoints
from columba.webhooks.signature import sign

PENDING, DELIVERED, FAILED = 0, 1, 2
STATUSES = ("pending", "delivered", "failed")
DISABLE_AFTER_MS = 5 * 86_400_000
FAILING_AFTER = 4
MOST_RETRY_AFTER_S = 86_400
MOST_ANSWER = 20_000
OPEN_AT, OPEN_OF = 0.7, 10  # the circuit opens at this share of failures, seen over at least so many
OPEN_FIRST_S, OPEN_MOST_S = 5.0, 60.0

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Delivery(msgspec.Struct, gc=False):
    """One event on its way to one endpoint: a job of the endpoint's lane. `id` is the event's."""

    id: int
    account_id: int
    event: Event
    attempts: int = 0
    klass: int = status.TRANSACTIONAL
    to: str = ""

    @property
    def cost(self) -> int:
        return 1


class Attempt(msgspec.Struct, gc=False):
    """What one POST came to."""

    delivery: Delivery
    ok: bool
    answer_status: int | None
    latency_ms: int
    error: str | None
    answer: str | None
    retry_after: float | None = None
    gone: bool = False
    slow: bool = False


class Circuit:
    """How an endpoint has been doing lately."""

    __slots__ = ("failures", "open_for", "seen", "trying")

    def __init__(self) -> None:
        self.seen = 0.0
        self.failures = 0.0
        self.open_for = 0.0

    def note(self, ok: bool) -> bool:
        """Count an attempt; True when the circuit is to be open now."""
        self.seen = self.seen * 0.95 + 1
        self.failures = self.failures * 0.95 + (0 if ok else 1)
        if ok:
            if self.open_for:
                self.seen = self.failures = 0.0
            self.open_for = 0.0
            return False
        if self.open_for or (self.seen >= OPEN_OF * 0.8 and self.failures >= self.seen * OPEN_AT):
            self.open_for = min(OPEN_MOST_S, self.open_for * 2 or OPEN_FIRST_S)
            return True
        return False


class Delivering:
    name = "webhook"

    def __init__(
        self,
        store: Store,
        ids_: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        endpoints: Endpoints,
        egress: Egress,
        publisher: events.Publisher,
        disabled: Callable[[Endpoint, str, Sequence[Step]], Awaitable[None]] | None = None,
    ) -> None:
        self.lanes_of: Lanes | None = None
        self.latency: Callable[[float, bool], None] = lambda _seconds, _ok: None
        self._store = store
        self._ids = ids_
        self._clock = clock
        self._random = random
        self._endpoints = endpoints
        self._egress = egress
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._done: dict[int, list[Attempt]] = {}
        self._circuits: dict[int, Circuit] = {}
        self._keys: dict[int, tuple[Endpoint, list[bytes]]] = {}
        self._posting: set[asyncio.Task[None]] = set()
        publisher.on_deliveries.append(self.made)

    def made(self, pairs: list[tuple[int, Event]]) -> None:
        """Deliveries that were just committed: straight to their lanes."""
        if self.lanes_of is None:
            return
        by_lane: dict[int, list[Delivery]] = {}
        for endpoint_id, event in pairs:
            by_lane.setdefault(endpoint_id, []).append(Delivery(event.id, event.account_id, event))
        for lane_id, jobs in by_lane.items():
            self.lanes_of.offer(lane_id, jobs)
            if lane_id not in self.lanes_of.owned and lane_id not in self._endpoints.all:
                self.lanes_of.refresh()

    # What the lanes ask

    def lanes(self) -> Mapping[int, Spec]:
        return {
            endpoint.id: Spec(None, endpoint.settings.concurrency)
            for endpoint in self._endpoints.all.values()
            if endpoint.state == "enabled"
        }

    def opened(self, lane: Lane) -> None:
        self._circuits.setdefault(lane.id, Circuit())

    def closed(self, lane: Lane) -> None:
        self._done.pop(lane.id, None)
        self._keys.pop(lane.id, None)

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        return [Backlog(*row) for row in await self._store.read(SQL["delivery_backlog"], [(lane,) for lane in lanes])]

    async def refill(self, lane: int, klass: int, account_id: int, most: int) -> Sequence[Delivery]:
        rows = await self._store.read(SQL["due_deliveries"], endpoint_id=lane, now=self._clock(), most=most)
        return [Delivery(row[0], row[4], event_of(row), row[7]) for row in rows]

    async def postpone(self, lane: Lane, jobs: Sequence[Delivery], until: int) -> None:
        raise NotImplementedError  # deliveries keep no person's order

    def dispatch(self, lane: Lane, jobs: list[Delivery]) -> None:
        endpoint = self._endpoints.all.get(lane.id)
        if endpoint is None:
            return
        for job in jobs:
            task = self._loop.create_task(self._post(lane, endpoint, job))
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)

    # Out

    async def _post(self, lane: Lane, endpoint: Endpoint, job: Delivery) -> None:
        attempt = await self.attempt(endpoint, job)
        if lane.gone:
            return
        circuit = self._circuits[lane.id]
        if circuit.note(attempt.ok):
            lane.pause(circuit.open_for)
        lane.landed()
        waiting = self._done.get(lane.id)
        if waiting is None:
            self._done[lane.id] = [attempt]
            self._loop.call_soon(self._flush, lane)
        else:
            waiting.append(attempt)

    async def attempt(self, endpoint: Endpoint, job: Delivery) -> Attempt:
        """One POST, and what it came to."""
        now = self._clock()
        known = self._keys.get(endpoint.id)
        if known is None or known[0] is not endpoint or endpoint.previous_secret is not None:
            known = self._keys[endpoint.id] = (endpoint, endpoint.keys(now))
        an_id = ids.show("evt", job.id)
        body = _encode(model.event_view(job.event))
        stamp = now // 1000
        headers = {
            "content-type": "application/json",
            "webhook-id": an_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(an_id, stamp, body, known[1]),
        }
        url = endpoint.url
        if endpoint.kind == "callback" and job.event.message is not None:
            url = job.event.message.extra.callback_url or url
        started = self._loop.time()
        try:
            answer = await self._egress.request(
                "POST", url, headers=headers, body=body, timeout=endpoint.settings.timeout, max_answer=MOST_ANSWER
            )
        except EgressError as error:
            spent = self._loop.time() - started
            self.latency(spent, False)
            return Attempt(
                job, False, None, int(spent * 1000), f"{error.kind}: {error.detail}", None, slow=error.kind == "timeout"
            )
        ok = 200 <= answer.status < 300
        self.latency(answer.latency, ok)
        text = answer.body.decode("utf-8", "replace").replace("\0", "\ufffd") if answer.body else None
        if ok:
            return Attempt(job, True, answer.status, int(answer.latency * 1000), None, text)
        return Attempt(
            job, False, answer.status, int(answer.latency * 1000), f"http_{answer.status}", text,
            retry_after(answer.header("retry-after"), now), answer.status == 410, answer.status == 429,
        )  # fmt: skip

    # Back

    def _flush(self, lane: Lane) -> None:
        attempts = self._done.pop(lane.id, None)
        if attempts and self.lanes_of is not None:
            self.lanes_of.spawn(self._settle(lane, attempts))

    def next_due(self, endpoint: Endpoint, attempt: Attempt, now: int) -> int | None:
        """When to try again; None when that was the last time."""
        schedule = endpoint.settings.retry_schedule
        n = attempt.delivery.attempts
        if n >= len(schedule) or attempt.gone:
            return None
        wait = schedule[n] * (0.8 + 0.4 * self._random())
        if attempt.retry_after is not None:
            wait = max(wait, min(attempt.retry_after, MOST_RETRY_AFTER_S))
        elif attempt.slow:
            wait = max(wait, 60.0)
        return now + int(wait * 1000)

    async def _settle(self, lane: Lane, attempts: list[Attempt]) -> None:
        now = self._clock()
        endpoint = self._endpoints.all.get(lane.id)
        settled: list[Any] = []
        failed: list[Any] = []
        finished: list[Delivery] = []
        retried: list[tuple[Delivery, int]] = []
        exhausted: list[Attempt] = []
        for attempt in attempts:
            job = attempt.delivery
            due = None if attempt.ok or endpoint is None else self.next_due(endpoint, attempt, now)
            outcome = DELIVERED if attempt.ok else PENDING if due is not None else FAILED
            job.attempts += 1
            settled.append(
                (
                    lane.id, job.id, outcome, job.attempts, due or now, now, attempt.answer_status,
                    attempt.latency_ms, attempt.error, attempt.answer,
                )
            )  # fmt: skip
            if not attempt.ok:
                failed.append(
                    (
                        lane.id, job.id, job.attempts, now, attempt.answer_status, attempt.latency_ms, attempt.error,
                        attempt.answer,
                    )
                )  # fmt: skip
            if due is not None:
                retried.append((job, due))
            else:
                finished.append(job)
                if not attempt.ok:
                    exhausted.append(attempt)
        marks, happened, rows = self._health(endpoint, attempts, exhausted, now)
        a_plan = plan(
            Step(events.SQL["fence"], [(lane.id, lane.epoch, lane.token)]),
            Step(SQL["settle_deliveries"], settled, given=0),
            Step(SQL["insert_attempts"], failed, given=0),
            *marks,
        )
        while not lane.gone:
            try:
                results = await self._store.commit(a_plan)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("deliveries.settle_failed", lane=lane.id)
                await asyncio.sleep(1.0)
        else:
            return
        if not results[0]:
            lane._lanes.lost(lane)
            return
        lane.settled(finished)
        for job, due in retried:
            lane.retry(job, due)
        if rows or happened:
            await self._tell(endpoint, happened)

    def _health(
        self, endpoint: Endpoint | None, attempts: Sequence[Attempt], exhausted: Sequence[Attempt], now: int
    ) -> tuple[tuple[Step, ...], list[Event], bool]:
        return (), [], False

    async def _tell(self, endpoint: Endpoint | None, happened: Sequence[Event]) -> None:
        return None


def retry_after(value: str | None, now: int) -> float | None:
    """Seconds to wait: RFC 9110 §10.2.3, a number or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now / 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def event_of(row: Sequence[Any]) -> Event:
    """From a row of `due_deliveries`."""
    message = model.message_of(row[8:]) if row[8] is not None else None
    data = msgspec.json.decode(row[3]) if row[3] is not None else None
    return Event(row[0], row[4], row[5], row[1], row[6], row[2], data, message)
