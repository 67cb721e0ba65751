"""How long it takes to erase a person with many messages, with their parts, events and deliveries.

python -m bench.privacy [--messages 100000] [--postgres]
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import uvloop

from bench import report
from columba.app import App
from columba.core import events, status
from columba.core.model import Event, Message
from columba.privacy.holding import Person
from columba.settings import Settings
from columba.store import Statement, Step, plan
from tests import engines

ANNA = "+447700900777"
AT_ONCE = 500
DELIVERED = Statement(
    "bench_deliveries",
    (("event_id", "int"), ("endpoint_id", "int"), ("at", "int")),
    (),
    "insert into deliveries (endpoint_id, event_id, status, due_at, updated_at) "
    "select endpoint_id, event_id, 1, at, at from {rows} r where true",
)


async def fill(app: App, account_id: int, messages: int) -> None:
    """Messages that were delivered, with a part, three events and a delivery each."""
    now = time.time_ns() // 1_000_000
    for start in range(0, messages, AT_ONCE):
        rows, bodies, parts, told, delivered = [], [], [], [], []
        for n in range(start, min(start + AT_ONCE, messages)):
            an_id = app.ids()
            to = ANNA if n % 2 else "+12025550100"
            sender = "+12025550100" if n % 2 else ANNA
            direction = status.OUTBOUND if n % 2 else status.INBOUND
            ended = status.DELIVERED if n % 2 else status.RECEIVED
            message = Message(
                an_id, account_id, 0, direction, 1, 64, to, sender, f"text {n}", 0, 1, ended, now, now, now
            )
            rows.append(
                (an_id, an_id, account_id, 0, direction, ended, 1, 64, to, sender, 0, 1, now, now, now, 0, None, None)
            )
            bodies.append((an_id, message.text, None))
            parts.append((64, an_id, 1, 64, f"{an_id:x}", ended, None, None, now, None))
            for kind in (status.QUEUED, status.SENT, ended):
                event = Event(app.ids(), account_id, 0, kind, an_id, now, None, message)
                told.append(events.row(event))
            delivered.append((event.id, 7, now))
        await app.store.commit(
            plan(
                Step(events.SQL["insert_messages"], rows),
                Step(events.SQL["insert_bodies"], bodies),
                Step(events.SQL["insert_parts"], parts),
                *events.steps(told, 3),
                Step(DELIVERED, delivered),
            )
        )


async def measure(folder: Path, database: str, messages: int) -> list[float]:
    app = App(Settings(data=str(folder), database=database, stop_timeout=2))
    await app.start()
    try:
        await app.keys.first_account(app.ids(), "bench")
        account_id = next(iter(app.keys.accounts))
        await fill(app, account_id, messages)
        person = Person(account_id, 0, ANNA)
        started = time.perf_counter()
        shown = 0
        async for _ in app.jobs.show(person):
            shown += 1
        exported = time.perf_counter() - started
        started = time.perf_counter()
        job = await app.jobs.erase(person, 0)
        while (found := await app.jobs.find(account_id, 0, job)) is None or found.state != "done":
            await asyncio.sleep(0.05)
        erased = time.perf_counter() - started
        assert shown == messages, shown
        return [exported, erased]
    finally:
        await app.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="columba-privacy-")))
        server = stack.enter_context(engines.postgres()) if asked.postgres else None
        database = server.url(server.create_database()) if server else ""
        figures = uvloop.run(measure(folder, database, asked.messages))
    print(report.machine())
    print(report.table(["s to export", "s to erase"], {f"{asked.messages:,} messages": figures}))


if __name__ == "__main__":
    main()
