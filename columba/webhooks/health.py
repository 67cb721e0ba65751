"""Health: what attempts say of an endpoint, and the news that come of it, as steps of the plan that settles them.

Python says which news may have come true, by what it remembers of the endpoint; the store, by its row and inside the
transaction, which have. So each is told once, whatever was remembered.
"""

from collections.abc import Sequence

import msgspec

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.model import (
    DELIVERY_EXHAUSTED,
    TYPES,
    WEBHOOK_DISABLED,
    WEBHOOK_FAILING,
    WEBHOOK_RECOVERED,
    Event,
    Json,
    rfc3339,
)
from columba.store import Row, Step
from columba.webhooks.endpoints import FAILED_FOR_LONG, IS_GONE, SQL, Endpoint, delivery_id
from columba.webhooks.outcomes import Attempt, explain

FAILING_AFTER = 4  # consecutive failed attempts
DISABLE_AFTER_MS = 5 * 86_400_000
NEWS, LISTENERS = 2, 5  # the places of what `steps` finds, from its first


class Health(msgspec.Struct):
    """How an endpoint is doing, as its row in the store has it."""

    failing_since: int | None = None
    failures: int = 0  # since the last success
    reported: bool = False  # as failing


class Story(msgspec.Struct):
    """What a batch of attempts means for their endpoint: counts, and the news there may be."""

    cleared: list[Row] = []
    counted: list[Row] = []
    news: list[tuple[Event, int]] = []  # with whether the endpoint is gone

    @property
    def is_empty(self) -> bool:
        return not (self.cleared or self.counted or self.news)


def tell(endpoint: Endpoint, health: Health, attempts: Sequence[Attempt], new_id: Ids, now: int) -> Story:
    """Follow the attempts, in the order in which they ended. `health` is brought up to date."""
    story = Story()
    attempts = [attempt for attempt in attempts if attempt.counts]
    trailing = 0
    while trailing < len(attempts) and attempts[-1 - trailing].error is not None:
        trailing += 1
    if trailing < len(attempts) and (health.failures or health.reported):
        story.cleared = [(endpoint.id,)]
        if health.reported:
            data = _webhook(endpoint) | {"failing_since": _time(health.failing_since)}
            story.news.append((_event(endpoint, WEBHOOK_RECOVERED, new_id(), now, data), 0))
        health.failing_since, health.failures = None, 0
    if trailing:
        last = attempts[-1]
        since = health.failing_since or attempts[-trailing].at
        story.counted = [(endpoint.id, trailing, since)]
        health.failing_since = since
        health.failures += trailing
        data = _webhook(endpoint) | {"failing_since": _time(since), "error": explain(last.error or "")._asdict()}
        long = health.failures >= FAILING_AFTER and since <= now - DISABLE_AFTER_MS
        gone = any(attempt.gone for attempt in attempts[-trailing:])
        if health.failures >= FAILING_AFTER and not health.reported:
            story.news.append((_event(endpoint, WEBHOOK_FAILING, new_id(), now, data), 0))
        if gone or long:
            why = {"reason": IS_GONE if gone else FAILED_FOR_LONG}
            story.news.append((_event(endpoint, WEBHOOK_DISABLED, new_id(), now, data | why), int(gone)))
    return story


def exhausted(endpoint: Endpoint, event: Event, last: Attempt, attempts: int, an_id: int, now: int) -> Event:
    """The news that a delivery was given up."""
    data: Json = {
        "delivery": delivery_id(endpoint.id, event.id),
        "webhook": ids.show("whk", endpoint.id),
        "url": last.url,
        "event": {"id": ids.show("evt", event.id), "type": TYPES[event.type]},
        "attempts": attempts,
        "error": explain(last.error or "")._asdict(),
    }
    return _event(endpoint, DELIVERY_EXHAUSTED, an_id, now, data)


def steps(endpoint_id: int, story: Story, now: int, first: int) -> tuple[Step, ...]:
    """The steps, for a plan in which they begin at the place `first`; the fence is at 0."""
    news = first + NEWS
    found, marks, made, removed = [], [], [], []
    for event, gone in story.news:
        found.append((endpoint_id, event.id, event.type, gone, FAILING_AFTER, now - DISABLE_AFTER_MS))
        subject, an_id, *rest, _ = events.row(event)
        made.append((an_id, subject, *rest))
        if event.type != DELIVERY_EXHAUSTED:
            marks.append((event.id, endpoint_id, event.type, IS_GONE if gone else FAILED_FOR_LONG, now))
        if event.type == WEBHOOK_DISABLED:
            removed.append((event.id, endpoint_id))
    return (
        Step(SQL["clear_failures"], story.cleared, given=0),
        Step(SQL["count_failures"], story.counted, given=0),
        Step(SQL["find_news"], found, given=0),
        Step(SQL["mark_news"], marks, given=news),
        Step(SQL["insert_news"], made, given=news),
        Step(SQL["find_listeners"], made, given=news),
        Step(SQL["insert_deliveries"], feed=first + LISTENERS),
        Step(SQL["unsubscribe"], removed, given=news),
        Step(SQL["bump_webhooks"], removed, given=news),
    )


def _event(endpoint: Endpoint, kind: int, an_id: int, now: int, data: Json) -> Event:
    return Event(an_id, endpoint.account_id, endpoint.mode, kind, endpoint.id, now, data)


def _webhook(endpoint: Endpoint) -> Json:
    return {
        "id": ids.show("whk", endpoint.id),
        "url": endpoint.url,
        "description": endpoint.description,
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
