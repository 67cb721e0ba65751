"""What letting go of old rows costs those who send meanwhile: `python -m bench.growing [--events N] [--postgres]`.

A store with so many events of 40 days ago, each with a delivery and an attempt, is swept while 64 callers hand over
messages as fast as they are acknowledged. The same callers go first alone: how long commits and acknowledgements take
then is what the figures of the sweep compare with. Only ratios of one run on one machine mean something.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from columba import app as wiring
from columba.app import App
from columba.core import ids, status
from columba.core.events import SQL as CORE
from columba.core.submission import Caller, Submission
from columba.settings import Settings
from columba.store import Step, Store, plan
from columba.store.sql import Statement
from tests import engines

CALLERS = 64
ALONE_S = 10.0
AGE_MS = 40 * 86_400_000
AT_ONCE = 5_000
_DELIVERY = (("endpoint_id", "int"), ("event_id", "int"), ("at", "int"))
DELIVERED = Statement(
    "bench_delivered", _DELIVERY, (),
    "insert into deliveries (endpoint_id, event_id, status, due_at, attempts, updated_at, answer_status) "
    "select endpoint_id, event_id, 1, at, 2, at, 200 from {rows} r",
)  # fmt: skip
ATTEMPTED = Statement(
    "bench_attempted", _DELIVERY, (),
    "insert into attempts (endpoint_id, event_id, n, at, answer_status, error) "
    "select endpoint_id, event_id, 1, at, 500, 'http_500: The server answered 500.' from {rows} r",
)  # fmt: skip


class Taken:
    """How long things took, in seconds."""

    def __init__(self) -> None:
        self.commits: list[float] = []
        self.answers: list[float] = []
        self.began = time.perf_counter()

    def shown(self) -> str:
        seconds = time.perf_counter() - self.began
        spread = [
            f"{name} p50 {at(values, 0.5)}  p99 {at(values, 0.99)}  longest {at(values, 1)}"
            for name, values in (("answered", self.answers), ("commits", self.commits))
        ]
        return f"{len(self.answers) / seconds:8,.0f} messages/s  {'   '.join(spread)}"


def at(values: list[float], share: float) -> str:
    ordered = sorted(values)
    return f"{1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f} ms" if ordered else "-"


async def fill(store: Store, account_id: int, count: int) -> None:
    first = ids.first_at(wiring.clock() - AGE_MS)
    for start in range(0, count, AT_ONCE):
        drawn = [first + (n << 12) for n in range(start, min(count, start + AT_ONCE))]
        events = [(n, n, account_id, status.TEST, 50, ids.time_of(n), None, None) for n in drawn]
        sent = [(7, n, ids.time_of(n)) for n in drawn]
        await store.commit(plan(Step(CORE["insert_events"], events), Step(DELIVERED, sent), Step(ATTEMPTED, sent)))


async def measure(settings: Settings, count: int, longest_s: float) -> None:
    app = App(settings)
    await app.start()
    await app.housekeeping.stop()  # it would sweep too
    try:
        await app.keys.first_account(app.ids(), "bench")
        account_id = next(iter(app.keys.accounts))
        taken = Taken()
        metered = app.metrics.commit

        def observe(rows: int, seconds: float) -> None:
            metered(rows, seconds)
            taken.commits.append(seconds)

        store: Any = app.store
        journals = [store.journal] if store.engine == "sqlite" else [store._door.journal, store._rest.journal]
        for journal in journals:
            journal._observe = observe
        began = time.perf_counter()
        await fill(app.store, account_id, count)
        print(
            f"{count:,} events with deliveries and attempts written in {time.perf_counter() - began:.0f} s", flush=True
        )

        async def call() -> None:
            caller = Caller(account_id, status.TEST)
            while True:
                began = time.perf_counter()
                await app.accept(caller, [Submission("+447700900123", "Hello", None, status.TRANSACTIONAL)])
                taken.answers.append(time.perf_counter() - began)

        callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
        await asyncio.sleep(2)
        taken = Taken()
        await asyncio.sleep(ALONE_S)
        print("alone     ", taken.shown(), flush=True)
        taken = Taken()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await app.growing.step()
        gone = app.growing.swept.get("events", 0)
        print("sweeping  ", taken.shown(), flush=True)
        print(f"{gone / (time.perf_counter() - taken.began):,.0f} events/s were let go, {gone:,} in all", flush=True)
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    finally:
        await app.stop()


@contextlib.contextmanager
def places(postgres: bool) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        if postgres:
            with engines.postgres() as server:
                yield Settings(data=folder, database=server.url(), stop_timeout=1, log_level="error")
        else:
            yield Settings(data=folder, stop_timeout=1, log_level="error")


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.growing", description=__doc__)
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--postgres", action="store_true")
    asked.add_argument("--seconds", type=float, default=120.0, help="of sweeping, at most")
    given = asked.parse_args()
    with places(given.postgres) as settings:
        uvloop.run(measure(settings, given.events, given.seconds))


if __name__ == "__main__":
    main()
