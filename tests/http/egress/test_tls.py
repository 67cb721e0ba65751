"""Whom a request over TLS trusts, and as whom it presents itself."""

import asyncio
from pathlib import Path

import pytest

from columba.http.egress import EgressError
from tests.http.egress.peer import LOOPBACK, OK, Authority, egress, names, serve


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_certificate_of_a_given_authority(authority: Authority) -> None:
    tls = authority.server("hook.test", "127.0.0.1")
    async with serve(OK, tls=tls) as peer, egress(LOOPBACK, names({"hook.test": ["127.0.0.1"]})) as out:
        for host in ("hook.test", "127.0.0.1", "HOOK.test."):
            got = await out.request("POST", f"https://{host}:{peer.port}/", body=b"{}", ca=authority.pem)
            assert (got.status, got.body) == (200, b"ok")
        assert (len(peer.requests), peer.connections) == (3, 2)  # kept alive


async def test_the_servers_name_is_told(authority: Authority) -> None:
    asked: list[str | None] = []
    context = authority.server("hook.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with serve(OK, tls=context) as peer, egress(LOOPBACK, names({"hook.test": ["127.0.0.1"]})) as out:
        await out.request("POST", f"https://hook.test:{peer.port}/", ca=authority.pem)
    assert asked == ["hook.test"]


@pytest.mark.parametrize("case", ["unknown authority", "other authority", "other name"])
async def test_servers_that_are_not_trusted(case: str, authority: Authority, tmp_path: Path) -> None:
    tls = authority.server("elsewhere.test" if case == "other name" else "hook.test")
    ca: bytes | None = authority.pem
    if case == "unknown authority":
        ca = None
    elif case == "other authority":
        ca = Authority(tmp_path).pem
    async with serve(OK, tls=tls) as peer, egress(LOOPBACK, names({"hook.test": ["127.0.0.1"]})) as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", f"https://hook.test:{peer.port}/", body=b"secret", ca=ca)
    assert (caught.value.kind, caught.value.sent) == ("tls", False)
    assert peer.requests == []


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls(greeting: bytes) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with egress() as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    await server.wait_closed()
    assert (caught.value.kind, caught.value.sent) == ("tls", False)


async def test_a_client_certificate(authority: Authority) -> None:
    async with serve(OK, tls=authority.server("127.0.0.1", wants_client=True)) as peer, egress() as out:
        url = f"https://127.0.0.1:{peer.port}/"
        client = authority.issue("client.test")
        assert (await out.request("POST", url, ca=authority.pem, client_cert=client)).status == 200
        # Another identity never rides on that connection.
        with pytest.raises(EgressError) as caught:
            await out.request("POST", url, ca=authority.pem)
        assert caught.value.kind in ("tls", "disconnected")  # TLS 1.3 refuses after the handshake
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("ca", "client_cert"), [(b"not PEM", None), (b"\xff", None), (b"", None), (None, b"not PEM"), (None, b"")]
)
async def test_certificates_that_can_not_be_read(ca: bytes | None, client_cert: bytes | None) -> None:
    async with serve(OK) as peer, egress() as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", f"https://127.0.0.1:{peer.port}/", ca=ca, client_cert=client_cert)
    assert (caught.value.kind, caught.value.sent) == ("tls", False)


async def test_a_silent_server_is_within_the_timeout() -> None:
    async with serve(OK) as peer, egress() as out:
        with pytest.raises(EgressError) as caught:
            # The peer takes the ClientHello for the start of a request, and waits for its end.
            await out.request("POST", f"https://127.0.0.1:{peer.port}/", timeout=0.1)
    assert (caught.value.kind, caught.value.sent) == ("timeout", False)
