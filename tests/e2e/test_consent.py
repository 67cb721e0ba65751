"""Consent, quiet hours and content advice through the real program: what people text, what programs ask, and the shell."""

import csv
import io
import json
import subprocess
import threading
from typing import Any

from tests.e2e.talk import Follower, ended, everything, get, in_days, new_key, number, refused, send
from tests.program import PROGRAM, Program, eventually

OURS = "+12025550100"


def texts(columba: Program, who: str, text: str) -> None:
    answer = columba.request("POST", "/v1/sandbox/inbound", {"from": who, "to": OURS, "text": text})
    assert answer.status == 201, answer


def change(columba: Program, path: str, body: Any) -> Any:
    answer = columba.request("PATCH", path, body)
    assert answer.status == 200, answer
    return answer.json


def run(columba: Program, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [str(PROGRAM), *arguments], capture_output=True, text=True, timeout=60,
        env={"COLUMBA_URL": columba.url, "COLUMBA_KEY": columba.test_key, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == code, done
    return done.stdout


def only_carrier(columba: Program, **how: Any) -> None:
    """A live carrier, and no other."""
    path, key = "/v1/carriers", columba.live_key
    for each in columba.request("GET", path, key=key).json["data"]:
        assert columba.request("DELETE", f"{path}/{each['id']}?force=true", key=key).status == 204
    made = columba.request("POST", path, {"name": "live", "kind": "sandbox", "config": {}, **how}, key=key)
    assert made.status == 201, made


def test_stop_and_start(columba: Program) -> None:
    who = number()
    later = send(columba, who, send_at=in_days(30))
    with Follower(columba, query="?type=consent.*") as stream:
        texts(columba, who, "Stop, please!")
        told = stream.wait(1)[0]
    assert told.event == "consent.opted_out"
    assert told.data["data"]["number"] == who
    refused(columba.request("POST", "/v1/messages", {"to": who, "text": "Hi"}), 422, "opted_out", "to")
    assert ended(columba, later["id"])["error"]["code"] == "opted_out"
    shown = columba.request(
        "POST", "/v1/messages/batch", {"messages": [{"to": who, "text": "a"}, {"to": number(), "text": "b"}]}
    ).json
    assert [row.get("error", {}).get("code") for row in shown["data"]] == ["opted_out", None]

    def answered() -> list[str]:
        found = everything(columba, f"/v1/messages?to=%2B{who[1:]}&direction=outbound")
        return [each["text"] for each in found if each["status"] == "delivered"]

    (confirmation,) = eventually(answered)
    assert "unsubscribed" in confirmation
    texts(columba, who, "START")
    ended(columba, send(columba, who)["id"], "delivered")
    actions = [row["action"] for row in everything(columba, f"/v1/consents?number=%2B{who[1:]}")]
    assert actions == ["opt_in", "opt_out"]


def test_a_repeated_request_is_answered_as_the_first(columba: Program) -> None:
    """The key is not taken by what the store refuses."""
    who, headers = number(), {"Idempotency-Key": "consent-1"}
    body = {"to": who, "text": "Hi"}
    columba.request("POST", "/v1/consents", {"number": who, "action": "opt_out", "source": "a test"})
    refused(columba.request("POST", "/v1/messages", body, headers=headers), 422, "opted_out", "to")
    refused(columba.request("POST", "/v1/messages", body, headers=headers), 422, "opted_out", "to")


def test_the_ledger_by_api(columba: Program) -> None:
    who = number()
    made = columba.request(
        "POST", "/v1/consents",
        {"number": who, "action": "opt_out", "class": "marketing", "sender": OURS, "source": "phone", "proof": "call 17"},
    )  # fmt: skip
    assert made.status == 201
    assert made.json["proof"] == "call 17"
    assert get(columba, f"/v1/consents/{made.json['id']}") == made.json
    (row,) = [each for each in everything(columba, "/v1/suppressions") if each["number"] == who]
    assert (row["class"], row["sender"], row["consent_id"]) == ("marketing", OURS, made.json["id"])
    asked = f"/v1/consents/check?number=%2B{who[1:]}&class=marketing&sender=%2B{OURS[1:]}"
    told = get(columba, asked)
    assert (told["allowed"], told["code"], told["consent"]["id"]) == (False, "opted_out", made.json["id"])
    assert get(columba, f"/v1/consents/check?number=%2B{who[1:]}&class=marketing")["allowed"]
    other = new_key(columba, mode="live")["secret"]
    refused(columba.request("GET", f"/v1/consents/{made.json['id']}", key=other), 404, "not_found")
    assert not [each for each in everything(columba, "/v1/suppressions", other) if each["number"] == who]
    narrow = new_key(columba, "consent:read")["secret"]
    refused(columba.request("POST", "/v1/consents", {"number": who, "action": "opt_in"}, key=narrow), 403, "forbidden")
    refused(
        columba.request("POST", "/v1/consents", {"number": "1", "action": "maybe", "class": "x", "at": "soon"}),
        422, "invalid_request", "action", "class", "at",
    )  # fmt: skip
    refused(
        columba.request("POST", "/v1/consents", {"number": "1", "action": "opt_in"}), 422, "invalid_request", "number"
    )


def test_live_marketing_needs_an_opt_in(columba: Program) -> None:
    only_carrier(columba)
    done = columba.request("PATCH", "/v1/settings/consent", {"marketing": None}, key=columba.live_key)
    assert done.json["marketing"] == "opt_in"
    who = number()
    offer = {"to": who, "text": "Offer. STOP to stop", "class": "marketing"}
    refused(columba.request("POST", "/v1/messages", offer, key=columba.live_key), 422, "consent_required", "to")
    opt_in = {"number": who, "action": "opt_in", "class": "marketing", "source": "form"}
    assert columba.request("POST", "/v1/consents", opt_in, key=columba.live_key).status == 201
    assert columba.request("POST", "/v1/messages", offer, key=columba.live_key).status == 202


def test_double_opt_in(columba: Program) -> None:
    who = number()
    asked = columba.request(
        "POST",
        "/v1/consents",
        {"number": who, "action": "opt_in", "class": "marketing", "sender": OURS, "confirm": True},
    )
    assert asked.json["action"] == "opt_in_requested"
    eventually(lambda: everything(columba, f"/v1/messages?to=%2B{who[1:]}&direction=outbound"))
    texts(columba, who, "Yes!")
    assert get(columba, f"/v1/consents?number=%2B{who[1:]}")["data"][0]["class"] == "marketing"
    columba.request("POST", "/v1/consents", {"number": who, "action": "opt_out"})
    again = {"number": who, "action": "opt_in", "confirm": True}
    refused(columba.request("POST", "/v1/consents", again), 422, "opted_out", "number")


def test_settings_are_kept_and_go_back(columba: Program) -> None:
    shown = change(
        columba, "/v1/settings/consent",
        {
            "brand": "Acme", "stop_scope": "sender", "keywords": {"en": {"stop": ["halt"]}},
            "replies": {"en": {"stop": "Bye, {brand}"}},
        },
    )  # fmt: skip
    assert shown["keywords"]["en"]["stop"] == ["halt"]
    assert columba.request("POST", "/v1/consents/try", {"text": "HALT!"}).json["reply"] == "Bye, Acme"
    refused(
        columba.request("PATCH", "/v1/settings/consent", {"keywords": {"english": {"stop": [""]}}, "otp": "never"}),
        422, "invalid_request", "keywords.english", "keywords.english.stop[0]", "otp",
    )  # fmt: skip
    back = change(
        columba, "/v1/settings/consent", {"brand": None, "stop_scope": None, "keywords": None, "replies": None}
    )
    assert back["stop_scope"] == "account"
    assert "stop" in back["keywords"]["en"]["stop"]


def test_files_in_and_out(columba: Program) -> None:
    people = [number() for _ in range(1_200)]
    announced = columba.request("POST", "/v1/consents/imports", {"name": "old.csv", "source": "old"}).json
    assert announced["state"] == "waiting"
    body = "number\n" + "\n".join(people[:600]) + "\nnobody\n" + "\n".join(people[600:])
    done = columba.request(
        "POST", announced["upload_url"], body=body.encode(), headers={"Content-Type": "text/csv"}
    ).json
    assert (done["state"], done["rows"], done["recorded"], done["refused"]) == ("done", 1_201, 1_200, 1)
    (row,) = get(columba, f"/v1/consents/imports/{done['id']}/refusals")["data"]
    assert (row["row"], row["number"], row["code"]) == (601, "nobody", "invalid_number")
    refused(columba.request("POST", "/v1/messages", {"to": people[-1], "text": "Hi"}), 422, "opted_out", "to")
    refused(columba.request("POST", announced["upload_url"], body=b"x"), 409, "conflict")
    refused(columba.request("POST", "/v1/consents/imports/data?import=imp_0000000000000", body=b"x"), 404, "not_found")
    exported = list(csv.DictReader(io.StringIO(columba.request("GET", "/v1/suppressions/export").json)))
    assert set(people) <= {row["number"] for row in exported}
    whole = list(csv.DictReader(io.StringIO(columba.request("GET", "/v1/consents/export").json)))
    assert {row["import_id"] for row in whole if row["number"] in people} == {done["id"]}


def test_an_interrupted_file_goes_on(columba: Program) -> None:
    people = [number() for _ in range(1_500)]
    body = ("number\n" + "\n".join(people)).encode()
    announced = columba.request("POST", "/v1/consents/imports", {"name": "cut.csv"}).json
    import http.client

    line = http.client.HTTPConnection("127.0.0.1", columba.port, timeout=60)
    line.putrequest("POST", announced["upload_url"])
    line.putheader("Authorization", f"Bearer {columba.test_key}")
    line.putheader("Content-Length", str(len(body)))
    line.endheaders()
    line.send(body[: len(body) // 2])
    place = f"/v1/consents/imports/{announced['id']}"
    eventually(lambda: get(columba, place)["rows"] > 0)
    line.close()
    eventually(lambda: get(columba, place)["state"] == "interrupted")
    done = columba.request("POST", announced["upload_url"], body=body).json
    assert (done["state"], done["rows"], done["recorded"]) == ("done", 1_500, 1_500)


def test_quiet_hours(columba: Program) -> None:
    who = number()
    window = {"country": "GB", "classes": ["otp"], "days": ["mon"], "open": "10:00", "close": "10:01"}
    try:
        shown = change(columba, "/v1/settings/quiet-hours", {"enabled": True, "windows": [window]})
        assert shown["windows"][0]["country"] == "GB"
        assert all(each["source"] for each in shown["defaults_in_force"])
        waits = send(columba, who, **{"class": "otp"})
        assert waits["status"] == "scheduled"
        assert waits["waiting_for"]["reason"] == "quiet_hours"
        told = get(columba, f"/v1/quiet-hours/check?number=%2B{who[1:]}&class=otp")
        assert told["next_open"] == waits["waiting_for"]["until"]
        assert columba.request("POST", f"/v1/messages/{waits['id']}/cancel").status == 200
        assert send(columba, who)["status"] == "queued"
        refused(
            columba.request(
                "PATCH", "/v1/settings/quiet-hours",
                {"windows": [{"country": "XX", "open": "10:00", "close": "09:00"}]},
            ),
            422, "invalid_request", "windows[0].close", "windows[0].country",
        )  # fmt: skip
    finally:
        back = change(columba, "/v1/settings/quiet-hours", {"enabled": None, "windows": None})
        assert (back["enabled"], back["windows"]) == (False, [])
    assert send(columba, who, **{"class": "otp"})["status"] == "queued"


def test_content(columba: Program) -> None:
    bad = {"to": number(), "text": "HURRY!!! Free gift at bit.ly/x", "class": "marketing"}
    told = columba.request("POST", "/v1/messages/advice", {"text": bad["text"]}).json
    assert told["score"] < 50
    assert told["suggestion"]["score"] > 0
    noted = columba.request("POST", "/v1/messages", bad).json
    assert noted["advice"]["score"] == told["score"]
    try:
        change(columba, "/v1/settings/content", {"action": "hold"})
        batch = columba.request("POST", "/v1/messages/batch", {"messages": [bad, bad, bad]}).json
        held = everything(columba, f"/v1/content/held?batch_id={batch['batch_id']}")
        assert {each["waiting_for"]["reason"] for each in held} == {"approval"}
        assert len(held) == 3
        first = held[0]["id"]
        assert columba.request("POST", f"/v1/messages/{first}/reject").json["error"]["code"] == "not_approved"
        refused(columba.request("POST", f"/v1/messages/{first}/approve"), 409, "conflict")
        decided = columba.request("POST", "/v1/content/held/approve", {"batch_id": batch["batch_id"]}).json
        assert decided == {"count": 2, "more": False}
        ended(columba, held[1]["id"], "delivered")
        change(columba, "/v1/settings/content", {"action": "refuse"})
        refused(columba.request("POST", "/v1/messages", bad), 422, "content_refused", "text")
    finally:
        change(columba, "/v1/settings/content", {"action": None})
    filtered = send(columba, "+447700900009", text=bad["text"])
    ended(columba, filtered["id"], "undelivered")
    outcomes = get(columba, "/v1/content/outcomes")
    (spam,) = [each for each in outcomes["carriers"] if each["error"] == "filtered"]
    assert spam["carrier_code"] == "SPAM"
    assert spam["reasons"]["shortened_link"] >= 1
    eventually(
        lambda: {"refuse", "hold", "advise"} <= {row["action"] for row in get(columba, "/v1/content/outcomes")["here"]}
    )


def test_the_command_line(columba: Program) -> None:
    who = number()
    assert "opt_out" in run(columba, "consents", "optout", who, "--source", "phone")
    assert "opted_out" in run(columba, "consents", "check", who, code=1)
    assert who in run(columba, "suppressions", "--limit", "5")
    run(columba, "consents", "optin", who, "--class", "marketing")
    assert [row["action"] for row in json.loads(run(columba, "consents", "--number", who, "--json"))] == [
        "opt_in",
        "opt_out",
    ]
    file = columba.folder / "people.csv"
    file.write_text("number,action\n" + "".join(f"{number()},opt_out\n" for _ in range(50)) + "nobody,\n")
    told = json.loads(run(columba, "consents", "import", str(file), "--json", code=1))
    assert (told["state"], told["recorded"], told["refused"]) == ("done", 50, 1)
    assert "people.csv" in run(columba, "consents", "imports")
    (refused,) = json.loads(run(columba, "consents", "refusals", told["id"], "--json"))
    assert (refused["row"], refused["code"]) == (51, "invalid_number")
    said = run(columba, "consents", "optin", who, "--words", "offers, please", "--proof", "form 7").split()[0]
    shown = run(columba, "consents", "show", said)
    assert "offers, please" in shown
    assert "form 7" in shown
    assert run(columba, "consents", "try", "Arrêt !").startswith("stop  fr\n")
    assert run(columba, "consents", "try", "hello") == "a text like any other\n"
    out = columba.folder / "out.csv"
    run(columba, "consents", "export", "--output", str(out))
    assert who in out.read_text()
    assert who in run(columba, "consents", "export")
    assert json.loads(run(columba, "consents", "settings", "--set", '{"brand": "Acme"}'))["brand"] == "Acme"
    run(columba, "consents", "settings", "--set", '{"brand": null}')
    assert "FL" in run(columba, "quiet")
    assert json.loads(run(columba, "quiet", "check", who, "--json"))["country"] == "GB"
    assert json.loads(run(columba, "quiet", "settings", "--set", '{"enabled": true}'))["enabled"] is True
    assert json.loads(run(columba, "quiet", "settings", "--set", '{"enabled": null}'))["enabled"] is False
    assert "shortens" in run(columba, "advice", "text", "see bit.ly/x")
    assert json.loads(run(columba, "advice", "settings"))["action"] == "advise"
    ended(columba, send(columba, "+447700900009", text="see bit.ly/x")["id"], "undelivered")
    assert "shortened_link" in run(columba, "advice", "--days", "1")
    assert "SCORE" in run(columba, "held")
    assert json.loads(run(columba, "held", "approve", "--all", "--json")) == {"count": 0}
    assert run(columba, "held", "approve", "msg_0000000000000", code=1) == "0 approved.\n"


def test_a_stop_in_the_middle_of_a_batch(columba: Program) -> None:
    """Over the real lanes, with a carrier that takes its time: who stops gets nothing more."""
    only_carrier(columba, rate=200)
    who = number()
    rows = [{"to": number(), "text": "early"} for _ in range(1_000)] + [{"to": who, "text": "late"}]
    answer = columba.request("POST", "/v1/messages/batch", {"messages": rows}, key=columba.live_key)
    assert answer.status == 202, answer
    assert answer.json["refused"] == 0, answer.json["data"][-1]
    late = answer.json["data"][-1]["id"]
    stop = threading.Thread(
        target=columba.request, args=("POST", "/v1/consents", {"number": who, "action": "opt_out"}, columba.live_key)
    )
    stop.start()
    stop.join()
    shown = ended(columba, late, key=columba.live_key)
    assert (shown["status"], shown["error"]["code"]) == ("failed", "opted_out")
    assert shown["parts"] == []
