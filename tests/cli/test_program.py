"""The commands on the real server: a text's whole life, keys beside it, its restart."""

import json
import signal
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest
from standardwebhooks import Webhook

from tests.cli.program import run, running
from tests.program import Program, Sink, eventually

LIFE = ["message.queued", "message.sent", "message.delivered"]
SECRET = "whsec_" + "c2VjcmV0IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nISE="


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with Program() as program:
        yield program


def ask(server: Program, *arguments: str) -> CompletedProcess[str]:
    return run(*arguments, COLUMBA_URL=server.url, COLUMBA_KEY=server.test_key)


def test_a_text_is_sent_and_followed_to_its_end(server: Program) -> None:
    done = ask(server, "send", "--to", "+447700900123", "--text", "Your code is 1234", "--class", "otp", "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    an_id, status, *_ = done.stdout.split()
    assert status == "delivered"
    told = json.loads(ask(server, "messages", "show", an_id, "--json").stdout)
    assert (told["status"], told["class"]) == ("delivered", "otp")
    shown = ask(server, "messages", "show", an_id)
    assert "Your code is 1234" in shown.stdout
    listed = json.loads(ask(server, "messages", "--to", "+447700900123", "--json").stdout)
    assert an_id in [each["id"] for each in listed]


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [("+447700900001", 1, "no_recipient"), ("+447700900002", 1, "undelivered"), ("+447700900004", 1, "opted_out")],
)
def test_a_text_that_does_not_arrive_says_why(server: Program, to: str, code: int, said: str) -> None:
    done = ask(server, "send", "--to", to, "--text", "Hello", "--wait")
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_a_refusal_names_each_field_and_the_request(server: Program) -> None:
    done = ask(server, "send", "--to", "12", "--from", "a name that is far too long", "--text", "Hello")
    assert done.returncode == 1
    for said in ("\n  to: ", "\n  from: ", "\n  request req_"):
        assert said in done.stderr


def test_a_key_made_beside_the_server_works_within_a_second(server: Program) -> None:
    made = json.loads(server.run("keys", "create", "--mode", "test", "--scope", "messages:read", "--json"))
    path = "/v1/messages"
    eventually(lambda: server.request("GET", path, key=made["secret"]).status == 200)
    assert made["id"] in server.run("keys", "list")
    server.run("keys", "revoke", made["id"])
    eventually(lambda: server.request("GET", path, key=made["secret"]).status == 401)


def test_the_doctor_finds_a_running_server_well(server: Program) -> None:
    told = json.loads(server.run("doctor", "--json"))
    assert [each for each in told["findings"] if each["state"] == "fail"] == []
    assert "is ready" in next(each["text"] for each in told["findings"] if each["name"] == "http")


def test_listen_forwards_a_texts_whole_life_and_goes_on_through_a_restart() -> None:
    with Program() as server, Sink() as sink:
        arguments = ("listen", "--forward-to", f"{sink.url}/hook", "--secret", SECRET, "--events", "message.*")
        with running(*arguments, COLUMBA_URL=server.url, COLUMBA_KEY=server.test_key) as listening:
            listening.wait_for("Listening to")
            first = send(server)
            sink.wait(3)
            server.stop()
            listening.wait_for("Not connected")
            server.start()
            second = send(server)
            sink.wait(6)
            eventually(lambda: listening.out.count("→ 200") == 6)
            assert listening.end(signal.SIGINT) == 0
        told = [request.json for request in sink.requests]
        assert [each["type"] for each in told if each["data"]["id"] == first] == LIFE
        assert [each["type"] for each in told if each["data"]["id"] == second] == LIFE
        assert len({each["id"] for each in told}) == len(told) == 6
        for request in sink.requests:
            Webhook(SECRET).verify(request.body, dict(request.headers))
        for kind in LIFE:
            assert kind in listening.out
        assert f"--since {told[-1]['id']}" in listening.err


def send(server: Program) -> str:
    answer = server.request("POST", "/v1/messages", {"to": "+447700900123", "text": "Hello"})
    assert answer.status == 202
    return str(answer.json["id"])
