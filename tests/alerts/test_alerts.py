"""What goes wrong is told once, together, not too often, and again when it is over; nothing that happened is forgotten."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from columba.core import ids
from columba.core.contract import Carrier
from columba.core.model import rfc3339
from columba.routing.states import SessionState
from columba.webhooks.signature import decode_secret, new_secret, sign
from tests.alerts.conftest import LOOPBACK, OPS, Clock, House
from tests.alerts.postbox import Postbox
from tests.api import eventually, running
from tests.keeper import free_port
from tests.program import Reply, Sink

MINUTE, HOUR = 60_000, 3_600_000
WEBHOOK = {
    "id": "whk_1",
    "url": "https://example.org/hook",
    "error": {"code": "timeout", "detail": "No answer in time."},
}


async def test_a_text_that_fails_is_told_by_mail(house: House) -> None:
    alert = await house.alert(name="Texts", on=["message.undelivered"])
    (sent,) = await house.fails()
    (letter,) = await house.letters(1)
    assert letter.to == [OPS]
    assert letter.message["Subject"] == (
        "[Columba] Texts: Messages were not delivered: The phone could not be reached in time."
    )
    assert f"{sent} to +4477" in letter.text
    assert "UNDELIV" in letter.text
    (notice,) = await house.told(alert, "sent")
    assert (notice["channel"], notice["recipient"], notice["attempts"], notice["test"]) == ("email", OPS, 1, False)
    shown = await house.get(f"/v1/alerts/{alert['id']}")
    assert (shown["state"], shown["open"], shown["next_notice_at"]) == ("alerting", 1, None)
    assert shown["last_notice_at"]


async def test_forwards_that_fail_or_die_and_a_webhook_that_is_disabled_are_told(house: House, sink: Sink) -> None:
    """Not by events that a test makes up: a text comes in, and three addresses answer 503, 400 and 410."""
    sink.reply = lambda request: Reply({"/down": 503, "/bad": 400}.get(request.path, 410))
    alert = await house.alert(on=["forward.failed", "forward.dead", "webhook.disabled"], wait=1)
    hook = {"url": f"{sink.url}/gone", "events": ["message.received"]}
    assert (await house.api("POST", "/v1/webhooks", hook)).status == 201
    to = []
    for path in ("/down", "/bad"):
        reply = await house.api("POST", "/v1/destinations", {"request": {"url": f"{sink.url}{path}"}})
        to.append(reply.json["id"])
    reply = await house.api("POST", "/v1/rules", {"name": "all", "then": [{"forward": {"to": to}}]})
    assert reply.status == 201, reply.body
    said = {"from": "+447700900123", "to": "+12025550100", "text": "Hello"}
    reply = await house.api("POST", "/v1/sandbox/inbound", said)

    async def three() -> bool:
        await house.app.collecting.step()
        return len((await house.get(f"/v1/alerts/{alert['id']}/incidents"))["data"]) == 3

    await eventually(three)
    house.clock.ahead += 2_000
    (letter,) = await house.letters(1)
    assert (
        f"Forwards fail: {to[0]}. Latest: {reply.json['id']} to +12025550100: The server answered 503." in letter.text
    )
    assert f"Forwards were given up: {to[1]}. Latest: {reply.json['id']}" in letter.text
    assert f"The webhook {sink.url}/gone was disabled." in letter.text


async def test_many_at_once_are_one_notice_and_more_of_them_wait(house: House) -> None:
    await house.alert(on=["message.undelivered"], wait=3, every=300)
    await house.fails(5)
    await house.silent()  # they are gathered
    house.clock.ahead += 4_000
    (letter,) = await house.letters(1)
    assert "(5 times)" in letter.text
    await house.fails(7)
    house.clock.ahead += 60_000
    await house.silent()  # not so soon
    house.clock.ahead += 300_000
    assert "(7 more)" in (await house.letters(2))[1].text
    house.clock.ahead += 600_000
    await house.silent()  # nothing new, nothing told


async def test_only_what_is_meant_is_told(house: House) -> None:
    await house.alert(on=["message.*"], where={"tag": ["invoice"], "error": ["unreachable"], "class": ["otp"]})
    await house.fails(tags=["other"], klass="otp")
    await house.fails(tags=["invoice"])
    await house.silent()
    await house.fails(tags=["invoice", "x"], klass="otp")
    assert len(await house.letters(1)) == 1


async def test_its_end_is_told(house: House) -> None:
    alert = await house.alert(on=["webhook.failing"])
    await house.happens("webhook.failing", WEBHOOK)
    (began,) = await house.letters(1)
    assert "The webhook https://example.org/hook fails. Latest: No answer in time." in began.text
    house.clock.ahead += 10 * HOUR  # it is as bad as it was: told once
    await house.silent()
    await house.happens("webhook.recovered", {"url": "https://example.org/hook"})
    ended = (await house.letters(2))[1]
    assert "Over: The webhook https://example.org/hook fails." in ended.text
    assert (await house.get(f"/v1/alerts/{alert['id']}"))["state"] == "ok"
    assert (await house.get(f"/v1/alerts/{alert['id']}/incidents"))["data"] == []


async def test_what_comes_and_goes_is_no_storm(house: House) -> None:
    await house.alert(on=["webhook.failing"], every=600)
    for _ in range(5):
        await house.happens("webhook.failing", WEBHOOK)
        await house.app.collecting.step()
        await house.happens("webhook.recovered", WEBHOOK)
        await house.app.collecting.step()
        house.clock.ahead += 1_000
    await house.silent() if house.box.letters else await house.letters(1)
    house.clock.ahead += 10 * MINUTE
    letters = await house.letters(2)
    assert "(4 more)" in letters[1].text or "(4 times)" in letters[1].text
    assert "It is over." in letters[1].text


async def test_what_nothing_ends_is_over_when_it_has_not_come_for_long(house: House) -> None:
    await house.alert(on=["forward.dead"], settle=600, every=60)
    await house.happens("forward.dead", {"forward": {"destination": "dst_1", "error": {"detail": "It answered 500."}}})
    (began,) = await house.letters(1)
    assert "Forwards were given up: dst_1. Latest: It answered 500." in began.text
    house.clock.ahead += 9 * MINUTE
    await house.silent()
    house.clock.ahead += 2 * MINUTE
    assert "It has not come again for 10 min." in (await house.letters(2))[1].text


async def test_recovery_may_be_kept_to_oneself(house: House) -> None:
    alert = await house.alert(on=["webhook.failing"], recovery=False, every=10)
    await house.happens("webhook.failing", WEBHOOK)
    await house.letters(1)
    await house.happens("webhook.recovered", WEBHOOK)
    house.clock.ahead += MINUTE
    await house.silent()
    assert (await house.get(f"/v1/alerts/{alert['id']}"))["state"] == "ok"


async def test_nothing_is_sent_in_quiet_hours_and_all_of_it_after(house: House) -> None:
    now = rfc3339(house.clock())[11:16]
    later = rfc3339(house.clock() + 2 * HOUR)[11:16]
    alert = await house.alert(on=["message.undelivered"], quiet={"from": now, "until": later}, every=60)
    await house.fails(2)
    await house.silent()
    house.clock.ahead += HOUR
    await house.fails(1)
    await house.silent()
    assert (await house.get(f"/v1/alerts/{alert['id']}"))["next_notice_at"][11:16] == later
    house.clock.ahead += HOUR + MINUTE
    assert "(3 times)" in (await house.letters(1))[0].text


async def test_a_digest_comes_at_its_time_alone(house: House) -> None:
    at = rfc3339(house.clock() + HOUR)[11:16]
    await house.alert(on=["message.undelivered", "forward.dead"], digest={"at": [at]}, every=10)
    await house.fails(2)
    await house.silent()
    await house.happens("forward.dead", {"forward": {"destination": "dst_1"}})
    await house.silent()
    house.clock.ahead += HOUR
    (letter,) = await house.letters(1)
    assert letter.message["Subject"] == "[Columba] Ops: 2 new"
    await house.fails(1)
    house.clock.ahead += HOUR
    await house.silent()
    house.clock.ahead += 23 * HOUR
    await house.letters(2)


async def test_another_time_holds_for_what_waits_already(house: House) -> None:
    at = rfc3339(house.clock() + 5 * HOUR)[11:16]
    alert = await house.alert(on=["message.undelivered"], digest={"at": [at]})
    await house.fails(2)
    await house.silent()
    await house.api("PATCH", f"/v1/alerts/{alert['id']}", {"name": "Renamed"})
    await house.silent()
    await house.api("PATCH", f"/v1/alerts/{alert['id']}", {"digest": None})
    (letter,) = await house.letters(1)
    assert letter.message["Subject"].startswith("[Columba] Renamed")


async def test_templates_say_it_in_other_words(house: House) -> None:
    channel = {
        "kind": "email",
        "to": [OPS],
        "subject": "{{ name | upper }}: {{ opened | length }}",
        "text": "{{ lines }}",
    }
    await house.alert(on=["message.undelivered"], channels=[channel])
    await house.fails()
    (letter,) = await house.letters(1)
    assert letter.message["Subject"] == "OPS: 1"
    assert letter.text.startswith("[")


async def test_a_greylisting_server_has_it_later_under_the_same_id(house: House) -> None:
    alert = await house.alert(on=["message.undelivered"])
    house.box.rcpt.append("450 4.2.0 Greylisted")
    await house.fails()
    (waiting,) = await house.told(alert, "pending")

    async def tried() -> Any:
        (each,) = (await house.get(f"/v1/alerts/{alert['id']}/notices"))["data"]
        return each if each["error"] else None

    waiting = await eventually(tried)
    assert "450 4.2.0 Greylisted" in waiting["error"]
    assert waiting["next_attempt_at"]
    house.clock.ahead += MINUTE
    (letter,) = await house.letters(1)
    assert letter.message["Message-ID"] == f"<{waiting['id']}@127.0.0.1>"
    (sent,) = await house.told(alert, "sent")
    assert (sent["attempts"], sent["error"]) == (2, None)


async def test_an_address_that_is_refused_is_given_up_and_the_other_one_reached(house: House) -> None:
    house.box.refuses = {"gone@example.org": "550 5.1.1 No such user"}
    alert = await house.alert(on=["message.undelivered"], channels=[{"kind": "email", "to": ["gone@example.org", OPS]}])
    await house.fails()
    await house.letters(1)
    await house.told(alert, "sent")
    notices = {each["recipient"]: each for each in await house.told(alert, "failed")}
    assert "No such user" in notices["gone@example.org"]["error"]
    assert notices[OPS]["status"] == "sent"


async def test_a_webhook_gets_it_signed(house: House, sink: Sink) -> None:
    secret = new_secret(bytes(range(24)))
    alert = await house.alert(
        on=["message.undelivered"], channels=[{"kind": "webhook", "url": f"{sink.url}/alert", "secret": secret}]
    )
    sink.replies.append(Reply(503))
    await house.fails()
    (waiting,) = await house.told(alert, "pending")
    await eventually(lambda: _true(len(sink.requests) == 1))
    house.clock.ahead += MINUTE
    (sent,) = await house.told(alert, "sent")
    first, second = sink.requests
    assert second.json == first.json
    assert (second.json["id"], second.json["type"]) == (sent["id"], "alert.notice")
    assert second.json["data"]["alert"] == {"id": alert["id"], "name": "Ops"}
    assert second.json["data"]["opened"][0].startswith("Messages were not delivered")
    stamp = int(second.headers["webhook-timestamp"])
    assert second.headers["webhook-id"] == waiting["id"]
    assert second.headers["webhook-signature"] == sign(waiting["id"], stamp, second.body, [decode_secret(secret)])


async def _true(value: bool) -> bool:
    return value


SLACK = {
    "a": (Reply(body=b"ok"), "sent"),
    "b": (Reply(body=b'{"ok": true}'), "sent"),
    "c": (Reply(body=b'{"ok": false, "error": "no_text"}'), "pending"),
    "d": (Reply(429, headers={"Retry-After": "1200"}), "pending"),
    "e": (Reply(404, b"no_team"), "failed"),
}


async def test_slack_says_by_its_answer_whether_it_took_it(house: House, sink: Sink) -> None:
    sink.reply = lambda request: SLACK[request.path[-1]][0]
    channels = [{"kind": "slack", "url": f"{sink.url}/x/{path}"} for path in SLACK]
    alert = await house.alert(on=["message.undelivered"], channels=channels)
    await house.fails()

    async def tried() -> Any:
        await house.steps()
        found = (await house.get(f"/v1/alerts/{alert['id']}/notices"))["data"]
        done = [each for each in found if each["status"] != "pending" or each["error"]]
        return done if len(done) == len(SLACK) else None

    assert [each["status"] for each in await eventually(tried)][::-1] == [status for _, status in SLACK.values()]
    assert "*Ops*: Messages were not delivered" in sink.requests[0].json["text"]
    house.clock.ahead += 15 * MINUTE  # the one that was put off for a while is not asked yet
    await house.silent()
    assert sum(request.path == "/x/d" for request in sink.requests) == 1


async def test_a_text_is_sent_like_any_other_and_makes_no_alert(house: House) -> None:
    alert = await house.alert(
        on=["message.undelivered"], channels=[{"kind": "text", "to": ["+447799990002"], "from": "Ops"}], every=10
    )
    await house.fails()
    await house.told(alert, "sent")
    (text,) = (await house.get("/v1/messages?tag=alert"))["data"]
    assert (text["to"], text["from"]) == ("+447799990002", "Ops")
    assert text["text"].startswith("Ops: Messages were not delivered")

    async def failed() -> bool:
        return bool((await house.get(f"/v1/messages/{text['id']}"))["status"] == "undelivered")

    await eventually(failed)
    house.clock.ahead += MINUTE
    await house.steps()
    await house.steps()
    assert len((await house.get(f"/v1/alerts/{alert['id']}/notices"))["data"]) == 1


async def test_a_number_that_can_not_be_texted_is_told(house: House) -> None:
    alert = await house.alert(on=["message.undelivered"], channels=[{"kind": "text", "to": ["+447799990004"]}])
    await house.fails()
    (notice,) = await house.told(alert, "failed")
    assert "opted_out" in notice["error"]


async def test_too_few_deliveries_are_told_and_that_they_are_enough_again(house: House) -> None:
    alert = await house.alert(delivery_rate={"below": 0.5, "least": 4, "window": 600}, every=10)
    await house.fails(3)
    await house.app.watching.rates()
    await house.silent()  # too few to say
    await house.fails(2)
    house.clock.ahead += MINUTE
    await house.app.watching.rates()
    (letter,) = await house.letters(1)
    assert "Fewer than 50 % of messages are delivered. Latest: 0 of 5 were delivered (0 %)." in letter.text
    house.clock.ahead += MINUTE
    await house.app.watching.rates()
    await house.silent()  # told once
    for n in range(6):
        await house.columba.send(f"+44770090{n + 10:04}")

    async def enough() -> bool:
        return len((await house.get("/v1/messages?status=delivered"))["data"]) == 6

    await eventually(enough)
    house.clock.ahead += MINUTE
    await house.app.watching.rates()
    assert "6 of 11 were delivered (55 %)" in (await house.letters(2))[1].text
    assert (await house.get(f"/v1/alerts/{alert['id']}"))["state"] == "ok"


async def test_a_carrier_that_goes_down_is_told_and_that_it_is_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = house.columba.live_key
    house.api.key = key
    made = (await house.api("POST", "/v1/carriers", {"name": "MNO", "kind": "sandbox", "config": {}})).json
    an_id = ids.read("car", made["id"]) or 0
    down: dict[str, str] = {}

    async def states(carriers: Any) -> dict[int, list[SessionState]]:
        those: list[Carrier] = list(carriers)
        return {
            each.id: [SessionState(each.id, not down, down.get("why", ""), 0, 0, None, None, None)] for each in those
        }

    monkeypatch.setattr(house.app.states, "of", states)
    await house.alert(on=["carrier.down"], every=10)
    await house.app.watching.carriers()
    down["why"] = "Connection refused."
    await house.app.watching.carriers()
    await house.silent()  # it may be back in a moment
    house.clock.ahead += 20_000
    await house.app.watching.carriers()
    await house.app.watching.carriers()
    (letter,) = await house.letters(1)
    assert "The carrier MNO is down. Latest: Connection refused." in letter.text
    (event,) = (await house.get("/v1/events?type=carrier.down"))["data"]
    assert (event["data"]["id"], event["data"]["state"]) == (made["id"], "down")
    down.clear()
    house.clock.ahead += 20_000
    await house.app.watching.carriers()
    assert "Over: The carrier MNO is down." in (await house.letters(2))[1].text
    down["why"] = "Gone."
    for _ in range(2):
        await house.app.watching.carriers()
        house.clock.ahead += 20_000
    await house.letters(3)
    assert (await house.api("POST", f"/v1/carriers/{made['id']}/pause")).status == 200
    house.clock.ahead += 20_000
    await house.app.watching.carriers()
    assert "It was paused." in (await house.letters(4))[3].text
    assert an_id


async def test_a_mail_server_that_hangs_keeps_no_other_channel_waiting(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = asyncio.Event()

    async def hangs(*_: object) -> None:
        await goes_on.wait()

    monkeypatch.setattr("columba.alerts.sending.send_mail", hangs)
    monkeypatch.setattr("columba.alerts.sending.MOST_READ", 5)
    people = [f"a{n}@example.org" for n in range(15)]
    alert = await house.alert(
        on=["message.undelivered"],
        channels=[{"kind": "email", "to": people}, {"kind": "slack", "url": f"{sink.url}/x"}],
    )
    await house.fails()
    (sent,) = [each for each in await house.told(alert, "sent") if each["status"] == "sent"]
    assert sent["channel"] == "slack"
    goes_on.set()
    await house.told(alert, "sent", 16)


async def test_slack_takes_nothing_for_a_link(house: House, sink: Sink) -> None:
    await house.alert(on=["webhook.failing"], name="<!channel>", channels=[{"kind": "slack", "url": f"{sink.url}/x"}])
    await house.happens("webhook.failing", {"url": "https://a.b/?x&<y>"})

    async def posted() -> bool:
        await house.steps()
        return bool(sink.requests)

    await eventually(posted)
    assert (
        sink.requests[0].json["text"].startswith("*&lt;!channel&gt;*: The webhook https://a.b/?x&amp;&lt;y&gt; fails")
    )


async def test_a_network_that_can_not_be_reached_is_down(house: House) -> None:
    house.api.key = house.columba.live_key
    config = {"host": "127.0.0.1", "port": free_port(), "system_id": "x", "password": "y"}
    made = (await house.api("POST", "/v1/carriers", {"name": "MNO", "kind": "smpp", "config": config})).json
    await house.alert(on=["carrier.*"])

    async def down() -> bool:
        return bool((await house.get(f"/v1/carriers/{made['id']}"))["state"] == "down")

    await eventually(down)
    await house.app.watching.carriers()
    house.clock.ahead += 20_000
    await house.app.watching.carriers()
    assert "The carrier MNO is down." in (await house.letters(1))[0].text


async def test_a_person_who_is_forgotten_is_in_no_notice(house: House) -> None:
    alert = await house.alert(on=["message.undelivered"])
    await house.fails()
    await house.letters(1)
    number = (await house.get("/v1/messages"))["data"][0]["to"]
    path = f"/v1/alerts/{alert['id']}"
    told = [await house.get(f"{path}/{part}") for part in ("notices", "incidents")]
    assert all(number in str(each) for each in told)
    await house.app.alerts.erase(house.columba.account_id, 0, number)
    told = [await house.get(f"{path}/{part}") for part in ("notices", "incidents")]
    assert not any(number in str(each) for each in told)


async def test_one_that_is_turned_off_hears_nothing_and_starts_anew(house: House) -> None:
    made = await house.alert(on=["message.undelivered"], wait=60)
    await house.fails(3)
    await house.steps()
    assert (await house.get(f"/v1/alerts/{made['id']}"))["open"] == 1
    off = await house.api("PATCH", f"/v1/alerts/{made['id']}", {"enabled": False})
    assert (off.json["enabled"], off.json["open"]) == (False, 0)
    await house.fails(1)
    house.clock.ahead += 600_000
    await house.silent()
    await house.api("PATCH", f"/v1/alerts/{made['id']}", {"enabled": True, "wait": 0})
    await house.fails(1)
    (letter,) = await house.letters(1)
    assert "times" not in letter.text
    assert (await house.api("DELETE", f"/v1/alerts/{made['id']}")).status == 204
    await house.fails(1)
    await house.silent()


async def test_two_processes_tell_it_once(tmp_path: Path, tables_url: str, clock: Clock, box: Postbox) -> None:
    smtp = f"smtp://127.0.0.1:{box.port}?tls=off"
    settings = {"allow_network": LOOPBACK, "smtp_url": smtp, "secret_key": "ab" * 32}
    async with (
        running(tmp_path / "a", tables_url, **settings) as one,
        running(tmp_path / "b", tables_url, **settings) as two,
    ):
        house, other = House(one, clock, box), House(two, clock, box)
        await house.alert(on=["message.undelivered"], wait=3)
        await other.app.alerts.refresh()
        await house.fails(10)
        for _ in range(3):
            await house.app.collecting.collect()
            await other.app.collecting.collect()
        clock.ahead += 4_000
        await asyncio.gather(*(each.steps() for each in (house, other, house, other)))
        (letter,) = await house.letters(1)
        assert "(10 times)" in letter.text
        await other.silent()
