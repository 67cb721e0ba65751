"""The live stream: what is new of each account, read once for all who follow it.

A reader has a place in the order of events, and gets what is after it, with no gap and nothing twice. A channel (one
account in one mode) keeps the newest events in memory; a reader whose place is before those reads the store by itself
until it has caught up. Channels look when the publisher or the bell says that there is something, and now and then in
any case: a lost ring costs a second, never an event. Fails by waiting while the store can't be read.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from columba.core import model
from columba.core.model import TYPES, Event
from columba.errors import Refusal
from columba.http.sse import StreamEvent
from columba.store import Row, Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("events.sql"))
MOST_STREAMS: Final = 1_000
PAGE: Final = 500  # events in one reading
KEPT: Final = 1_000  # events of one channel in memory
READERS: Final = 2  # readings at once: the store has others to serve
WAKE_S: Final = 0.05  # between two wake-ups, at least
POLL_S: Final = 1.0
# On PostgreSQL what was told of may have to wait for another transaction to end: look again, ever later.
AGAIN_S: Final = (0.02, 0.05, 0.1, 0.25)
FORGOTTEN: Final = 1_000  # messages whose text may still be on its way to a slow reader

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Place(NamedTuple):
    """A place in the order of events: after this one."""

    tx: int
    id: int


class Told:
    """An event as it stands in the order; made into what a stream sends when the first reader wants it."""

    __slots__ = ("_event", "_stream", "at", "subject", "type")

    def __init__(self, at: Place, event: Event) -> None:
        self.at = at
        self.type = event.type
        self.subject = event.subject
        self._event: Event | None = event
        self._stream: StreamEvent | None = None

    @property
    def stream(self) -> StreamEvent:
        if self._stream is None:
            assert self._event is not None
            view = model.event_view(self._event)
            self._stream = StreamEvent(view["id"], view["type"], _encode(view))
            self._event = None
        return self._stream


class Channel:
    """The newest events of one account in one mode: all that come after `floor`, as far as `top`."""

    __slots__ = ("floor", "followers", "kept", "news", "tail", "task", "top", "wake")

    def __init__(self, now: Place, kept: int) -> None:
        self.floor = self.top = now
        self.kept = kept
        self.tail: deque[Told] = deque()
        self.followers = 0
        self.news = asyncio.Event()  # set and replaced when there is more
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def after(self, place: Place) -> list[Told] | None:
        """What comes after a place; None when that is more than is kept here."""
        if place < self.floor:
            return None
        if place >= self.top:
            return []
        first = len(self.tail)
        while first and self.tail[first - 1].at > place:
            first -= 1
        return list(islice(self.tail, first, None))

    def add(self, more: list[Told]) -> None:
        self.tail.extend(more)
        self.top = more[-1].at
        while len(self.tail) > self.kept:
            self.floor = self.tail.popleft().at
        news, self.news = self.news, asyncio.Event()
        news.set()

    def clear(self) -> None:
        self.tail.clear()
        self.floor = self.top


class Feed:
    """All streams of this process."""

    def __init__(self, store: Store, page: int = PAGE, kept: int = KEPT) -> None:
        self.streams = 0
        self._page_size = page
        self._kept = kept
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._channels: dict[tuple[int, int], Channel] = {}
        self._reading = asyncio.Semaphore(READERS)
        self._again = AGAIN_S if store.engine == "postgres" else ()
        self._woken_at = 0.0
        self._waking = False
        self._forgotten: dict[int, None] = {}

    # Something happened

    def told(self) -> None:
        """This process has made events. Called for each commit, so nearly always it does nothing."""
        if not self._waking:
            self._waking = True
            wait = self._woken_at + WAKE_S - self._loop.time()
            if wait > 0:
                self._loop.call_later(wait, self._wake)
            else:
                self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._woken_at = self._loop.time()
        self._look()
        self._store.ring("events")

    def heard(self, topic: str) -> None:
        """The bell rang: another process has made events."""
        if topic in ("events", "*"):
            self._look()

    def _look(self) -> None:
        for channel in self._channels.values():
            channel.wake.set()

    def forget(self, message_id: int) -> None:
        """A message was redacted: nobody is told its text any more."""
        for channel in self._channels.values():
            channel.clear()
        self._forgotten[message_id] = None
        if len(self._forgotten) > FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]

    # Places

    async def now(self) -> Place:
        """After all that has been committed."""
        return Place(*(await self._store.read(SQL["now"]))[0])

    async def place(self, account_id: int, mode: int, event_id: int) -> Place:
        """After an event; if it is not there (any more), before the oldest newer one that is."""
        rows = await self._store.read(SQL["place"], account_id=account_id, mode=mode, id=event_id)
        if not rows:
            rows = await self._store.read(SQL["place_after"], account_id=account_id, mode=mode, id=event_id)
        return Place(*rows[0]) if rows[0][0] is not None and rows[0][1] is not None else await self.now()

    async def is_there(self, account_id: int, mode: int, event_id: int) -> bool:
        """Whether an event is kept."""
        return bool(await self._store.read(SQL["place"], account_id=account_id, mode=mode, id=event_id))

    # Following

    async def follow(
        self, account_id: int, mode: int, place: Place, now: Place, types: frozenset[int], good: Callable[[], bool]
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events after a place, of these types, for as long as `good`."""
        with self._following((account_id, mode), now) as channel:
            while good():
                news, floor = channel.news, channel.floor
                batch = channel.after(place)
                if batch is None:
                    batch = await self._page(account_id, mode, place)
                    if batch is None:
                        await asyncio.sleep(POLL_S)
                        continue
                    if not batch:  # there was nothing as far as the channel's floor when we began to look
                        place = floor
                        continue
                for told in batch:
                    if told.type in types:
                        yield await self._fresh(account_id, mode, told)
                    place = told.at
                if not batch:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await news.wait()

    def check_room(self) -> None:
        """Refuse one more stream than there may be."""
        if self.streams >= MOST_STREAMS:
            raise Refusal("overloaded", f"{MOST_STREAMS} streams are open already.", retry_after=5)

    @contextlib.contextmanager
    def _following(self, key: tuple[int, int], now: Place) -> Iterator[Channel]:
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(now, self._kept)
            channel.task = self._loop.create_task(self._run(*key, channel), name="feed")
        channel.followers += 1
        self.streams += 1
        try:
            yield channel
        finally:
            self.streams -= 1
            channel.followers -= 1
            if not channel.followers:
                del self._channels[key]
                assert channel.task is not None
                channel.task.cancel()

    async def _run(self, account_id: int, mode: int, channel: Channel) -> None:
        """Keep a channel up to date."""
        pauses = iter(self._again)
        while True:
            try:
                more = await self._page(account_id, mode, channel.top)
            except Exception:
                log.exception("feed.failed", account_id=account_id)
                more = None
            if more:
                channel.add(more)
                if len(more) == self._page_size:
                    continue
            try:
                async with asyncio.timeout(next(pauses, POLL_S)):
                    await channel.wake.wait()
            except TimeoutError:
                continue
            channel.wake.clear()
            pauses = iter(self._again)

    async def _page(self, account_id: int, mode: int, place: Place) -> list[Told] | None:
        """The next events after a place; None while the store can't be read."""
        async with self._reading:
            try:
                rows = await self._store.read(
                    SQL["after"], account_id=account_id, mode=mode, tx=place.tx, id=place.id, most=self._page_size
                )
            except StoreUnavailable:
                return None
        return [Told(Place(row[0], row[1]), event_of(row[1:], account_id, mode)) for row in rows]

    async def _fresh(self, account_id: int, mode: int, told: Told) -> StreamEvent:
        """What to send; read anew when the message was redacted since it was read."""
        if told.subject in self._forgotten:
            found = await shown(self._store, account_id, mode, [told.at.id])
            if found:
                return Told(told.at, found[0]).stream
        return told.stream


