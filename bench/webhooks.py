"""What a delivered webhook costs this process: `python -m bench.webhooks [--count N] [--endpoints N ...] [--postgres]`.

Events and their deliveries are written first; then measured is all from there on: lanes, encoding, signing, egress and
settling, on a store of its own, against the sink in C.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench import report, watch
from bench.load import http_sink
from columba.app import App
from columba.core import events, status
from columba.core.model import Message
from columba.settings import Settings
from columba.store import plan
from columba.webhooks.endpoints import Settings as EndpointSettings
from columba.webhooks.signature import new_secret
from tests import engines

BATCH = 1_000
AHEAD = 2_000  # deliveries in memory that have not left


async def measure(
    folder: Path, database: str, count: int, endpoints: int, urls: list[str], sinks: list[int]
) -> list[float | None]:
    """Deliveries a second, and the microseconds of CPU that each took of this process and of the store's writer."""

    def writer() -> float:
        return watch.cpu(os.getpid()) - sum(map(watch.cpu, sinks)) - time.process_time()

    app = App(Settings(data=str(folder), database=database, allow_network=("127.0.0.0/8",)))
    await app.start()
    try:
        account, mode = app.ids(), status.TEST
        lanes = []
        for n in range(endpoints):
            made = await app.endpoints.add(
                app.ids(), account, mode, urls[n % len(urls)], ["message.delivered"], "", EndpointSettings(),
                int(time.time() * 1000), new_secret(os.urandom(24)),
            )  # fmt: skip
            assert made is not None
            lanes.append(made.id)
        while not all(lane in app.lanes.owned for lane in lanes):
            await asyncio.sleep(0.02)
        batches = []
        for start in range(0, count // endpoints, BATCH // endpoints):
            happened, rows = {}, []
            for n in range(start, min(start + BATCH // endpoints, count // endpoints)):
                now = int(time.time() * 1000)
                message = Message(
                    app.ids(), account, mode, status.OUTBOUND, status.TRANSACTIONAL, 64, f"+4477009{n % 100_000:05}",
                    "+12025550100", f"Your code is 1234 n={n}", 0, 1, status.DELIVERED, now, now + 86_400_000, now,
                )  # fmt: skip
                event = events.of_message(app.ids(), message, status.DELIVERED, now)
                happened[event.id] = event
                rows.append(events.row(event))
            results = await app.store.commit(plan(*events.steps(rows, 0)))
            batches.append((results[1], happened))
        delivered = 0

        def settled(_seconds: float, ok: bool) -> None:
            nonlocal delivered
            assert ok
            delivered += 1

        app.delivering.latency = settled
        started, cpu, theirs = time.perf_counter(), time.process_time(), writer()
        given = 0
        for made_rows, happened in batches:
            while given - delivered > AHEAD:
                await asyncio.sleep(0.001)
            app.publisher.published(made_rows, happened)
            given += len(made_rows)
        while not (delivered == given and all(app.lanes.owned[lane].is_idle() for lane in lanes)):
            await asyncio.sleep(0.001)
        cpu, theirs, seconds = time.process_time() - cpu, writer() - theirs, time.perf_counter() - started
        return [given / seconds, 1e6 * cpu / given, 1e6 * theirs / given]
    finally:
        await app.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--endpoints", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    rows = {}
    for endpoints in asked.endpoints:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="columba-webhooks-"))
            sinks = [stack.enter_context(http_sink()) for _ in range(min(endpoints, 10))]
            urls = [f"{sink.url}/hook" for sink in sinks]
            server = stack.enter_context(engines.postgres(memory=True)) if asked.postgres else None
            database = server.url(server.create_database()) if server else ""
            figures = uvloop.run(
                measure(Path(folder), database, asked.count, endpoints, urls, [sink.pid for sink in sinks])
            )
            arrived = sum(sink.stats().final.n for sink in sinks)
            if arrived != asked.count // endpoints * endpoints:
                sys.exit(f"{arrived} of {asked.count} arrived")
            rows[f"{endpoints} endpoint{'s' * (endpoints > 1)}"] = figures
    print(report.machine())
    print(report.table(["webhooks/s", "us of CPU each", "us of the writer's"], rows))


if __name__ == "__main__":
    main()
