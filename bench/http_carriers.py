"""Kind `http` through the whole program: HTTP in, a request to a provider that answers in 20 ms, its receipt recorded.

    python -m bench.http_carriers [-n 30000] [--store sqlite|postgres] [--window 200] [--ms 20]

The figure counts what is delivered: accepted, sent, answered, and its receipt durable before the provider's callback is
answered. The provider, the load generator and the program share the same few cores.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from bench import provider
from bench.__main__ import CONNECTIONS, ONE, Figure, headers
from bench.load import hload
from bench.report import machine
from bench.watch import calm, cpu, own_cpu, watch
from tests import engines
from tests.keeper import free_port, leashed
from tests.program import Program, eventually

WANTED: Final = 3_000


class Provider:
    """The provider's process."""

    def __init__(self, ms: float) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.process = subprocess.Popen(leashed([sys.executable, "-m", "bench.provider", str(port), str(ms)]))
        self.pid = self.process.pid

    def get(self, path: str = "/stats") -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.loads(answer.read())

    def there(self) -> bool:
        with contextlib.suppress(OSError):
            return isinstance(self.get(), dict)
        return False


@contextlib.contextmanager
def providing(ms: float) -> Iterator[Provider]:
    made = Provider(ms)
    try:
        eventually(made.there, 10)
        yield made
    finally:
        made.process.kill()
        made.process.wait()


class Run(NamedTuple):
    rate: float  # to the last receipt's answer
    accepted: float
    p99: float
    cpu: float  # microseconds a message
    loop: float  # of which in the event loop
    stats: dict[str, Any]
    usage: str


def run(n: int, store: str = "sqlite", window: int = 200, ms: float = 20) -> Run:
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(providing(ms))
        database = None
        if store == "postgres":
            database = stack.enter_context(stack.enter_context(engines.postgres()).database())
        program = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "warning"}, database=database))
        made = program.request(
            "POST",
            "/v1/carriers",
            {"name": "provider", "kind": "http", "config": provider.config(there.url), "window": window},
            key=program.live_key,
        )
        assert made.status == 201, made
        path = f"/v1/carriers/{made.json['id']}"
        eventually(lambda: program.request("GET", path, key=program.live_key).json["state"] == "up", 10)
        hload(program.port, "/v1/messages", 2_000, CONNECTIONS, ONE, headers(program.live_key))
        eventually(lambda: there.get()["receipts"] == 2_000, 60)
        there.get("/reset")
        used, own = cpu(program.pid), own_cpu(program.pid)
        with watch({"columba": program.pid, "provider": there.pid}) as usage:
            began = time.monotonic()
            loaded = hload(program.port, "/v1/messages", n, CONNECTIONS, ONE, headers(program.live_key), first=10_000)
            eventually(lambda: there.get()["receipts"] >= n, 180, 0.05)
        used, own = cpu(program.pid) - used, own_cpu(program.pid) - own
        stats = there.get()
        assert stats["taken"] == stats["distinct"] == n, stats
        return Run(
            n / (stats["last"] - began), loaded.rate, loaded.p99, used / n * 1e6, own / n * 1e6, stats, str(usage)
        )  # fmt: skip


def bench_carriers(n: int, stores: list[str]) -> list[Figure]:
    figures = []
    for store in stores:
        found = run(n, store)
        figures.append(
            Figure(
                f"{store}: kind http, with receipts", found.rate, "messages/s", found.rate / WANTED,
                1.0 if store == "sqlite" else None, note=f"{found.loop:.0f} us each in the event loop; {found.usage}",
            )
        )  # fmt: skip
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.http_carriers", description=__doc__)
    parser.add_argument("-n", type=int, default=30_000)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--window", type=int, default=200)
    parser.add_argument("--ms", type=float, default=20)
    given = parser.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    found = run(given.n, given.store, given.window, given.ms)
    print(
        f"{found.rate:,.0f} messages/s to the last receipt's answer "
        f"({'met' if found.rate >= WANTED else 'NOT MET'}: {WANTED:,}); accepted at {found.accepted:,.0f}/s "
        f"(p99 {found.p99:.1f} ms); {found.cpu:.0f} us CPU a message, {found.loop:.0f} of them in the event loop\n"
        f"sent {found.stats['taken']}, receipts {found.stats['receipts']}, refused {found.stats['refused']}; {found.usage}"
    )


if __name__ == "__main__":
    main()
