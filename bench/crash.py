"""The crash harness: kills the program at random moments under load and counts what became of every message.

    make crash          both stores, 50 kills each          python -m bench.crash --store sqlite --kills 5

With `make crash` go the messages that leave over SMPP, too: see bench/crash_smpp.py.

It kills with SIGKILL, in four ways drawn at random: all of the program's processes at once, its main process alone (the
store's writer ends by itself), the writer alone (the program goes on), and all of them again while they start. Every other
kill waits until messages flow again, so that there is something on the wire. What a power cut does is another matter: that
each commit is synced before it is answered is for tests/store to show.

*Accepted* is what was answered 202 in full. *Lost* is an accepted message that is not there afterwards or never gets a
final status. *Half done* is one that nobody was answered for and that is there without reaching its end. *Made twice* is
one whose request was repeated with its Idempotency-Key and did it again. The network itself counts what it is handed: it
notes each part in a file before it answers, and the file outlives the program. Just after each kill the store is read for
what it knows of; a part that the network was handed and the store doesn't know of was *on the wire*. Only such a part may
go out again, once for each such kill: all others that did are *unexcused*. One-time codes never do, whatever happens. Every
event must have come as a webhook, and each message has one final event.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import asyncpg

from bench import crash_smpp
from columba.core import ids
from tests import engines
from tests.keeper import gone
from tests.program import OK, Program, ProgramError, Reply, Request, Sink, eventually

FINAL = frozenset({"delivered", "undelivered", "failed", "expired", "canceled", "unknown"})
SETTLED = "select message_id, n from parts where status >= 30"
CONNECTIONS = 8
CARRIER = {"latency_ms": 100, "receipt_ms": 200}  # slow enough that at each moment some are on the wire
LONG = " that takes two parts" * 8
ALL, MAIN, STARTING, WRITER = "of all", "of the main process", "of all while starting", "of the writer"
Part = tuple[int, int]


class Report(NamedTuple):
    store: str
    kills: dict[str, int]
    seconds: float  # of being up
    accepted: int
    unanswered: int
    final: int
    lost: list[str]
    half_done: list[str]
    made_twice: list[str]
    told_twice: list[str]  # of their end
    webhooks_missing: int
    on_the_wire: list[int]  # at each kill
    sent_twice: int
    unexcused: list[Part]
    codes_sent_twice: int
    statuses: dict[str, int]

    @property
    def sound(self) -> bool:
        wrong = (self.lost, self.half_done, self.made_twice, self.told_twice, self.unexcused)
        return not any(wrong) and not self.webhooks_missing and not self.codes_sent_twice

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {how}" for how, count in sorted(self.kills.items()))
        return (
            f"{self.store}: {sum(self.kills.values())} kills ({kills}), up for {self.seconds:.0f} s\n"
            f"  accepted {self.accepted} ({self.accepted / self.seconds:.0f}/s while up), unanswered {self.unanswered}, "
            f"final {self.final}: {self.statuses}\n"
            f"  lost {len(self.lost)}, half done {len(self.half_done)}, made twice {len(self.made_twice)}, "
            f"told twice {len(self.told_twice)}, webhooks missing {self.webhooks_missing}\n"
            f"  on the wire at a kill: {max(self.on_the_wire, default=0)} at most, {sum(self.on_the_wire)} in all; "
            f"sent twice {self.sent_twice}, unexcused {len(self.unexcused)}, codes sent twice {self.codes_sent_twice}"
        )


class Load(threading.Thread):
    """Sends messages at a rate, on one connection, for as long as it is told to.

    With `repeat` a request without an answer is sent again, with its Idempotency-Key, until there is one.
    """

    def __init__(self, port: int, key: str, rate: float, first: int, step: int, repeat: bool) -> None:
        super().__init__(daemon=True)
        self.accepted: dict[str, str] = {}  # ids, and the number of the request
        self.unanswered = 0
        self.going = True
        self._port, self._key, self._rate = port, key, rate
        self._n, self._step, self._repeat = first, step, repeat
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        due = time.monotonic()
        while self.going:
            due = max(due + 1 / self._rate, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))
            n, self._n = self._n, self._n + self._step
            while not self._send(n) and self._repeat:
                time.sleep(0.02)
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _send(self, n: int) -> bool:
        """Is there an answer?"""
        to = f"+4477{n % 90_000_000 + 10_000_000:08d}"
        if to[-4:-1] == "000":  # these mean something to the simulated network
            return True
        body = {
            "to": to,
            "text": f"Message {n}{LONG if n % 10 == 2 else ''}",
            "class": "otp" if n % 10 == 0 else "marketing" if n % 10 == 1 else "transactional",
            "metadata": {"n": str(n)},
        }
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if self._repeat:
            headers["Idempotency-Key"] = f"message-{n}"
        asked = False
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
                self._connection.connect()
            asked = True
            self._connection.request("POST", "/v1/messages", json.dumps(body).encode(), headers)
            answer = self._connection.getresponse()
            content = answer.read()
            if answer.status == 202:
                self.accepted[json.loads(content)["id"]] = str(n)
                return True
        except (OSError, http.client.HTTPException, ValueError):
            self._close()
            time.sleep(0.02)
        self.unanswered += asked
        return False


class Hooks(Sink):
    """Takes webhooks, and keeps of each no more than its id."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()

    def answer(self, request: Request) -> Reply:
        self.ids.add(request.headers["webhook-id"])
        return OK


