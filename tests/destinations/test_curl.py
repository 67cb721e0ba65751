"""curl commands as people paste them, and back again: what is exported does the same when curl runs it."""

import asyncio
import os
import shutil
import subprocess
from typing import Any

import pytest

from columba.forwarding import curl
from columba.forwarding.destinations import Destination
from columba.forwarding.destinations_api import exported
from columba.forwarding.performing import render
from columba.forwarding.rendering import inner_context
from tests.destinations.standin import AT, ID, Answer, context, destination, standing

URL = "https://api.example.test/v1"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (f"curl {URL}", {"request": {"method": "GET", "url": URL}}),
        (f"curl -sSL -X DELETE '{URL}'", {"request": {"method": "DELETE", "url": URL}}),
        (f"curl -H 'Idempotency-Key: 1' -H 'X-Id: 1' {URL}",
         {"request": {"method": "GET", "url": URL, "headers": {"X-Id": "1"}}}),
        (f"curl -H 'Idempotency-Key: {{{{ id }}}}' {URL}",
         {"request": {"method": "GET", "url": URL, "headers": {"Idempotency-Key": "{{ id }}"}}}),
        ("curl example.test/x", {"request": {"method": "GET", "url": "http://example.test/x"}}),
        (
            f"""curl -X POST {URL} \\
                -H 'Content-Type: application/json' -H "Accept: application/json" \\
                -d '{{"text": "{{{{ text }}}}", "n": 1}}'""",
            {"request": {"method": "POST", "url": URL, "headers": {"Accept": "application/json"},
                         "body": {"json": {"text": "{{ text }}", "n": 1}}}},
        ),
        (f"curl --json '[1]' {URL}", {"request": {"method": "POST",
            "url": URL, "headers": {"Accept": "application/json"},
                                                  "body": {"json": [1]}}}),
        (f"curl {URL} -d a=1 --data-urlencode 'b=c d&e' -d a=2 -XPUT",
         {"request": {"method": "PUT", "url": URL, "body": {"form": {"a": ["1", "2"], "b": "c d&e"}}}}),
        (f"curl -G {URL} -d q=x --data-urlencode 'p=a b'", {"request": {"method": "GET", "url": f"{URL}?q=x&p=a+b"}}),
        (f"curl {URL} -H 'Content-Type: text/xml' --data-binary '<a/>'",
         {"request": {"method": "POST", "url": URL, "body": {"xml": "<a/>", "content_type": "text/xml"}}}),
        (f"curl {URL} -H 'Content-Type: text/plain' --data-raw '@not a file'",
         {"request": {"method": "POST", "url": URL, "body": {"text": "@not a file", "content_type": "text/plain"}}}),
        (f"curl {URL} -F name=x -F 'b=y;type=text/html'",
         {"request": {"method": "POST", "url": URL, "body": {"multipart": [
             {"name": "name", "text": "x"}, {"name": "b", "text": "y", "content_type": "text/html"}]}}}),
        (f"curl -u me:pass:word {URL}", {"request": {"method": "GET", "url": URL},
                                        "auth": {"kind": "basic", "username": "me", "password": "pass:word"}}),
        ("curl https://me:pw@example.test/x", {"request": {"method": "GET", "url": "https://example.test/x"},
                                              "auth": {"kind": "basic", "username": "me", "password": "pw"}}),
        (f"curl --digest --user me:pw {URL}", {"request": {"method": "GET", "url": URL},
                                              "auth": {"kind": "digest", "username": "me", "password": "pw"}}),
        (f"curl -H 'authorization: Bearer tok' {URL}", {"request": {"method": "GET", "url": URL},
                                                       "auth": {"kind": "bearer", "token": "tok"}}),
        (f'curl -H "Authorization: Bearer $CRM_TOKEN" {URL}', {"request": {"method": "GET", "url": URL},
                                                              "auth": {"kind": "bearer",
                                                                  "token": {"secret": "crm_token"}}}),
        (f"curl -H 'Authorization: Basic bWU6cHc=' {URL}", {"request": {"method": "GET", "url": URL},
                                                           "auth": {"kind": "basic", "username": "me",
                                                               "password": "pw"}}),
        (f"curl -H 'X-API-Key: k' {URL} -m 20 --compressed",
         {"request": {"method": "GET", "url": URL}, "auth": {"kind": "header", "name": "X-API-Key", "value": "k"},
             "timeout": 20.0}),
        (f"curl --aws-sigv4 aws:amz:eu-west-1:execute-api -u AK:SK {URL}",
         {"request": {"method": "GET", "url": URL}, "auth": {"kind": "sigv4", "access_key_id": "AK",
             "secret_access_key": "SK",
                                                            "region": "eu-west-1", "service": "execute-api"}}),
        (f"curl '{URL}' -H 'Host: x' -A agent -e http://r.test -b 'a=b'",
         {"request": {"method": "GET", "url": URL, "headers": {"User-Agent": "agent", "Referer": "http://r.test",
             "Cookie": "a=b"}}}),
        (f"curl '{URL}' --data-raw $'it\\'s \\u20ac\\n' -H 'content-type: text/plain'",
         {"request": {"method": "POST", "url": URL, "body": {"text": "it's €\n", "content_type": "text/plain"}}}),
    ],
)  # fmt: skip
def test_commands_are_read(command: str, fields: dict[str, Any]) -> None:
    assert curl.read(command) == fields


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("wget https://x.test", "begin with curl"),
        ("curl", "no URL"),
        ("curl https://a.test https://b.test", "one URL"),
        ("curl 'https://a.test", "quotation"),
        ("curl -k https://a.test", "tls.ca"),
        ("curl -d @file https://a.test", "Files"),
        ("curl -F a=@file https://a.test", "media"),
        ("curl --cert a.pem https://a.test", "tls"),
        ("curl -X TRACE https://a.test", "method"),
        ("curl --frobnicate https://a.test", "--frobnicate"),
        ("curl https://a.test | sh", "more than one"),
        ("curl -x http://proxy https://a.test", "proxy"),
        ("curl -H", "no value"),
        ("curl " + "x" * 30_000, "longer"),
    ],
)
def test_what_is_not_taken_says_why(command: str, words: str) -> None:
    with pytest.raises(curl.CurlError) as caught:
        curl.read(command)
    assert words in str(caught.value)


