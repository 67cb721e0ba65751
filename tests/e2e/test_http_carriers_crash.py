"""A program that dies while texts are on their way to a provider over HTTP, and providers that answer as they like."""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter

import pytest

from tests.carriers.replay import Case
from tests.e2e.talk import Json, batch, ended, get, message, number, send
from tests.e2e.test_http_carriers import call, set_up
from tests.program import Program, Reply, Request, Sink, eventually

SECRET = "a secret of the provider's"
WINDOW = 8


def config(url: str) -> Json:
    return {
        "request": {"url": f"{url}/send", "body": {"json": {"to": "{{ to }}", "text": "{{ text }}"}}},
        "id": "$.id",
        "callbacks": {
            "check": {"kind": "header", "name": "X-Secret", "value": SECRET},
            "status": {"id": "id", "status": "status"},
        },
    }


def receipt(columba: Program, url: str, an_id: str) -> int:
    case = Case("http", {}, {"to": "status", "json": {"id": an_id, "status": "delivered"}})
    return call(columba, case, url, headers={"X-Secret": SECRET, "Content-Type": "application/json"}).status


class Slow:
    """Takes texts, each after a moment."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        text = json.loads(request.body)["text"]
        with self._lock:
            self.taken.append(text)
        time.sleep(0.02)
        return Reply(200, json.dumps({"id": text}).encode())


@pytest.mark.parametrize("klass", ["transactional", "otp"])
def test_after_a_crash_in_the_middle(klass: str) -> None:
    """All that was accepted goes out; what was on the wire goes again, or, if a code, is unknown and never goes again."""
    texts = [f"text {n}" for n in range(150)]
    slow = Slow()
    with Sink(slow) as provider, Program() as columba:
        carrier = set_up(columba, "http", config(provider.url), window=WINDOW)
        key = columba.live_key
        rows = [{"to": number(), "text": text} for text in texts]
        sent = batch(columba, rows, key=key, **{"class": klass, "from": "+12025550100"})["data"]
        eventually(lambda: len(slow.taken) > 40)
        columba.kill9()
        columba.start()
        ids = [each["id"] for each in sent]
        became = {an_id: ended(columba, an_id, "sent", "unknown", key=key, timeout=60)["status"] for an_id in ids}
        url = carrier["callbacks"]["status"]
        by_text = dict(zip(texts, ids, strict=True))
        known = [text for text in texts if became[by_text[text]] == "sent"]
        for text in known:
            assert receipt(columba, url, text) < 300
        for text in known[:: len(known) // 5]:
            ended(columba, by_text[text], "delivered", key=key)

    times = Counter(slow.taken)
    twice = [text for text, n in times.items() if n > 1]
    unknown = [text for text in texts if became[by_text[text]] == "unknown"]
    if klass == "otp":
        assert not twice
        assert len(unknown) <= 2 * WINDOW
        assert set(times) | set(unknown) == set(texts)
    else:
        assert set(times) == set(texts)
        assert not unknown
        assert len(twice) <= 2 * WINDOW
        assert max(times.values()) <= 2


def test_a_receipt_that_overtakes_the_answer() -> None:
    """The provider calls back before it answers: the receipt waits, and counts."""
    with Sink() as provider, Program() as columba:
        carrier = set_up(columba, "http", config(provider.url))
        codes: list[int] = []
        calls = threading.Lock()

        def first_the_receipt(request: Request) -> Reply:
            text = json.loads(request.body)["text"]
            with calls:
                codes.append(tell(text))
            return Reply(200, json.dumps({"id": text}).encode())

        def tell(text: str) -> int:
            link = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=60)
            body = json.dumps({"id": text, "status": "delivered"})
            path = f"/callbacks/{carrier['id']}/status"
            link.request("POST", path, body, {"X-Secret": SECRET, "Content-Type": "application/json"})
            with contextlib.closing(link):
                return link.getresponse().status

        provider.reply = first_the_receipt
        sent = [send(columba, key=columba.live_key, text=f"early {n}") for n in range(5)]
        for each in sent:
            ended(columba, each["id"], "delivered", key=columba.live_key)
        assert codes == [200] * 5


ODD = [
    (Reply(200, b""), "unknown"),
    (Reply(200, b"not json"), "unknown"),
    (Reply(200, b"\xff\xfe\x00"), "unknown"),
    (Reply(200, b"[" * 100_000), "unknown"),
    (Reply(200, b"x" * 3_000_000), "unknown"),
    (Reply(200, b"", close=True), "unknown"),
    (Reply(302, b"", {"Location": "https://example.com/"}), "queued"),
    (Reply(418, b"{}"), "failed"),
    (Reply(504, b""), "unknown"),
    (Reply(503, b""), "queued"),
]


def test_whatever_a_provider_answers_the_program_stays() -> None:
    """Codes, so that nothing goes again that may have been taken: each comes to something, and the next text goes."""
    with Sink() as provider, Program() as columba:
        set_up(columba, "http", config(provider.url))
        key = columba.live_key
        for odd, status in ODD:
            before = len(provider.requests)
            provider.reply = odd
            sent = send(columba, key=key, **{"class": "otp"})
            provider.wait(before + 1)
            time.sleep(0.1 if status == "queued" else 0)
            eventually(lambda an_id=sent["id"], is_=status: message(columba, an_id, key)["status"] == is_)  # type: ignore[misc]
            provider.reply = Reply(200, b'{"id": "fine"}')
            good = send(columba, key=key)
            ended(columba, good["id"], "sent", key=key, timeout=60)
        assert get(columba, "/readyz", "")["status"] == "ready"
