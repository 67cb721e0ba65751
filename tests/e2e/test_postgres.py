"""Several processes on one PostgreSQL, and bad days: one is stopped, killed, held up; the server itself goes away."""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from columba.core import ids
from columba.core.lane import Pace
from tests import engines
from tests.e2e.talk import (
    Follower,
    Json,
    Steady,
    all_told,
    ended,
    everything,
    get,
    metrics,
    number,
    refused,
    send,
    value,
)
from tests.program import Program, Sink, eventually


@contextlib.contextmanager
def processes(url: str, count: int, record: Path | None = None) -> Iterator[list[Program]]:
    """So many processes of one platform."""
    env = {"COLUMBA_SECRET_KEY": secrets.token_hex(32)}
    if record is not None:
        env["COLUMBA_SANDBOX_RECORD"] = str(record)
    with contextlib.ExitStack() as stack:
        found: list[Program] = []
        for _ in range(count):
            program = stack.enter_context(Program(env=env, database=url))
            if found:
                program.live_key, program.test_key = found[0].live_key, found[0].test_key
            found.append(program)
        eventually(lambda: all(value(metrics(each)["columba_processes"]) == count for each in found))
        yield found


def carrier(columba: Program, **fields: object) -> Json:
    """A live carrier of many lanes, so that each process has some."""
    body = {"name": "wide", "kind": "sandbox", "lanes": 16, **fields}
    made = columba.request("POST", "/v1/carriers", body, key=columba.live_key)
    assert made.status == 201, made
    shown: Json = made.json
    return shown


def owned(columba: Program) -> float:
    return value(metrics(columba)["columba_lanes_owned"])


def shared(programs: list[Program], lanes: int) -> bool:
    """Has each process some of the lanes, and all of them all?"""
    counts = [owned(each) for each in programs]
    return sum(counts) == lanes and all(counts)


LANES = 16 + 2 + 1  # the carrier's, the sandbox's, and that of what rules do


def copies(record: Path) -> Counter[tuple[str, str]]:
    """How often the network was handed each part."""
    return Counter((line.split()[0], line.split()[1]) for line in record.read_text().splitlines())


def no_code_went_twice(columba: Program, key: str, record: Path) -> None:
    """However often texts of other classes did."""
    handed = {ids.show("msg", int(an_id)): n for (an_id, _), n in copies(record).items()}
    there = {each["id"]: each for each in everything(columba, "/v1/messages", key)}
    assert {an_id for an_id, each in there.items() if each["status"] == "delivered"} <= set(handed)
    assert not [an_id for an_id, n in handed.items() if n > 1 and there[an_id]["class"] == "otp"]


# Together


def test_what_one_process_is_told_all_of_them_know(postgres_url: str) -> None:
    with processes(postgres_url, 2) as (one, two), Sink() as sink:
        carrier(one)
        eventually(lambda: shared([one, two], LANES))
        # Keys
        key = one.request("POST", "/v1/keys", {"name": "k"}).json
        eventually(lambda: two.request("GET", "/v1/messages", key=key["secret"]).status == 200)
        one.request("DELETE", f"/v1/keys/{key['id']}")
        eventually(lambda: two.request("GET", "/v1/messages", key=key["secret"]).status == 401)
        assert one.request("GET", "/v1/messages", key=key["secret"]).status == 401
        # Webhooks, events and the stream; messages of lanes of either
        hook = two.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.delivered"]}, key=two.live_key)
        with Follower(one, one.live_key) as stream:
            sent = [send(each, key=each.live_key)["id"] for each in (one, two) * 10]
            for an_id in sent:
                ended(one, an_id, "delivered", key=one.live_key)
                stream.until("message.delivered", an_id)
            assert {request.json["data"]["id"] for request in sink.wait(20)} == set(sent)
            told = [each.id for each in stream.heard]
            assert len(set(told)) == len(told)
        assert get(one, f"/v1/webhooks/{hook.json['id']}", one.live_key)["url"] == sink.url
        # Idempotency, cancel and redact across processes
        once = {"Idempotency-Key": "of-all-processes"}
        body = {"to": number(), "text": "Nobody shall read this"}
        first, again = (
            each.request("POST", "/v1/messages", body, key=one.live_key, headers=once) for each in (one, two)
        )
        assert (first.status, again.status, again.json["id"]) == (202, 202, first.json["id"])
        ended(two, first.json["id"], "delivered", key=one.live_key)
        assert two.request("POST", f"/v1/messages/{first.json['id']}/redact", key=one.live_key).status == 200
        assert "Nobody" not in str(everything(one, "/v1/events", one.live_key))
        car = get(one, "/v1/carriers", one.live_key)["data"][0]["id"]
        one.request("POST", f"/v1/carriers/{car}/pause", key=one.live_key)
        for each in (one, two):
            eventually(lambda each=each: get(each, f"/v1/carriers/{car}", one.live_key)["state"] == "paused")  # type: ignore[misc]
        time.sleep(0.2)  # for their lanes
        waiting = [send(one, key=one.live_key)["id"] for _ in range(10)]
        for an_id in waiting:
            answer = two.request("POST", f"/v1/messages/{an_id}/cancel", key=one.live_key)
            assert (answer.status, answer.json["status"]) == (200, "canceled"), answer


