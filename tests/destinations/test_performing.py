"""What a destination sends, byte for byte, and what it takes the answer for."""

import asyncio
import base64
import json
import re
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl

import pytest

from columba.forwarding.performing import render
from tests.destinations.standin import AT, ID, Answer, Got, context, destination, forwarder, problems, standing

OK = Answer(200, {"ok": True, "ticket": {"id": 7}, "list": [1, 2]}, {"Location": "/tickets/7"})
HARD = 'He said "hi" \\ {{ 7*7 }}\n\t€ 😀 &<>'

KEY = {"secret": "t0p-secret"}
AUTHS: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "header", "name": "X-Key", "value": "t0p-secret", "prefix": "Token "},
    {"kind": "query", "value": "t0p-secret"},
    {"kind": "basic", "username": "{{ params.me }}", "password": "t0p-secret"},
    {"kind": "bearer", "token": "t0p-secret"},
    {"kind": "digest", "username": "{{ params.me }}", "password": "t0p-secret"},
    {"kind": "oauth2", "token_url": "URL/token", "client_id": "a", "client_secret": "t0p-secret"},
    {"kind": "hmac", **KEY, "template": "{{ timestamp }}.{{ body }}", "prefix": "v1=", "timestamp_header": "X-Time"},
    {"kind": "standard_webhooks", "secret": "whsec_dDBwLXNlY3JldC10MHAtc2VjcmV0LXQwcC1zZWM="},
    {"kind": "sigv4", "access_key_id": "AK", "secret_access_key": "t0p-secret", "region": "eu", "service": "sqs"},
]


