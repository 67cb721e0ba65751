"""Messages by template against plain ones: the rate at the door, singly and in batches, and the ratio.

    python -m bench.templates [--messages 20000] [--rounds 3]

Plain and by template take turns, so that what else the machine does falls on both.
"""

import argparse
import asyncio
import time
from typing import Any

import uvloop

from bench import report
from bench.__main__ import Figure
from bench.verify import Line
from tests.program import Program

PLAIN = {"to": "+447700900123", "text": "Hi Ada, order 42 is on its way, it comes today."}
BY_TEMPLATE = {"to": "+447700900123", "template": "shipped", "params": {"name": "Ada", "order": 42}}
TEMPLATE = {
    "name": "shipped",
    "versions": [{"language": "en", "text": "Hi {{ name }}, order {{ order }} is on its way, it comes today."}],
    "params": {"name": {"default": "there"}, "order": {"type": "integer", "min": 1}},
}
ROWS = 500


async def singly(columba: Program, body: Any, messages: int, workers: int = 32) -> float:
    left = iter(range(messages))

    async def work() -> None:
        async with Line("127.0.0.1", columba.port, columba.test_key) as line:
            for _ in left:
                status, answer = await line.post("/v1/messages", body)
                assert status == 202, answer

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    return messages / (time.perf_counter() - started)


async def batches(columba: Program, body: Any, messages: int, workers: int = 4) -> float:
    left = iter(range(0, messages, ROWS))

    async def work() -> None:
        async with Line("127.0.0.1", columba.port, columba.test_key) as line:
            for _ in left:
                status, answer = await line.post("/v1/messages/batch", {"messages": [body] * ROWS})
                assert (status, answer["refused"]) == (202, 0), answer

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    return messages / (time.perf_counter() - started)


async def measure(columba: Program, messages: int, rounds: int) -> dict[str, list[float]]:
    async with Line("127.0.0.1", columba.port, columba.test_key) as line:
        status, answer = await line.post("/v1/templates", TEMPLATE)
        assert status == 201, answer
    best: dict[str, list[float]] = {"plain": [0.0, 0.0], "by template": [0.0, 0.0]}
    for _ in range(rounds):
        for name, body in (("plain", PLAIN), ("by template", BY_TEMPLATE)):
            best[name][0] = max(best[name][0], await singly(columba, body, messages))
            best[name][1] = max(best[name][1], await batches(columba, body, messages))
    return best


def bench_templates(messages: int, rounds: int = 3) -> list[Figure]:
    with Program(env={"COLUMBA_LOG_LEVEL": "warning"}) as columba:
        rates = uvloop.run(measure(columba, messages, rounds))
    return [
        Figure(f"by template, {how}", made, "messages/s", made / plain, 0.7)
        for how, plain, made in zip(("singly", "in batches"), rates["plain"], rates["by template"], strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with Program(env={"COLUMBA_LOG_LEVEL": "warning"}) as columba:
        rows = uvloop.run(measure(columba, asked.messages, asked.rounds))
    print(report.machine())
    print(report.table(["messages/s singly", "messages/s in batches"], rows, against="plain"))


if __name__ == "__main__":
    main()
