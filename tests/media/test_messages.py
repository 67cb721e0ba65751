"""Messages with media: what goes out is shown and found, what comes in is fetched and kept, what is redacted is gone."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from columba import sandbox
from columba.core import ids
from columba.core.contract import Inbound
from columba.core.inbound import data_uri
from columba.core.model import rfc3339
from columba.errors import Refusal
from columba.media.fetching import Got
from tests.api import eventually, running
from tests.media.conftest import LOOPBACK, Clock, House
from tests.media.files import JPEG, PNG
from tests.program import Reply, Sink

HOUR = 3_600_000


async def ready(house: House, message: Any, state: str = "ready") -> Any:
    async def look() -> Any:
        await house.app.fetching.step()
        found = (await house.get(f"/v1/media?message_id={message['id']}"))["data"]
        return found if found and all(each["state"] == state for each in found) else None

    return await eventually(look)


async def test_a_message_names_what_was_uploaded_and_shows_links(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    sent = await house.send(text="Look", media=[made["id"], "https://a.example/b.jpg"])
    assert sent["text"] == "Look"
    link, url = sent["media"]
    assert url == "https://a.example/b.jpg"
    assert (await house.follow(link)).body == PNG
    shown = await house.get(f"/v1/messages/{sent['id']}")
    assert shown["media"] == sent["media"]
    listed = await house.get(f"/v1/media?message_id={sent['id']}")
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    alone = await house.send(media=[made["id"]])
    assert (alone["text"], len(alone["media"])) == (None, 1)


async def test_ids_that_stand_for_nothing_are_refused_with_all_else(house: House) -> None:
    problem = await house.send(422, text="x", media=["https://a.example/a", "med_0000000000001"])
    assert [(e["field"], e["code"]) for e in problem["errors"]] == [("media[1]", "not_found")]
    problem = await house.send(422, to="12", text="x", media=["med_0000000000001"], send_at="2020-01-01T00:00:00Z")
    assert {e["field"] for e in problem["errors"]} == {"to", "media[0]", "send_at"}
    problem = await house.send(422, text="x", media=["med_nonsense"])
    assert problem["errors"][0]["code"] == "invalid_url"
    body = {"messages": [{"to": "+447700900123", "media": ["med_0000000000001"]}, {"to": "+447700900124", "text": "x"}]}
    batch = (await house.api("POST", "/v1/messages/batch", body)).json
    assert (batch["accepted"], batch["data"][0]["error"]["code"]) == (1, "not_found")


async def test_a_batch_shares_one_file(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    rows = [{"to": f"+4477009001{n:02}", "text": "x"} for n in range(20)]
    body = {"defaults": {"media": [made["id"], made["id"]]}, "messages": rows}
    assert (await house.api("POST", "/v1/messages/batch", body)).json["accepted"] == 20


async def test_a_carrier_without_media_gets_links_in_the_text(house: House) -> None:
    made = await house.upload(PNG, "image/png", key=house.columba.live_key)
    body = {"name": "texts only", "kind": "sandbox", "config": {"media": False}}
    assert (await house.api("POST", "/v1/carriers", body, key=house.columba.live_key)).status == 201
    message = {"to": "+447700900123", "text": "Look", "media": [made["id"]]}
    reply = await house.api("POST", "/v1/messages", message, key=house.columba.live_key)
    assert reply.status == 202, reply.body
    text = reply.json["text"]
    base = house.app.media.links.base
    assert text.startswith(f"Look\n{base}/m/")
    assert (reply.json["encoding"], reply.json["segments"]) == ("gsm7", 1)
    assert (await house.follow(text.partition("\n")[2])).body == PNG
    # A year ahead: it must be good then.
    later = ids.time_of(house.app.ids()) + 300 * 24 * HOUR
    scheduled = await house.api(
        "POST", "/v1/messages", {**message, "send_at": rfc3339(later)}, key=house.columba.live_key
    )
    house.clock.ahead = 301 * 24 * HOUR
    assert (await house.follow(scheduled.json["text"].partition("\n")[2])).body == PNG
    house.clock.ahead = 0
    long = await house.api("POST", "/v1/messages", {**message, "text": "x" * 1500}, key=house.columba.live_key)
    assert (long.status, long.json["errors"][0]["code"]) == (422, "too_long")


async def test_what_comes_in_is_fetched_kept_and_told(house: House, sink: Sink) -> None:
    sink.reply = Reply(body=JPEG, headers={"Content-Type": "image/jpeg"})
    message = await house.text_in(f"{sink.url}/media/Cat.jpg?token=secret", f"{sink.url}/b")
    assert all(link.startswith(house.app.media.links.base + "/media/med_") for link in message["media"])
    assert "secret" not in str(message)
    kept = await ready(house, message)
    assert {(each["origin"], each["content_type"], each["size"]) for each in kept} == {
        ("received", "image/jpeg", len(JPEG))
    }
    assert {each["message_id"] for each in kept} == {message["id"]}
    for link in message["media"]:
        assert (await house.follow(link)).body == JPEG
    assert (await house.get(f"/v1/messages/{message['id']}"))["media"] == message["media"]
    events = (await house.get("/v1/events?type=media.received"))["data"]
    assert sorted(each["data"]["id"] for each in events) == sorted(each["id"] for each in kept)
    assert (await house.get("/v1/media/usage"))["files"] == 2


async def test_a_carrier_that_fails_is_asked_again_until_it_has_it(house: House, sink: Sink) -> None:
    sink.replies.extend([Reply(503), Reply(close=True), Reply(404)])
    sink.reply = Reply(body=PNG)
    message = await house.text_in(f"{sink.url}/a")
    told = set()  # each fails for another reason
    for tries in (1, 2, 3):

        async def failed(tries: int = tries) -> Any:
            await house.app.fetching.step()
            (each,) = (await house.get(f"/v1/media?message_id={message['id']}"))["data"]
            return each if len(sink.requests) == tries and each["error"] and each["error"] not in told else None

        pending = await eventually(failed)
        told.add(pending["error"])
        assert pending["state"] == "pending"
        waiting = await house.follow(message["media"][0])
        assert (waiting.status, waiting.json["code"]) == (503, "media_pending")
        house.clock.ahead += 600_000
    (kept,) = await ready(house, message)
    assert kept["error"] is None
    assert len(sink.requests) == 4


async def test_what_can_never_be_had_is_told_and_may_be_tried_again(house: House, sink: Sink) -> None:
    sink.reply = Reply(410)
    message = await house.text_in(f"{sink.url}/a")
    (failed,) = await ready(house, message, "failed")
    assert failed["error"] == "The server answered 410."
    (event,) = (await house.get("/v1/events?type=media.failed"))["data"]
    assert event["data"]["id"] == failed["id"]
    assert (await house.follow(message["media"][0])).status == 404
    sink.reply = Reply(body=PNG)
    assert (await house.api("POST", f"/v1/media/{failed['id']}/fetch")).status == 200
    await ready(house, message)
    assert (await house.api("POST", f"/v1/media/{failed['id']}/fetch")).status == 409


async def test_an_address_inside_is_never_asked(house: House) -> None:
    message = await house.text_in("http://169.254.169.254/latest/meta-data")
    await house.app.fetching.step()

    async def told() -> Any:
        (each,) = (await house.get(f"/v1/media?message_id={message['id']}"))["data"]
        return each["error"]

    assert "no address that is allowed" in await eventually(told)


async def test_what_no_text_can_say_is_kept_too(house: House) -> None:
    """A binary SMS comes from its carrier as a data URI."""
    carrier = house.app.carriers()[sandbox.CARRIER_ID]
    said = Inbound("+447700900123", "+12025550100", "", (data_uri(b"\0\1\2"),))
    (message,) = await house.app.receive.inbound(carrier, [said], house.columba.account_id)
    (kept,) = await ready(house, {"id": ids.show("msg", message.id)})
    assert (kept["content_type"], kept["name"]) == ("application/octet-stream", "file.bin")
    got = await house.follow(kept["url"])
    assert (got.body, got.headers["content-disposition"]) == (b"\0\1\2", 'attachment; filename="file.bin"')


async def test_a_carriers_credentials_go_to_its_own_host_alone(house: House, sink: Sink) -> None:
    with Sink(Reply(body=JPEG)) as cdn:
        sink.reply = Reply(307, headers={"Location": f"{cdn.url}/it"})
        config = {"base_url": sink.url, "account_sid": "AC1", "auth_token": "hush"}
        made = await house.api(
            "POST", "/v1/carriers", {"name": "t", "kind": "twilio", "config": config}, key=house.columba.live_key
        )
        assert made.status == 201, made.body
        carrier = house.app.carriers()[ids.read("car", made.json["id"]) or 0]
        urls = (f"{sink.url}/Media/ME1", f"{cdn.url}/ours")
        said = Inbound("+447700900123", "+12025550100", "Look", urls, "MM1")
        (message,) = await house.app.receive.inbound(carrier, [said])

        async def there() -> bool:
            await house.app.fetching.step()
            path = f"/v1/media?message_id={ids.show('msg', message.id)}"
            found = (await house.get(path, key=house.columba.live_key))["data"]
            return [each["state"] for each in found] == ["ready", "ready"]

        await eventually(there)
        assert [request.headers["authorization"] for request in sink.requests] == ["Basic QUMxOmh1c2g="]
        assert sorted(request.path for request in cdn.requests) == ["/it", "/ours"]
        assert not any("authorization" in request.headers for request in cdn.requests)


async def test_redacting_deletes_what_only_that_message_had(house: House, sink: Sink) -> None:
    sink.reply = Reply(body=JPEG)
    message = await house.text_in(f"{sink.url}/a")
    await ready(house, message)
    assert len((await house.get("/v1/events?type=media.received"))["data"]) == 1
    shared = await house.upload(PNG, "image/png")
    sent = [await house.send(text="x", media=[shared["id"]]) for _ in range(2)]

    async def delivered() -> Any:
        shown = [await house.get(f"/v1/messages/{each['id']}") for each in sent]
        return all(each["status"] == "delivered" for each in shown)

    await eventually(delivered)

    async def redact(an_id: str) -> None:
        reply = await house.api("POST", f"/v1/messages/{an_id}/redact")
        assert (reply.status, reply.json["media"]) == (200, [])

    async def left(count: int) -> None:
        async def look() -> bool:
            return len(house.files()) == count

        await eventually(look)

    await left(2)
    await redact(message["id"])
    await left(1)
    assert (await house.follow(message["media"][0])).status == 404
    assert (await house.get("/v1/events?type=media.received"))["data"] == []
    await redact(sent[0]["id"])
    assert (await house.follow(sent[1]["media"][0])).body == PNG  # the other one still has it
    await redact(sent[1]["id"])
    await left(0)

    async def forgotten() -> bool:  # in a step after the files
        return bool((await house.get("/v1/media/usage"))["bytes"] == 0)

    await eventually(forgotten)


async def test_what_a_waiting_message_needs_can_not_be_deleted(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    sent = await house.send(text="x", media=[made["id"]], send_at=(datetime.now(UTC) + timedelta(days=30)).isoformat())
    refused = await house.api("DELETE", f"/v1/media/{made['id']}")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    await house.api("POST", f"/v1/messages/{sent['id']}/cancel")
    assert (await house.api("DELETE", f"/v1/media/{made['id']}")).status == 204


async def test_what_no_message_uses_is_swept_in_time(house: House) -> None:
    unused, used = [await house.upload(PNG, "image/png") for _ in range(2)]
    await house.send(text="x", media=[used["id"]])
    await house.app.media.sweep()
    assert len(house.files()) == 2
    house.clock.ahead = 31 * 24 * HOUR
    await house.app.media.sweep()
    assert [each["id"] for each in (await house.get("/v1/media"))["data"]] == [used["id"]]
    assert len(house.files()) == 1
    await house.get(f"/v1/media/{unused['id']}", 404)


async def test_a_forward_takes_the_files_that_came_with_a_text(house: House, sink: Sink) -> None:
    sink.reply = lambda request: Reply(body=JPEG, delay=0.2) if request.method == "GET" else Reply()
    request = {
        "method": "POST", "url": f"{sink.url}/ticket",
        "body": {"multipart": [{"name": "text", "text": "{{ text }}"}, {"name": "file", "media": "all"}]},
    }  # fmt: skip
    made = await house.api("POST", "/v1/destinations", {"name": "desk", "request": request})
    assert made.status == 201, made.body
    rule = {"name": "all", "when": {"media": True}, "then": [{"forward": {"to": [made.json["id"]]}}]}
    assert (await house.api("POST", "/v1/rules", rule)).status == 201
    await house.text_in(f"{sink.url}/cat.jpg")

    async def came() -> Any:
        return next((each for each in sink.requests if each.path == "/ticket"), None)

    forward = await eventually(came)
    assert JPEG in forward.body
    assert b'name="file"; filename="cat.jpg"' in forward.body
    assert [each.path for each in sink.requests].count("/cat.jpg") == 1  # from our own copy


async def test_a_carrier_fetches_what_it_is_given(house: House, sink: Sink) -> None:
    """A provider's API gets our links, good without a key."""
    sink.reply = Reply(201, b'{"sid": "SM1", "status": "queued"}', {"Content-Type": "application/json"})
    key = house.columba.live_key
    config = {"base_url": sink.url, "account_sid": "AC1", "auth_token": "hush", "sender": "+12025550100"}
    made = await house.api("POST", "/v1/carriers", {"name": "t", "kind": "twilio", "config": config}, key=key)
    assert made.status == 201, made.body
    picture = await house.upload(PNG, "image/png", key=key)
    message = {"to": "+447700900123", "from": "+12025550100", "text": "Look", "media": [picture["id"]]}
    sent = await house.api("POST", "/v1/messages", message, key=key)
    assert (sent.status, sent.json["text"]) == (202, "Look")

    async def posted() -> Any:
        return next((each for each in sink.requests if each.method == "POST"), None)

    fields = dict(parse_qsl((await eventually(posted)).body.decode()))
    assert fields["Body"] == "Look"
    assert fields["MediaUrl"].split("?")[0].endswith("/file.png")
    assert (await house.follow(fields["MediaUrl"])).body == PNG


