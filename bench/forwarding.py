"""Texts from people, forwarded: `python -m bench.forwarding [--count N] [--what rate contacts pace dead rules]`.

A text comes in over an HTTP callback of a carrier, is held against the rules, and is posted, signed, with a body made by
templates, to sinks in C. One process, fsynced.

- rate: as fast as it goes, with 50 rules. `texts/s` is what callers are answered, `forwards/s` what arrives at the sinks.
- contacts: the same where every rule asks who the person is and every body says it; half of them are contacts.
- pace: 1,000 texts a second; how long after its arrival a text's forward leaves.
- dead: ten destinations, then nine and a dead one: what the nine still get.
- rules: one text against 10,000 rules of an account.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bench import report
from bench.load import HttpSink, hload, http_sink
from columba.core import ids
from columba.core.model import Message
from columba.forwarding.conditions import said_of
from columba.forwarding.rule import rule_of
from columba.forwarding.rules_index import RuleSet
from columba.forwarding.rules_shapes import Spec
from columba.forwarding.runs import context_of
from tests.program import Program, Request, Sink, eventually

if TYPE_CHECKING:
    from bench.__main__ import Figure

RULES, SINKS, CONNECTIONS = 50, 10, 50
SECRET = "a-secret-of-the-callbacks"
BODY = {
    "id": "{{ id }}", "from": "{{ from }}", "to": "{{ to }}", "text": "{{ text | trim }}", "order": "{{ groups.order }}",
    "at": "{{ received_at }}", "type": "message.received",
}  # fmt: skip
CALLBACK = json.dumps(
    {
        "results": [
            {
                "messageId": "{n}", "from": "{d}", "to": "12025550{k}", "text": "Order {n} n={n}", "cleanText": "",
                "keyword": "", "receivedAt": "2026-01-01T00:00:00.000+0000", "smsCount": 1, "integrationType": "SMS",
            }
        ],
        "messageCount": 1,
        "pendingMessageCount": 0,
    }
)  # fmt: skip


class Bench:
    """A program with a carrier that texts come in through."""

    def __init__(self, program: Program) -> None:
        self.program = program
        config = {"base_url": "http://127.0.0.1:9", "api_key": "x", "callback_secret": SECRET}
        made = self.post("/v1/carriers", {"name": "in", "kind": "infobip", "config": config})
        self.inbound = f"/callbacks/{made['id']}/inbound?secret={SECRET}"

    def post(self, path: str, body: Any) -> Any:
        answer = self.program.request("POST", path, body, key=self.program.live_key)
        assert answer.status in (200, 201, 202), answer
        return answer.json

    def destination(self, url: str, body: Any = BODY, **more: Any) -> str:
        request = {"url": url, "headers": {"X-From": "{{ from }}"}, "body": {"json": body}}
        auth = {"kind": "hmac", "secret": "0123456789abcdef"}
        made = self.post("/v1/destinations", {"name": url, "request": request, "auth": auth, **more})
        return str(made["id"])

    def contacts(self, numbers: Sequence[str]) -> None:
        made = self.post("/v1/contacts/imports", {"name": "bench"})
        rows = "".join(f"{number},Person {n},gold\n" for n, number in enumerate(numbers))
        connection = http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=300)
        headers = {"Authorization": f"Bearer {self.program.live_key}", "Content-Type": "text/csv"}
        connection.request("POST", made["upload_url"], f"number,name,plan\n{rows}", headers)
        done = json.loads(connection.getresponse().read())
        connection.close()
        assert done["recorded"] == len(set(numbers)), done

    def rules(self, destinations: Sequence[str], **more: Any) -> None:
        """50 rules, of which each text matches one; each forwards to one of the destinations."""
        for n in range(RULES):
            when = {"text": {"regex": f"(?i)^order (?P<order>[0-9]*{n % 10}) n="}} if n < 10 else {"keyword": [f"K{n}"]}
            then = [{"forward": {"to": [destinations[n % len(destinations)]]}}]
            self.post("/v1/rules", {"name": f"rule {n}", "when": when | more, "then": then})

    def load(self, n: int, first: int = 0) -> tuple[float, float]:
        """Texts answered a second, and the p99 of their answers in ms."""
        body = CALLBACK.replace("{k}", "0100")
        headers = {"Content-Type": "application/json"}
        result = hload(self.program.port, self.inbound, n, CONNECTIONS, body, headers, first=first)
        if result.bad or result.unknown:
            raise SystemExit(f"{result.bad} texts refused, {result.unknown} lost: {result.sample_bad}")
        return result.ok / (result.ended - result.started), result.p99


@contextlib.contextmanager
def running(sinks: int) -> Iterator[tuple[Bench, list[HttpSink]]]:
    with contextlib.ExitStack() as stack:
        env = {"COLUMBA_LOG_LEVEL": "warning", "COLUMBA_ALLOW_NETWORK": "127.0.0.0/8"}
        program = stack.enter_context(Program(env=env))
        yield Bench(program), [stack.enter_context(http_sink()) for _ in range(sinks)]


def arrived(sinks: Sequence[HttpSink]) -> int:
    return sum(sink.stats().inbound.distinct for sink in sinks)


def rate(count: int, contacts: bool = False) -> list[float | None]:
    with running(SINKS) as (bench, sinks):
        if contacts:
            body = BODY | {"who": "{{ contact.name | default(from) }}", "plan": "{{ contact.attributes.plan }}"}
            asked = {"none": [{"contact": {"attributes": {"plan": "silver"}}}]}
            began = time.monotonic()
            bench.contacts([f"+4477{n:08d}" for n in range(0, 4 * count, 2)])  # every other one that texts
            print(f"{2 * count:,} contacts imported in {time.monotonic() - began:.1f} s")
            bench.rules([bench.destination(f"{sink.url}/mo", body) for sink in sinks], **asked)
        else:
            bench.rules([bench.destination(f"{sink.url}/mo") for sink in sinks])
        time.sleep(3)
        bench.load(count // 10)
        eventually(lambda: arrived(sinks) >= count // 10, 60)
        for sink in sinks:
            sink.reset()
        began = time.monotonic()
        texts, p99 = bench.load(count, first=count)
        eventually(lambda: arrived(sinks) >= count, 120)
        last = max(sink.stats().inbound.last for sink in sinks)
        repeated = sum(sink.stats().inbound.dups for sink in sinks)
        if repeated:
            raise SystemExit(f"{repeated} forwards came twice")
        return [texts, count / (last - began), p99, None]


def pace(count: int, per_second: int = 1_000) -> list[float | None]:
    """The sink is ours: it tells when each came. A text carries the moment at which it was sent."""
    waited: list[float] = []

    def note(request: Request) -> None:
        waited.append(request.time - float(request.json["order"]) / 1e6)

    with running(0) as (bench, _), Sink() as sink:
        bench.rules([bench.destination(f"{sink.url}/mo") for _ in range(SINKS)])
        time.sleep(3)
        sent = _paced(bench, count, per_second)
        sink.wait(count, 60)
        for request in sink.requests[count // 10 :]:
            note(request)
        waited.sort()
        return [sent, None, None, 1000 * waited[int(len(waited) * 0.99)]]


def _paced(bench: Bench, count: int, per_second: int) -> float:
    workers, done = 8, []

    def work(k: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bench.program.port)
        began = time.perf_counter()
        for i in range(count // workers):
            due = began + (i * workers + k) / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            body = CALLBACK.replace("{n}", str(int(time.time() * 1e6))).replace("{k}", "0100")
            connection.request("POST", bench.inbound, body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        done.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / max(done)


def dead(count: int) -> list[float | None]:
    """Forwards a second of nine destinations: with a tenth that is well, and with one that hangs."""
    figures = []
    for last in ("well", "dead"):
        with running(SINKS) as (bench, sinks), Sink() as hanging:
            from tests.program import Reply

            hanging.reply = Reply(503, delay=1.0)
            urls = [sink.url for sink in sinks[:-1]] + [sinks[-1].url if last == "well" else hanging.url]
            bench.rules([bench.destination(f"{url}/mo") for url in urls])
            time.sleep(3)
            began = time.monotonic()
            bench.load(count)
            nine = sinks[:-1]
            eventually(lambda nine=nine: arrived(nine) >= count * 9 // 10, 120)  # type: ignore[misc]
            figures.append(arrived(nine) / (max(sink.stats().inbound.last for sink in nine) - began))
    return [figures[0], figures[1], 100 * (1 - figures[1] / figures[0])]


def rules() -> list[float | None]:
    """Milliseconds for one text against 10,000 rules: median and worst of 200, and to make the set anew."""
    kinds: list[Any] = [
        lambda n: {"to": [f"+1202555{n % 10_000:04}"]},
        lambda n: {"text": {"regex": f"(?i)^order{n} (?P<order>[0-9]+)"}},
        lambda n: {"keyword": [f"K{n}"]},
        lambda n: {"text": {"contains": f"word{n}"}},
        lambda n: {"country": ["FR"], "prefix": ["+33"]},
        lambda n: {"to": ["+12025550100"], "text": {"is": f"word{n}"}},
        lambda n: {"from": [f"+447700{n:06}"]},
        lambda n: {"any": [{"text": {"starts": f"w{n}"}}, {"text": {"ends": f"w{n}"}}]},
    ]
    made = []
    for n in range(10_000):
        spec = {"when": kinds[n % len(kinds)](n), "then": [{"tag": "x"}]}
        text = msgspec.json.encode(msgspec.convert(spec, Spec)).decode()
        made.append(rule_of((n, 1, 0, 1, float(n), 1, f"rule {n}", text, 0, 0)))
    times: list[float] = []
    for n in range(201):
        at = ids.first_at(int(time.time() * 1000))
        text = f"Order {n}"
        message = Message(at, 1, 0, 1, 1, 64, "+12025550100", "+447700900123", text, 0, 1, 60, 0, 0, 0)
        began = time.perf_counter()
        if not times:
            found = RuleSet(made)
        found.match(said_of(message, context_of(message, {}, {})))
        times.append(1000 * (time.perf_counter() - began))
    building, *times = times
    return [statistics.median(times), max(times), building]


def bench_forwarding(count: int = 20_000) -> "list[Figure]":
    """The promised figures."""
    from bench.__main__ import Figure

    fast = rate(count)
    paced = pace(max(count * 2 // 5, 2_000))
    one_dead = dead(count)
    many = rules()
    return [
        Figure("texts forwarded, 50 rules", fast[1] or 0, "forwards/s", fast[1], 2_500),
        Figure("until the forward left, p99 at 1,000/s", paced[3] or 0, "ms", paced[3], 100, True),
        Figure("others, while one of ten is dead", one_dead[2] or 0, "% slower", one_dead[2], 10, True),
        Figure("a text against 10,000 rules", many[0] or 0, "ms", many[0], 5, True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument(
        "--what",
        nargs="*",
        choices=("rate", "contacts", "pace", "dead", "rules"),
        default=["rate", "contacts", "pace", "dead", "rules"],
    )
    asked = parser.parse_args()
    print(report.machine(), f"(load {os.getloadavg()[0]:.1f})")
    if {"rate", "contacts", "pace"} & set(asked.what):
        rows = {}
        if "rate" in asked.what:
            rows["as fast as it goes"] = rate(asked.count)
        if "contacts" in asked.what:
            rows["the same, with contacts"] = rate(asked.count, contacts=True)
        if "pace" in asked.what:
            rows["1,000 a second"] = pace(min(asked.count, 8_000))
        print(report.table(["texts/s", "forwards/s", "p99 of answers, ms", "p99 until it left, ms"], rows))
    if "dead" in asked.what:
        print(report.table(["nine of ten well", "one dead", "slower, %"], {"forwards/s of nine": dead(asked.count)}))
    if "rules" in asked.what:
        print(report.table(["median ms", "worst ms", "set made, ms"], {"10,000 rules": rules()}))


if __name__ == "__main__":
    main()