class TestRequests:
    async def test_the_dry_run_shows_what_is_sent_byte_for_byte(self) -> None:
        """Each part of a request as a template; nothing in a text breaks out of its place."""
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            cases: list[dict[str, Any]] = [
                {"request": {"url": f"{peer.url}/a", "body": {"json": {"t": "{{ text }}",
                    "n": "{{ text | length }}"}}}},
                {"request": {"url": f"{peer.url}/a?x=1", "query": {"q": "{{ text }}", "l": "{{ media }}", "n": None},
                             "method": "GET", "headers": {"X-Said": "{{ text }}", "X-Empty": "{{ contact.name }}"}}},
                {"request": {"url": f"{peer.url}/p/{{{{ text }}}}/x", "method": "PUT",
                             "body": {"form": {"a": "{{ text }}", "b": "{{ media }}", "c": None}}}},
                {"request": {"url": f"{peer.url}/x", "method": "PATCH",
                    "body": {"xml": "<t a='{{ text }}'>{{ text }}</t>"}}},
                {"request": {"url": f"{peer.url}/t", "body": {"text": "{{ from }}: {{ text }}",
                    "content_type": "text/x"}}},
                {"request": {"url": f"{peer.url}/d/{{{{ groups.order }}}}", "method": "DELETE"}},
                {"request": {"url": f"{peer.url}/m", "body": {"multipart": [{"name": "text", "text": "{{ text }}"}]}}},
                {"request": {"url": f"{peer.url}/v", "body": {"json": "{{ values.whole }}"}},
                 "transform": {"name": "{{ from | phone('national') }}", "whole": {"name": "{{ values.name }}"}}},
            ]  # fmt: skip
            for fields in cases:
                found = destination(**fields)
                said = context(HARD, groups={"order": "a/b"}, media=["x", "y"])
                (shown,) = render(found, said, at=AT, idempotency_id=ID)
                done = await forward(found, HARD, groups={"order": "a/b"}, media=["x", "y"])
                assert done.ok, done.error
                got = peer.got[-1]
                assert (got.method, f"{peer.url}{got.target}", got.body) == (shown.method, shown.url, shown.body)
                assert shown.headers.items() <= {name: got.headers[name.lower()] for name in shown.headers}.items()
                assert done.last is not None
                assert done.last.request == shown.shown()
        sent = {got.target.split("?")[0][:3]: got for got in peer.got}
        assert sent["/a"].method == "GET"
        assert peer.got[0].json == {"t": HARD, "n": len(HARD)}
        assert parse_qsl(peer.got[1].target.partition("?")[2]) == [("x", "1"), ("q", HARD), ("l", "x"), ("l", "y")]
        assert "x-empty" not in peer.got[1].headers
        assert peer.got[2].target.count("/") == 3
        assert parse_qsl(peer.got[2].body.decode()) == [("a", HARD), ("b", "x"), ("b", "y")]
        assert b"&quot;hi&quot;" in peer.got[3].body
        assert peer.got[5].target == "/d/a%2Fb"
        assert peer.got[7].json == {"name": "07700 900123"}

    @pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: str(auth["kind"]))
    async def test_the_dry_run_shows_every_proof_but_its_secret(self, auth: dict[str, Any]) -> None:
        """What is shown before, what is kept after and what was on the wire are the same, `***` for what is secret."""

        def answer(got: Got) -> Answer:
            if got.target == "/token":
                return Answer(200, {"access_token": "t0p-secret", "expires_in": 600})
            challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
            return OK if auth["kind"] != "digest" or "authorization" in got.headers else Answer(401, b"", challenge)

        async with standing(answer) as peer, forwarder() as forward:
            request = {"url": f"{peer.url}/a?x=1", "body": {"json": {"t": "{{ text }}"}}}
            auth = {name: value.replace("URL", peer.url) for name, value in auth.items()}
            found = destination(request=request, auth=auth, params={"me": "Zoë"})
            shown = await forward.rehearse(found, HARD)
            assert not peer.got
            done = await forward(found, HARD)
            assert done.ok, done.error
            assert shown.last is not None
            assert done.last is not None
            assert shown.last.request == done.last.request
            assert shown.last.request is not None
            got = peer.got[-1]
            assert (got.method, got.body.decode()) == (shown.last.request.method, shown.last.request.body)
            pairs = [(f"{peer.url}{got.target}", shown.last.request.url)]
            pairs += [(got.headers[name.lower()], value) for name, value in shown.last.request.headers.items()]
            for wire, seen in pairs:
                assert re.fullmatch(re.escape(seen).replace(r"\*\*\*", ".+"), wire), (wire, seen)
            hidden = "".join(seen for _, seen in pairs).count("***")
            assert hidden == (auth["kind"] not in ("none", "client_certificate"))
            assert "t0p-secret" not in repr((shown, done))
            own = {"host", "user-agent", "accept", "accept-encoding", "content-length"}
            assert got.headers.keys() - own == {name.lower() for name in shown.last.request.headers}

    async def test_an_id_that_is_the_same_for_every_attempt(self) -> None:
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            for _ in range(2):
                await forward(destination(request={"url": peer.url}))
            await forward(destination(request={"url": peer.url}, idempotency_header="X-Id"))
            await forward(destination(request={"url": peer.url}, idempotency_header=None))
            await forward(destination(request={"url": peer.url, "headers": {"idempotency-key": "own-{{ id }}"}}))
        assert [got.headers.get("idempotency-key") for got in peer.got[:2]] == [ID, ID]
        assert (peer.got[2].headers["x-id"], "idempotency-key" in peer.got[2].headers) == (ID, False)
        assert ID not in str(peer.got[3].headers)
        assert peer.got[4].headers["idempotency-key"].startswith("own-msg_")

    async def test_media_is_fetched_and_sent_as_files(self) -> None:
        def answer(got: Got) -> Answer:
            return Answer(200, b"\x89PNG\x00\xff", {"Content-Type": "image/png"}) if got.method == "GET" else OK

        async with standing(answer) as peer, forwarder() as forward:
            found = destination(
                request={
                    "url": f"{peer.url}/up",
                    "body": {"multipart": [{"name": "t", "text": "{{ text }}"}, {"name": "file", "media": "all"},
                                           {"name": "first", "media": 0, "filename": "{{ from }}.png"},
                                           {"name": "none", "media": 5}]},
                }
            )  # fmt: skip
            media = [f"{peer.url}/a.png?x=1", f"{peer.url}/b.png"]
            shown = await forward.rehearse(found, media=media)
            assert {got.method for got in peer.got} == {"GET"}
            done = await forward(found, media=media)
            assert done.ok, done.error
        body = peer.got[-1].body
        assert shown.last is not None
        assert shown.last.request is not None
        assert base64.b64decode(shown.last.request.body or "") == body
        assert done.last is not None
        assert done.last.request == shown.last.request
        assert body.count(b"\x89PNG\x00\xff") == 3
        for name in (
            b'name="t"',
            b'filename="a.png"',
            b'filename="b.png"',
            b'name="first"; filename="+447700900123.png"',
        ):
            assert name in body
        assert b'"none"' not in body
        assert shown.last.request.base64

    async def test_a_text_can_not_write_parts_of_its_own(self) -> None:
        text = f'a\r\n--columba-{ID}\r\nContent-Disposition: form-data; name="admin"\r\n\r\nyes\r\n--columba-{ID}--'
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            parts = [{"name": 'a"b', "text": "{{ text }}", "filename": '{{ from }}"x'}, {"name": "c", "text": "d"}]
            await forward(destination(request={"url": peer.url, "body": {"multipart": parts}}), text)
        (got,) = peer.got
        found = message_from_bytes(b"Content-Type: " + got.headers["content-type"].encode() + b"\r\n\r\n" + got.body)
        assert [part.get_payload(decode=True) for part in found.get_payload()] == [text.encode(), b"d"]  # type: ignore[union-attr]
        assert [part.get_param("name", header="content-disposition") for part in found.get_payload()] == ["a%22b", "c"]  # type: ignore[union-attr]

    async def test_media_that_can_not_be_got_is_a_failure(self) -> None:
        async with standing(lambda got: Answer(404)) as peer, forwarder() as forward:
            body = {"multipart": [{"name": "file", "media": "all"}]}
            done = await forward(destination(request={"url": peer.url, "body": body}), media=[f"{peer.url}/a"])
            assert (done.ok, done.error) == (False, "media: The address of a file answered 404.")
            shown = await forward.rehearse(
                destination(request={"url": peer.url, "body": body}), media=[f"{peer.url}/a"]
            )
            assert (shown.ok, shown.error) == (False, done.error)
            assert [got.method for got in peer.got] == ["GET", "GET"]


