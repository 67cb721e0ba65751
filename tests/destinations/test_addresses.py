"""Destinations reach no private network, however its address is written, redirected to or swapped in."""

from ipaddress import ip_network
from typing import Any

import pytest

from columba.http.egress import Egress, Policy
from tests.destinations.standin import Answer, Got, destination, forwarder, standing

WRITTEN = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "localhost",
    "LOCALHOST.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "0.0.0.0", "[::]", "169.254.169.254", "[fe80::1]", "[fd00::1]", "[fec0::1]", "10.0.0.1",
    "100.100.100.200", "172.16.0.1", "192.168.0.1", "224.0.0.1", "255.255.255.255", "１２７.0.0.1", "①②⑦.0.0.1",
    "127。0。0。1", "198.18.0.1", "192.0.2.1",
]  # fmt: skip


@pytest.mark.parametrize("host", WRITTEN)
@pytest.mark.parametrize("how", ["plain", "param", "text"])
async def test_every_way_to_write_a_private_address(host: str, how: str) -> None:
    fields: dict[str, Any] = {
        "plain": {"request": {"url": f"http://{host}/x"}},
        "param": {"request": {"url": "http://{{ params.host }}/x"}, "params": {"host": host}},
        "text": {"request": {"url": "http://{{ text }}/x"}},
    }[how]
    async with forwarder(Egress(Policy())) as forward:
        done = await forward(destination(**fields), host)
        assert not done.ok
        assert (done.error or "").partition(":")[0] in ("forbidden_address", "invalid_url", "template")
        assert done.permanent


@pytest.mark.parametrize(
    "text", ["x@127.0.0.1", "a.test/../", "a.test#", "a.test?x=", "a.test\r\nHost: b", "a b", "%31"]
)
async def test_a_text_can_not_write_itself_into_a_host(text: str) -> None:
    asked: list[str] = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with forwarder(Egress(Policy(), resolve=resolve)) as forward:
        done = await forward(destination(request={"url": "http://{{ text }}.example.test/x"}), text)
    assert not done.ok
    assert all(host.endswith(".example.test") for host in asked)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with standing(lambda got: Answer(200, b"inside")) as inside, forwarder() as forward:
        moved = Answer(status, b"", {"Location": f"{inside.url}/secret"})
        async with standing(lambda got: moved) as peer:
            done = await forward(destination(request={"url": peer.url, "method": "GET"}))
        assert (done.ok, done.status) == (False, status)
        assert not inside.got


async def test_a_name_whose_address_changes_between_check_and_connection() -> None:
    """Its first answer is public; by the time of the connection it would be private. It is looked up once."""
    looked: list[str] = []

    async def resolve(host: str) -> list[str]:
        looked.append(host)
        return ["203.0.113.1"] if len(looked) == 1 else ["127.0.0.1"]

    allowed = Policy((ip_network("203.0.113.0/24"),))
    async with standing(lambda got: Answer(200, b"inside")) as inside:
        async with forwarder(Egress(allowed, resolve=resolve, resolved_for=0.0)) as forward:
            found = destination(request={"url": f"http://rebind.test:{inside.port}/"}, timeout=1)
            first = await forward(found)
            second = await forward(found)
        assert (first.error or "").partition(":")[0] in ("timeout", "connect")  # the public address is not there
        assert (second.error or "").partition(":")[0] == "forbidden_address"
        assert not inside.got


async def test_names_that_lead_inside_and_outside() -> None:
    async def resolve(host: str) -> list[str]:
        return {"in.test": ["10.0.0.1", "::ffff:127.0.0.1"]}.get(host, ["127.0.0.1"])

    async with forwarder(Egress(Policy(), resolve=resolve)) as forward:
        done = await forward(destination(request={"url": "http://in.test/"}))
        assert (done.error or "").partition(":")[0] == "forbidden_address"
        assert "10.0.0.1" not in (done.error or "")


async def test_tokens_and_media_go_the_same_way() -> None:
    inside: list[Got] = []

    def answer(got: Got) -> Answer:
        inside.append(got)
        return Answer(200, {"access_token": "x"})

    async with standing(answer) as peer, forwarder(Egress(Policy())) as forward:
        auth = {"kind": "oauth2", "token_url": f"{peer.url}/token", "client_id": "a", "client_secret": "b"}
        done = await forward(destination(request={"url": "https://x.test"}, auth=auth))
        assert (done.error or "").startswith("auth: The token's server gave no answer (forbidden_address)")
        body = {"multipart": [{"name": "file", "media": "all"}]}
        done = await forward(destination(request={"url": "https://x.test", "body": body}), media=[f"{peer.url}/a"])
        assert (done.error or "").startswith("forbidden_address")
    assert not inside
