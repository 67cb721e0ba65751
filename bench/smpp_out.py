"""Our SMPP client through the whole program: HTTP in, submit_sm out, response and receipt recorded.

    python -m bench.smpp_out [-n 40000] [--store sqlite|postgres] [--window 500] [--binds 1] [--receipt-ms 0]

The SMSC takes everything at once; its cores, the load generator's and ours are the same few.
"""

import argparse
import contextlib
import time

from bench.__main__ import CONNECTIONS, ONE, headers
from bench.load import hload, smsc
from bench.report import machine
from bench.watch import calm, cpu, watch
from tests import engines
from tests.program import Program, eventually


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.smpp_out", description=__doc__)
    parser.add_argument("-n", type=int, default=40_000)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--window", type=int, default=500)
    parser.add_argument("--binds", type=int, default=1)
    parser.add_argument("--receipt-ms", type=int, default=0)
    parser.add_argument("--no-receipts", action="store_true")
    given = parser.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(smsc())
        carrier.receipts("never" if given.no_receipts else "asked", given.receipt_ms)
        database = None
        if given.store == "postgres":
            database = stack.enter_context(stack.enter_context(engines.postgres()).database())
        program = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "warning"}, database=database))
        config = {"host": "127.0.0.1", "port": carrier.port, "system_id": "bench", "binds": given.binds}
        made = program.request(
            "POST",
            "/v1/carriers",
            {"name": "sink", "kind": "smpp", "config": config, "window": given.window},
            key=program.live_key,
        )
        assert made.status == 201, made
        eventually(lambda: carrier.stats().binds == given.binds, 10)
        hload(program.port, "/v1/messages", 2_000, CONNECTIONS, ONE, headers(program.live_key))
        eventually(lambda: carrier.stats().distinct == 2_000, 30)
        time.sleep(1)
        carrier.reset()
        used = cpu(program.pid)
        with watch({"columba": program.pid, "smsc": carrier.pid}) as usage:
            loaded = hload(
                program.port, "/v1/messages", given.n, CONNECTIONS, ONE, headers(program.live_key), first=10_000
            )
            wanted = 0 if given.no_receipts else given.n
            eventually(
                lambda: (
                    (stats := carrier.stats()).distinct >= given.n
                    and stats.receipts_answered - stats.receipts_refused >= wanted
                ),
                120,
                0.05,
            )
        used = cpu(program.pid) - used
        stats = carrier.stats()
        last = max(stats.last, stats.receipts_last)
        print(
            f"{given.n / (last - loaded.started):,.0f} messages/s to the last receipt's answer; accepted at "
            f"{loaded.rate:,.0f}/s (p99 {loaded.p99:.1f} ms); {used / given.n * 1e6:.0f} us CPU a message\n"
            f"submitted {stats.submits} ({stats.dups} twice), receipts {stats.receipts_sent}, answered "
            f"{stats.receipts_answered}, refused {stats.receipts_refused}; {usage}"
        )


if __name__ == "__main__":
    main()