async def test_a_message_that_takes_another_way_gets_its_links_then(house: House) -> None:
    key = house.columba.live_key
    made = await house.api("POST", "/v1/carriers", {"name": "c", "kind": "sandbox", "config": {}}, key=key)
    path = f"/v1/carriers/{made.json['id']}"
    assert (await house.api("POST", f"{path}/pause", key=key)).status == 200
    picture = await house.upload(PNG, "image/png", key=key)
    message = {"to": "+447700900123", "text": "x" * 150, "media": [picture["id"]]}
    sent = (await house.api("POST", "/v1/messages", message, key=key)).json
    assert (sent["text"], sent["segments"]) == ("x" * 150, 1)
    assert (await house.api("PATCH", path, {"config": {"media": False}}, key=key)).status == 200
    assert (await house.api("POST", f"{path}/resume", key=key)).status == 200

    async def delivered() -> Any:
        shown = await house.get(f"/v1/messages/{sent['id']}", key=key)
        return shown if shown["status"] == "delivered" else None

    shown = await eventually(delivered)
    assert (shown["segments"], len(shown["parts"])) == (2, 2)


async def test_an_upload_that_was_cut_off_leaves_nothing_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had died while the bytes were written, and nobody could clean up."""

    async def dies(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(house.app.media._kept, "put", dies)
        patched.setattr(house.app.media, "_give_up", lambda _media: asyncio.sleep(0))
        assert (await house.upload(PNG, "image/png", 500))["code"] == "internal"
    assert (await house.get("/v1/media"))["data"] == []
    assert (await house.get("/v1/media/usage"))["bytes"] == len(PNG)
    await house.app.media.sweep()
    assert (await house.get("/v1/media/usage"))["bytes"] == len(PNG)  # it may still be under way
    house.clock.ahead += 2 * HOUR
    await house.app.media.sweep()
    assert (await house.get("/v1/media/usage"))["bytes"] == 0


async def test_what_can_not_be_deleted_now_is_deleted_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await house.upload(PNG, "image/png")

    async def fails(_keys: object) -> None:
        raise Refusal("store_unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(house.app.media._kept, "delete", fails)
        assert (await house.api("DELETE", f"/v1/media/{made['id']}")).status == 204
    assert (await house.follow(made["url"])).status == 404
    assert len(house.files()) == 1
    house.clock.ahead += HOUR
    await house.app.media.sweep()
    assert house.files() == []
    assert (await house.get("/v1/media/usage"))["files"] == 0


async def test_a_carrier_that_hangs_keeps_no_other_waiting(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.media.fetching.MOST_READ", 5)
    key, hung = house.columba.live_key, asyncio.Event()
    made = await house.api("POST", "/v1/carriers", {"name": "c", "kind": "sandbox", "config": {}}, key=key)
    carriers = house.app.carriers()
    slow, fine = carriers[ids.read("car", made.json["id"]) or 0], carriers[sandbox.CARRIER_ID]
    get = house.app.fetching.get

    async def hangs(url: str, carrier_id: int = 0) -> Got:
        if carrier_id == slow.id:
            await hung.wait()
        return await get(url, carrier_id)

    monkeypatch.setattr(house.app.fetching, "get", hangs)
    sink.reply = Reply(body=JPEG)
    for n in range(20):
        await house.app.receive.inbound(slow, [Inbound("+447700900123", "1", "", (f"{sink.url}/s{n}",))])
    said = Inbound("+447700900123", "1", "", (f"{sink.url}/fine",))
    (message,) = await house.app.receive.inbound(fine, [said], house.columba.account_id)
    await ready(house, {"id": ids.show("msg", message.id)})
    assert [request.path for request in sink.requests] == ["/fine"]
    hung.set()


async def test_two_processes_fetch_it_once(tmp_path: Path, tables_url: str, clock: Clock, sink: Sink) -> None:
    settings: dict[str, Any] = {"allow_network": LOOPBACK, "secret_key": "ab" * 32}
    sink.reply = Reply(body=JPEG)
    async with (
        running(tmp_path / "a", tables_url, **settings) as one,
        running(tmp_path / "b", tables_url, **settings) as two,
    ):
        house, other = House(one, clock, tmp_path), House(two, clock, tmp_path)
        message = await house.text_in(*(f"{sink.url}/{n}" for n in range(8)))
        for _ in range(3):
            await asyncio.gather(other.app.fetching.step(), house.app.fetching.step())
        await ready(house, message)
        assert sorted(request.path for request in sink.requests) == [f"/{n}" for n in range(8)]