class TestAnswers:
    @pytest.mark.parametrize(
        ("success", "answer", "error", "permanent"),
        [
            ({}, Answer(204), None, False),
            ({}, Answer(500, b"no"), "http_500", False),
            ({}, Answer(422, b"no"), "http_422", True),
            ({}, Answer(401, b"no"), "http_401", False),
            ({}, Answer(302, b"", {"Location": "https://x.test"}), "http_302", False),
            ({"status": [409, "2xx"]}, Answer(409), None, False),
            ({"status": [201]}, Answer(200), "http_200", False),
            ({"cel": "json.ok == true"}, Answer(200, {"ok": True}), None, False),
            ({"cel": "json.ok == true"}, Answer(200, {"ok": False}), "check", False),
            ({"cel": "json.ok == true"}, Answer(200, b"<html>"), "check", False),
            ({"cel": "body == 'ok' && status == 200"}, Answer(200, b"ok"), None, False),
            ({"headers": {"x-state": "^done$"}}, Answer(200, b"", {"X-State": "done"}), None, False),
            ({"headers": {"x-state": "^done$"}}, Answer(200), "check", False),
            ({"cel": "json.ok == true", "permanent": "json.error == 'gone'"}, Answer(200, {"error": "gone"}),
                "check", True),
            ({"permanent": "status == 500"}, Answer(500), "http_500", True),
            ({"permanent": "false"}, Answer(400), "http_400", False),
        ],
    )  # fmt: skip
    async def test_what_is_a_success(self, success: Any, answer: Answer, error: str | None, permanent: bool) -> None:
        async with standing(lambda got: answer) as peer, forwarder() as forward:
            done = await forward(destination(request={"url": peer.url}, success=success))
        assert (done.ok, done.permanent) == (error is None, permanent)
        assert (done.error or "").partition(":")[0] == (error or "")
        assert done.status == answer.status

    async def test_values_are_saved_and_a_reply_is_made(self) -> None:
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            done = await forward(
                destination(
                    request={"url": peer.url},
                    save={
                        "id": {"jsonpath": "$.ticket.id"},
                        "where": {"header": "Location"},
                        "n": {"cel": "size(json.list) + 1"},
                        "link": {"template": "https://x.test{{ headers.location }}"},
                        "nope": {"jsonpath": "$.nope"},
                    },
                    reply="Thanks: ticket {{ saved.id }}, {{ answer.json.ticket.id }}, {{ status }}",
                )
            )
        assert done.saved == {"id": 7, "where": "/tickets/7", "n": 3, "link": "https://x.test/tickets/7", "nope": None}
        assert done.reply == "Thanks: ticket 7, 7, 200"

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"Retry-After": "17"}, 17.0),
            ({"Retry-After": "Fri, 02 Jan 2026 03:05:05 GMT"}, pytest.approx(59.322)),
            ({}, None),
        ],
    )
    async def test_how_long_it_asks_to_wait(self, headers: Any, wait: Any) -> None:
        async with standing(lambda got: Answer(429, b"", headers)) as peer, forwarder() as forward:
            done = await forward(destination(request={"url": peer.url}))
        assert (done.retry_after, done.slow, done.permanent) == (wait, True, False)

    async def test_what_is_kept_of_an_answer_is_bounded(self) -> None:
        async with standing(lambda got: Answer(200, b"x\x00" + b"y" * 50_000)) as peer, forwarder() as forward:
            done = await forward(destination(request={"url": peer.url}))
        assert done.last is not None
        assert done.last.response is not None
        assert len(done.last.response.body) == 20_000
        assert done.last.response.truncated
        assert "\0" not in done.last.response.body

    async def test_no_answer_at_all(self) -> None:
        async def never(got: Got) -> Answer:
            await asyncio.Event().wait()
            return Answer()

        async with standing(never) as peer, forwarder() as forward:
            slow = await forward(destination(request={"url": peer.url}, timeout=1))
            gone = await forward(destination(request={"url": "http://127.0.0.1:9/"}))
        assert (slow.ok, (slow.error or "")[:8], slow.slow, slow.status) == (False, "timeout:", True, None)
        assert (gone.error or "").startswith("connect: ")
        assert not gone.permanent


