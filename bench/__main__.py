"""`make bench`: the figures that the project promises, as a table with ratios.

    python -m bench [--quick] [--only door,batch,webhooks,start,queue,carriers,forwarding,routing,consent,templates,
        verify,kannel]
        [--store sqlite,postgres,two]

Only ratios of one run on one machine mean something: the load generator, the sink and the database share its cores.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench.load import hload, hload_started, http_sink
from bench.report import machine
from bench.watch import calm, memory, watch
from tests import engines
from tests.keeper import free_port, leashed
from tests.program import Program, eventually

ONE = '{"to": "+{d}", "text": "Message n={n} of this run", "metadata": {"n": "{n}"}}'
BATCH = '{"messages": [{*{"to": "+{d}", "text": "Message n={n} of this run", "metadata": {"n": "{n}"}}*}]}'
CONNECTIONS = 50
ALL = (
    "door", "batch", "webhooks", "start", "queue", "carriers", "forwarding", "routing", "consent", "templates", "verify",
    "kannel",
)  # fmt: skip


class Figure(NamedTuple):
    """One line of the table. `wanted` is what the ratio or the value must reach (or, with `at_most`, stay under)."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    wanted: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def judged(self) -> float:
        return self.value if self.ratio is None else self.ratio

    @property
    def met(self) -> str:
        if self.wanted is None:
            return ""
        good = self.judged <= self.wanted if self.at_most else self.judged >= self.wanted
        return "yes" if good else "NO"


def shown(figures: list[Figure]) -> str:
    lines = [f"{'':44} {'figure':>12} {'ratio':>8} {'wanted':>9}  met"]
    for each in figures:
        ratio = f"{each.ratio:.2f}" if each.ratio is not None else ""
        wanted = "" if each.wanted is None else f"{'<=' if each.at_most else '>='} {each.wanted:g}"
        value = f"{each.value:,.0f}" if each.value >= 100 else f"{each.value:.2f}"
        lines.append(f"{each.name:44} {value:>12} {ratio:>8} {wanted:>9}  {each.met:4} {each.unit} {each.note}")
    return "\n".join(lines)


def headers(key: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}


@contextlib.contextmanager
def idle_server() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(leashed([sys.executable, "-m", "bench.idle_server", str(port)]))
    try:
        eventually(lambda: _open(port), 10)
        yield port
    finally:
        process.kill()
        process.wait()


def _open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def running(store: str) -> Iterator[list[Program]]:
    """One program, or two over one PostgreSQL."""
    with contextlib.ExitStack() as stack:
        database = None
        if store != "sqlite":
            server = stack.enter_context(engines.postgres())
            database = stack.enter_context(server.database())
        env = {"COLUMBA_LOG_LEVEL": "warning"}
        first = stack.enter_context(Program(env=env, database=database))
        programs = [first]
        if store == "two":
            key = (first.data / "secret.key").read_text().strip()
            second = stack.enter_context(Program(env=env | {"COLUMBA_SECRET_KEY": key}, database=database))
            second.test_key, second.live_key = first.test_key, first.live_key
            programs.append(second)
            time.sleep(3)  # the lanes find their owners
        yield programs


def messages(program: Program, name: str) -> int:
    """A counter of /metrics, all labels together."""
    text = str(program.request("GET", "/metrics").json)
    found = [
        line for line in text.splitlines() if line.startswith((f"columba_{name}_total ", f"columba_{name}_total{{"))
    ]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in found))


def settle(programs: list[Program], count: int, timeout: float = 120) -> float:
    """When so many messages are final; time.monotonic()."""
    eventually(lambda: sum(messages(each, "final") for each in programs) >= count, timeout)
    return time.monotonic()


