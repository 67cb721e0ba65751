"""Texts forwarded by the real program: as docs/forwarding.md says, by its commands, and through its sudden death."""

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import Page, page
from tests.docs.reader import Reader
from tests.e2e.talk import get, message
from tests.keeper import free_port, leashed
from tests.program import PROGRAM, Program, Reply, Sink, eventually

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


def test_the_echo_then_zendesk_as_the_page_says(tmp_path: Path) -> None:
    """Its first two sections pasted one after the other into an empty installation, and nothing else."""
    with Program() as columba:
        follow(columba, tmp_path)


def follow(columba: Program, tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "zendesk.py"
    script.write_text(page("docs/forwarding.md").block("# zendesk.py").replace("3000", str(port)))
    heard = tmp_path / "heard"
    with heard.open("wb") as out:
        standin = subprocess.Popen(leashed([sys.executable, "-W", "ignore", str(script)]), stdout=out, stderr=out)
    try:
        eventually(lambda: listens(port))
        reader = Reader(columba, f"http://127.0.0.1:{port}", columba.folder, tmp_path / "tools")
        begun = page("docs/forwarding.md").text.partition("\n## Rules\n")[0]
        pasted = [block for block in Page("docs/forwarding.md", begun).blocks if block.language == "sh"]
        answers = [answer for block in pasted for answer in reader.paste(block)]
        assert [answer.text for answer in answers if answer.status >= 400] == []
        lines = [f"ticket {n} - SMS from {ANNA}: Help, my parcel is wet" for n in (1, 2)]  # of the trial, of the text
        eventually(lambda: [line for line in heard.read_text().splitlines() if line.startswith("ticket")] == lines)
        (an_id,) = [each["id"] for each in _all(columba, "/v1/messages?direction=inbound") if "wet" in each["text"]]
        runs = delivered(columba, an_id, 2)
        reply = message(columba, next(each["made"] for each in runs if each["kind"] == "reply"))
        assert (reply["to"], reply["text"]) == (ANNA, "We look after it: ticket 2.")
        kept = message(columba, an_id)["metadata"]
        assert kept == {"ticket_id": 2, "ticket_url": "https://acme.zendesk.com/api/v2/tickets/2.json"}
        assert "secret-token" not in json.dumps([get(columba, f"/v1/forwards/{each['id']}") for each in runs])
        (ordered,) = [each["id"] for each in _all(columba, "/v1/messages?direction=inbound") if "12" in each["text"]]
        (echoed,) = [each for each in delivered(columba, ordered, 2) if each["kind"] == "forward"]
        (attempt,) = get(columba, f"/v1/forwards/{echoed['id']}")["attempts"]
        assert json.loads(attempt["answer"])["json"] == {"who": ANNA, "said": "Order 12, please", "order": 12}
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
    assert run(columba, "forwards", "replay", "--status", "delivered", "--rule", first) == "1 are tried again.\n"


def test_a_dead_letter_is_found_corrected_and_sent_by_the_commands(columba: Program) -> None:
    with Sink(lambda request: Reply(200 if request.json["order"] == "12" else 422)) as sink:
        body = {"json": {"order": "{{ text | regex_search('[0-9]+') }}"}}
        made = post(columba, "/v1/destinations", {"request": {"url": sink.url, "body": body}})["id"]
        post(columba, "/v1/rules", {"name": "orders", "then": [{"forward": {"to": [made]}}]})
        an_id = hear(columba, "Number twelve")
        fits = ("forwards", "list", "--error", "http_422", "--since", "1h")
        dead = eventually(lambda: run(columba, *fits).splitlines()[1:])
        assert [line.split("\t")[1:4] for line in dead or ()] == [["dead", "forward", an_id]]
        assert run(columba, "forwards", "list", "--error", "http_500").splitlines()[1:] == []
        assert run(columba, "forwards", "list", "--until", "1h").splitlines()[1:] == []
        name = (dead or [""])[0].split("\t")[0]
        assert run(columba, "forwards", "change", name, '{"values": {"text": "Number 12"}}') == f"{name}  dead\n"
        assert run(columba, "forwards", "replay", "--error", "http_422", "--destination", made).startswith("1 are")
        delivered(columba, an_id)
        assert {each.headers["idempotency-key"] for each in sink.requests} == {name}
        env = {"COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key, "PATH": ""}
        refused = subprocess.run(
            [str(PROGRAM), "forwards", "change", name, '{"values": {"text": "x"}}'],
            env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "only one that is dead, failed or canceled can be changed" in refused.stderr


def test_what_a_trial_is_told_by_the_commands(columba: Program) -> None:
    when = {"media": True, "first": "reply"}
    post(columba, "/v1/rules", {"name": "pictures", "when": when, "then": [{"reply": {"text": "{{ media[0] }}"}}]})
    picture = "https://example.org/a.png"
    asked = ("forward", "test", "--media", picture)
    assert "doesn't  pictures" in run(columba, *asked)
    shown = run(columba, *asked, "--first", "reply")
    assert "matches  pictures" in shown
    assert f"text: {picture}" in shown
    body = {"json": {"order": "{{ groups.order }}", "media": "{{ media }}"}}
    made = post(columba, "/v1/destinations", {"request": {"url": f"{columba.url}/echo", "body": body}})["id"]
    upload = {"url": f"{columba.url}/echo", "body": {"multipart": [{"name": "file", "media": "all"}]}}
    files = post(columba, "/v1/destinations", {"request": upload})["id"]
    with Sink(Reply(200, b"\x89PNG\xff")) as pictures:
        tried = run(columba, "destinations", "test", files, "--media", f"{pictures.url}/a.png", "--dry-run")
    assert "bytes, not text" in tried
    tried = run(columba, "destinations", "test", made, "--media", picture, "--group", "order=12", "--dry-run")
    assert f'{{"order":"12","media":["{picture}"]}}' in tried


@pytest.mark.parametrize(("store", "kills"), [("sqlite", 2), ("postgres", 1)])
def test_no_text_and_no_forward_is_lost_when_it_dies(store: str, kills: int, request: pytest.FixtureRequest) -> None:
    """Killed while texts come in and go out: every text that was answered is there and arrives, in the end."""
    url = request.getfixturevalue("postgres_url") if store == "postgres" else None
    with Program(database=url) as columba, Sink() as sink:
        body = {"json": {"id": "{{ id }}", "text": "{{ text }}"}}
        made = post(columba, "/v1/destinations", {"name": "sink", "request": {"url": sink.url, "body": body}})
        then = [{"forward": {"to": [made["id"]]}}, {"reply": {"text": "Got {{ text }}"}}, {"tag": "heard"}]
        post(columba, "/v1/rules", {"name": "all", "then": then})
        said: list[str] = []
        answered: list[str] = []
        for n in range(kills):
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
        eventually(lambda: {each.json["id"] for each in sink.requests} >= set(answered), 20)
        for status in ("pending", "waiting", "dead"):
            eventually(lambda s=status: not get(columba, f"/v1/forwards?status={s}&kind=all")["data"], 20)  # type: ignore[misc]
        ids: dict[str, set[str]] = {}
        for each in sink.requests:
            ids.setdefault(each.json["id"], set()).add(each.headers["idempotency-key"])
        assert all(len(each) == 1 for each in ids.values())  # what comes twice can be told by its id
        replies = Counter(each["text"] for each in _all(columba, "/v1/messages?direction=outbound&limit=1000"))
        texts = [each["text"] for each in _all(columba, "/v1/messages?tag=heard&limit=1000")]
        assert len(texts) >= len(answered)
        for text in texts:
            assert text in said
            assert replies[f"Got {text}"] == 1, text


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _all(columba: Program, path: str) -> Iterator[Any]:
    cursor = ""
    while True:
        found = get(columba, path + cursor)
        yield from found["data"]
        if found["next_cursor"] is None:
            return
        cursor = f"&cursor={found['next_cursor']}"
