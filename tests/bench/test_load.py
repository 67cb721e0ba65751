"""The load tools count exactly: what they report of a run is what happened."""

import json
import shutil
import subprocess
import sys
import threading
import urllib.request

import pytest

from bench.load import LoadError, hload, hload_started, http_sink, smppc, smsc
from bench.report import figure, machine, table
from bench.watch import calm, watch
from tests.keeper import free_port
from tests.program import Reply, Sink, eventually

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="the load tools are written in C: gcc is missing")

WEBHOOK = (
    '{"id": "evt_{n}", "type": "message.%s", "timestamp": "2026-01-01T00:00:00.000Z", "account_id": "acc_1",'
    ' "data": {"id": "msg_{n}", "to": "+{d}", "text": "hello", "metadata": {"n": "{n}"}}}'
)


def test_every_request_is_made_once_and_every_callback_counted() -> None:
    with http_sink() as sink:
        for round_ in (1, 2):
            result = hload(
                sink.port, "/hook?x={n}", 500, 8, WEBHOOK % "delivered", {"Content-Type": "application/json"}
            )
            assert (result.sent, result.ok, result.bad, result.unknown, result.status) == (500, 500, 0, 0, {200: 500})
            final = sink.stats().final
            assert (final.n, final.distinct, final.dups) == (500 * round_, 500, 500 * (round_ - 1))
        assert result.started <= final.last <= result.ended
        assert final.first < result.started
        assert sink.stats().connections == 16
        sink.reset()
        hload(sink.port, "/hook", 30, 3, WEBHOOK % "delivered", first=490)
        stats = sink.stats()
        assert (stats.final.distinct, stats.mid.n, stats.without_number, stats.connections) == (30, 0, 0, 3)


def call(url: str, body: str | None = None) -> None:
    urllib.request.urlopen(url, body.encode() if body is not None else None).close()


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        *(("/hook", WEBHOOK.replace("{n}", "7") % kind, "final") for kind in ("delivered", "undelivered", "failed")),
        *(("/hook", WEBHOOK.replace("{n}", "7") % kind, "final") for kind in ("expired", "canceled", "unknown")),
        *(("/hook", WEBHOOK.replace("{n}", "7") % kind, "mid") for kind in ("queued", "sent", "scheduled")),
        ("/hook", WEBHOOK.replace("{n}", "7") % "received", "inbound"),
        ("/hook", '{"type":"message.delivered","data":{"metadata":{"n":"7"}}}', "final"),
        ("/hook", '{"type":"message.sent","data":{"text":"n=7 hello","metadata":{"n":null}}}', "mid"),
        ("/dlr?n=7&s=1", None, "final"),
        ("/dlr?n=7&s=16", None, "mid"),
        ("/dlr?id=1&n%3D7&text=DELIVRD", None, "final"),
        ("/mo?text=mo%20n=7+hello", None, "inbound"),
    ],
)
def test_callbacks_count_by_kind_and_number(path: str, body: str | None, kind: str) -> None:
    with http_sink() as sink:
        call(sink.url + path, body)
        call(sink.url + path, body)
        stats = sink.stats()
        count = getattr(stats, kind)
        assert (count.n, count.distinct, count.dups) == (2, 1, 1)
        assert stats.final.n + stats.mid.n + stats.inbound.n == 2
        call(sink.url + "/hook", "{}")
        assert sink.stats().without_number == 1


def test_a_batch_gives_each_message_its_number() -> None:
    body = '{"defaults": {"class": "otp"}, "messages": [{*{"to": "+{d}", "text": "n={n} %s"}*}]}' % ("x" * 80)
    accepted = Reply(202, b'{"batch_id": "b", "accepted":1000, "data": [' + b"1," * 100_000 + b"1]}")
    with Sink(accepted) as sink:
        result = hload(sink.port, "/v1/messages/batch", 6, 2, body, copies=1000, distinct=3)
    assert (result.ok, result.accepted) == (6, 6000)
    batches = [request.json["messages"] for request in sink.requests]
    numbers = sorted(int(message["text"][2:].split()[0]) for batch in batches for message in batch)
    assert numbers == sorted([*range(3000)] * 2)
    assert min(len(request.body) for request in sink.requests) > 100_000
    assert batches[0][0]["to"].startswith("+4477")


