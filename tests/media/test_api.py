"""Files are put in, listed, read and deleted by their account alone; links lead to them for a while, and do no harm."""

from typing import Any

import pytest

from tests.media.conftest import House
from tests.media.files import HTML, JPEG, MP4, PNG, VCARD
from tests.program import Reply, Request, Sink


@pytest.fixture
def database() -> str:
    """SQLite alone: what of it is SQL, test_messages.py does on both stores."""
    return ""


FORM = (
    b'--b0\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n'
    b'--b0\r\nContent-Disposition: form-data; name="file"; filename="me \xc3\xa9.png"\r\nContent-Type: image/png\r\n\r\n'
    + PNG
    + b"\r\n--b0--\r\n"
)


async def test_a_file_is_kept_as_it_came(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    assert made["id"].startswith("med_")
    assert (made["content_type"], made["size"], made["state"]) == ("image/png", len(PNG), "ready")
    assert (made["origin"], made["message_id"], made["error"]) == ("upload", None, None)
    assert [path.read_bytes() for path in house.files()] == [PNG]
    content = await house.api("GET", f"/v1/media/{made['id']}/content")
    assert (content.status, content.body) == (200, PNG)
    shown = await house.get(f"/v1/media/{made['id']}")
    assert {**shown, "url": 0, "url_expires_at": 0} == {**made, "url": 0, "url_expires_at": 0}
    assert (await house.follow(shown["url"])).body == PNG
    assert (await house.get("/v1/media/usage"))["bytes"] == len(PNG)


async def test_a_form_has_its_file(house: House) -> None:
    made = await house.upload(FORM, "multipart/form-data; boundary=b0")
    assert (made["name"], made["size"]) == ("me.png", len(PNG))
    assert (await house.follow(made["url"])).body == PNG
    named = await house.api("POST", "/v1/media?name=hello.jpeg", PNG, headers={"content-type": "image/png"})
    assert named.json["name"] == "hello.png"


NOT_TAKEN = [
    (HTML, "text/html", 415, "unsupported_media_type"),
    (HTML, "image/svg+xml", 415, "unsupported_media_type"),
    (b"MZ\x90\0\x03", "image/png", 415, "unsupported_media_type"),
    (PNG, "video/mp4", 415, "unsupported_media_type"),
    (b"", "image/png", 422, "invalid_request"),
    (bytes(100_001), "image/png", 413, "payload_too_large"),
    (bytes(300_000), "image/png", 413, "payload_too_large"),
    (FORM, "multipart/form-data", 422, "invalid_request"),
    (FORM, "multipart/form-data; boundary=b1", 422, "invalid_request"),
    (FORM[: len(FORM) - 30], "multipart/form-data; boundary=b0", 422, "invalid_request"),
    (b"--b0\r\n" * 1000, "multipart/form-data; boundary=b0", 422, "invalid_request"),
    (b'{"url": 1}', "application/json", 422, "invalid_request"),
    (b'{"url": "ftp://a.example"}', "application/json", 422, "invalid_request"),
    (b'{"url": "http://169.254.169.254/latest"}', "application/json", 422, "invalid_request"),
]


async def test_what_is_not_taken_leaves_nothing(house: House) -> None:
    for body, kind, status, code in NOT_TAKEN:
        problem = await house.upload(body, kind, status)
        assert problem["code"] == code, problem
    assert house.files() == []
    assert (await house.get("/v1/media"))["data"] == []
    assert (await house.get("/v1/media/usage"))["bytes"] == 0


async def test_a_url_is_fetched_through_redirects_and_checked(house: House, sink: Sink) -> None:
    def answer(request: Request) -> Reply:
        if request.path == "/old":
            return Reply(302, headers={"Location": "/new/Pic.jpg?x=1"})
        return Reply(body=JPEG, headers={"Content-Type": "image/jpeg"})

    sink.reply = answer
    reply = await house.api("POST", "/v1/media", {"url": f"{sink.url}/old", "name": "menu"})
    assert reply.status == 201, reply.body
    assert (reply.json["name"], reply.json["origin"], reply.json["size"]) == ("menu.jpg", "url", len(JPEG))
    assert [request.path for request in sink.requests] == ["/old", "/new/Pic.jpg?x=1"]


LEADS_NOWHERE = [
    Reply(404),
    Reply(close=True),
    Reply(body=b""),
    Reply(body=bytes(100_001), headers={"Content-Type": "image/png"}),
    Reply(302, headers={"Location": "http://169.254.169.254/"}),
    Reply(302, headers={"Location": "file:///etc/passwd"}),
    Reply(302, headers={"Location": "/again"}),
]


async def test_a_url_that_leads_nowhere_good_is_refused(house: House, sink: Sink) -> None:
    for answer in LEADS_NOWHERE:
        sink.reply = answer
        sink.requests.clear()
        reply = await house.api("POST", "/v1/media", {"url": f"{sink.url}/a"})
        assert (reply.status, reply.json["errors"][0]["field"]) == (422, "url"), reply.body
        assert len(sink.requests) <= 6


async def test_a_url_that_leads_on_slowly_is_given_up(
    house: House, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("columba.media.fetching.WHOLE_S", 0.2)
    sink.reply = Reply(302, headers={"Location": "/again"}, delay=0.15)
    reply = await house.api("POST", "/v1/media", {"url": f"{sink.url}/a"})
    assert (reply.status, "too long" in reply.json["errors"][0]["detail"]) == (422, True)


async def test_another_account_and_the_other_mode_find_nothing(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    other = await house.columba.key(account_id=await house.columba.another_account())
    for key in (other, house.columba.live_key):
        for method, path in (
            ("GET", f"/v1/media/{made['id']}"),
            ("GET", f"/v1/media/{made['id']}/content"),
            ("DELETE", f"/v1/media/{made['id']}"),
            ("POST", f"/v1/media/{made['id']}/fetch"),
        ):
            reply = await house.api(method, path, key=key)
            assert (reply.status, reply.json["code"]) == (404, "not_found")
        assert (await house.get("/v1/media", key=key))["data"] == []
        message = {"to": "+447700900123", "text": "x", "media": [made["id"]]}
        if key == other:
            reply = await house.api("POST", "/v1/messages", message, key=key)
            assert (reply.status, reply.json["errors"][0]["code"]) == (422, "not_found")
    assert (await house.get("/v1/media/usage", key=other))["bytes"] == 0
    assert len(house.files()) == 1


async def test_scopes(house: House) -> None:
    reader, writer = [await house.columba.key(scopes=[scope]) for scope in ("media:read", "media:write")]
    headers = {"content-type": "image/png"}
    assert (await house.api("POST", "/v1/media", PNG, headers=headers, key=reader)).status == 403
    made = (await house.api("POST", "/v1/media", PNG, headers=headers, key=writer)).json
    assert (await house.api("GET", f"/v1/media/{made['id']}", key=writer)).status == 403
    assert (await house.api("GET", f"/v1/media/{made['id']}", key=reader)).status == 200
    assert (await house.api("POST", "/v1/media", PNG, headers=headers, key="")).status == 401


async def test_what_is_served_can_do_no_harm(house: House) -> None:
    for body, kind, shown in (
        (PNG, "image/png", "inline"),
        (HTML, "text/plain", "attachment"),
        (VCARD, "text/vcard", "attachment"),
    ):
        made = await house.upload(body, kind)
        got = await house.follow(made["url"])
        assert got.headers["content-type"].partition(";")[0] == kind
        assert got.headers["content-disposition"] == f'{shown}; filename="{made["name"]}"'
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert "set-cookie" not in got.headers


async def test_a_link_ends_and_a_forged_one_never_was(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    url = made["url"]
    for forged in (
        url[:-1],
        url.replace("expires=1", "expires=2"),
        url.partition("?")[0],
        url.replace("sig=", "sig=A"),
    ):
        assert (await house.follow(forged)).status == 404
    house.clock.ahead = 8 * 86_400_000
    gone = await house.follow(url)
    assert (gone.status, gone.json["code"]) == (410, "link_expired")
    assert (await house.follow((await house.get(f"/v1/media/{made['id']}"))["url"])).status == 200


PIECES = [
    ("bytes=0-3", 206, MP4[:4]),
    ("bytes=4-", 206, MP4[4:]),
    ("bytes=-5", 206, MP4[-5:]),
    ("bytes=0-9999", 206, MP4),
    (f"bytes={len(MP4)}-", 416, b""),
    ("bytes=5-2", 416, b""),
    ("bytes=-0", 416, b""),
    ("bytes=0-1,3-4", 200, MP4),
    ("bytes=x-", 200, MP4),
    ("lines=0-1", 200, MP4),
]


async def test_a_player_may_ask_for_a_piece(house: House) -> None:
    made = await house.upload(MP4, "video/mp4")
    for asked, status, got in PIECES:
        reply = await house.follow(made["url"], headers={"range": asked})
        assert (reply.status, reply.body) == (status, got), asked


async def test_what_is_known_already_is_not_sent_again(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    first = await house.follow(made["url"])
    again = await house.follow(made["url"], headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_lists_are_paged_and_narrowed(house: House) -> None:
    made = [(await house.upload(PNG, "image/png"))["id"] for _ in range(3)]
    first = await house.get("/v1/media?limit=2")
    rest = await house.get(f"/v1/media?limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in (*first["data"], *rest["data"])] == made[::-1]
    assert (await house.get("/v1/media?origin=received"))["data"] == []
    await house.get("/v1/media?message_id=nonsense", 422)


async def test_a_deleted_file_is_gone_and_its_room_is_free(house: House) -> None:
    made = await house.upload(PNG, "image/png")
    assert (await house.api("DELETE", f"/v1/media/{made['id']}")).status == 204
    assert house.files() == []
    assert (await house.follow(made["url"])).status == 404
    assert (await house.get(f"/v1/media/{made['id']}", 404))["code"] == "not_found"
    assert (await house.get("/v1/media/usage"))["files"] == 0


async def test_the_same_key_uploads_once(house: House) -> None:
    headers = {"content-type": "image/png", "idempotency-key": "once"}
    first = await house.api("POST", "/v1/media", PNG, headers=headers)
    again = await house.api("POST", "/v1/media", PNG, headers=headers)
    assert (first.status, again.json["id"]) == (201, first.json["id"])
    other = await house.api("POST", "/v1/media", JPEG, headers={**headers, "content-type": "image/jpeg"})
    assert (other.status, other.json["code"]) == (409, "idempotency_mismatch")
    assert len(house.files()) == 1


class TestQuota:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"media_quota": 3 * len(PNG)}

    async def test_an_account_keeps_no_more_than_it_may(self, house: House) -> None:
        made = [await house.upload(PNG, "image/png") for _ in range(3)]
        assert (await house.upload(PNG, "image/png", 422))["code"] == "quota_exceeded"
        other = await house.columba.key(account_id=await house.columba.another_account())
        await house.upload(PNG, "image/png", key=other)
        await house.api("DELETE", f"/v1/media/{made[0]['id']}")
        await house.upload(PNG, "image/png")
        assert (await house.get("/v1/media/usage"))["bytes"] == 3 * len(PNG)