# Bad days


def test_a_process_that_stops_hands_its_lanes_over_at_once(postgres_url: str, tmp_path: Path) -> None:
    record = tmp_path / "network"
    with processes(postgres_url, 2, record) as (one, two):
        key = one.live_key
        carrier(one, config={"latency_ms": 50, "record": str(record)})
        eventually(lambda: shared([one, two], LANES))
        with Steady(one, key) as load:
            load.goes_on()
            assert two.stop() == 0
            began = time.monotonic()
            eventually(lambda: owned(one) == LANES)
            assert time.monotonic() - began < Pace().lease_ms / 1000  # no lease was waited for
            load.goes_on()
        assert set(all_told(one, load.accepted, key).values()) == {"delivered"}
        assert set(copies(record).values()) == {1}  # what was on the wire was waited for
        assert load.broken == 0
        two.start()
        eventually(lambda: shared([one, two], LANES))


def test_a_process_that_dies_is_replaced_within_ten_seconds(postgres_url: str, tmp_path: Path) -> None:
    record = tmp_path / "network"
    with processes(postgres_url, 2, record) as (one, two), Sink() as sink:
        key = one.live_key
        carrier(one, config={"record": str(record)})
        one.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.*"]}, key=key)
        eventually(lambda: shared([one, two], LANES + 1))
        with Steady(one, key) as load:
            load.goes_on()
            two.kill9()
            eventually(lambda: owned(one) == LANES + 1)
            assert Pace().lease_ms / 1000 + 2 * Pace().tick_s < 10
            load.goes_on()
        statuses = all_told(one, load.accepted, key)
        assert set(statuses.values()) <= {"delivered", "unknown"}
        ends = ("message.delivered", "message.unknown")
        eventually(
            lambda: {r.json["data"]["id"] for r in sink.requests if r.json["type"] in ends} >= set(load.accepted),
            every=0.2,
        )
        no_code_went_twice(one, key, record)


def test_a_process_that_was_held_up_can_not_settle_and_nothing_is_lost(postgres_url: str, tmp_path: Path) -> None:
    """Stopped for longer than its lease, in the middle of its work; then it goes on as if nothing had been."""
    record = tmp_path / "network"
    with processes(postgres_url, 2, record) as (one, two):
        key = one.live_key
        carrier(one, config={"latency_ms": 200, "receipt_ms": 300, "record": str(record)})
        eventually(lambda: shared([one, two], LANES))
        with Steady(one, key) as load, Steady(two, key) as other:
            load.goes_on()
            other.goes_on()
            two.pause()
            eventually(lambda: owned(one) == LANES)
            load.goes_on()
            two.resume()
            eventually(lambda: two.request("GET", "/readyz", key="").status == 200)
            other.goes_on()
            load.goes_on()
        statuses = all_told(one, [*load.accepted, *other.accepted], key)
        assert set(statuses.values()) <= {"delivered", "unknown"}
        eventually(lambda: shared([one, two], LANES))
        assert "lane.lost" in two.log or "lane.lease_lapsed" in two.log
        no_code_went_twice(one, key, record)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_restarted_under_load_loses_nothing_and_flow_resumes(own_postgres: engines.Postgres, how: str) -> None:
    url = own_postgres.url(own_postgres.create_database())
    with processes(url, 1) as (columba,), Sink() as sink:
        columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.delivered"]})
        with Steady(columba) as load:
            load.goes_on()
            getattr(own_postgres, how)()
            eventually(lambda: load.refusals)
            problem = load.refusals[-1]
            refused(problem, 503, "store_unavailable")
            assert int(problem.headers["retry-after"]) >= 1
            answer = columba.request("GET", "/v1/messages")
            refused(answer, 503, "store_unavailable")
            assert columba.request("GET", "/healthz", key="").status == 200
            own_postgres.start()
            load.goes_on()
            first = send(columba)["id"]
            ended(columba, first, "delivered", timeout=15)  # 5 s, on a quiet machine
            load.goes_on()
        statuses = all_told(columba, load.accepted)
        assert set(statuses.values()) <= {"delivered", "unknown"}
        delivered = {an_id for an_id, status in statuses.items() if status == "delivered"}
        eventually(lambda: {request.json["data"]["id"] for request in sink.requests} >= delivered)
        assert columba.stop() == 0