def commands(found: Destination, said: dict[str, Any]) -> list[str]:
    inner = inner_context(found.compiled, found.secrets, said, True)
    return [exported(found, each.shown(), inner) for each in render(found, said, at=AT, idempotency_id=ID)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({"request": {"url": "URL/a?b=c", "body": {"json": {"t": "{{ text }}"}},
            "headers": {"X-A": "it's $HOME `x`"}}}, {}),
        ({"request": {"url": "URL/f", "body": {"form": {"t": "{{ text }}"}}},
          "auth": {"kind": "basic", "username": "me", "password": "secret-password"}}, {"PASSWORD": "secret-password"}),
        ({"request": {"url": "URL/g", "method": "GET"}, "auth": {"kind": "bearer", "token": "secret-token"}},
         {"TOKEN": "secret-token"}),
        ({"request": {"url": "URL/q", "method": "GET"}, "auth": {"kind": "query", "name": "k", "value": "secret-key"}},
         {"API_KEY": "secret-key"}),
        ({"request": {"url": "URL/m", "body": {"multipart": [{"name": "t", "text": "{{ text }}"}]}}}, {}),
        ({"request": {"url": "URL/z", "method": "GET"}, "params": {"mail": "a@b.test"},
          "auth": {"kind": "basic", "username": "{{ params.mail }}/token", "password": "secret-password"}},
         {"PASSWORD": "secret-password"}),
        ({"request": {"url": "URL/k", "method": "GET"}, "secrets": {"key": "secret-key"},
          "auth": {"kind": "basic", "username": {"secret": "key"}}}, {"KEY": "secret-key"}),
        ({"request": {"url": "URL/s"}, "auth": {"kind": "standard_webhooks", "secret": WHSEC}}, {"SIGNATURE": "SIGNED"}),
        ({"request": {"url": "URL/x", "body": {"xml": "<t>{{ text }}</t>"}},
          "auth": {"kind": "header", "name": "X-Key", "value": "secret-key", "prefix": "{{ params.word }} "},
          "params": {"word": "Token"}}, {"API_KEY": "secret-key"}),
    ],
)  # fmt: skip
async def test_what_is_exported_does_the_same(fields: dict[str, Any], variables: dict[str, str]) -> None:
    async with standing(lambda got: Answer()) as peer:
        text = fields["request"] | {"url": fields["request"]["url"].replace("URL", peer.url)}
        found = destination(**(fields | {"request": text}))
        said = context('it\'s "a" $text\nwith `ticks`')
        (real,) = render(found, said, at=AT, idempotency_id=ID, masked=False)
        (command,) = commands(found, said)
        assert "secret-" not in command
        signed = real.headers.get("webhook-signature", "v1,").removeprefix("v1,")
        variables = {name: value.replace("SIGNED", signed) for name, value in variables.items()}
        environment = {"PATH": os.environ["PATH"], "HOME": "/", **variables}
        await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", f"{command} -s --noproxy '*'"],
            check=True,
            env=environment,
            capture_output=True,
        )
        (got,) = peer.got
    assert (got.method, peer.url + got.target, got.body) == (real.method, real.url, real.body)
    for name, value in real.headers.items():
        assert got.headers[name.lower()] == value


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        ({"kind": "digest", "username": "{{ params.me }}", "password": "secret"}, '--digest -u Zoe:"$PASSWORD"'),
        ({"kind": "sigv4", "access_key_id": "AK", "secret_access_key": "secret", "region": "{{ params.at }}",
          "service": "sqs"}, '--aws-sigv4 aws:amz:eu:sqs -u AK:"$SECRET_ACCESS_KEY"'),
        ({"kind": "oauth2", "token_url": "https://x.test/token", "client_id": "a", "client_secret": "secret"},
         "-H 'Authorization: Bearer '\"$ACCESS_TOKEN\""),
        ({"kind": "hmac", "secret": "secret", "prefix": "sha256="}, "-H 'X-Signature: sha256='\"$SIGNATURE\""),
    ],
)  # fmt: skip
def test_what_curl_does_by_itself_is_an_option(auth: dict[str, Any], options: str) -> None:
    login = {"name": "login", "request": {"url": f"{URL}/login"}, "auth": False}
    found = destination(request={"url": URL}, auth=auth, steps=[login], params={"me": "Zoe", "at": "eu"})
    first, last = commands(found, context())
    assert options in last
    assert "secret" not in last
    assert first.splitlines() == [f"curl -X POST {URL}/login \\", f"  -H 'Idempotency-Key: {ID}-login'"]
