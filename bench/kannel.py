"""Columba beside Kannel, in one run: the same SMSC, the same load generator, the same sink of callbacks.

    python -m bench --only kannel          python -m bench.kannel [-n 20000] [--runs 3] [--window 100]

Kannel holds everything in memory (`off`), or in its spool store, which outlives the process though not a power cut. Columba
syncs each commit before it answers. Each figure is the median of the runs, in which the systems take turns. A message counts
when the last of what was asked for has come: at the SMSC, or as a callback about it.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from bench.__main__ import Figure, shown
from bench.load import HttpSink, LoadResult, Smsc, hload, http_sink, smppc, smsc
from bench.report import machine, table
from bench.smpp_codec import measure
from bench.watch import calm, memory, watch
from tests.keeper import free_port, leashed
from tests.program import Program, eventually

CONNECTIONS = 50
WINDOW = 100
PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
TEXT = "n={n} hello this is a test message"
Report = Literal["none", "final", "each"]

KANNEL = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bench
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
log-file = "{folder}/bearerbox.log"
log-level = 2
dlr-storage = internal
{store}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = "{folder}/smsbox.log"
log-level = 2
global-sender = 12345

group = sendsms-user
username = bench
password = bench
max-messages = 5

group = sms-service
keyword = default
get-url = "{sink}/mo?from=%p&to=%P&text=%a"
max-messages = 0

group = smsc
smsc = smpp
smsc-id = sink
host = 127.0.0.1
port = {port}
smsc-username = u
smsc-password = p
system-type = ""
transceiver-mode = true
max-pending-submits = {window}
reconnect-delay = 1
enquire-link-interval = 30
"""


class Gateway(NamedTuple):
    """A system that is up and bound. `send` puts so many messages in, over HTTP."""

    name: str
    pids: dict[str, int]
    send: Callable[[int, int, Report], LoadResult]


Start = Callable[[Smsc, HttpSink], contextlib.AbstractContextManager[Gateway]]