def load(programs: list[Program], path: str, n: int, body: str, copies: int = 1, first: int = 0) -> tuple[float, float]:
    """Messages accepted a second over all programs, and the p99 in ms."""
    each = n // len(programs)
    if len(programs) == 1:
        result = hload(
            programs[0].port, path, each, CONNECTIONS, body, headers(programs[0].test_key), copies=copies, first=first
        )
        return (result.accepted or result.ok) / (result.ended - result.started), result.p99
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(
                hload_started(
                    program.port,
                    path,
                    each,
                    CONNECTIONS // 2,
                    body,
                    headers(program.test_key),
                    copies=copies,
                    first=first + i * each * copies,
                )
            )
            for i, program in enumerate(programs)
        ]
        results = [each.result() for each in loads]
    spent = max(result.ended for result in results) - min(result.started for result in results)
    return sum(result.accepted or result.ok for result in results) / spent, max(result.p99 for result in results)


def bench_door(store: str, size: float, idle: float) -> list[Figure]:
    with running(store) as programs:
        load(programs, "/v1/messages", 2_000, ONE)
        settle(programs, 1_900)
        with watch({f"p{i}": program.pid for i, program in enumerate(programs)}) as usage:
            rate, p99 = load(programs, "/v1/messages", int(40_000 * size), ONE, first=10_000)
        wanted = 0.25 if store == "sqlite" else None
        return [
            Figure(
                f"{store}: POST /v1/messages, {CONNECTIONS} connections",
                rate,
                "messages/s",
                rate / idle,
                wanted,
                note=f"p99 {p99:.1f} ms; {usage}",
            )
        ]


def bench_batch(store: str, size: float) -> list[Figure]:
    with running(store) as programs:
        load(programs, "/v1/messages/batch", 4, BATCH, 1_000)
        settle(programs, 3_900)
        rate, p99 = load(programs, "/v1/messages/batch", int(120 * size), BATCH, 1_000, first=10_000)
        wanted = 20_000 if store == "sqlite" else None
        return [Figure(f"{store}: batches of 1,000", rate, "messages/s", None, wanted, note=f"p99 {p99:.0f} ms")]


def bench_webhooks(store: str, size: float) -> list[Figure]:
    n = int(40_000 * size)
    with http_sink() as sink, running(store) as programs:
        made = programs[0].request("POST", "/v1/webhooks", {"url": sink.url + "/hook", "events": ["message.delivered"]})
        assert made.status == 201, made
        time.sleep(1.5)
        load(programs, "/v1/messages", 2_000, ONE)
        eventually(lambda: sink.stats().mid.n + sink.stats().final.n >= 1_990, 60)
        sink.reset()
        began = time.monotonic()
        load(programs, "/v1/messages", n, ONE, first=100_000)
        others = n // 10_000 * 10 + 20  # numbers that mean something else to the simulated network

        def told() -> bool:
            stats = sink.stats()
            return stats.mid.distinct + stats.final.distinct >= n - others

        eventually(told, 120)
        stats = sink.stats()
        last = max(stats.mid.last, stats.final.last)
        count = stats.mid.distinct + stats.final.distinct
        wanted = 5_000 if store == "sqlite" else None
        return [
            Figure(
                f"{store}: accepted, delivered, webhook received",
                count / (last - began),
                "messages/s",
                None,
                wanted,
                note=f"{count} of {n}, {stats.mid.dups + stats.final.dups} twice",
            )
        ]


def bench_start() -> list[Figure]:
    with Program() as program:
        program.stop()
        began = time.monotonic()
        program.start()
        ready = time.monotonic() - began
        time.sleep(3)
        held = memory(program.pid)
    return [
        Figure("start to ready", ready, "s", None, 1.5, at_most=True),
        Figure("idle memory, the writer included", held, "MB", None, 90, at_most=True),
    ]


