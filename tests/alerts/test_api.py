"""Alerts are set up, read, changed and deleted by their account alone; what is secret in them is never shown."""

from typing import Any

import pytest

from tests.alerts.conftest import OPS, House
from tests.api import running
from tests.program import Reply, Sink


@pytest.fixture
def database() -> str:
    """SQLite alone: what of it is SQL, test_alerts.py does on both stores."""
    return ""


EMAIL = {"kind": "email", "to": [OPS]}
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


async def test_an_alert_from_its_making_to_its_end(house: House) -> None:
    made = await house.alert(name="Night shift", on=["carrier.*"], channels=[EMAIL], every=60)
    assert made["id"].startswith("alr_")
    assert (made["state"], made["open"], made["enabled"], made["recovery"]) == ("ok", 0, True, True)
    assert await house.get(f"/v1/alerts/{made['id']}") == made
    changed = await house.api(
        "PATCH", f"/v1/alerts/{made['id']}", {"every": 3600, "quiet": {"from": "22:00", "until": "07:00"}}
    )
    assert changed.status == 200, changed.body
    assert (changed.json["every"], changed.json["name"]) == (3600, "Night shift")
    assert changed.json["quiet"] == {"from": "22:00", "until": "07:00"}
    again = await house.api("PATCH", f"/v1/alerts/{made['id']}", {"quiet": None})
    assert again.json["quiet"] is None
    assert [each["id"] for each in (await house.get("/v1/alerts"))["data"]] == [made["id"]]
    assert (await house.api("DELETE", f"/v1/alerts/{made['id']}")).status == 204
    await house.get(f"/v1/alerts/{made['id']}", 404)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"on": ["message.exploded"]}, "on[0]"),
    ({"on": []}, "on"),
    ({"on": ["*"], "channels": []}, "channels"),
    ({"on": ["*"], "channels": [{"kind": "pigeon"}]}, "channels[0].kind"),
    ({"on": ["*"], "channels": [{"kind": "email", "to": ["ann"]}]}, "channels[0].to[0]"),
    ({"on": ["*"], "channels": [{**EMAIL, "subject": "{{ name"}]}, "channels[0].subject"),
    ({"on": ["*"], "channels": [{**EMAIL, "text": "{{ secrets }}"}]}, "channels[0].text"),
    ({"on": ["*"], "channels": [{"kind": "text", "to": ["12"]}]}, "channels[0].to[0]"),
    ({"on": ["*"], "channels": [{"kind": "slack", "url": "http://169.254.169.254/"}]}, "channels[0].url"),
    ({"on": ["*"], "channels": [{"kind": "webhook", "url": "ftp://a.b"}]}, "channels[0].url"),
    ({"on": ["*"], "quiet": {"from": "25:00", "until": "07:00"}}, "quiet.from"),
    ({"on": ["*"], "quiet": {"from": "22:00", "until": "07:00", "time_zone": "Mars/Base"}}, "quiet.time_zone"),
    ({"on": ["*"], "quiet": {"from": "22:00", "until": "22:00"}}, "quiet.until"),
    ({"on": ["*"], "digest": {"at": ["08:00"], "time_zone": "../etc"}}, "digest.time_zone"),
    ({"delivery_rate": {"below": 0}}, "delivery_rate.below"),
    ({"on": ["*"], "every": 1}, "every"),
    ({"on": ["*"], "evry": 60}, "evry"),
]


async def test_what_makes_no_sense_is_refused_by_name(house: House) -> None:
    for fields, field in WRONG:
        problem = await house.alert(422, **{"channels": [EMAIL], **fields})
        assert field in {error["field"] for error in problem["errors"]}, problem


async def test_what_is_secret_is_never_shown(house: House, sink: Sink) -> None:
    made = await house.alert(
        on=["*"],
        channels=[
            {"kind": "webhook", "url": f"{sink.url}/a", "secret": SECRET},
            {"kind": "slack", "url": f"{sink.url}/services/T0/B0/hush"},
        ],
    )
    shown = await house.get("/v1/alerts")
    await house.api("POST", f"/v1/alerts/{made['id']}/test")
    told = await house.get(f"/v1/alerts/{made['id']}/notices")
    for answer in (made, shown, told):
        assert SECRET not in str(answer)
        assert "hush" not in str(answer)
    assert made["channels"][0] == {"kind": "webhook", "url": f"{sink.url}/a", "secret": "***"}


