"""The tables of docs/destinations.md and docs/presets.md: each example there is one that works."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from columba.cli.destinations import create, pairs
from columba.forwarding.auth import kinds
from columba.forwarding.destinations_shapes import Body
from columba.forwarding.performing import render
from columba.forwarding.presets import presets
from tests.destinations.standin import AT, ID, Answer, context, destination, forwarder, standing
from tests.docs.pages import page
from tests.http.egress.peer import Authority

EXAMPLE = re.compile(r"`(\{\".*?\})` \|$", re.M)


def examples(heads: str) -> list[Any]:
    """What stands in code at the end of the rows of the table with these heads."""
    table = page("docs/destinations.md").text.partition(f"\n{heads}\n")[2].partition("\n\n")[0]
    found = EXAMPLE.findall(table)
    assert len(found) == len(table.splitlines()) - 1
    return [json.loads(each.replace("\\|", "|")) for each in found]


async def test_each_body_is_sent() -> None:
    shown = examples("| body | is sent as | such as |")
    assert {next(iter(body)) for body in shown} == {*Body.__struct_fields__} - {"content_type"}
    picture = Answer(200, b"\x89PNG", {"Content-Type": "image/png"})
    async with standing(lambda got: picture if got.method == "GET" else Answer()) as peer, forwarder() as forward:
        for body in shown:
            found = destination(request={"url": peer.url, "body": body})
            media = [f"{peer.url}/a.png"]
            done = await forward(found, "Tea & <milk>", groups={"order": "12"}, media=media)
            assert done.ok, done.error
    sent = {got.headers["content-type"].partition(";")[0]: got.body for got in peer.got if got.method == "POST"}
    assert sent["application/json"] == b'{"phone":"+447700900123","order":12}'
    assert sent["application/x-www-form-urlencoded"] == b"phone=%2B447700900123&text=Tea+%26+%3Cmilk%3E"
    assert sent["application/xml"] == b"<sms from='+447700900123'>Tea &amp; &lt;milk&gt;</sms>"
    assert sent["text/csv"] == b"+447700900123;Tea & <milk>"
    assert b"Tea & <milk>" in sent["multipart/form-data"]
    assert b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in sent["multipart/form-data"]


def test_each_kind_of_auth_is_taken(tmp_path: Path) -> None:
    shown = examples("| `kind` | | such as |")
    assert {auth["kind"] for auth in shown} == {kind.__struct_config__.tag for kind in get_args(kinds.Auth)}
    certificate, key = Authority(tmp_path).issue("client.test").decode().split("-----BEGIN PRIVATE")
    pem = {"certificate": certificate, "key": f"-----BEGIN PRIVATE{key}"}
    for auth in shown:
        auth |= {name: pem[name] for name in pem if auth.get(name, "").startswith("-----BEGIN")}
        found = destination(request={"url": "https://example.org"}, auth=auth)
        (rendered,) = render(found, context(), at=AT, idempotency_id=ID)
        written = msgspec.json.encode(rendered.shown()).decode()
        assert "***" in written or auth["kind"] in ("none", "client_certificate")
        assert not re.search("a-(key|token|password|secret)", written)


@pytest.mark.parametrize("name", sorted(presets()))
def test_each_preset_is_made_as_its_command_says(name: str) -> None:
    start = f"columba destinations create --preset {name} "
    (command,) = [block.text for block in page("docs/presets.md").blocks if block.text.startswith(start)]
    given = create.make_context("create", shlex.split(command.replace("\\\n", ""))[3:]).params
    made = destination(preset=given["preset"], params=pairs(given["params"]))
    assert made.spec.request == destination(preset=name, params=pairs(given["params"])).spec.request
    render(made, context(), at=AT, idempotency_id=ID)
