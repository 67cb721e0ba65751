"""Templates, codes, privacy and the audit log through the real program: its API and its command line."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.talk import ended, get, number, send
from tests.program import PROGRAM, Program, eventually


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    with Program() as started:
        yield started


def run(columba: Program, *words: str, code: int = 0, live: bool = False) -> Any:
    """What a command prints with --json."""
    env = {"COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.live_key if live else columba.test_key}
    done = subprocess.run([str(PROGRAM), *words, "--json"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_a_template_by_the_command_line(columba: Program) -> None:
    texts = ("--text", "en=Order {{ order }} is here, {{ name }}", "--text", "de=Bestellung {{ order }}, {{ name }}")
    made = run(columba, "templates", "create", "here", *texts, "--params", '{"order": "integer", "name": "string"}')
    assert (made["name"], made["state"]) == ("here", "approved")
    tried = run(
        columba, "templates", "preview", "here", "--param", "order=7", "--param", "name=Ada", "--language", "de"
    )
    assert tried["sample"]["text"] == "Bestellung 7, Ada"
    to = number()
    sent = run(
        columba, "send", "--to", to, "--template", "here", "--param", "order=7", "--param", "name=42 Ada", "--wait"
    )
    assert (sent["text"], sent["status"]) == ("Order 7 is here, 42 Ada", "delivered")
    changed = run(columba, "templates", "change", "here", "--text", "New {{ order }}{{ name }}", "--draft")
    assert (changed["state"], changed["revision"]) == ("draft", 2)
    assert run(columba, "templates", "approve", "here")["approved_revision"] == 2
    bound = ("--class", "marketing", "--from", "+12025550100", "--params", '{"order": "string", "name": "string"}')
    changed = run(columba, "templates", "change", "here", *bound, "--description", "When it comes", "--name", "there")
    assert (changed["name"], changed["class"], changed["from"]) == ("there", "marketing", "+12025550100")
    assert (changed["params"]["order"]["type"], changed["description"]) == ("string", "When it comes")
    freed = run(columba, "templates", "change", "there", "--unbound", "--name", "here")
    assert (freed["class"], freed["from"], freed["revision"]) == (None, None, 4)
    assert [each["revision"] for each in run(columba, "templates", "revisions", "here")] == [4, 3, 2, 1]
    older = run(columba, "templates", "preview", "here", "--revision", "1", "--param", "order=7", "--to", to)
    assert older["sample"]["text"].startswith("Order 7")
    assert run(columba, "templates", "withdraw", "here")["approved_revision"] is None
    run(columba, "send", "--to", to, "--template", "here", "--param", "order=7", "--param", "name=Ada", code=1)
    assert run(columba, "templates", "approve", "here", "--revision", "1")["approved_revision"] == 1
    assert [each["name"] for each in run(columba, "templates")] == ["here"]
    run(columba, "templates", "delete", "here")
    assert run(columba, "templates", "list") == []


def test_a_code_by_the_command_line(columba: Program) -> None:
    to = number()
    begun = run(columba, "verify", "start", to, "--brand", "Acme", "--length", "7")
    message = ended(columba, begun["message_id"], "delivered")
    code = message["text"].split()[0]
    assert message["text"] == f"{code} is your Acme code."
    assert message["class"] == "otp"
    wrong = f"{(int(code) + 1) % 10**7:07d}"
    assert run(columba, "verify", "check", begun["id"], wrong, code=1)["valid"] is False
    assert run(columba, "verify", "resend", begun["id"])["sends"] == 2
    assert run(columba, "verify", "check", to, code)["status"] == "approved"
    assert [each["id"] for each in run(columba, "verify", "list", "--to", to)] == [begun["id"]]
    said = ("--alphabet", "letters", "--address", "203.0.113.7", "--device", "d1", "--metadata", '{"user": 42}')
    another = run(columba, "verify", "start", number(), *said, "--from", "Acme", "--length", "8")
    assert (another["alphabet"], another["from"], another["metadata"]) == ("letters", "Acme", {"user": 42})
    assert run(columba, "verify", "cancel", another["id"])["status"] == "canceled"
    assert run(columba, "verify", "blocks") == []
    assert run(columba, "verify", "settings", "--set", '{"brand": "Acme"}')["brand"] == "Acme"


def test_a_code_outlives_the_program(columba: Program) -> None:
    begun = run(columba, "verify", "start", number())
    code = get(columba, f"/v1/messages/{begun['message_id']}")["text"].split()[0]
    columba.kill9()
    columba.start()
    assert run(columba, "verify", "check", begun["id"], code)["status"] == "approved"
    assert run(columba, "verify", "check", begun["id"], code, code=1)["valid"] is False


def test_a_person_is_exported_and_erased(columba: Program, tmp_path: Path) -> None:
    to = number()
    sent = send(columba, to, text="canary one")
    send(columba, to, text="canary two", send_at=(datetime.now(UTC) + timedelta(days=9)).isoformat())
    ended(columba, sent["id"], "delivered")
    out = tmp_path / "person.ndjson"
    run(columba, "privacy", "export", to, "--output", str(out))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {each["text"] for each in lines if each["kind"] == "messages"} == {"canary one", "canary two"}
    job = run(columba, "privacy", "erase", to, "--yes")
    assert (job["status"], job["counts"]["messages"]) == ("done", 2)
    assert get(columba, "/v1/messages?to=%2B" + to[1:])["data"] == []
    assert [each["kind"] for each in run(columba, "privacy", "jobs", "--number", to)] == ["erase", "export"]

    def files() -> list[str]:
        return [
            f"{path.name}: {word!r} in {octets[max(0, octets.find(word) - 40) :][:120]!r}"
            for path in columba.data.rglob("*")
            if path.is_file()
            for octets in [path.read_bytes()]
            for word in (b"canary", to.encode())
            if word in octets
        ]

    assert files() == []
    assert to not in columba.log
    assert run(columba, "privacy", "retention", "--set", '{"bodies": {"otp": 1}}')["bodies"]["otp"] == 1


def test_the_audit_log_says_who_did_it(columba: Program) -> None:
    to = number()
    run(columba, "privacy", "erase", to, "--yes")
    (newest, *_) = run(columba, "audit", "list", "--action", "erase_person", "--limit", "1")
    assert (newest["method"], newest["answered"]) == ("POST", 202)
    keys = run(columba, "keys", "list", "--data", str(columba.data))
    assert newest["key"] in {each["id"] for each in keys}
    assert to[1:] not in json.dumps(run(columba, "audit"))
    (found,) = run(columba, "audit", "verify", "--data", str(columba.data))
    assert found["intact"]
    head = f"{found['entries']}:{found['head']}"
    run(columba, "audit", "verify", "--data", str(columba.data), "--head", head)
    run(columba, "audit", "verify", "--data", str(columba.data), "--head", f"{found['entries']}:{'0' * 64}", code=1)
    checked = eventually(lambda: columba.request("GET", "/v1/audit/verify")).json
    assert checked["intact"]


def test_the_audit_log_says_what_was_done_on_the_command_line(columba: Program) -> None:
    an_id = json.loads(columba.run("keys", "create", "--mode", "test", "--json"))["id"]
    columba.run("keys", "rotate", an_id)
    columba.run("keys", "revoke", an_id)
    noted = run(columba, "audit", "list", "--about", an_id)
    assert [each["action"] for each in noted] == ["revoke_key", "rotate_key", "create_key"]
    assert all(each["operator"] and each["key"] is None for each in noted)
    checked = columba.request("GET", "/v1/audit/verify").json
    assert (checked["intact"], checked["waiting"]) == (True, 0)


def test_a_key_without_the_texts(columba: Program) -> None:
    sent = send(columba, text="Between us")
    made = columba.request(
        "POST", "/v1/keys", {"name": "support", "mode": "test", "scopes": ["messages:metadata"]}, key=columba.live_key
    )
    assert made.status == 201, made
    shown = get(columba, f"/v1/messages/{sent['id']}", made.json["secret"])
    assert (shown["id"], shown["text"]) == (sent["id"], None)
