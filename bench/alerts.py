"""What alerts cost when everything fails: `python -m bench.alerts [--quick]`.

The door's rate with every message undelivered and an alert on that, against the rate without the alert; and how many
notices that made. Only ratios of one run on one machine mean something.
"""

import argparse
import time

from bench.__main__ import CONNECTIONS, Figure, headers, messages, settle, shown
from bench.load import hload
from bench.report import machine
from tests.program import Program, Sink, eventually

FAILS = '{"to": "+447700900002", "text": "Message n={n} of this run"}'


def door(program: Program, n: int, first: int) -> float:
    before = messages(program, "final")
    began = time.perf_counter()
    result = hload(program.port, "/v1/messages", n, CONNECTIONS, FAILS, headers(program.test_key), first=first)
    assert result.ok > 0.9 * n, result
    settle([program], before + result.ok - n // 500 - 20)
    return result.ok / (time.perf_counter() - began)  # until all have failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    n = 4_000 if parser.parse_args().quick else 40_000
    print(machine())
    with Sink() as sink, Program() as program:
        body = {
            "name": "storm",
            "on": ["message.*"],
            "channels": [{"kind": "webhook", "url": sink.url}],
            "enabled": False,
        }
        alert = program.request("POST", "/v1/alerts", body).json
        door(program, n, 1)  # warm
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn, enabled in enumerate((False, True, False, True), 1):
            program.request("PATCH", f"/v1/alerts/{alert['id']}", {"enabled": enabled})
            rates[enabled].append(door(program, n, turn * n))

        def counted() -> bool:
            found = program.request("GET", f"/v1/alerts/{alert['id']}/incidents").json["data"]
            return bool(sum(each["count"] for each in found) >= 2.9 * n)

        began = time.perf_counter()
        eventually(counted, 60)
        behind = time.perf_counter() - began
        notices = len(sink.requests)
    bare, on = max(rates[False]), max(rates[True])
    figures = [
        Figure("messages that fail, no alert", bare, "/s"),
        Figure("the same with an alert on message.*", on, "/s", on / bare),
        Figure("seconds until all events were counted", behind, "s"),
        Figure("notices", notices, "", None, 3, True),
    ]
    print(shown(figures))


if __name__ == "__main__":
    main()
