"""The crash harness: kills the program at random moments under load and counts what became of every message.

    make crash          both stores, 50 kills each          python -m bench.crash --store sqlite --kills 5

A message is *accepted* when its 202 was read in full. *Lost* is one that is not there afterwards, has no final status,
or whose webhook never came. *Sent twice* is counted by the network itself: the simulated carrier notes each part in a
file before it answers, and the file outlives the program. One-time codes must never be sent twice, whatever happens.
"""

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests import engines
from tests.program import Program, Sink, eventually

FINAL = {"delivered", "undelivered", "failed", "expired", "canceled", "unknown"}


class Report(NamedTuple):
    store: str
    kills: int
    accepted: int
    unanswered: int
    final: int
    lost: list[str]
    sent_twice: int
    window: int
    codes_sent_twice: int
    webhooks_missing: int
    unknown: int
    statuses: dict[str, int]

    @property
    def sound(self) -> bool:
        return not self.lost and not self.webhooks_missing and not self.codes_sent_twice

    def __str__(self) -> str:
        return (
            f"{self.store:9} kills {self.kills}  accepted {self.accepted}  final {self.final}  lost {len(self.lost)}  "
            f"webhooks missing {self.webhooks_missing}  sent twice {self.sent_twice} (at most {self.window} in one crash)"
            f"  codes sent twice {self.codes_sent_twice}  unknown {self.unknown}  unanswered {self.unanswered}\n"
            f"          {self.statuses}"
        )


class Load(threading.Thread):
    """Sends messages at a rate over a few connections, for as long as it is told to; a broken request is not repeated."""

    def __init__(self, port: int, key: str, rate: float, rows: list[tuple[str, str]], first: int, step: int) -> None:
        super().__init__(daemon=True)
        self.port, self.key, self.rate, self.rows = port, key, rate, rows
        self.n, self.step = first, step
        self.unanswered = 0
        self.going = True

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        due = time.monotonic()
        while self.going:
            due = max(due + 1 / self.rate, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))
            n, self.n = self.n, self.n + self.step
            kind = "otp" if n % 10 == 0 else "marketing" if n % 10 == 1 else "transactional"
            body = {
                "to": f"+4477{n % 90_000_000 + 10_000_000:08d}",
                "text": f"Message {n}" + (" that takes two parts" * 8 if n % 10 == 2 else ""),
                "class": kind,
                "metadata": {"n": str(n)},
            }
            if str(body["to"])[-4:].startswith("000"):  # these mean something to the simulated network
                continue
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
                connection.request("POST", "/v1/messages", json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status == 202:
                    self.rows.append((json.loads(content)["id"], kind))
                else:
                    self.unanswered += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered += 1
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)


def crash(store: str, kills: int, rate: float, seed: int, database: str | None = None) -> Report:
    drawn = random.Random(seed)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        record = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="columba-crash-"))) / "network"
        program = stack.enter_context(
            Program(env={"COLUMBA_SANDBOX_RECORD": str(record), "COLUMBA_LOG_LEVEL": "warning"}, database=database)
        )
        made = program.request("POST", "/v1/webhooks", {"url": sink.url + "/hook", "events": ["message.*"]})
        assert made.status == 201, made
        rows: list[tuple[str, str]] = []
        threads = 8
        loads = [Load(program.port, program.test_key, rate / threads, rows, i, threads) for i in range(threads)]
        for load in loads:
            load.start()
        windows: list[int] = []
        before = 0
        for _ in range(kills):
            time.sleep(drawn.uniform(0.05, 1.5))
            program.kill9()
            time.sleep(drawn.uniform(0, 0.2))
            program.start()
            twice = sum(count - 1 for count in sent(record).values())
            windows.append(twice - before)
            before = twice
        time.sleep(1)
        for load in loads:
            load.going = False
        for load in loads:
            load.join(15)
        accepted = {an_id for an_id, _ in rows}
        codes = {an_id for an_id, kind in rows if kind == "otp"}
        found: dict[str, str] = {}

        def settled() -> bool:
            found.clear()
            found.update(everything(program))
            return all(found.get(an_id) in FINAL for an_id in accepted)

        with contextlib.suppress(AssertionError):
            eventually(settled, 90)
        hooked: set[str] = set()

        def told() -> bool:
            hooked.clear()
            hooked.update(final_webhooks(sink))
            return accepted <= hooked

        with contextlib.suppress(AssertionError):
            eventually(told, 60)
        copies = sent(record)
        return Report(
            store=store,
            kills=kills,
            accepted=len(accepted),
            unanswered=sum(load.unanswered for load in loads),
            final=sum(found.get(an_id) in FINAL for an_id in accepted),
            lost=sorted(an_id for an_id in accepted if found.get(an_id) not in FINAL),
            sent_twice=sum(count - 1 for count in copies.values()),
            window=max(windows, default=0),
            codes_sent_twice=sum(count > 1 for (an_id, _), count in copies.items() if shown(an_id) in codes),
            webhooks_missing=len(accepted - hooked),
            unknown=sum(found.get(an_id) == "unknown" for an_id in accepted),
            statuses=dict(Counter(found.get(an_id, "missing") for an_id in accepted)),
        )


def shown(number: str) -> str:
    from columba.core import ids

    return ids.show("msg", int(number))


def sent(record: Path) -> Counter[tuple[str, str]]:
    """What the network noted: how often it was handed each part."""
    copies: Counter[tuple[str, str]] = Counter()
    if record.exists():
        for line in record.read_text().splitlines():
            an_id, n, _ = line.split()
            copies[an_id, n] += 1
    return copies


def everything(program: Program) -> dict[str, str]:
    """All messages and their statuses, by the API."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        answer = program.request("GET", f"/v1/messages?limit=1000{cursor}")
        assert answer.status == 200, answer
        found.update({each["id"]: each["status"] for each in answer.json["data"]})
        if not answer.json["next_cursor"]:
            return found
        cursor = f"&cursor={answer.json['next_cursor']}"


def final_webhooks(sink: Sink) -> set[str]:
    found: set[str] = set()
    for request in list(sink.requests):
        event: dict[str, Any] = request.json
        if event["data"]["status"] in FINAL:
            found.add(event["data"]["id"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description="Kill the program and count.")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"{given.kills} kills at {given.rate:g} messages/s, seed {given.seed}", flush=True)
    sound = True
    if given.store in ("sqlite", "both"):
        report = crash("sqlite", given.kills, given.rate, given.seed)
        print(report, flush=True)
        sound &= report.sound
    if given.store in ("postgres", "both"):
        with engines.postgres() as server, server.database() as url:
            report = crash("postgres", given.kills, given.rate, given.seed, url)
        print(report, flush=True)
        sound &= report.sound
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
