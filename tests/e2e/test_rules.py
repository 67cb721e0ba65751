"""Texts forwarded by the real program: as docs/forwarding.md says, by its commands, and through its sudden death."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import page
from tests.e2e.talk import get, message
from tests.keeper import free_port, leashed
from tests.program import PROGRAM, Program, Sink, eventually

ANNA, OURS = "+447700900123", "+12025550100"


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    with Program() as started:
        yield started


def post(columba: Program, path: str, body: Any, status: int = 201) -> Any:
    answer = columba.request("POST", path, body)
    assert answer.status == status, answer
    return answer.json


def hear(columba: Program, text: str, sender: str = ANNA) -> str:
    made = post(columba, "/v1/sandbox/inbound", {"from": sender, "to": OURS, "text": text})
    return str(made["id"])


def delivered(columba: Program, an_id: str, count: int = 1) -> list[Any]:
    def look() -> list[Any] | None:
        found = get(columba, f"/v1/forwards?message_id={an_id}&kind=all&status=delivered")["data"]
        return found if len(found) >= count else None

    return eventually(look) or []


@pytest.fixture(autouse=True)
def no_rules(columba: Program) -> Iterator[None]:
    yield
    for rule in get(columba, "/v1/rules")["data"]:
        assert columba.request("DELETE", f"/v1/rules/{rule['id']}").status == 204


def run(columba: Program, *args: str, piped: str | None = None) -> str:
    env = {"COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key, "PATH": ""}
    done = subprocess.run([str(PROGRAM), *args], env=env, input=piped, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_ticket_in_zendesk_as_the_page_says(columba: Program, tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "zendesk.py"
    script.write_text(page("docs/forwarding.md").block("# zendesk.py").replace("3000", str(port)))
    heard = tmp_path / "heard"
    with heard.open("wb") as out:
        standin = subprocess.Popen(leashed([sys.executable, "-W", "ignore", str(script)]), stdout=out, stderr=out)
    try:
        params = {
            "subdomain": "acme", "email": "agent@acme.example", "api_token": "secret-token",
            "base_url": f"http://127.0.0.1:{port}",
        }  # fmt: skip
        made = post(columba, "/v1/destinations", {"name": "Zendesk", "preset": "zendesk", "params": params})
        then = [
            {"forward": {"to": [made["id"]]}},
            {"reply": {"text": "We look after it: ticket {{ answer.json.ticket.id }}."}},
        ]
        post(columba, "/v1/rules", {"name": "support", "when": {"keyword": ["HELP"]}, "then": then})
        an_id = hear(columba, "Help, my parcel is wet")
        runs = delivered(columba, an_id, 2)
        reply = message(columba, next(each["made"] for each in runs if each["kind"] == "reply"))
        assert (reply["to"], reply["text"]) == (ANNA, "We look after it: ticket 1.")
        assert message(columba, an_id)["metadata"]["ticket_id"] == 1
        assert heard.read_text().startswith(f"ticket 1 - SMS from {ANNA}: Help, my parcel is wet\n")
        assert "secret-token" not in json.dumps(get(columba, f"/v1/forwards/{runs[-1]['id']}"))
    finally:
        standin.kill()
        standin.wait()


def test_rules_by_the_commands(columba: Program) -> None:
    echo = post(columba, "/v1/destinations", {"name": "echo", "request": {"url": f"{columba.url}/echo"}})["id"]
    rule = {"name": "orders", "when": {"keyword": ["ORDER"]}, "then": [{"forward": {"to": [echo]}}]}
    both = json.loads(run(columba, "rules", "create", "-", "--json", piped=json.dumps([rule, {**rule, "name": "two"}])))
    first, second = [each["id"] for each in both]
    assert run(columba, "rules", "move", second, "1").split()[:3] == [second, "on", "1"]
    assert run(columba, "rules", "disable", second).split()[1] == "off"
    assert [line.split("\t")[1] for line in run(columba, "rules").splitlines()[1:]] == [second, first]
    tried = run(columba, "forward", "test", "--text", "Order 12", "--send")
    assert f"POST {columba.url}/echo" in tried
    assert "-> 200" in tried
    assert "two  disabled" in tried
    versions = run(columba, "rules", "history", second).splitlines()[1:]
    assert [line.split("\t")[1] for line in versions] == ["disabled", "moved", "created"]
    run(columba, "rules", "delete", second)
    assert run(columba, "rules", "restore", second, "1").split()[1] == "on"
    run(columba, "rules", "delete", second)
    run(columba, "rules", "disable", first)
    an_id = hear(columba, "Order 13")
    assert run(columba, "forwards", "--message", an_id).splitlines()[1:] == []
    assert "1 actions started" in run(columba, "rules", "replay", first, "--since", "1h")
    (done,) = delivered(columba, an_id)
    assert '"method":"POST"' in run(columba, "forwards", "show", done["id"]).replace('\\"', '"')
    assert run(columba, "forwards", "replay", done["id"]) == "1 are tried again.\n"
    eventually(lambda: get(columba, f"/v1/forwards/{done['id']}")["attempt_count"] == 2)
    assert run(columba, "forwards", "replay", "--rule", first) == "0 are tried again.\n"


def test_no_text_and_no_forward_is_lost_when_it_dies(columba: Program) -> None:
    """Killed while texts come in and go out: every text that was answered is there and arrives, in the end."""
    with Sink() as sink:
        body = {"json": {"id": "{{ id }}", "text": "{{ text }}"}}
        made = post(columba, "/v1/destinations", {"name": "sink", "request": {"url": sink.url, "body": body}})
        then = [{"forward": {"to": [made["id"]]}}, {"reply": {"text": "Got {{ text }}"}}, {"tag": "heard"}]
        post(columba, "/v1/rules", {"name": "all", "then": then})
        said: list[str] = []
        answered: list[str] = []
        for n in range(2):
            dead = threading.Event()

            def speak(n: int = n, dead: threading.Event = dead) -> None:
                for k in range(10_000):
                    try:
                        said.append(f"text {n} {k}")
                        answered.append(hear(columba, f"text {n} {k}", f"+4477009{10 + k:05}"))
                    except (OSError, AssertionError):
                        return
                    except Exception:
                        if dead.is_set():
                            return
                        raise

            before = len(answered)
            speaking = threading.Thread(target=speak)
            speaking.start()
            eventually(lambda before=before: len(answered) > before + 15)  # type: ignore[misc]
            if not n:
                sink.wait(10)  # the second dies before it has taken over what the first left
            dead.set()
            columba.kill9()
            speaking.join()
            columba.start()
        eventually(lambda: {request.json["id"] for request in sink.requests} >= set(answered), 20)
        for status in ("pending", "waiting", "dead"):
            eventually(lambda s=status: not get(columba, f"/v1/forwards?status={s}&kind=all")["data"], 20)  # type: ignore[misc]
        ids: dict[str, set[str]] = {}
        for request in sink.requests:
            ids.setdefault(request.json["id"], set()).add(request.headers["idempotency-key"])
        assert all(len(each) == 1 for each in ids.values())  # what comes twice can be told by its id
        replies = Counter(each["text"] for each in _all(columba, "/v1/messages?direction=outbound&limit=1000"))
        texts = [each["text"] for each in _all(columba, "/v1/messages?tag=heard&limit=1000")]
        assert len(texts) >= len(answered)
        for text in texts:
            assert text in said
            assert replies[f"Got {text}"] == 1, text


def _all(columba: Program, path: str) -> Iterator[Any]:
    cursor = ""
    while True:
        found = get(columba, path + cursor)
        yield from found["data"]
        if found["next_cursor"] is None:
            return
        cursor = f"&cursor={found['next_cursor']}"
