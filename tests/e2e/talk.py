"""How the end-to-end tests talk to the program: sending, looking, refusals, streams, many requests at once.

sent = send(columba, text="Hello")                  # 202, or an AssertionError with the answer
ended(columba, sent["id"], "delivered")
refused(columba.request(...), 422, "invalid_request", "to", "text")
with Follower(columba) as stream: stream.wait(3)
"""

import contextlib
import datetime as dt
import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from tests.program import PATIENCE, Answer, Program, eventually

Json = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")

FINAL = frozenset({"delivered", "undelivered", "failed", "expired", "canceled", "unknown"})
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").fullmatch
PROBLEM = ("type", "title", "status", "detail", "code", "request_id", "errors")

_numbers = itertools.count(10_000_010)


def number() -> str:
    """A mobile's number that no other test of this process has, and that means nothing to the simulated network."""
    n = next(_numbers)
    while n % 10_000 < 10:
        n = next(_numbers)
    return f"+4477{n:08d}"


def in_days(days: float, hours_east: float = 0) -> str:
    """A time ahead, as it is written so far east of Greenwich: a date in a test's text would be in the past one day."""
    zone = dt.timezone(dt.timedelta(hours=hours_east))
    return (dt.datetime.now(zone) + dt.timedelta(days=days)).isoformat(timespec="milliseconds")


def send(columba: Program, to: str | None = None, key: str | None = None, **fields: Any) -> Json:
    """Send a message; what it was answered."""
    body = {"to": to or number(), **({} if "media" in fields else {"text": "Hello"}), **fields}
    answer = columba.request("POST", "/v1/messages", body, key=key)
    assert answer.status == 202, answer
    shown: Json = answer.json
    return shown


def batch(columba: Program, rows: Iterable[Json], key: str | None = None, **defaults: Any) -> Json:
    answer = columba.request("POST", "/v1/messages/batch", {"defaults": defaults, "messages": list(rows)}, key=key)
    assert answer.status == 202, answer
    shown: Json = answer.json
    return shown


def marketing_to_all(columba: Program) -> None:
    """Live marketing needs an opt-in of each person: that has tests of its own, others send it to all."""
    done = columba.request("PATCH", "/v1/settings/consent", {"marketing": "unless_opted_out"}, key=columba.live_key)
    assert done.status == 200, done


def get(columba: Program, path: str, key: str | None = None) -> Any:
    """What is at an address."""
    answer = columba.request("GET", path, key=key)
    assert answer.status == 200, answer
    return answer.json


def message(columba: Program, an_id: str, key: str | None = None) -> Json:
    shown: Json = get(columba, f"/v1/messages/{an_id}", key)
    return shown


def ended(columba: Program, an_id: str, *statuses: str, key: str | None = None, timeout: float = PATIENCE) -> Json:
    """The message once it has one of these statuses (or any final one)."""

    def look() -> Json | None:
        shown = message(columba, an_id, key)
        assert shown["status"] in (statuses or FINAL), shown
        return shown

    found = eventually(look, timeout)
    assert found
    return found


def everything(columba: Program, path: str, key: str | None = None, limit: int = 1000) -> list[Json]:
    """All pages of a list."""
    found: list[Json] = []
    cursor = ""
    while True:
        page = get(columba, f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}", key)
        assert len(page["data"]) <= limit
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def new_key(columba: Program, *scopes: str, mode: str = "test", **fields: Any) -> Json:
    body = {"name": "a key", "mode": mode, "scopes": list(scopes), **fields}
    made = columba.request("POST", "/v1/keys", body, key=columba.live_key)
    assert made.status == 201, made
    shown: Json = made.json
    return shown


def refused(answer: Answer, status: int, code: str, *fields: str) -> Json:
    """The problem that an answer is; its `errors` name these fields and no others."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem: Json = answer.json
    assert tuple(problem) == PROBLEM, problem
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"/docs/errors#{code}"
    for text in (problem["title"], problem["detail"]):
        assert isinstance(text, str)
        assert text
    for error in problem["errors"]:
        assert tuple(error) == ("field", "code", "detail")
    assert {error["field"] for error in problem["errors"]} == set(fields), problem
    return problem


def metrics(columba: Program) -> dict[str, Any]:
    """The metric families, by their names."""
    answer = columba.request("GET", "/metrics", key="")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.json)}


def value(family: Any, **labels: str) -> float:
    """What a family counts under these labels."""
    return sum(
        float(sample.value)
        for sample in family.samples
        if labels.items() <= sample.labels.items() and not sample.name.endswith(("_bucket", "_sum", "_created"))
    )


class Line:
    """A connection of one's own, for requests beside those of the Program's."""

    def __init__(self, columba: Program, key: str | None = None) -> None:
        self._key = columba.test_key if key is None else key
        self._connection = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        fields = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **(headers or {})}
        try:
            self._connection.request(method, path, raw, fields)
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self._connection.close()
            raise
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, json.loads(content) if content else None)


def at_once(work: Callable[[T], R], things: Iterable[T], threads: int = 8) -> list[R]:
    """The work done on all things by some threads, in their order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, things))