class Network:
    """What the simulated network noted: each part that it was handed, in order."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def handed(self) -> Counter[Part]:
        if not self._record.exists():
            return Counter()
        lines = [line.split() for line in self._record.read_text().splitlines()]
        return Counter((int(line[0]), int(line[1])) for line in lines if len(line) == 3)

    def wait_for_more(self) -> None:
        """Until messages flow."""
        size = self._size()
        eventually(lambda: self._size() > size, 30)

    def _size(self) -> int:
        return self._record.stat().st_size if self._record.exists() else 0


# Killing


def writer_of(pid: int) -> int | None:
    """The process that writes the SQLite file."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                if b"writer.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
    return None


def kill_all(program: Program) -> None:
    program.kill9()


def kill_main(program: Program) -> None:
    """As one that is out of memory: the writer finishes what it has begun."""
    writer = writer_of(program.pid)
    os.kill(program.pid, signal.SIGKILL)
    program.kill9()
    if writer is not None:
        eventually(lambda: gone(writer))


def kill_writer(program: Program) -> None:
    writer = writer_of(program.pid)
    if writer is not None:
        os.kill(writer, signal.SIGKILL)


def kill_while_starting(program: Program, after: float) -> None:
    """Start it, and kill it that much later, ready or not."""

    def kill() -> None:
        eventually(lambda: program._process)
        time.sleep(after)
        with contextlib.suppress(ProgramError):  # it has ended by itself
            program.kill9()

    killer = threading.Thread(target=kill)
    killer.start()
    with contextlib.suppress(ProgramError):
        program.start()
    killer.join()


# What the store knows


def settled_in_sqlite(folder: Path) -> set[Part]:
    """Read from a copy: it is for the program to recover the file itself."""
    with tempfile.TemporaryDirectory(prefix="columba-crash-") as copy:
        for name in ("columba.db", "columba.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(folder / name, copy)
        connection = apsw.Connection(str(Path(copy) / "columba.db"))
        try:
            return {(int(row[0]), int(row[1])) for row in connection.execute(SETTLED)}
        finally:
            connection.close()


def settled_in_postgres(url: str) -> set[Part]:
    async def read() -> set[Part]:
        connection = await asyncpg.connect(url)
        try:
            return {(row[0], row[1]) for row in await connection.fetch(SETTLED)}
        finally:
            await connection.close()

    return asyncio.run(read())


# The whole


class Watch:
    """What goes out, and may. Looks just after each kill, and once at the end."""

    def __init__(self, network: Network, settled: Callable[[], set[Part]]) -> None:
        self.on_the_wire: list[int] = []  # at each kill
        self.unexcused: set[Part] = set()
        self._network, self._settled = network, settled
        self._excused: dict[Part, int] = {}  # how often it had gone out when a kill took the answer

    def killed(self) -> None:
        settled, handed = self._settled(), self.look()
        wire = {part: count for part, count in handed.items() if part not in settled}
        self._excused.update(wire)
        self.on_the_wire.append(len(wire))

    def look(self) -> Counter[Part]:
        handed = self._network.handed()
        self.unexcused |= {part for part, count in handed.items() if count > self._excused.get(part, 0) + 1}
        return handed


def crash(store: str, kills: int, rate: float, seed: int, database: str | None = None) -> Report:
    """`database` is a PostgreSQL URL; without it the store is SQLite."""
    drawn = random.Random(seed)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Hooks())
        record = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="columba-crash-"))) / "network"
        network = Network(record)
        env = {"COLUMBA_SANDBOX_RECORD": str(record), "COLUMBA_LOG_LEVEL": "warning"}
        program = stack.enter_context(Program(env=env, database=database))
        for path, body in (
            ("webhooks", {"url": sink.url + "/hook", "events": ["message.*"]}),
            (
                "carriers",
                {"name": "network", "kind": "sandbox", "lanes": 4, "config": CARRIER | {"record": str(record)}},
            ),
        ):
            made = program.request("POST", f"/v1/{path}", body, key=program.live_key)
            assert made.status == 201, made
        loads = [
            Load(program.port, program.live_key, rate / CONNECTIONS, n, CONNECTIONS, repeat=n % 3 == 0)
            for n in range(CONNECTIONS)
        ]
        watch = Watch(network, lambda: settled_in_postgres(database) if database else settled_in_sqlite(program.data))
        done: Counter[str] = Counter()
        with loading(loads):
            up = Stopwatch()
            for n in range(kills):
                if n % 2 == 0:
                    network.wait_for_more()
                time.sleep(drawn.uniform(0.05, 1.5))
                how = drawn.choice([ALL, ALL, MAIN, STARTING, *([] if database else [WRITER])])
                done[how] += 1
                if how == WRITER:
                    kill_writer(program)
                    continue
                (kill_main if how == MAIN else kill_all)(program)
                up.stop()
                watch.killed()
                time.sleep(drawn.uniform(0, 0.2))
                if how == STARTING:
                    kill_while_starting(program, drawn.uniform(0.05, 0.8))
                    watch.killed()
                program.start()
                up.start()
            network.wait_for_more()
            time.sleep(1)
            up.stop()
        return judged(store, program, sink, watch, loads, dict(done), up.seconds)


