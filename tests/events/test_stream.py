"""The stream: every event once and in order, from where the reader left off, however many read and write."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from columba.app import clock
from columba.core import ids, status
from columba.events.api import EVERY_TYPE
from columba.events.feed import SQL, mend_order
from columba.messages.cancel import find
from columba.messages.redact import Redacting
from columba.store import Row, Statement, Value
from tests.api import Columba, Heard, Stream, eventually, running
from tests.events.conftest import Events, events_of

STREAM = "/v1/events/stream"


async def until(stream: Stream, count: int, kind: str = "message.delivered") -> list[Heard]:
    """The events up to the so many-th of a kind."""
    heard: list[Heard] = []
    while sum(each.event == kind for each in heard) < count:
        heard.append(await stream.next())
    return heard


async def ordered(columba: Columba) -> list[str]:
    """All events there are, in the order of their commits."""
    rows = await columba.app.store.read(SQL["after"], account_id=columba.account_id, mode=0, tx=0, id=0, most=1000)
    return [ids.show("evt", row[1]) for row in rows]


async def some(columba: Columba, count: int = 1) -> list[str]:
    """So many messages sent and delivered; all events there are then."""
    before = len(await ordered(columba))
    for _ in range(count):
        await columba.send()

    async def look() -> list[str]:
        every = await ordered(columba)
        return every if len(every) == before + 3 * count else []

    every: list[str] = await eventually(look)
    return every


async def test_events_come_as_they_happen(events: Events, columba: Columba) -> None:
    await some(columba)
    async with events.api.follow(STREAM) as stream:
        assert stream.status == 200
        message = await columba.send(text="after")
        heard = await until(stream, 1)
        assert [each.event for each in heard] == ["message.queued", "message.sent", "message.delivered"]
        assert [each.data["data"]["id"] for each in heard] == [ids.show("msg", message.id)] * 3
        for each in heard:
            assert each.data == (await events.api("GET", f"/v1/events/{each.id}")).json


async def test_only_the_types_asked_for(events: Events, columba: Columba) -> None:
    async with events.api.follow(f"{STREAM}?type=message.undelivered,message.failed,webhook.*") as stream:
        await columba.send()
        await columba.send("+447700900002")
        assert (await stream.next()).event == "message.undelivered"


async def test_a_reader_goes_on_where_it_left_off(events: Events, columba: Columba) -> None:
    every = await some(columba, 3)
    for place in (0, 4, 8):
        for by_header in (True, False):
            target = STREAM if by_header else f"{STREAM}?last_event_id={every[place]}"
            headers = {"last-event-id": every[place]} if by_header else {}
            async with events.api.follow(target, headers=headers) as stream:
                assert [each.id for each in await stream.take(len(every) - place - 1)] == every[place + 1 :]
                every = await some(columba)
                assert [each.id for each in await stream.take(3)] == every[-3:]
    # the header is of the last connection, the address of the first
    both = {"last-event-id": every[7]}
    async with events.api.follow(f"{STREAM}?last_event_id={every[0]}", headers=both) as stream:
        assert (await stream.next()).id == every[8]


async def test_an_event_that_is_not_kept(events: Events, columba: Columba) -> None:
    before = columba.app.ids()
    every = await some(columba)
    async with events.api.follow(STREAM, headers={"last-event-id": ids.show("evt", before)}) as stream:
        assert [each.id for each in await stream.take(3)] == every
    async with events.api.follow(STREAM, headers={"last-event-id": ids.show("evt", columba.app.ids())}) as stream:
        await columba.send(text="new")
        assert (await stream.next()).data["data"]["text"] == "new"


async def test_many_readers_who_begin_anywhere(columba: Columba) -> None:
    """Pages and memory so small that all of them have to read the store, and meet what is kept again and again."""
    events = events_of(columba, page=7, kept=20)
    every = await some(columba, 10)
    async with AsyncExitStack() as stack:
        streams = []
        for place in range(0, 30, 3):
            headers = {"last-event-id": every[place]}
            streams.append((place, await stack.enter_async_context(events.api.follow(STREAM, headers=headers))))
        every = await some(columba, 30)
        for place, stream in streams:
            assert [each.id for each in await stream.take(len(every) - place - 1)] == every[place + 1 :]
        assert events.feed.streams == 10
    assert events.feed.streams == 0


async def test_readers_share_their_reading(events: Events, columba: Columba) -> None:
    store, read, count = columba.app.store, columba.app.store.read, 0

    async def counted(statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        nonlocal count
        count += statement is SQL["after"]
        return await read(statement, rows, **params)

    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(events.api.follow(STREAM)) for _ in range(60)]
        await columba.send()
        for stream in streams:
            await until(stream, 1)
        store.read = counted  # type: ignore[method-assign]
        await columba.send()
        heard = [await until(stream, 1) for stream in streams]
        assert all(each == heard[0] for each in heard)
        assert 0 < count < 60


async def test_nobody_hears_anothers_events(events: Events, columba: Columba) -> None:
    stranger = await columba.key(account_id=await columba.another_account())
    every = await some(columba)
    for key in (stranger, columba.live_key):
        async with events.api.follow(STREAM, key=key, headers={"last-event-id": every[0]}) as stream:
            await some(columba)
            with pytest.raises(TimeoutError):
                await stream.next(0.2)


async def test_a_stream_ends_with_its_key(events: Events, columba: Columba) -> None:
    secret = await columba.key()
    async with events.api.follow(STREAM, key=secret) as stream:
        key = columba.app.keys.check(secret)
        assert key is not None
        await columba.app.keys.revoke(key.id)
        await columba.send()
        with pytest.raises(EOFError):
            await stream.take(10)


@pytest.mark.parametrize("change", ["scopes", "rotate"])
async def test_a_stream_ends_when_its_key_may_no_longer(events: Events, columba: Columba, change: str) -> None:
    secret, keys = await columba.key(scopes=["messages:read", "messages:write"]), columba.app.keys
    async with events.api.follow(STREAM, key=secret) as stream:
        key = keys.check(secret)
        assert key is not None
        await keys.update(key.id, name="another name")
        await columba.send()
        await stream.next()
        if change == "scopes":
            await keys.update(key.id, scopes=["messages:write"])
        else:
            await keys.rotate(key.id, f"{secret}2", 0)
        await columba.send()
        with pytest.raises(EOFError):
            await stream.take(10)


async def test_a_server_that_stops_ends_its_streams(events: Events, columba: Columba) -> None:
    async with events.api.follow(STREAM) as stream:
        columba.app.stopping.set()
        with pytest.raises(EOFError):
            await stream.next()


async def test_what_was_redacted_is_not_told(events: Events, columba: Columba) -> None:
    app = columba.app
    async with events.api.follow(STREAM) as stream:
        message = await columba.send(text="the text that must go")
        heard = await until(stream, 1)
        found = await find(app.store, columba.account_id, 0, message.id)
        assert found is not None
        place = await events.feed.place(columba.account_id, 0, ids.read("evt", heard[0].id) or 0)
        slow = events.feed.follow(columba.account_id, 0, place, place, EVERY_TYPE, lambda: True)
        assert b"must go" in (await anext(slow)).data
        await Redacting(app.store, clock, [events.feed.forget])(found)
        assert b"must go" not in (await anext(slow)).data  # although it had been read already
        await slow.aclose()
        # this one reads what the channel would still have in memory
        async with events.api.follow(STREAM, headers={"last-event-id": heard[0].id}) as later:
            for each in await later.take(2):
                assert (each.data["data"]["text"], each.data["data"]["redacted"]) == (None, True)


async def test_another_process_makes_them(tmp_path: Path, tables_url: str) -> None:
    async with running(tmp_path / "a", tables_url) as one, running(tmp_path / "b", tables_url) as two:
        await two.app.snapshots.refresh()
        there = events_of(two)
        async with there.api.follow(STREAM, key=one.test_key) as stream:
            every = await some(one, 5)
            assert [each.id for each in await stream.take(15)] == every
        # no ring is needed: it only makes it quicker
        two.app.store._listeners.remove(there.feed.heard)  # type: ignore[attr-defined]
        async with there.api.follow(STREAM, key=one.test_key) as stream:
            every = await some(one, 1)
            assert [each.id for each in await stream.take(3)] == every[-3:]


INSERT = "insert into events (id, account_id, mode, type, subject, at) values ($1, $2, 0, 101, 1, 0)"


async def test_a_late_commit_is_not_passed_over(tmp_path: Path, tables_url: str) -> None:
    async with running(tmp_path, tables_url) as columba:
        events = events_of(columba)
        before = await some(columba)
        other = await asyncpg.connect(tables_url)
        async with events.api.follow(STREAM) as stream:
            late = other.transaction()
            await late.start()
            early_id = columba.app.ids()
            await other.execute(INSERT, early_id, columba.account_id)
            message = await columba.send()

            async def delivered() -> bool:
                found = await find(columba.app.store, columba.account_id, 0, message.id)
                return found is not None and found.status == status.DELIVERED

            await eventually(delivered)
            assert await ordered(columba) == before  # what is committed waits for what is open and came before it
            await late.commit()
            heard = [each.id for each in await stream.take(4)]
            assert heard[0] == ids.show("evt", early_id)
        assert await ordered(columba) == before + heard
        async with events.api.follow(STREAM, headers={"last-event-id": heard[0]}) as stream:
            assert [each.id for each in await stream.take(3)] == heard[1:]
        await other.close()


async def test_a_restored_database_keeps_its_order(tmp_path: Path, tables_url: str) -> None:
    async with running(tmp_path, tables_url) as columba:
        events = events_of(columba)
        store = columba.app.store
        every = await some(columba, 4)
        assert await mend_order(store) == 0
        other = await asyncpg.connect(tables_url)
        await other.execute("update events set tx = tx + 1000000000000")  # as from a server that is much further
        await other.close()
        assert await mend_order(store) == 12
        assert await mend_order(store) == 0
        every = await some(columba)
        async with events.api.follow(STREAM, headers={"last-event-id": every[5]}) as stream:
            assert [each.id for each in await stream.take(9)] == every[6:]