def test_refusals_and_broken_connections_are_told_apart() -> None:
    replies = [Reply(429, b'{"code": "rate_limited"}'), Reply(close=True), Reply(204), Reply()]
    with Sink(replies=replies) as sink, hload_started(sink.port, "/n={n}", 10, 1, reconnect=5, note=True) as load:
        result = load.result()
        acknowledged = load.acknowledged()
    assert (result.sent, result.ok, result.bad, result.unknown) == (10, 8, 1, 1)
    assert result.status == {200: 7, 204: 1, 429: 1}
    assert "rate_limited" in result.sample_bad
    assert [request.path for request in sink.requests] == [f"/n={n}" for n in range(10)]
    assert sorted(acknowledged) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_a_server_that_is_not_there_or_says_nothing_is_no_endless_wait() -> None:
    assert hload(free_port(), "/", 10).sent == 0
    with Sink(Reply(delay=3600)) as sink, pytest.raises(LoadError, match=r"did not end within 0\.05 s"):
        hload(sink.port, "/", 10, timeout=0.05)
    with pytest.raises(LoadError, match="usage"):
        hload(80, "/", 0)


def test_the_smsc_counts_answers_and_sends_receipts() -> None:
    with smsc() as carrier:
        result = smppc(carrier.port, 300, window=20, receipts=True)
        assert (result.errors, result.delivered) == (0, 300)
        stats = eventually(lambda: (s := carrier.stats()).receipts_answered == 300 and s)
        assert stats
        assert (stats.binds, stats.submits, stats.distinct, stats.dups, stats.receipts_sent) == (1, 300, 300, 0, 300)
        smppc(carrier.port, 100)
        assert (carrier.stats().distinct, carrier.stats().dups) == (300, 100)
        assert carrier.submitted() == {n: 2 if n < 100 else 1 for n in range(300)}
        carrier.reset()
        carrier.receipts("always", delay_ms=1)
        carrier.respond_after(2)
        assert smppc(carrier.port, 20, window=10, receipts=True).delivered == 20
        assert carrier.stats().submits == 20


def test_the_smsc_sends_texts_from_people() -> None:
    with smsc(receipts="never") as carrier:
        with pytest.raises(LoadError, match="no receiver bound"):
            carrier.send_inbound(5)
        client = threading.Thread(target=smppc, args=(carrier.port, 5), kwargs={"receipts": True})
        client.start()
        eventually(lambda: carrier.stats().submits == 5)
        carrier.send_inbound(5, window=2, to="777")
        client.join(10)
        stats = carrier.stats()
        assert (stats.inbound_sent, stats.inbound_answered, stats.inbound_refused) == (5, 5, 0)
        assert 0 < stats.inbound_first <= stats.inbound_last <= stats.now


def test_a_tool_that_fails_says_why() -> None:
    with smsc() as carrier, pytest.raises(LoadError, match="Address already in use"), http_sink(carrier.port):
        pass
    with pytest.raises(LoadError, match="refused"):
        smppc(free_port(), 1)


BURN = """
import os, sys
held = bytearray(50_000_000)
while sum(os.times()[:2]) < 0.2:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_what_a_process_and_its_children_use_is_seen() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"]
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        with watch({"it": process.pid, "no such": 2**22 + 1}) as usage:
            process.stdout.readline()
        process.stdin.close()
    assert usage.cpu["it"] > 0.1
    assert usage.memory["it"] > 50
    assert (usage.cpu["no such"], usage.memory["no such"]) == (0, 0)
    assert 0 <= usage.foreign <= 1
    assert 0 <= usage.steal <= 1
    assert "it 0." in str(usage)


def test_waiting_for_a_calm_machine_ends() -> None:
    assert 0 <= calm(limit=0.0, patience=0.0, look=0.01) <= 1


def test_the_machine_is_described() -> None:
    told = json.loads(json.dumps(str(machine())))
    assert sys.version.split()[0] in told
    assert "SQLite 3." in told
    assert "PostgreSQL 1" in told


def test_tables_show_ratios() -> None:
    rows: dict[str, list[float | None]] = {
        "Columba": [12345.6, 4.567, None, 0],
        "Kannel": [6000.0, 45.67, 3, 7],
        "all": [0.5, None, 1, 1],
    }
    assert table(["a/s", "p99 ms", "c", "lost"], rows, against="Kannel").splitlines() == [
        "|         |            a/s |       p99 ms |         c |      lost |",
        "| ------- | -------------: | -----------: | --------: | --------: |",
        "| Columba | 12,346 (2.06x) | 4.57 (0.10x) |           | 0 (0.00x) |",
        "| Kannel  |          6,000 |         45.7 |         3 |         7 |",
        "| all     |   0.50 (0.00x) |              | 1 (0.33x) | 1 (0.14x) |",
    ]
    assert [figure(value) for value in (1234567, 99.96, 0.004, -3.0)] == ["1,234,567", "100.0", "0.00", "-3"]