class Heard(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Json


class Follower:
    """Follows the event stream in a thread, until it ends or the block does."""

    def __init__(self, columba: Program, key: str | None = None, after: str | None = None, query: str = "") -> None:
        headers = {"Authorization": f"Bearer {columba.test_key if key is None else key}"}
        if after is not None:
            headers["Last-Event-ID"] = after
        self.heard: list[Heard] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=PATIENCE)
        self._connection.request("GET", f"/v1/events/stream{query}", headers=headers)
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        assert self._response.getheader("content-type") == "text/event-stream"
        self._response.readline()  # the first heartbeat: from here on nothing is missed
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._response.close()
        self._connection.close()
        self._socket.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := self._response.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name and not line.startswith(":"):
                    fields[name] = value
                elif fields:
                    with self._news:
                        self.heard.append(Heard(fields["id"], fields["event"], json.loads(fields["data"])))
                        self._news.notify_all()
                    fields = {}

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, count: int, timeout: float = PATIENCE) -> list[Heard]:
        """The first events, once there are so many."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.heard) >= count, timeout):
                raise AssertionError(f"{len(self.heard)} events instead of {count} within {timeout:g} s: {self.heard}")
            return list(self.heard)

    def until(self, kind: str, subject: str, timeout: float = PATIENCE) -> Heard:
        """The first event of this type about this thing."""

        def find() -> Heard | None:
            return next(
                (each for each in self.heard if each.event == kind and each.data["data"]["id"] == subject), None
            )

        with self._news:
            found = self._news.wait_for(find, timeout)
        assert found, f"no {kind} of {subject} within {timeout:g} s"
        return found


class Steady:
    """Messages sent one after the other by some threads, whatever they are answered, until the end of the block."""

    def __init__(self, columba: Program, key: str | None = None, threads: int = 4, pause: float = 0.02) -> None:
        self.accepted: list[str] = []
        self.at: list[float] = []  # time.monotonic() of each of those
        self.refusals: list[Answer] = []
        self.broken = 0
        self._columba, self._key, self._pause = columba, columba.test_key if key is None else key, pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, n: int) -> None:
        klass = ("otp", "transactional", "marketing")[n % 3]
        while not self._over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), Line(self._columba, self._key) as line:
                while not self._over.wait(self._pause):
                    answer = line.request("POST", "/v1/messages", {"to": number(), "text": "Hello", "class": klass})
                    if answer.status == 202:
                        self.accepted.append(answer.json["id"])
                        self.at.append(time.monotonic())
                    else:
                        self.refusals.append(answer)
                return
            self.broken += 1
            self._over.wait(0.02)

    def goes_on(self, timeout: float = PATIENCE) -> None:
        """Wait until some more were accepted."""
        seen = len(self.accepted)
        eventually(lambda: len(self.accepted) > seen + 20, timeout)


def all_told(columba: Program, accepted: Iterable[str], key: str | None = None, timeout: float = 60) -> dict[str, str]:
    """The final status of each accepted message, once they have one; each was told of in one final event and no more.

    An `unknown` one may become known after all.
    """
    wanted = set(accepted)

    def ended() -> dict[str, str] | None:
        found = {each["id"]: each["status"] for each in everything(columba, "/v1/messages", key)}
        assert wanted <= set(found), f"{len(wanted - set(found))} are lost"
        waiting = {found[an_id] for an_id in wanted} - FINAL
        assert not waiting, waiting
        return {an_id: found[an_id] for an_id in wanted}

    statuses = eventually(ended, timeout, every=0.25)
    assert statuses is not None
    told: dict[str, list[str]] = {}
    for each in reversed(everything(columba, "/v1/events?type=message.*", key)):
        told.setdefault(each["data"]["id"], []).append(each["data"]["status"])
    for an_id, status in statuses.items():
        final = [each for each in told[an_id] if each in FINAL]
        assert final in ([status], ["unknown", status]), (an_id, told[an_id])
        assert len(set(told[an_id])) == len(told[an_id]), (an_id, told[an_id])
    return statuses