class Stopwatch:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        self._since = time.monotonic()

    def stop(self) -> None:
        self.seconds += time.monotonic() - self._since


@contextlib.contextmanager
def loading(loads: list[Load]) -> Iterator[None]:
    for load in loads:
        load.start()
    try:
        yield
    finally:
        for load in loads:
            load.going = False
        for load in loads:
            load.join(30)


def judged(
    store: str,
    program: Program,
    sink: Hooks,
    watch: Watch,
    loads: list[Load],
    kills: dict[str, int],
    seconds: float,
) -> Report:
    """Once all is quiet: what became of everything."""
    accepted = {an_id: n for load in loads for an_id, n in load.accepted.items()}
    found: dict[str, Any] = {}

    def settled() -> bool:
        found.clear()
        found.update({each["id"]: each for each in everything(program, "/v1/messages?")})
        return set(accepted) <= set(found) and all(each["status"] in FINAL for each in found.values())

    with contextlib.suppress(AssertionError):
        eventually(settled, 90, every=0.5)
    told: dict[str, str] = {}
    ends: dict[str, list[str]] = {}
    for event in reversed(everything(program, "/v1/events?type=message.*&")):
        told[event["id"]] = event["type"]
        if event["data"]["status"] in FINAL:
            ends.setdefault(event["data"]["id"], []).append(event["data"]["status"])
    with contextlib.suppress(AssertionError):
        eventually(lambda: set(told) <= sink.ids, 60, every=0.5)
    handed = watch.look()
    made = Counter(each["metadata"]["n"] for each in found.values())
    known = {ids.read("msg", an_id): each for an_id, each in found.items()}
    again = {part: count - 1 for part, count in handed.items() if count > 1}
    return Report(
        store=store,
        kills=kills,
        seconds=seconds,
        accepted=len(accepted),
        unanswered=sum(load.unanswered for load in loads),
        final=sum(an_id in found and found[an_id]["status"] in FINAL for an_id in accepted),
        lost=sorted(an_id for an_id in accepted if an_id not in found or found[an_id]["status"] not in FINAL),
        half_done=sorted(
            an_id for an_id, each in found.items() if an_id not in accepted and each["status"] not in FINAL
        ),
        made_twice=sorted(n for n, count in made.items() if count > 1),
        told_twice=sorted(
            an_id for an_id, statuses in ends.items() if len([each for each in statuses if each != "unknown"]) > 1
            or statuses.count("unknown") > 1
        ),
        webhooks_missing=len(set(told) - sink.ids),
        on_the_wire=watch.on_the_wire,
        sent_twice=sum(again.values()),
        unexcused=sorted(watch.unexcused),
        codes_sent_twice=sum(known[message_id]["class"] == "otp" for message_id, _ in again),
        statuses=dict(Counter(found[an_id]["status"] if an_id in found else "missing" for an_id in accepted)),
    )  # fmt: skip


def everything(program: Program, path: str) -> list[dict[str, Any]]:
    """A list to its end; the path has its `?`."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = program.request("GET", f"{path}limit=1000{cursor}", key=program.live_key)
        assert answer.status == 200, answer
        found += answer.json["data"]
        if not answer.json["next_cursor"]:
            return found
        cursor = f"&cursor={answer.json['next_cursor']}"


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
    sound &= crash_smpp.run(given.store, 20_000, max(1, given.kills // 10), given.seed)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