def event_of(row: Row, account_id: int, mode: int) -> Event:
    """From a row of `shown`, or of `after` without its first column."""
    message = model.message_of(row[5:]) if row[5] is not None else None
    data = None if row[3] is None else msgspec.json.decode(row[3])
    return Event(row[0], account_id, mode, row[1], row[4], row[2], data, message)


async def shown(store: Store, account_id: int, mode: int, event_ids: list[int]) -> list[Event]:
    """These events as they are now, the newest first. One of a kind that only a newer version knows is left out."""
    rows = await store.read(SQL["shown"], [(an_id,) for an_id in event_ids], account_id=account_id, mode=mode)
    return [event_of(row, account_id, mode) for row in rows if row[1] in TYPES]


async def mend_order(store: Store) -> int:
    """To be called before anything is written: how many events were put before all that will come.

    A database that was dumped and restored has the numbers of transactions of the server that it came from, and the new
    server's begin anew. Then the order of what is there becomes that of its ids.
    """
    mended, after = 0, 0
    if not (await store.read(SQL["restarted"]))[0][0]:
        return 0
    while True:
        results = await store.commit(plan(Step(SQL["put_first"], [(after, 10_000)])))
        if not results[0]:
            log.warning("events.order_mended", events=mended)
            return mended
        mended += len(results[0])
        after = max(int(row[0]) for row in results[0])
