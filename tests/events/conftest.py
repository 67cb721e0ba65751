"""Every test here that takes `api` runs on both stores."""

from typing import NamedTuple

import pytest_asyncio

from columba.events.api import endpoints
from columba.events.feed import KEPT, PAGE, Feed
from tests.api import Api, Columba, columba, database

__all__ = ["columba", "database"]


class Events(NamedTuple):
    """The endpoints of events, and the feed behind them."""

    api: Api
    feed: Feed


def events_of(columba: Columba, page: int = PAGE, kept: int = KEPT) -> Events:
    """Put together as app.py does."""
    app = columba.app
    feed = app.feed
    if (page, kept) != (PAGE, KEPT):
        feed = Feed(app.store, page, kept)
        app.publisher.on_events.append(feed.told)
        app.store.on_bell(feed.heard)
    return Events(columba.api(endpoints(app.store, feed, app.keys, app.stopping, app.events_since)), feed)


@pytest_asyncio.fixture
async def events(columba: Columba) -> Events:
    return events_of(columba)


@pytest_asyncio.fixture
async def api(events: Events) -> Api:
    return events.api
