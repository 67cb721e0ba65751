"""A provider dies under load: how long until its traffic is with the second, what was lost, and what was sent twice.

    python -m bench.failover [--rate 1000] [--seconds 6] [--store sqlite|postgres]

Two SMSCs in this process take texts over SMPP from the program and count them as they come off the wire. The first dies a
third of the way: its connections are cut, and what it had not answered stays unanswered. Its carrier is set to leave such
texts `unknown`, so that whatever comes twice would be a fault.
"""

import argparse
import contextlib
import time
from typing import NamedTuple

from bench.report import machine
from bench.watch import calm
from tests import engines
from tests.e2e.smsc import Smsc
from tests.e2e.test_routing import connected, route
from tests.program import Program, eventually

WANTED_S = 5.0


class Moved(NamedTuple):
    """What came of it. `unknown` is what the first may have had."""

    accepted: int
    first: int
    second: int
    unknown: int
    lost: int
    twice: int
    seconds: float


def die_under_load(rate: int = 1_000, seconds: float = 6.0, store: str = "sqlite") -> Moved:
    with contextlib.ExitStack() as stack:
        first, second = stack.enter_context(Smsc()), stack.enter_context(Smsc())
        database = None
        if store == "postgres":
            database = stack.enter_context(stack.enter_context(engines.postgres()).database())
        program = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "error"}, database=database))
        carriers = [
            connected(program, name, smsc, on_unknown="unknown", rate=rate * 2)
            for name, smsc in (("first", first), ("second", second))
        ]
        route(program, *carriers)
        accepted: dict[str, str] = {}
        began = time.monotonic()
        died = moved = 0.0
        step = max(1, rate // 20)
        while (now := time.monotonic()) < began + seconds:
            rows = [{"to": f"+4477{len(accepted) + n:08}", "text": "Hello"} for n in range(step)]
            answer = program.request("POST", "/v1/messages/batch", {"messages": rows}, key=program.live_key)
            assert answer.status == 202, answer
            accepted |= {row["to"].removeprefix("+"): row["id"] for row in answer.json["data"]}
            if not died and now > began + seconds / 3:
                first.die()
                died = time.monotonic()
            time.sleep(max(0.0, now + step / rate - time.monotonic()))
            if died and not moved and waiting(program, carriers[0]) == 0:
                moved = time.monotonic() - died
        eventually(lambda: waiting(program, carriers[0]) == 0 and waiting(program, carriers[1]) == 0, 30)
        moved = moved or time.monotonic() - died
        taken = first.taken + second.taken
        statuses = [
            program.request("GET", f"/v1/messages/{accepted[to]}", key=program.live_key).json["status"]
            for to in accepted.keys() - taken.keys()
        ]
        unknown = statuses.count("unknown")
        return Moved(
            len(accepted), len(first.taken), len(second.taken), unknown, len(statuses) - unknown,
            sum(count > 1 for count in taken.values()), moved,
        )  # fmt: skip


def waiting(program: Program, carrier: str) -> int:
    return int(program.request("GET", f"/v1/carriers/{carrier}", key=program.live_key).json["waiting"])


def main() -> None:
    reader = argparse.ArgumentParser(prog="python -m bench.failover", description=__doc__)
    reader.add_argument("--rate", type=int, default=1_000)
    reader.add_argument("--seconds", type=float, default=6.0)
    reader.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    given = reader.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    came = die_under_load(given.rate, given.seconds, given.store)
    print(
        f"{came.accepted} accepted, {came.first} taken by the first, {came.second} by the second; {came.unknown} that "
        f"the first may have had are unknown\nnothing waited for the dead one any more after {came.seconds:.2f} s "
        f"(wanted: {WANTED_S:g}); lost {came.lost}, sent twice {came.twice}"
    )


if __name__ == "__main__":
    main()