def kannel(store: Literal["off", "spool"], window: int) -> Start:
    @contextlib.contextmanager
    def start(carrier: Smsc, sink: HttpSink) -> Iterator[Gateway]:
        with tempfile.TemporaryDirectory(prefix="columba-kannel-") as made, contextlib.ExitStack() as stack:
            folder, (admin, box, sendsms) = Path(made), (free_port() for _ in range(3))
            (folder / "spool").mkdir()
            conf = folder / "kannel.conf"
            kept = f'store-type = spool\nstore-location = "{folder}/spool"' if store == "spool" else ""
            conf.write_text(
                KANNEL.format(
                    admin=admin, box=box, sendsms=sendsms, folder=folder, store=kept, sink=sink.url, port=carrier.port,
                    window=window,
                )
            )  # fmt: skip
            pids = {}
            for name, port in (("bearerbox", box), ("smsbox", sendsms)):
                command = [str(shutil.which(name, path=PATH)), "-v", "4", str(conf)]
                process = subprocess.Popen(
                    leashed(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                stack.callback(process.wait)
                stack.callback(process.kill)
                pids[name] = process.pid
                _listens(port)

            def send(n: int, first: int, report: Report) -> LoadResult:
                url = "/cgi-bin/sendsms?username=bench&password=bench&to={d}&text=" + TEXT.replace("=", "%3D").replace(
                    " ", "+"
                )
                if report != "none":
                    mask = 31 if report == "each" else 3
                    url += f"&dlr-mask={mask}&dlr-url=http%3A%2F%2F127.0.0.1%3A{sink.port}%2Fdlr%3Fn%3D{{n}}%26s%3D%25d"
                return hload(sendsms, url, n, CONNECTIONS, first=first)

            yield Gateway(f"Kannel, {'memory' if store == 'off' else 'spool'}", pids, send)

    return start


def columba(window: int) -> Start:
    @contextlib.contextmanager
    def start(carrier: Smsc, sink: HttpSink) -> Iterator[Gateway]:
        with Program(env={"COLUMBA_LOG_LEVEL": "warning"}, smpp=True) as program:
            bind(program, carrier, window)
            types = {"none": [], "final": ["message.delivered"], "each": ["message.sent", "message.delivered"]}
            hooks: dict[str, str] = {}

            def hook(wanted: list[str]) -> None:
                """What is reported, from here on."""
                for an_id in hooks.values():
                    program.request("DELETE", f"/v1/webhooks/{an_id}", key=program.live_key)
                hooks.clear()
                if wanted:
                    made = program.request(
                        "POST", "/v1/webhooks", {"url": f"{sink.url}/dlr", "events": wanted}, key=program.live_key
                    )
                    assert made.status == 201, made
                    hooks["dlr"] = made.json["id"]
                time.sleep(1.5)  # every process knows it within a second

            told: list[Report] = ["none"]

            def send(n: int, first: int, report: Report) -> LoadResult:
                if told[0] != report:
                    hook(types[report])
                    told[0] = report
                body = json.dumps({"to": "+{d}", "text": TEXT, "metadata": {"n": "{n}"}})
                headers = {"Content-Type": "application/json", "Authorization": f"Bearer {program.live_key}"}
                return hload(program.port, "/v1/messages", n, CONNECTIONS, body, headers, first=first)

            inbound = {"url": f"{sink.url}/mo", "events": ["message.received"]}
            made = program.request("POST", "/v1/webhooks", inbound, key=program.live_key)
            assert made.status == 201, made
            time.sleep(1.5)
            yield Gateway("Columba", {"columba": program.pid}, send)

    return start


def bind(program: Program, carrier: Smsc, window: int, binds: int = 1, name: str = "sink") -> None:
    config = {"host": "127.0.0.1", "port": carrier.port, "system_id": name, "binds": binds}
    there = carrier.stats().binds
    made = program.request(
        "POST", "/v1/carriers", {"name": name, "kind": "smpp", "config": config, "window": window}, key=program.live_key
    )
    assert made.status == 201, made
    eventually(lambda: carrier.stats().binds >= there + binds, 30)


def _listens(port: int) -> None:
    import socket

    def look() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    eventually(look, 20)


# What is measured: each is messages a second, and what there is to say of it.


class Measured(NamedTuple):
    rate: float
    note: str


def out(gateway: Gateway, carrier: Smsc, sink: HttpSink, n: int, report: Report) -> Measured:
    """HTTP in, SMPP out; with receipts reported to a URL, until the last of them has come there."""
    carrier.receipts("never" if report == "none" else "asked")
    gateway.send(2_000, 1_000_000, report)
    _still(lambda: (carrier.stats().submits, sink.stats().final.n, sink.stats().mid.n))
    carrier.reset()
    sink.reset()
    with watch(gateway.pids) as usage:
        loaded = gateway.send(n, 0, report)

        def done() -> bool:
            if report == "none":
                return carrier.stats().distinct >= loaded.ok
            stats = sink.stats()
            return stats.final.distinct >= loaded.ok and (report == "final" or stats.mid.n >= loaded.ok)

        with contextlib.suppress(AssertionError):
            eventually(done, 60, 0.02)
    stats, told = carrier.stats(), sink.stats()
    if report == "none":
        count, last = stats.distinct, stats.last
    else:
        count, last = told.final.distinct, max(told.final.last, told.mid.last if report == "each" else 0)
    lost = loaded.ok - count
    note = f"accepted {loaded.rate:,.0f}/s, p99 {loaded.p99:.1f} ms; {usage}" + (f"; {lost} missing" if lost else "")
    return Measured(count / (last - loaded.started), note)


def inbound(gateway: Gateway, carrier: Smsc, sink: HttpSink, n: int) -> Measured:
    """Texts from people over SMPP to a URL."""
    sink.reset()
    carrier.reset()
    carrier.send_inbound(1_000)
    eventually(lambda: sink.stats().inbound.n >= 1_000, 30)
    sink.reset()
    carrier.reset()
    with watch(gateway.pids) as usage:
        carrier.send_inbound(n)
        with contextlib.suppress(AssertionError):
            eventually(lambda: sink.stats().inbound.distinct >= n and carrier.stats().inbound_answered >= n, 60, 0.02)
    told, stats = sink.stats().inbound, carrier.stats()
    note = f"answered {stats.inbound_answered / (stats.inbound_last - stats.inbound_first):,.0f}/s; {usage}"
    return Measured(told.distinct / (told.last - stats.inbound_first), note)


def through(n: int, window: int) -> Measured:
    """SMPP in, SMPP out: a program's messages at our server to a carrier."""
    with smsc(receipts="never") as carrier, Program(env={"COLUMBA_LOG_LEVEL": "warning"}, smpp=True) as program:
        bind(program, carrier, window)
        (key,) = (each["id"] for each in json.loads(program.run("keys", "list", "--json")) if each["mode"] == "live")
        login = json.loads(program.run("keys", "smpp", key, "--json"))
        assert program.smpp_port is not None

        def run(count: int) -> float:
            began = time.monotonic()
            result = smppc(
                program.smpp_port or 0, count, window, system_id=login["system_id"], password=login["password"]
            )
            assert not result.errors
            eventually(lambda: carrier.stats().distinct >= count, 60, 0.02)
            return began

        run(2_000)
        carrier.reset()
        with watch({"columba": program.pid}) as usage:
            began = run(n)
        stats = carrier.stats()
        began = max(began, stats.first)
        return Measured(n / (stats.last - began), f"{stats.dups} twice; {usage}")


def hundred_binds() -> tuple[float, float]:
    """MB held without a carrier, and with 100 binds open."""
    with smsc() as carrier, Program(env={"COLUMBA_LOG_LEVEL": "warning"}) as program:
        time.sleep(2)
        before = memory(program.pid)
        for n in range(2):
            bind(program, carrier, WINDOW, 50, f"sink{n}")
        time.sleep(1)
        return before, memory(program.pid)


def _still(get: Callable[[], object], seconds: float = 0.5) -> None:
    """Until nothing moves any more."""
    last, since = get(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = get()
        if now != last:
            last, since = now, time.monotonic()


SCENARIOS: dict[str, tuple[float, float]] = {  # the least multiple of Kannel in memory, and of its spool store
    "HTTP in, SMPP out": (1.0, 3.0),
    "the same, receipts reported": (2.5, 2.5),
    "the same, sent and receipts reported": (2.5, 2.5),
    "inbound over SMPP to a URL": (1.0, 2.5),
}


def compared(n: int, runs: int, window: int, say: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    """Scenario -> system -> a figure a run. Without Kannel there is Columba alone."""
    starts: list[Start] = [columba(window)]
    if shutil.which("bearerbox", path=PATH):
        starts = [kannel("off", window), kannel("spool", window), *starts]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SCENARIOS}
    for _ in range(runs):
        for start in starts:
            with smsc() as carrier, http_sink() as sink, start(carrier, sink) as gateway:
                eventually(lambda c=carrier: c.stats().binds > 0, 30)  # type: ignore[misc]
                for name in SCENARIOS:
                    if name.startswith("inbound"):
                        each = inbound(gateway, carrier, sink, n)
                    else:
                        report: Report = "each" if "sent and" in name else "final" if "reported" in name else "none"
                        each = out(gateway, carrier, sink, n, report)
                    found[name].setdefault(gateway.name, []).append(each.rate)
                    say(f"  {gateway.name:15} {name:38} {each.rate:>9,.0f}/s   {each.note}")
    return found


def bench_kannel(n: int = 20_000, runs: int = 3, window: int = WINDOW) -> list[Figure]:
    def say(text: str) -> None:
        print(text, flush=True)

    found = compared(n, runs, window, say)
    medians = {name: {each: statistics.median(rates) for each, rates in of.items()} for name, of in found.items()}
    systems = sorted({each for of in medians.values() for each in of}, key=("Columba",).count)
    rows = {each: [medians[name].get(each) for name in SCENARIOS] for each in systems}
    say("\nmessages/s, medians; ratios to Kannel in memory\n")
    say(table(list(SCENARIOS), rows, "Kannel, memory" if "Kannel, memory" in rows else None) + "\n")
    figures = []
    for name, (memory_least, spool_least) in SCENARIOS.items():
        ours = medians[name]["Columba"]
        for system, least in (("Kannel, memory", memory_least), ("Kannel, spool", spool_least)):
            theirs = medians[name].get(system)
            if theirs:
                figures.append(Figure(f"{name} / {system}", ours, "messages/s", ours / theirs, least))
    if not figures:
        say("Kannel is not installed (`python3 deploy/peers.py` as root): there is nothing to compare with.")
        figures = [Figure(name, of["Columba"], "messages/s") for name, of in medians.items()]
    passing = through(n * 2, window * 5)
    figures.append(Figure("SMPP in, SMPP out", passing.rate, "messages/s", None, 8_000, note=passing.note))
    for name, rate in measure().items():
        if "through two sessions" in name or name.startswith(("encode submit_sm", "decode submit_sm")):
            figures.append(Figure(f"codec: {name}", rate, "a second"))
    before, held = hundred_binds()
    figures.append(Figure("memory with 100 binds", held, "MB", note=f"{before:.0f} MB without"))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kannel", description="Columba beside Kannel.")
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--window", type=int, default=WINDOW)
    given = parser.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    figures = bench_kannel(given.n, given.runs, given.window)
    print(shown(figures), flush=True)
    sys.exit(1 if any(figure.met == "NO" for figure in figures) else 0)


if __name__ == "__main__":
    main()