def bench_queue(size: float) -> list[Figure]:
    """A million messages that wait for a paused carrier."""
    total = int(1_000_000 * size)
    with Program(env={"COLUMBA_LOG_LEVEL": "warning"}) as program:
        key = program.live_key
        made = program.request("POST", "/v1/carriers", {"name": "paused", "kind": "sandbox", "config": {}}, key=key)
        assert made.status == 201, made
        paused = program.request("POST", f"/v1/carriers/{made.json['id']}/pause", {}, key=key)
        assert paused.status in (200, 204), paused
        time.sleep(1.5)
        program.test_key = key
        load([program], "/v1/messages", 2_000, ONE)
        empty, _ = load([program], "/v1/messages", 20_000, ONE, first=10_000)
        load([program], "/v1/messages/batch", max(1, total // 1_000 - 22), BATCH, 1_000, first=100_000)
        full, _ = load([program], "/v1/messages", 20_000, ONE, first=50_000)
        held = memory(program.pid)
        accepted = messages(program, "accepted")
    return [
        Figure(f"memory with {accepted:,} queued", held, "MB", None, 300, at_most=True),
        Figure("accepting with them, against accepting empty", full, "messages/s", full / empty, 0.8),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what is promised.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages")
    parser.add_argument("--only", default=",".join(ALL))
    parser.add_argument("--store", default="sqlite,postgres,two")
    given = parser.parse_args()
    size = 0.1 if given.quick else 1.0
    wanted, stores = given.only.split(","), given.store.split(",")
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    figures: list[Figure] = []

    def add(more: list[Figure]) -> None:
        figures.extend(more)
        print(shown(more).splitlines()[-1] if len(more) == 1 else shown(more), flush=True)

    if "start" in wanted:
        add(bench_start())
    if "door" in wanted:
        with idle_server() as port:
            hload(port, "/v1/messages", 5_000, CONNECTIONS, ONE, headers("none"))
            idle = hload(port, "/v1/messages", int(60_000 * size), CONNECTIONS, ONE, headers("none")).rate
            past = hload(port, "/v1/past", int(60_000 * size), CONNECTIONS, ONE, headers("none")).rate
        add([Figure("the same server with nothing to do", idle, "requests/s", 1.0)])
        add([Figure("the same, past ASGI", past, "requests/s", past / idle)])
        for store in stores:
            add(bench_door(store, size, idle))
    for store in stores:
        if "batch" in wanted:
            add(bench_batch(store, size))
        if "webhooks" in wanted:
            add(bench_webhooks(store, size))
    if "queue" in wanted:
        add(bench_queue(size))
    if "carriers" in wanted:
        from bench.http_carriers import bench_carriers

        add(bench_carriers(int(30_000 * size), [store for store in stores if store != "two"]))
    if "forwarding" in wanted:
        from bench.forwarding import bench_forwarding

        add(bench_forwarding(int(20_000 * size)))
    if "routing" in wanted:
        from bench.routing import bench_routing

        add(bench_routing())
    if "consent" in wanted:
        from bench.consent import bench_consent

        add(bench_consent(int(20_000 * size), int(10_000_000 * size)))
    if "templates" in wanted:
        from bench.templates import bench_templates

        add(bench_templates(int(20_000 * size)))
    if "verify" in wanted:
        from bench.verify import bench_verify

        add(bench_verify(int(10_000 * size), [store for store in stores if store != "two"]))
    if "kannel" in wanted:
        from bench.kannel import bench_kannel

        add(bench_kannel(int(20_000 * size), 3 if size == 1.0 else 1))
    by_name = {figure.name: figure.value for figure in figures}
    for store, against, least in (("postgres", "sqlite", 0.6), ("two", "postgres", 1.0)):
        for name, value in by_name.items():
            other = by_name.get(name.replace(f"{store}:", f"{against}:", 1))
            if name.startswith(f"{store}:") and other is not None:
                figures.append(Figure(f"{name} / {against}", value, "", value / other, least))
    print("\n" + shown(figures), flush=True)
    sys.exit(1 if any(figure.met == "NO" for figure in figures) else 0)


if __name__ == "__main__":
    main()
