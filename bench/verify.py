"""Verifications: how many are begun and checked in a second, over HTTP, each with its text on its way to the network.

    python -m bench.verify [--pairs 10000] [--workers 32] [--store sqlite|postgres]

The codes are derived here with the server's key, as no answer tells them. Server, database and this client share the
machine's cores.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from bench import report
from bench.__main__ import Figure
from bench.watch import own_cpu
from columba.core import ids
from columba.vault import Vault, parse_key
from columba.verify.codes import Codes
from tests import engines
from tests.program import Program


class Line:
    """One connection."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._place = (host, port)
        self._key = key

    async def __aenter__(self) -> "Line":
        self._reader, self._writer = await asyncio.open_connection(*self._place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        raw = json.dumps(body).encode()
        self._writer.write(
            b"POST %b HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (path.encode(), self._key.encode(), len(raw), raw)
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        return int(head[9:12]), json.loads(answer)


async def measure(columba: Program, first: int, pairs: int, workers: int) -> list[float]:
    codes = Codes(Vault(parse_key((columba.data / "secret.key").read_text())).derived("verification codes"))
    took: list[float] = []
    numbers = iter(range(first, first + pairs))

    async def work() -> None:
        async with Line("127.0.0.1", columba.port, columba.test_key) as line:
            for n in numbers:
                began = time.perf_counter()
                # Spread as people are: over the prefixes of a country.
                to = f"+447{(n * 7_919) % 1000:03d}{n:05d}9"
                status, begun = await line.post("/v1/verifications", {"to": to})
                assert status == 201, begun
                code, _ = codes.new(ids.read("ver", begun["id"]) or 0, 6, "digits")
                status, checked = await line.post(f"/v1/verifications/{begun['id']}/check", {"code": code})
                assert checked["valid"] is True, checked
                took.append(time.perf_counter() - began)

    started, cpu = time.perf_counter(), own_cpu(columba.pid)
    await asyncio.gather(*(work() for _ in range(workers)))
    seconds, cpu = time.perf_counter() - started, own_cpu(columba.pid) - cpu
    took.sort()
    return [pairs / seconds, took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000, 1e6 * cpu / pairs]


def bench_store(store: str, pairs: int, workers: int = 32) -> list[float]:
    with contextlib.ExitStack() as stack:
        database = None
        if store == "postgres":
            server = stack.enter_context(engines.postgres())
            database = stack.enter_context(server.database())
        columba = stack.enter_context(Program(env={"COLUMBA_LOG_LEVEL": "warning"}, database=database))
        uvloop.run(measure(columba, 0, pairs // 10, workers))  # warm
        return uvloop.run(measure(columba, pairs, pairs, workers))


def bench_verify(pairs: int, stores: Sequence[str]) -> list[Figure]:
    rates = {store: bench_store(store, pairs)[0] for store in stores}
    return [
        Figure(f"{store}: codes begun and checked", rate, "pairs/s", None, 2_000 if store == "sqlite" else None)
        for store, rate in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--store", nargs="*", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    asked = parser.parse_args()
    rows = {store: bench_store(store, asked.pairs, asked.workers) for store in asked.store}
    print(report.machine())
    print(report.table(["pairs/s", "ms a pair, median", "p99", "us of the server's CPU"], rows))


if __name__ == "__main__":
    main()