class TestSteps:
    FIELDS: dict[str, Any] = {
        "save": {"found": {"template": "{{ steps.find.saved.id | default(steps.create.saved.id) }}"}},
        "steps": [
            {"name": "find", "request": {"method": "GET", "url": "{{ params.url }}/contacts",
                "query": {"phone": "{{ from }}"}},
             "save": {"id": {"jsonpath": "$.results[0].id"}}},
            {"name": "create", "when": "size(steps.find.json.results) == 0",
             "request": {"url": "{{ params.url }}/contacts", "body": {"json": {"phone": "{{ from }}"}}},
             "success": {"status": [201]}, "save": {"id": {"jsonpath": "$.id"}}},
        ],
        "request": {"url": "{{ params.url }}/notes", "body": {"json": {
            "contact": "{{ steps.find.saved.id | default(steps.create.saved.id) }}", "text": "{{ text }}"}}},
    }  # fmt: skip

    @staticmethod
    def crm(contacts: list[int], broken: list[str]) -> Any:
        def answer(got: Got) -> Answer:
            path = got.target.split("?")[0]
            if f"{got.method} {path}" in broken:
                return Answer(503)
            if got.method == "GET":
                return Answer(200, {"results": [{"id": each} for each in contacts]})
            if path == "/contacts":
                contacts.append(55)
                return Answer(201, {"id": 55})
            return Answer(200, {"note": 1})

        return answer

    async def test_look_up_then_create(self) -> None:
        async with forwarder() as forward:
            for contacts, calls in (([5], ["GET", "POST"]), ([], ["GET", "POST", "POST"])):
                known = contacts[:]
                async with standing(self.crm(contacts, [])) as peer:
                    done = await forward(destination(**self.FIELDS, params={"url": peer.url}))
                    assert done.ok, done.error
                    assert [got.method for got in peer.got] == calls
                    assert peer.got[0].target == "/contacts?phone=%2B447700900123"
                    assert peer.got[-1].json == {"contact": (known or [55])[0], "text": "Hello"}
                    assert done.saved["found"] == str((known or [55])[0])
                    assert [each.skipped for each in done.exchanges] == [False, bool(known), False]

    async def test_steps_that_succeeded_are_not_repeated(self) -> None:
        broken = ["POST /notes"]
        async with standing(self.crm([], broken)) as peer, forwarder() as forward:
            found = destination(**self.FIELDS, params={"url": peer.url})
            failed = await forward(found)
            assert (failed.ok, failed.status) == (False, 503)
            broken.clear()
            done = await forward(found, done=failed.steps)
            assert done.ok
        assert [got.target for got in peer.got] == ["/contacts?phone=%2B447700900123", "/contacts", "/notes", "/notes"]
        assert peer.got[-1].json["contact"] == 55
        assert json.loads(json.dumps(failed.steps)) == failed.steps  # it can be kept

    async def test_a_step_that_fails_ends_it_or_does_not(self) -> None:
        async with standing(self.crm([5], ["GET /contacts"])) as peer, forwarder() as forward:
            first = dict(self.FIELDS["steps"][0])
            base: dict[str, Any] = {
                "request": {"url": f"{peer.url}/notes", "body": {"json": {"ok": "{{ steps.find.ok }}"}}}
            }
            params = {"url": peer.url}
            ended = await forward(destination(**base, steps=[first], params=params))
            assert (ended.ok, ended.status, len(peer.got)) == (False, 503, 1)
            went_on = await forward(destination(**base, steps=[first | {"on_failure": "go_on"}], params=params))
            assert went_on.ok
            assert peer.got[-1].json == {"ok": False}

    async def test_a_condition_on_the_request_itself(self) -> None:
        async with standing(self.crm([5], [])) as peer, forwarder() as forward:
            fields = self.FIELDS | {"when": "size(steps.find.json.results) == 0", "params": {"url": peer.url}}
            done = await forward(destination(**fields))
            assert (done.ok, done.skipped, len(peer.got)) == (True, True, 1)

    def test_the_dry_run_names_conditions_that_are_not_known_yet(self) -> None:
        shown = render(destination(**self.FIELDS, params={"url": "http://x.test"}), context(), at=AT, idempotency_id=ID)
        assert [(each.step, each.when) for each in shown] == [
            ("find", None), ("create", "size(steps.find.json.results) == 0"), ("request", None),
        ]  # fmt: skip

    async def test_a_private_step_is_neither_kept_nor_shown_nor_skipped(self) -> None:
        def answer(got: Got) -> Answer:
            if got.target == "/login":
                return Answer(200, {"session": {"token": "s3ssion-token"}}, {"X-Session": "s3ssion-token"})
            return Answer(500, {"you": got.headers["x-session"], "sent": got.body.decode()})

        async with standing(answer) as peer, forwarder() as forward:
            fields: dict[str, Any] = {
                "steps": [{"name": "login", "request": {"url": f"{peer.url}/login"}, "private": True,
                           "save": {"token": {"jsonpath": "$.session.token"}}}],
                "request": {"url": f"{peer.url}/in/{{{{ steps.login.saved.token }}}}",
                            "headers": {"X-Session": "{{ steps.login.json.session.token }}"},
                            "body": {"json": {"a": "x {{ steps.login.saved.token }}", "t": "{{ text }}"}}},
            }  # fmt: skip
            done = await forward(destination(**fields))
            assert (peer.got[1].headers["x-session"], peer.got[1].target) == ("s3ssion-token", "/in/s3ssion-token")
            assert peer.got[1].json == {"a": "x s3ssion-token", "t": "Hello"}
            assert "s3ssion" not in repr(done)
            assert done.exchanges[1].request is not None
            assert done.exchanges[1].request.body == '{"a":"x ***","t":"Hello"}'
            await forward(destination(**fields), done=done.steps)
            assert [got.target for got in peer.got].count("/login") == 2


