"""A provider dies under load: how long until its traffic is with the second, what was lost, and what was sent twice.

    python -m bench.failover [--rate 1000] [--seconds 6] [--store sqlite|postgres]

Two SMSCs in this process take texts over SMPP from the program and count them as they come off the wire. The first dies a
third of the way: its connections are cut, and what it had not answered stays unanswered. Its carrier is set to leave such
texts `unknown`, so that whatever comes twice would be a fault.
"""

import argparse
import contextlib
import time

from bench.report import machine
from bench.watch import calm
from tests import engines
from tests.e2e.smsc import Smsc
from tests.e2e.test_routing import connected, route
from tests.program import Program, eventually

WANTED_S = 5.0


def main() -> None:
    reader = argparse.ArgumentParser(prog="python -m bench.failover", description=__doc__)
    reader.add_argument("--rate", type=int, default=1_000)
    reader.add_argument("--seconds", type=float, default=6.0)
    reader.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    given = reader.parse_args()
    print(machine(), flush=True)
    print(f"busy with other things before the run: {calm(patience=20):.0%}", flush=True)
    with contextlib.ExitStack() as stack:
        first, second = stack.enter_context(Smsc()), stack.enter_context(Smsc())
        database = None
        if given.store == "postgres":
            database = stack.enter_context(stack.enter_context(engines.postgres()).database())
        program = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "error"}, database=database))
        carriers = [
            connected(program, name, smsc, on_unknown="unknown", rate=given.rate * 2)
            for name, smsc in (("first", first), ("second", second))
        ]
        route(program, *carriers)
        accepted: dict[str, str] = {}
        began = time.monotonic()
        died = moved = 0.0
        step = max(1, given.rate // 20)
        while (now := time.monotonic()) < began + given.seconds:
            numbers = [f"+4477{len(accepted) + n:08}" for n in range(step)]
            rows = [{"to": to, "text": "Hello"} for to in numbers]
            answer = program.request("POST", "/v1/messages/batch", {"messages": rows}, key=program.live_key)
            assert answer.status == 202, answer
            accepted |= {row["to"].removeprefix("+"): row["id"] for row in answer.json["data"]}
            if not died and now > began + given.seconds / 3:
                first.die()
                died = time.monotonic()
            time.sleep(max(0.0, now + step / given.rate - time.monotonic()))
            if died and not moved and waiting(program, carriers[0]) == 0:
                moved = time.monotonic() - died
        eventually(lambda: waiting(program, carriers[0]) == 0 and waiting(program, carriers[1]) == 0, 30)
        moved = moved or time.monotonic() - died
        taken = first.taken + second.taken
        missing = accepted.keys() - taken.keys()
        statuses = [
            program.request("GET", f"/v1/messages/{accepted[to]}", key=program.live_key).json["status"]
            for to in missing
        ]
        lost = sum(status != "unknown" for status in statuses)
        print(
            f"{len(accepted)} accepted, {len(first.taken)} taken by the first, {len(second.taken)} by the second; "
            f"{len(missing) - lost} that the first may have had are unknown\n"
            f"nothing waited for the dead one any more after {moved:.2f} s (wanted: {WANTED_S:g}); "
            f"lost {lost}, sent twice {sum(count > 1 for count in taken.values())}"
        )


def waiting(program: Program, carrier: str) -> int:
    return int(program.request("GET", f"/v1/carriers/{carrier}", key=program.live_key).json["waiting"])


if __name__ == "__main__":
    main()
