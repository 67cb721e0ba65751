"""Contacts through the real program: from a file and the shell to what a CRM is told when one of them texts."""

import csv
import http.client
import io
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.talk import everything, get, number, refused
from tests.program import PROGRAM, Program, Sink, eventually

OURS = "+12025550100"


def texts(columba: Program, who: str, text: str) -> str:
    answer = columba.request("POST", "/v1/sandbox/inbound", {"from": who, "to": OURS, "text": text})
    assert answer.status == 201, answer
    return str(answer.json["id"])


def made(columba: Program, path: str, body: Any) -> Any:
    answer = columba.request("POST", path, body)
    assert answer.status == 201, answer
    return answer.json


def run(columba: Program, *arguments: str, code: int = 0, given: str = "") -> str:
    done = subprocess.run(
        [str(PROGRAM), *arguments], capture_output=True, text=True, timeout=60, input=given,
        env={"COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == code, done
    return done.stdout


def test_a_rule_for_those_of_a_file(columba: Program, sink: Sink) -> None:
    member, stranger = number(), number()
    announced = made(columba, "/v1/contacts/imports", {"name": "members.csv", "tags": ["members"]})
    body = f"phone,name,plan\n{member},Ada,gold\nnobody,X,\n".encode()
    done = columba.request("POST", announced["upload_url"], body=body, headers={"Content-Type": "text/csv"}).json
    assert (done["state"], done["recorded"], done["refused"]) == ("done", 1, 1)
    request = {
        "url": sink.url,
        "body": {"json": {"who": "{{ contact.name | default(from) }}", "contact": "{{ contact }}"}},
    }
    to = made(columba, "/v1/destinations", {"name": "crm", "request": request})["id"]
    when = {"contact": {"tag": ["members"], "attributes": {"plan": ["gold", "silver"]}}}
    then = [{"forward": {"to": [to]}}, {"reply": {"text": "Hi {{ contact.name }}"}}]
    rule = made(columba, "/v1/rules", {"name": "members", "when": when, "then": then})["id"]
    tried = columba.request("POST", "/v1/rules/test", {"message": {"from": member, "text": "hello"}}).json
    texts(columba, stranger, "hello")
    texts(columba, member, "hello")
    (came,) = eventually(lambda: sink.requests)
    assert json.loads(tried["actions"][0]["request"]["body"]) == came.json
    assert came.json["who"] == "Ada"
    assert came.json["contact"]["attributes"] == {"plan": "gold"}
    replies = eventually(lambda: everything(columba, f"/v1/messages?to=%2B{member[1:]}&direction=outbound"))
    assert [each["text"] for each in replies] == ["Hi Ada"]
    assert columba.request("DELETE", f"/v1/rules/{rule}").status == 204


def test_an_interrupted_file_goes_on(columba: Program) -> None:
    people = [number() for _ in range(1_500)]
    body = ("number,name,tags\n" + "\n".join(f"{each},Person {n},big file" for n, each in enumerate(people))).encode()
    announced = made(columba, "/v1/contacts/imports", {"name": "cut.csv"})
    line = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=60)
    line.putrequest("POST", announced["upload_url"])
    line.putheader("Authorization", f"Bearer {columba.test_key}")
    line.putheader("Content-Length", str(len(body)))
    line.endheaders()
    line.send(body[: len(body) // 2])
    place = f"/v1/contacts/imports/{announced['id']}"
    eventually(lambda: get(columba, place)["rows"] > 0)
    line.close()
    eventually(lambda: get(columba, place)["state"] == "interrupted")
    done = columba.request("POST", announced["upload_url"], body=body).json
    assert (done["state"], done["rows"], done["recorded"], done["refused"]) == ("done", 1_500, 1_500, 0)
    refused(columba.request("POST", announced["upload_url"], body=b"x"), 409, "conflict")
    assert len(everything(columba, "/v1/contacts?tag=big%20file")) == 1_500
    exported = list(csv.DictReader(io.StringIO(columba.request("GET", "/v1/contacts/export").json)))
    assert set(people) <= {row["number"] for row in exported}


def test_the_command_line(columba: Program, tmp_path: Path) -> None:
    who, other = number(), number()
    out = run(
        columba, "contacts", "add", who, "--name", "Zoë", "--tag", "vip", "--set", "plan=gold", "--set", "seats=12"
    )
    assert "Zoë" in out
    assert "plan=gold, seats=12" in out
    run(columba, "contacts", "add", who, code=1)
    run(
        columba,
        "contacts",
        "edit",
        who,
        "--tag",
        "new",
        "--untag",
        "vip",
        "--unset",
        "seats",
        "--email",
        "z@example.org",
    )
    shown = json.loads(run(columba, "contacts", "show", who, "--json"))
    assert (shown["tags"], shown["attributes"], shown["email"]) == (["new"], {"plan": "gold"}, "z@example.org")
    run(columba, "contacts", "edit", shown["id"], "--email", "", "--number", other)
    (row,) = json.loads(run(columba, "contacts", "list", "--name", "zo", "--json"))
    assert (row["number"], row["email"]) == (other, None)
    assert other in run(columba, "contacts", "--tag", "new")
    path = tmp_path / "people.csv"
    path.write_text(f"Mobile no.;Shoe;City\n{who};44;Leeds\n{other};41;York\n")
    told = run(
        columba, "contacts", "import", str(path), "--column", "Mobile no.=number", "--column", "Shoe=", "--tag", "walkers",
        "--skip-known",
    )  # fmt: skip
    assert "1 recorded, 1 known already, 0 refused" in told
    assert json.loads(run(columba, "contacts", "show", who, "--json"))["attributes"] == {"city": "Leeds"}
    assert "1 refused" in run(columba, "contacts", "import", "-", code=1, given="number\nnobody\n")
    assert "people.csv" in run(columba, "contacts", "imports")
    run(columba, "contacts", "export", "-o", str(tmp_path / "all.csv"))
    assert f"{who},,,,walkers" in (tmp_path / "all.csv").read_text()
    run(columba, "contacts", "remove", who)
    run(columba, "contacts", "show", who, code=1)
    run(columba, "contacts", "edit", other, code=2)