class TestChecks:
    SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}

    async def test_what_fails_the_schema_is_shown_and_not_sent(self) -> None:
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            body = {"json": {"order": "{{ groups.order | int('none') }}"}}
            found = destination(request={"url": peer.url, "body": body}, schema=self.SCHEMA)
            assert (await forward(found, groups={"order": "12"})).ok
            done = await forward(found, groups={"order": "twelve"})
            assert (done.ok, done.permanent, len(peer.got)) == (False, True, 1)
            assert (done.error or "").startswith("schema: ")
            assert "order" in (done.error or "")
            assert "none" not in (done.error or "")
            assert done.last is not None
            assert done.last.request is not None
            assert done.last.request.body == '{"order":"none"}'
            shown = await forward.rehearse(found, groups={"order": "twelve"})
            assert (shown.ok, shown.error, shown.last) == (False, done.error, done.last)
            assert len(peer.got) == 1

    async def test_a_template_that_fails_is_not_sent(self) -> None:
        async with standing(lambda got: OK) as peer, forwarder() as forward:
            for fields in (
                {"request": {"url": peer.url, "body": {"text": "{{ text - 1 }}"}}},
                {"request": {"url": peer.url}, "transform": {"a": "{{ 1 / 0 }}"}},
            ):
                done = await forward(destination(**fields))
                assert (done.ok, done.permanent, (done.error or "")[:10]) == (False, True, "template: ")
            assert not peer.got

    def test_every_problem_is_named_when_it_is_saved(self) -> None:
        found = problems(
            request={"url": "https://x.test/{{ nope }}", "headers": {"Host": "x", "a b": "x", "X": "{{ txt }}"},
                     "body": {"json": {"a": ["{{ a }}"], "b": {"c": "{{ text | x }}"}}}, "query": {"q": "{{ 1 +"}},
            steps=[{"name": "a", "request": {"url": "x"}, "when": "nope"}, {"name": "a", "request": {"url": "x"}}],
            success={"cel": "a b", "headers": {"x": "("}},
            save={"a b": {"jsonpath": "x"}, "c": {}},
            schema={"type": "x"}, reply="{{ text.x() }}", when="1 +", transform={"x y": "{{"}, idempotency_header="a b",
        )  # fmt: skip
        assert found.keys() >= {
            "request.url", "request.headers.Host", "request.headers.a b", "request.headers.X", "request.body.json.a[0]",
            "request.body.json.b.c", "request.query.q", "steps[0].when", "success.cel", "success.headers.x",
                "schema", "reply",
            "when", "idempotency_header",
        }  # fmt: skip
        assert "line 1, column" in found["request.body.json.b.c"]
        assert {"steps[1].name", "save.a b", "save.a b.jsonpath", "save.c.jsonpath", "transform.x y"} <= found.keys()

    def test_how_much_one_destination_may_ask_for(self) -> None:
        many = {f"k{n}": f"{{{{ id }}}}{n}" for n in range(1_500)}
        assert problems(request={"url": "https://x.test", "body": {"json": many}}).keys() == {"request"}
        deep: Any = "x"
        for _ in range(25):
            deep = [deep]
        assert any(
            "request.body.json" in field
            for field in problems(request={"url": "https://x.test", "body": {"json": deep}})
        )
        steps = [{"name": f"s{n}", "request": {"url": "https://x.test"}} for n in range(11)]
        assert problems(request={"url": "https://x.test"}, steps=steps).keys() == {"steps"}

    def test_a_reply_and_what_is_saved_see_no_secrets(self) -> None:
        for fields in (
            {"reply": "{{ secrets.a }}"},
            {"save": {"x": {"template": "{{ secrets.a }}"}}},
            {"success": {"cel": "secrets.a == ''"}},
        ):
            assert problems(request={"url": "https://x.test"}, **fields)
