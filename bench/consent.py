"""What consent, quiet hours and content advice cost an accept: `python -m bench.consent [--suppressions N] [--quick]`.

The rate of the door with all three on is compared with the rate with all three off, in turns, on one program; then the
same with millions of suppressions, and the probe alone. Only ratios of one run on one machine mean something.
"""

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import apsw

from bench.__main__ import CONNECTIONS, Figure, headers, messages, settle, shown
from bench.load import hload
from bench.report import machine
from bench.watch import calm, memory
from columba.consent import SQL
from columba.store.plan import batch
from tests.program import Program

OFFER = '{"to": "+{d}", "text": "Acme: parcel {n} comes today. Reply STOP to opt out.", "class": "marketing"}'
ROUNDS = 5
ALL_DAY = {"country": "*", "open": "00:00", "close": "24:00", "classes": ["otp", "transactional", "marketing"]}
ON: dict[str, dict[str, Any]] = {
    "/v1/settings/consent": {"marketing": "unless_opted_out"},
    "/v1/settings/quiet-hours": {"enabled": True, "defaults": True, "windows": [ALL_DAY]},
    "/v1/settings/content": {"action": "hold", "brand": "Acme"},
}
# Marketing always asks for opt-outs: what asks nothing at all is another class.
OFF: dict[str, dict[str, Any]] = {
    "/v1/settings/consent": {"transactional": "always"},
    "/v1/settings/quiet-hours": {"enabled": False},
    "/v1/settings/content": {"action": "off"},
}
NOTHING = OFFER.replace("marketing", "transactional")


def switch(program: Program, settings: dict[str, dict[str, Any]]) -> None:
    for path, body in settings.items():
        done = program.request("PATCH", path, body)
        assert done.status == 200, done


def door(program: Program, n: int, first: int, body: str) -> float:
    before = messages(program, "final")
    result = hload(program.port, "/v1/messages", n, CONNECTIONS, body, headers(program.test_key), first=first)
    assert result.ok > 0.9 * n, result
    settle([program], before + result.ok - n // 500 - 20)
    return result.ok / (result.ended - result.started)


def fill(data: Path, count: int) -> None:
    """Suppressions of one account and mode, as if they had been imported."""
    connection = apsw.Connection(str(data / "columba.db"))
    connection.pragma("synchronous", 0)
    account = connection.execute("select id from accounts").get
    rng = random.Random(1)
    hashes = sorted(rng.getrandbits(63) for _ in range(count))
    with connection:
        connection.executemany(
            "insert into standings values (?, 0, ?, '', -1, 0, 1, ?, ?)",
            ((account, value, n, n) for n, value in enumerate(hashes, 1)),
        )
    connection.close()


def probe(data: Path, rows: int = 50_000, at_once: int = 50) -> float:
    """Seconds of a core a row of the statement that refuses, with numbers that nobody has asked for before."""
    connection = apsw.Connection(str(data / "columba.db"), flags=apsw.SQLITE_OPEN_READONLY)
    connection.pragma("cache_size", -32_000)
    account = connection.execute("select id from accounts").get
    rng = random.Random(2)
    batches = [
        batch([(n, n, account, 0, rng.getrandbits(63), "+12025550100", 2, 0, "") for n in range(at_once)])
        for _ in range(rows // at_once)
    ]
    began = time.process_time()  # not the wall's: others may have the cores
    for each in batches:
        connection.execute(SQL["refused"].whole, (each,)).fetchall()
    spent = (time.process_time() - began) / rows
    connection.close()
    return spent


def bench_consent(n: int, suppressions: int) -> list[Figure]:
    env = {"COLUMBA_LOG_LEVEL": "warning"}
    with Program(env=env) as plain, Program(env=env) as full:
        switch(full, ON)
        full.stop()
        bare = probe(full.data)
        began = time.monotonic()
        fill(full.data, suppressions)
        filled = time.monotonic() - began
        probed = probe(full.data)
        full.start()
        door(plain, 2_000, 900_000, NOTHING)
        door(full, 2_000, 900_000, OFFER)
        rates: dict[str, list[float]] = {"off": [], "on": [], "full": []}
        first = 0
        for _ in range(ROUNDS):  # in turns: others may have the cores now and then
            switch(plain, OFF)
            rates["off"].append(door(plain, n, first, NOTHING))
            switch(plain, ON)
            rates["on"].append(door(plain, n, first + n, OFFER))
            rates["full"].append(door(full, n, first + n, OFFER))
            first += 2 * n
        held, full_held = memory(plain.pid), memory(full.pid)
    off, on, with_them = (statistics.median(rates[name]) for name in ("off", "on", "full"))
    count = f"{suppressions:,}"
    return [
        Figure("accepting with consent, quiet hours, content off", off, "messages/s", 1.0),
        Figure("accepting with all three on", on, "messages/s", on / off, 0.8),
        Figure(f"the probe with {count} suppressions", probed * 1e6, "us", None, 20, True, f"{bare * 1e6:.1f} else"),
        Figure(f"accepting with {count} suppressions", with_them, "messages/s", with_them / on),
        Figure("which costs an accept", (1 / with_them - 1 / on) * 1e6, "us", None, 20, True, f"filled in {filled:.0f} s"),
        Figure("memory with them", full_held, "MB", None, held + 40, True, f"{held:.0f} without"),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.consent", description="What consent costs an accept.")
    parser.add_argument("--suppressions", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="fewer messages")
    given = parser.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    figures = bench_consent(4_000 if given.quick else 20_000, given.suppressions)
    print("\n" + shown(figures), flush=True)
    sys.exit(1 if any(figure.met == "NO" for figure in figures) else 0)


if __name__ == "__main__":
    main()
