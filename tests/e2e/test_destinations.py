"""Destinations in the real program: by its commands, with what several of its parts do together, and over a restart."""

import json
import os
import subprocess
from typing import Any

from tests.e2e.talk import get
from tests.program import PROGRAM, Program, Reply, Sink, eventually

SECRET = "a-very-secret-token"


def run(columba: Program, *arguments: str, piped: str = "", code: int = 0) -> str:
    env = {**os.environ, "COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key, "TERM": "dumb", "COLUMNS": "120"}
    done = subprocess.run([str(PROGRAM), *arguments], env=env, input=piped, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done.stdout


def made(text: str) -> str:
    return text.split()[0]


def test_a_preset_by_commands_then_a_text_that_comes_in(columba: Program, sink: Sink) -> None:
    """What is tried is what is sent when a text comes in; the ticket's number is the message's."""
    sink.reply = Reply(
        201, b'{"ticket": {"id": 35, "url": "https://acme.zendesk.com/35"}}', {"Content-Type": "application/json"}
    )
    assert "zendesk" in run(columba, "destinations", "presets")
    assert "api_token          the API token (secret)" in run(columba, "destinations", "presets", "zendesk")
    params = ("subdomain=acme", "email=me@acme.test", "api_token=@-", f"base_url={sink.url}")
    asked = [word for param in params for word in ("--param", param)]
    an_id = made(run(columba, "destinations", "create", "--preset", "zendesk", *asked, piped=SECRET + "\n"))
    told = run(columba, "destinations", "test", an_id, "--from", "+447700900123", "--text", "Wet parcel", "--dry-run")
    assert not sink.requests
    assert '"subject":"SMS from +447700900123: Wet parcel"' in told
    tried = json.loads(run(columba, "destinations", "test", an_id, "--text", "Wet parcel", "--json"))
    assert (tried["ok"], tried["saved"]) == (True, {"ticket_id": 35, "ticket_url": "https://acme.zendesk.com/35"})
    assert sink.requests[0].headers["authorization"].startswith("Basic ")
    rule = {"name": "all", "then": [{"forward": {"to": [an_id]}}]}
    assert columba.request("POST", "/v1/rules", rule).status == 201
    text = {"from": "+447700900123", "to": "+12025550100", "text": "Wet parcel"}
    message = columba.request("POST", "/v1/sandbox/inbound", text).json["id"]
    (first, second) = sink.wait(2)
    for request in (first, second):
        ticket = request.json["ticket"]
        assert ticket.pop("external_id")
        assert ticket == {
            "subject": "SMS from +447700900123: Wet parcel", "comment": {"body": "Wet parcel"},
            "requester": {"name": "+447700900123", "phone": "+447700900123"}, "tags": ["sms"],
        }  # fmt: skip
    eventually(lambda: get(columba, f"/v1/messages/{message}")["metadata"].get("ticket_id") == 35)
    assert run(columba, "destinations", "delete", an_id, code=1) == ""  # the rule names it


def test_curl_in_and_out(columba: Program, sink: Sink) -> None:
    command = f"curl -u me:{SECRET} {sink.url}/in -H 'X-A: b' -d 'text={{{{ text }}}}' -d to=x"
    an_id = made(run(columba, "destinations", "create", "--curl", "@-", "--name", "mine", piped=command))
    assert "ok" in run(columba, "destinations", "test", an_id, "--text", "a b&c")
    assert sink.requests[0].body == b"text=a+b%26c&to=x"
    exported = run(columba, "destinations", "export", an_id)
    assert exported.startswith(f"curl -X POST {sink.url}/in")
    assert '-u me:"$PASSWORD"' in exported
    done = subprocess.run(
        ["bash", "-c", exported], env={**os.environ, "PASSWORD": SECRET}, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    mine, theirs = sink.requests
    assert theirs.body == mine.body.replace(b"a+b%26c", b"Hello+from+Columba")
    assert theirs.headers["authorization"] == mine.headers["authorization"]
    assert "mine" in run(columba, "destinations")
    run(columba, "destinations", "delete", an_id)


def test_secrets_by_commands(columba: Program, sink: Sink) -> None:
    run(columba, "destinations", "secrets", "set", "crm", piped=SECRET + "\n")
    fields = {"request": {"url": sink.url}, "auth": {"kind": "bearer", "token": {"secret": "crm"}}, "enabled": False}
    an_id = made(run(columba, "destinations", "create", "-", piped=json.dumps(fields)))
    run(columba, "destinations", "test", an_id)
    run(columba, "destinations", "secrets", "set", "crm", piped="another")
    assert "on" in run(columba, "destinations", "enable", an_id)
    assert "off" in run(columba, "destinations", "disable", an_id)
    changed = run(columba, "destinations", "change", an_id, "-", "--json", piped='{"timeout": 30}')
    assert json.loads(changed)["timeout"] == 30
    run(columba, "destinations", "test", an_id)
    assert [got.headers["authorization"] for got in sink.requests] == [f"Bearer {SECRET}", "Bearer another"]
    assert "crm" in run(columba, "destinations", "secrets")
    run(columba, "destinations", "secrets", "delete", "crm", code=1)
    run(columba, "destinations", "delete", an_id)
    run(columba, "destinations", "secrets", "delete", "crm")


def test_mistakes_are_told_where_they_are(columba: Program) -> None:
    wrong = '{"request": {"url": "http://127.0.0.1:1/{{ frm }}"}, "success": {"cel": "status ="}}'
    env = {**os.environ, "COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key}
    done = subprocess.run(
        [str(PROGRAM), "destinations", "create", "-"], env=env, input=wrong, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "request.url: line 1, column 23: There is no `frm`; is `from` meant?" in done.stderr
    assert "success.cel: line 1, column 8" in done.stderr
    an_id = made(run(columba, "destinations", "create", "-", piped='{"request": {"url": "http://127.0.0.1:1/"}}'))
    assert "failed" in run(columba, "destinations", "test", an_id, code=1)


def test_secrets_and_destinations_outlive_the_program(columba: Program, sink: Sink) -> None:
    def ask(method: str, path: str, body: Any, status: int) -> Any:
        answer = columba.request(method, path, body)
        assert answer.status == status, answer
        return answer.json

    ask("POST", "/v1/secrets", {"name": "shared", "value": SECRET}, 201)
    fields = {"request": {"url": sink.url + "/{{ secrets.shared }}"}, "auth": {"kind": "bearer", "token": SECRET + "2"}}
    an_id = ask("POST", "/v1/destinations", fields, 201)["id"]
    columba.kill9()
    columba.start()
    tried = ask("POST", f"/v1/destinations/{an_id}/test", {}, 200)
    (got,) = sink.requests
    assert (got.path, got.headers["authorization"]) == (f"/{SECRET}", f"Bearer {SECRET}2")
    assert SECRET not in json.dumps(tried)
    for file in columba.data.rglob("*"):  # neither the store nor the log has them
        if file.is_file() and file.name != "secret.key":
            assert SECRET.encode() not in file.read_bytes()
    assert SECRET not in columba.log