async def test_another_account_and_the_other_mode_find_nothing(house: House) -> None:
    made = await house.alert(on=["*"])
    other = await house.columba.key(account_id=await house.columba.another_account())
    for key in (other, house.columba.live_key):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"every": 60}),
            ("DELETE", "", None),
            ("POST", "/test", {}),
            ("GET", "/incidents", None),
            ("GET", "/notices", None),
        ):
            reply = await house.api(method, f"/v1/alerts/{made['id']}{path}", body, key=key)
            assert (reply.status, reply.json["code"]) == (404, "not_found"), (method, path)
        assert (await house.get("/v1/alerts", key=key))["data"] == []
    reader = await house.columba.key(scopes=["alerts:read"])
    assert (await house.api("GET", f"/v1/alerts/{made['id']}", key=reader)).status == 200
    assert (await house.api("DELETE", f"/v1/alerts/{made['id']}", key=reader)).status == 403


async def test_a_test_is_sent_to_everybody_at_once(house: House, sink: Sink) -> None:
    sink.reply = Reply(404, b"no_team")
    house.box.refuses = {"gone@example.org": "550 5.1.1 No such user"}
    made = await house.alert(
        on=["*"],
        channels=[
            {"kind": "email", "to": [OPS, "gone@example.org"]},
            {"kind": "slack", "url": f"{sink.url}/x"},
            {"kind": "text", "to": ["+447700900123"]},
        ],
    )
    reply = await house.api("POST", f"/v1/alerts/{made['id']}/test")
    assert (reply.status, reply.json["ok"]) == (200, False)
    told = {each["recipient"]: each for each in reply.json["results"]}
    assert (told[OPS]["ok"], told["+447700900123"]["ok"]) == (True, True)
    assert "No such user" in told["gone@example.org"]["detail"]
    assert "no_team" in told["127.0.0.1"]["detail"]
    (letter,) = house.box.letters
    assert letter.message["Subject"] == "[Columba] Ops: This is a test."
    notices = (await house.get(f"/v1/alerts/{made['id']}/notices"))["data"]
    assert sorted((each["status"], each["test"]) for each in notices) == [("failed", True)] * 2 + [("sent", True)] * 2
    page = await house.get(f"/v1/alerts/{made['id']}/notices?limit=3")
    rest = await house.get(f"/v1/alerts/{made['id']}/notices?limit=3&cursor={page['next_cursor']}")
    assert len(page["data"]) + len(rest["data"]) == 4
    await house.silent()  # a failed test is not tried again


async def test_without_a_mail_server_it_is_said(tmp_path: Any, clock: Any) -> None:
    async with running(tmp_path) as columba:
        house = House(columba, clock, None)  # type: ignore[arg-type]
        refused = await house.alert(422, on=["*"], channels=[{"kind": "text", "to": ["+447700900123"]}, EMAIL])
        assert [(each["field"], each["code"]) for each in refused["errors"]] == [("channels[1]", "no_mail_server")]
        assert "smtp_url" in refused["errors"][0]["detail"]
        made = await house.alert(on=["*"], channels=[{"kind": "text", "to": ["+447700900123"]}])
        reply = await house.api("PATCH", f"/v1/alerts/{made['id']}", {"channels": [EMAIL]})
        assert (reply.status, reply.fields) == (422, [("channels[0]", "no_mail_server")])


async def test_a_mail_server_that_is_gone_is_said(tmp_path: Any, clock: Any, box: Any) -> None:
    async with running(tmp_path, smtp_url=f"smtp://127.0.0.1:{box.port}?tls=off") as columba:
        made = await House(columba, clock, box).alert(on=["*"])
    async with running(tmp_path) as columba:
        house = House(columba, clock, box)
        reply = await house.api("POST", f"/v1/alerts/{made['id']}/test")
        assert "smtp_url" in reply.json["results"][0]["detail"]
        assert (await house.api("PATCH", f"/v1/alerts/{made['id']}", {"every": 60})).status == 200
