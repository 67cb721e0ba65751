"""kill -9 in the middle of messages that go out over SMPP: nothing accepted is lost.

    make crash          python -m bench.crash_smpp [--store sqlite|postgres] [-n 20000] [--kills 5]

The SMSC is slow enough that its window is full all the time, counts each numbered text, and lives on. *Lost* is a message
that was answered 202 in full and never came there. Just after each kill the store is read for which parts it knows of; those
that the SMSC has and the store doesn't know of were *on the wire*. Only such may come again: others are *unexcused*. One
message in ten is a one-time code, which never comes twice, whatever happens.
"""

import argparse
import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import apsw
import asyncpg

from bench.load import Load, Smsc, hload_started, smsc
from tests import engines
from tests.program import Program, eventually

CODES_FROM = 1_000_000
TAKEN = (
    "select b.text from parts p join bodies b on b.message_id = p.message_id where p.status >= 30 and b.text like 'n=%'"
)


class Report(NamedTuple):
    store: str
    kills: int
    accepted: int
    unanswered: int
    lost: list[int]
    on_the_wire: list[int]  # at each kill
    twice: int
    unexcused: list[int]
    codes_twice: list[int]
    window: int

    @property
    def sound(self) -> bool:
        return not (self.lost or self.unexcused or self.codes_twice)

    def __str__(self) -> str:
        return (
            f"SMPP, {self.store}: {self.kills} kills -9 in the middle of {self.accepted} accepted messages "
            f"({self.unanswered} unanswered)\n"
            f"  lost {len(self.lost)}; on the wire at a kill: {max(self.on_the_wire, default=0)} at most (the window is "
            f"{self.window}); came twice {self.twice}, unexcused {len(self.unexcused)}, codes {len(self.codes_twice)}"
        )


def numbers(texts: list[str]) -> set[int]:
    return {int(text[2:].split(" ", 1)[0]) for text in texts}


def taken_in_sqlite(folder: Path) -> set[int]:
    """Read from a copy: it is for the program to recover the file itself."""
    with tempfile.TemporaryDirectory(prefix="columba-crash-") as copy:
        for name in ("columba.db", "columba.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(folder / name, copy)
        connection = apsw.Connection(str(Path(copy) / "columba.db"))
        try:
            return numbers([str(row[0]) for row in connection.execute(TAKEN)])
        finally:
            connection.close()


def taken_in_postgres(url: str) -> set[int]:
    async def read() -> set[int]:
        connection = await asyncpg.connect(url)
        try:
            return numbers([row[0] for row in await connection.fetch(TAKEN)])
        finally:
            await connection.close()

    return asyncio.run(read())


def crash(store: str, n: int, kills: int, seed: int, database: str | None = None, window: int = 100) -> Report:
    """`database` is a PostgreSQL URL; without it the store is SQLite."""
    drawn = random.Random(seed)
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(smsc(receipts="never"))
        carrier.respond_after(20)
        program = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "warning"}, database=database))
        config = {"host": "127.0.0.1", "port": carrier.port, "system_id": "crash", "reconnect": 0.1}
        asked = {"name": "sink", "kind": "smpp", "window": window, "config": config}
        made = program.request("POST", "/v1/carriers", asked, key=program.live_key)
        assert made.status == 201, made
        eventually(lambda: carrier.stats().binds == 1, 10)

        codes = n // 10
        loads = [
            stack.enter_context(load(program, n - codes, 0, 20, "transactional")),
            stack.enter_context(load(program, codes, CODES_FROM, 5, "otp")),
        ]
        on_the_wire: list[set[int]] = []
        for kill in range(1, kills + 1):
            come = kill * n // (kills + 1)
            eventually(lambda come=come: carrier.stats().distinct >= come, 120, 0.002)  # type: ignore[misc]
            time.sleep(drawn.uniform(0, 0.05))
            program.kill9()
            handed = quiet(carrier)
            on_the_wire.append(handed - (taken_in_postgres(database) if database else taken_in_sqlite(program.data)))
            time.sleep(drawn.uniform(0, 0.3))
            program.start()
        results = [each.result() for each in loads]
        accepted = {number for each in loads for number in each.acknowledged()}
        with contextlib.suppress(AssertionError):
            eventually(lambda: accepted <= set(carrier.submitted()) | settled_codes(program), 60, 0.5)
        time.sleep(1)
        came = carrier.submitted()
        ended = settled_codes(program)
    wire: set[int] = set().union(*on_the_wire)
    twice = {number for number, times in came.items() if times > 1}
    return Report(
        store=store,
        kills=kills,
        accepted=len(accepted),
        unanswered=sum(each.unknown for each in results),
        lost=sorted(accepted - set(came) - ended),
        on_the_wire=[len(each) for each in on_the_wire],
        twice=sum(times - 1 for times in came.values() if times > 1),
        unexcused=sorted(number for number in twice if number not in wire or came[number] > 1 + kills),
        codes_twice=sorted(number for number in twice if number >= CODES_FROM),
        window=window,
    )


def load(program: Program, n: int, first: int, connections: int, klass: str) -> contextlib.AbstractContextManager[Load]:
    body = f'{{"to": "+{{d}}", "text": "n={{n}} of this run", "class": "{klass}"}}'
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {program.live_key}"}
    return hload_started(
        program.port, "/v1/messages", n, connections, body, headers, first=first, reconnect=60, note=True
    )


def quiet(carrier: Smsc) -> set[int]:
    """What has come, once nothing comes any more: the rest may be in the socket."""
    last = -1
    while (now := carrier.stats().submits) != last:
        last = now
        time.sleep(0.05)
    return set(carrier.submitted())


def settled_codes(program: Program) -> set[int]:
    """Codes of which it is not known whether they went: the program says so instead of sending another copy."""
    found: set[int] = set()
    cursor = ""
    while True:
        page = program.request("GET", f"/v1/messages?status=unknown&limit=1000{cursor}", key=program.live_key).json
        found |= numbers([each["text"] for each in page["data"] if each["class"] == "otp"])
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def run(store: str, n: int, kills: int, seed: int) -> bool:
    """Print the reports; are they sound?"""
    sound = True
    for each in ("sqlite", "postgres") if store == "both" else (store,):
        with contextlib.ExitStack() as stack:
            database = None
            if each == "postgres":
                database = stack.enter_context(stack.enter_context(engines.postgres()).database())
            report = crash(each, n, kills, seed, database)
        print(report, flush=True)
        sound &= report.sound
    return sound


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crash_smpp", description="Kill the program and count.")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    sys.exit(0 if run(given.store, given.n, given.kills, given.seed) else 1)


if __name__ == "__main__":
    main()
