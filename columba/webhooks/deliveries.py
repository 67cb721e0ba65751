"""Deliveries by request: read, replayed, recovered, and an endpoint tested.

Reads are bounded: a list looks at so many rows and no more, and gives a cursor from where to go on. Everything that
writes keeps the event's id, so a receiver knows what it has seen. Fails with Refusal, StoreUnavailable among them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.model import TYPES, WEBHOOK_TEST, Event, event_view, rfc3339
from columba.store import Row, Step, Store, plan
from columba.webhooks.delivering import DELIVERED, FAILED, PENDING, STATUSES, Delivering, Letter, event_of, url_for
from columba.webhooks.delivering import Delivery as Job
from columba.webhooks.endpoints import SQL, Endpoint, Endpoints, delivery_id, types_of
from columba.webhooks.outcomes import Attempt, explain
from columba.webhooks.shapes import (
    Delivery,
    DeliveryAttempt,
    DeliveryDetail,
    DeliveryError,
    DeliveryRequest,
    Tested,
)

ROUNDS, ROUND = 10, 1_000  # of rows that a list looks at where it must look at each
AT_ONCE = 2_000  # events of a recovery in one transaction
LAST: Final = (1 << 63) - 1
REDACTED = "v1,[redacted]"
_LISTS = {PENDING: SQL["deliveries_pending"], FAILED: SQL["deliveries_failed"]}

Key = tuple[int, int]  # event and endpoint: the newest first


class Deliveries:
    def __init__(
        self, store: Store, new_id: Ids, clock: Callable[[], int], endpoints: Endpoints, delivering: Delivering
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._endpoints = endpoints
        self._delivering = delivering

    # Reading

    async def page(
        self, endpoint_ids: Sequence[int], status: int | None, kind: int | None, limit: int, after: Key | None
    ) -> tuple[list[Delivery], Key | None]:
        """So many deliveries to some endpoints, and where the next ones begin, if there may be more."""
        rows_of = [(an_id,) for an_id in endpoint_ids]
        statement = _LISTS.get(-1 if status is None else status, SQL["deliveries_any"])
        looked_at = kind is not None or status == DELIVERED
        most = ROUND if looked_at else limit + 1
        found: list[Row] = []
        last = after or (LAST, LAST)
        for _ in range(ROUNDS if rows_of else 0):
            rows = await self._store.read(statement, rows_of, event_id=last[0], endpoint_id=last[1], most=most)
            for row in rows:
                if (status is None or row[2] == status) and (kind is None or row[9] == kind):
                    if len(found) == limit:
                        return self._shown(found), (found[-1][1], found[-1][0])
                    found.append(row)
            if len(rows) < most:
                return self._shown(found), None
            last = (rows[-1][1], rows[-1][0])
        return self._shown(found), last if rows_of else None

    async def of_event(
        self, event_id: int, endpoint_ids: Sequence[int], status: int | None, limit: int, after: Key | None
    ) -> tuple[list[Delivery], Key | None]:
        """The same for one event."""
        there = set(endpoint_ids)
        found = [
            row
            for row in await self._store.read(SQL["deliveries_of_event"], event_id=event_id)
            if row[0] in there and (status is None or row[2] == status) and (after is None or (row[1], row[0]) < after)
        ]
        shown = found[:limit]
        return self._shown(shown), (event_id, shown[-1][0]) if len(found) > limit else None

    def _shown(self, rows: Sequence[Row]) -> list[Delivery]:
        return [Delivery(**fields(row, self._endpoints.all.get(row[0]))) for row in rows]

    async def detail(self, endpoint: Endpoint, event_id: int) -> DeliveryDetail | None:
        """One with all of its attempts."""
        rows = await self._store.read(SQL["delivery"], endpoint_id=endpoint.id, event_id=event_id)
        if not rows:
            return None
        (row,) = rows
        (shown,) = await self._store.read(SQL["shown"], event_id=event_id)
        event = event_of(shown)
        url = url_for(endpoint, event)
        kept = await self._store.read(SQL["attempts_of"], endpoint_id=endpoint.id, event_id=event_id)
        attempts = [
            _attempt_view(event, Attempt(at, was or url, code, latency or 0, error, answer))
            for _, at, code, latency, error, answer, was in reversed(kept)
        ]
        if row[2] == DELIVERED:
            attempts.append(_attempt_view(event, Attempt(row[5], url, row[6], row[7] or 0, None, row[11])))
        return DeliveryDetail(attempts=attempts, **fields(row, endpoint))

    # Again

    async def replay(self, endpoint: Endpoint, event_id: int) -> None:
        """Make a delivery due now, and let its retry schedule begin anew."""
        (shown,) = await self._store.read(SQL["shown"], event_id=event_id)
        await self._store.commit(
            plan(
                Step(SQL["keep_success"], [(endpoint.id, event_id, url_for(endpoint, event_of(shown)))]),
                Step(SQL["due_again"], [(endpoint.id, event_id, self._clock())]),
            )
        )
        self._delivering.poke(endpoint.id)

    async def recover(self, endpoint: Endpoint, since: int, until: int) -> int:
        """Deliver what an endpoint has not had of the events of a time; how many those are."""
        types = f",{','.join(map(str, types_of(endpoint.events)))},"
        first, end = ids.first_at(since), ids.first_at(until)
        count = 0
        while True:
            ((last,),) = await self._store.read(
                SQL["last_of_events"],
                account_id=endpoint.account_id, mode=endpoint.mode, since=first, until=end, most=AT_ONCE,
            )  # fmt: skip
            if last is None:
                return count
            row = (endpoint.id, endpoint.account_id, endpoint.mode, first, last, types, self._clock())
            results = await self._store.commit(plan(Step(SQL["recover"], [row])))
            count += sum(1 for found in results[0] if found[0] == endpoint.id)
            first = last + 1
            self._delivering.poke(endpoint.id)

    async def test(self, endpoint: Endpoint) -> Tested:
        """Send an event of its own, now and once. It says nothing of the endpoint's health."""
        now = self._clock()
        data = {
            "webhook": ids.show("whk", endpoint.id),
            "text": "This is a test: the webhook is set up, and this request is signed like all others.",
        }
        event = Event(
            self._ids(), endpoint.account_id, endpoint.mode, WEBHOOK_TEST, endpoint.id, now, data
        )  # fmt: skip
        await self._store.commit(plan(Step(events.SQL["insert_events"], [events.row(event)])))
        self._delivering.publisher.published((), {})
        job = Job(event.id, event.account_id, Letter(event, ids.show("evt", event.id)), 0.0)
        attempt = await self._delivering.post(endpoint, job)
        at, url, code, latency, error, answer, *_ = attempt
        state = DELIVERED if error is None else FAILED
        failed = [] if error is None else [(endpoint.id, event.id, 1, at, code, latency, error, answer, url)]
        kept = answer if error is None else None
        await self._store.commit(
            plan(
                Step(SQL["insert_tested"], [(event.id, endpoint.id, state, at, code, latency, error, kept)]),
                Step(SQL["insert_attempts"], failed),
            )
        )
        view = _attempt_view(event, attempt)
        return Tested(
            ok=error is None,
            event=ids.show("evt", event.id),
            delivery=delivery_id(endpoint.id, event.id),
            request=view.request,
            status=view.status,
            latency_ms=view.latency_ms,
            answer=view.answer,
            error=view.error,
        )


