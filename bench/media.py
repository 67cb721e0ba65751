"""What media cost: `python -m bench.media [--quick]`.

Uploads of 50 kB (each fsynced twice in the store and once as a file), links followed, and the door's rate with a kept
picture in each message against the rate without. Only ratios of one run on one machine mean something.
"""

import argparse
import http.client
import json
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from bench.__main__ import CONNECTIONS, ONE, Figure, headers, messages, settle, shown
from bench.load import hload
from bench.report import machine
from tests.program import Program

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(50_000)
CLIENTS = 8


def rate(count: int, port: int, ask: Callable[[http.client.HTTPConnection], None]) -> float:
    """How many a second, from some clients at once."""

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(count // CLIENTS):
            ask(connection)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count // CLIENTS * CLIENTS / (time.perf_counter() - began)


def door(program: Program, n: int, first: int, body: str) -> float:
    before = messages(program, "final")
    result = hload(program.port, "/v1/messages", n, CONNECTIONS, body, headers(program.test_key), first=first)
    assert result.ok > 0.9 * n, result
    settle([program], before + result.ok - n // 500 - 20)
    return result.ok / (result.ended - result.started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print(machine())
    uploads, gets, sends = (160, 400, 4_000) if quick else (800, 4_000, 40_000)
    with Program() as program:
        fields = {"Authorization": f"Bearer {program.test_key}", "Content-Type": "image/png"}
        made: list[dict[str, str]] = []

        def upload(connection: http.client.HTTPConnection) -> None:
            connection.request("POST", "/v1/media", PICTURE, fields)
            answer = connection.getresponse()
            made.append(json.loads(answer.read()))
            assert answer.status == 201, made[-1]

        kept = rate(uploads, program.port, upload)
        link = urlsplit(made[0]["url"])

        def get(connection: http.client.HTTPConnection) -> None:
            connection.request("GET", f"{link.path}?{link.query}")
            answer = connection.getresponse()
            assert answer.read() == PICTURE

        served = rate(gets, program.port, get)
        with_one = ONE[:-1] + f', "media": ["{made[0]["id"]}"]' + "}"
        door(program, sends, 1, ONE)  # warm
        rates = [
            (door(program, sends, n * sends, ONE), door(program, sends, (n + 5) * sends, with_one)) for n in (1, 2)
        ]
        bare, media = (max(those) for those in zip(*rates, strict=True))
    figures = [
        Figure("uploads of 50 kB", kept, "/s"),
        Figure("links followed, 50 kB", served, "/s"),
        Figure("messages without media", bare, "/s"),
        Figure("messages with a kept picture", media, "/s", media / bare),
    ]
    print(shown(figures))


if __name__ == "__main__":
    main()