def fields(row: Row, endpoint: Endpoint | None) -> dict[str, Any]:
    """What a row shows, as a Delivery has it."""
    endpoint_id, event_id, status, due_at, attempts, updated_at, code, latency, error, kind, at = row[:11]
    held = status == PENDING and endpoint is not None and not endpoint.enabled
    return {
        "id": delivery_id(endpoint_id, event_id),
        "status": STATUSES[status],
        "endpoint": ids.show("whk", endpoint_id),
        "event": ids.show("evt", event_id),
        "event_type": TYPES[kind],
        "attempt_count": attempts,
        "last_attempt_at": rfc3339(updated_at) if attempts else None,
        "next_attempt_at": rfc3339(due_at) if status == PENDING and not held else None,
        "waits_for": "The webhook is disabled: PATCH it with `enabled: true`." if held else None,
        "last_status": code,
        "latency_ms": latency,
        "error": _error_view(error),
        "created_at": rfc3339(at),
    }


def _error_view(error: str | None) -> DeliveryError | None:
    return None if error is None else DeliveryError(**explain(error)._asdict())


def _attempt_view(event: Event, attempt: Attempt) -> DeliveryAttempt:
    return DeliveryAttempt(
        at=rfc3339(attempt.at),
        request=DeliveryRequest(
            method="POST",
            url=attempt.url,
            headers={
                "content-type": "application/json",
                "webhook-id": ids.show("evt", event.id),
                "webhook-timestamp": str(attempt.at // 1000),
                "webhook-signature": REDACTED,
            },
            body=event_view(event),
        ),
        status=attempt.status,
        latency_ms=attempt.latency_ms,
        answer=attempt.answer,
        error=_error_view(attempt.error),
    )
