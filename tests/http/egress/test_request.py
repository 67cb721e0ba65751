"""What a caller relies on when a request goes out: what is sent, what comes back, and that nothing is sent twice."""

import asyncio
import gzip

import pytest

from columba import __version__
from columba.http.egress import Answer, EgressError
from tests.http.egress.peer import OK, Peer, Script, answer, egress, never, says, serve


async def outcome(peer: Peer, path: str = "/", **options: object) -> Answer | EgressError:
    """One POST to the peer by an egress of its own."""
    async with egress() as out:
        try:
            return await out.request("POST", f"http://127.0.0.1:{peer.port}{path}", body=b"{}", **options)  # type: ignore[arg-type]
        except EgressError as error:
            return error


async def test_a_request_arrives_as_it_was_given() -> None:
    async with serve(OK) as peer, egress() as out:
        url = f"http://127.0.0.1:{peer.port}/hook/ä?a=%20b&c=d#fragment"
        headers = {"content-type": "application/json", "Webhook-Id": "msg_1", "X-Text": "Grüße,\t你"}
        got = await out.request("POST", url, headers=headers, body=b'{"a": 1}')
    assert (got.status, got.body, got.truncated) == (200, b"ok", False)
    assert got.latency > 0
    [request] = peer.requests
    assert request.line == "POST /hook/%C3%A4?a=%20b&c=d HTTP/1.1"
    assert request.body == b'{"a": 1}'
    assert request.headers == {
        "Host": f"127.0.0.1:{peer.port}",
        "User-Agent": f"Columba/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **headers,
        "Content-Length": "8",
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_methods_without_a_body(method: str) -> None:
    async with serve(OK) as peer, egress() as out:
        assert (await out.request(method, f"http://127.0.0.1:{peer.port}")).status == 200
        assert peer.requests[0].line == f"{method} / HTTP/1.1"
        length = None if method in ("GET", "DELETE") else "0"
        assert peer.requests[0].headers.get("Content-Length") == length


async def test_own_fields_may_be_replaced_once() -> None:
    async with serve(OK) as peer, egress() as out:
        await out.request("GET", f"http://127.0.0.1:{peer.port}/", headers={"user-agent": "mine", "ACCEPT": "text/csv"})
        headers = peer.requests[0].headers
        assert (headers["user-agent"], headers["ACCEPT"]) == ("mine", "text/csv")
        assert not {"User-Agent", "Accept"} & headers.keys()


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"X-A": "a\r\nX-B: b"}),
        ("POST", {"X-A": "a\nb"}),
        ("POST", {"X-A": "a\x00"}),
        ("POST", {"X-A": "\ud800"}),
        ("POST", {"X-A: b\r\nX-B": "c"}),
        ("POST", {"": "a"}),
        ("POST", {"X A": "a"}),
        ("POST", {"X-Ä": "a"}),
        ("POST", {"\u212aey": "a"}),  # the Kelvin sign, a k when lower-cased
        ("POST", {"Host": "other.example"}),
        ("POST", {"content-length": "0"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
        ("POST", {"Connection": "close"}),
        ("POST", {"Accept-Encoding": "gzip"}),
        ("POST", {"X-A": "a", "x-a": "b"}),
        ("HEAD", {}),
        ("post", {}),
        ("GET / HTTP/1.1\r\nX: y", {}),
    ],
)
async def test_what_would_break_the_request_is_refused(method: str, headers: dict[str, str]) -> None:
    async with serve(OK) as peer, egress() as out:
        with pytest.raises(EgressError) as caught:
            await out.request(method, f"http://127.0.0.1:{peer.port}/", headers=headers)
    assert (caught.value.kind, caught.value.sent) == ("invalid_request", False)
    assert peer.connections == 0


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;a=b\r\n, k\r\n0\r\nX-Trailer: t\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (says(answer(b"hello")), 200, b"hello"),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, b""),
        (says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), 304, b""),
        (says(answer(b"gone", "410 Gone")), 410, b"gone"),
        (says(answer(b"later", "503 ", "Retry-After: 5")), 503, b"later"),
        (says(CHUNKED), 200, b"ok, k"),
        (says(*(CHUNKED[i : i + 1] for i in range(len(CHUNKED)))), 200, b"ok, k"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", answer(b"ok")), 200, b"ok"),
        (says(answer(b"ok", "200 OK", "Upgrade: h2,h2c", "Connection: Upgrade, Keep-Alive")), 200, b"ok"),
        (says(OLD + b"until the end", close=True), 200, b"until the end"),
        (says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"in ", b"pieces", close=True), 200, b"in pieces"),
        (says(answer(b"bye", "200 OK", "Connection: close"), close=True), 200, b"bye"),
    ],
)
async def test_answers_are_read_whole(script: Script, status: int, body: bytes) -> None:
    async with serve(script) as peer:
        got = await outcome(peer)
    assert isinstance(got, Answer)
    assert (got.status, got.body, got.truncated) == (status, body, False)
    assert not {"link", "x-trailer"} & got.headers.keys()


async def test_the_answers_headers() -> None:
    async with serve(says(answer(b"", "429 Too Many", "Retry-After: 7", "X-A: 1", "x-a: 2", "X-L: \xe9"))) as peer:
        got = await outcome(peer)
    assert isinstance(got, Answer)
    assert got.headers == {"content-length": "0", "retry-after": "7", "x-a": "1, 2", "x-l": "Ã©"}
    assert (got.header("retry-after"), got.header("x-a"), got.header("x-none")) == ("7", "1", None)


async def test_redirects_are_answers() -> None:
    async with serve(says(answer(b"", "307 Temporary Redirect", "Location: /elsewhere"))) as peer:
        got = await outcome(peer)
    assert isinstance(got, Answer)
    assert (got.status, got.header("location"), len(peer.requests)) == (307, "/elsewhere", 1)


async def test_cookies_and_the_environments_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serve(says(answer(b"", "200 OK", "Set-Cookie: a=b"))) as peer, egress() as out:
        for _ in range(2):
            await out.request("GET", f"http://127.0.0.1:{peer.port}/")
        assert "Cookie" not in peer.requests[1].headers


@pytest.mark.parametrize(
    "script",
    [
        says(answer(b"x" * 1_000_000)),
        says(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 10_000] * 100),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"2710\r\n" + b"x" * 10_000 + b"\r\n"] * 100),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100_000),
    ],
)
async def test_a_huge_answer_is_cut_off(script: Script) -> None:
    async with serve(script) as peer:
        got = await outcome(peer, max_answer=20_000)
        await peer.gone.wait()
    assert isinstance(got, Answer)
    assert (got.body, got.truncated) == (b"x" * 20_000, True)


@pytest.mark.parametrize(("size", "truncated"), [(9, False), (10, False), (11, True)])
async def test_the_cap_is_exact(size: int, truncated: bool) -> None:
    async with serve(says(answer(b"x" * size))) as peer:
        got = await outcome(peer, max_answer=10)
    assert isinstance(got, Answer)
    assert (got.body, got.truncated) == (b"x" * min(size, 10), truncated)


async def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    async with serve(says(answer(bomb, "200 OK", "Content-Encoding: gzip"))) as peer:
        got = await outcome(peer)
    assert isinstance(got, Answer)
    assert got.body == bomb
    assert got.header("content-encoding") == "gzip"


@pytest.mark.parametrize(
    "script",
    [
        says(b"SSH-2.0-OpenSSH_9.9\r\n"),
        says(b"HTTP/1.1 OK\r\n\r\n"),
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 1000 + b"\r\n"] * 100),
        says(b"HTTP/1.1 200 " + b"O" * 100_000),
        says(*[b"HTTP/1.1 100 Continue\r\n\r\n" * 100] * 100),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X-A: " + b"a" * 10_000] * 10),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", *[b"a" * 10_000] * 10),
    ],
)
async def test_what_is_not_http_or_has_no_end_is_an_error(script: Script) -> None:
    async with serve(script) as peer:
        got = await outcome(peer)
        await peer.gone.wait()
    assert isinstance(got, EgressError)
    assert (got.kind, got.sent) == ("protocol", True)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: a\r\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("script", [never, drip, drip_headers, says(b"HTTP/1.1 200 OK\r\n\r\n")])
async def test_the_whole_takes_no_longer_than_its_timeout(script: Script) -> None:
    async with serve(script) as peer:
        got = await asyncio.wait_for(outcome(peer, timeout=0.1), 30)
        await peer.gone.wait()
    assert isinstance(got, EgressError)
    assert (got.kind, got.sent) == ("timeout", True)


async def test_each_request_has_its_own_time_on_a_shared_connection() -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        if peer.requests[-1].line.startswith("POST /slow"):
            await never(writer)
        await OK(writer)

    async with serve(script) as peer, egress() as out:
        url = f"http://127.0.0.1:{peer.port}"
        for timeout in (60, 5, 30):
            assert (await out.request("POST", url, timeout=timeout)).status == 200
        with pytest.raises(EgressError, match="timeout"):  # the sixty seconds are not inherited
            await asyncio.wait_for(out.request("POST", f"{url}/slow", timeout=0.05), 30)
        assert peer.connections == 1


async def test_a_long_request_outlives_the_short_ones_before_it() -> None:
    release = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        if len(peer.requests) == 2:
            await release.wait()
        await OK(writer)

    async with serve(script) as peer, egress() as out:
        url = f"http://127.0.0.1:{peer.port}"
        await out.request("POST", url, timeout=1.0)
        asyncio.get_running_loop().call_later(1.2, release.set)
        assert (await out.request("POST", url, timeout=60)).status == 200
        assert peer.connections == 1


async def test_a_server_that_reads_and_hangs_up_gets_the_request_once() -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        if peer.requests[-1].line.startswith("POST /hang-up"):
            writer.close()
        else:
            await OK(writer)

    async with serve(script) as peer, egress() as out:
        url = f"http://127.0.0.1:{peer.port}"
        for warm in (False, True):  # on a fresh connection, and on one that was used before
            if warm:
                assert (await out.request("POST", f"{url}/")).status == 200
            with pytest.raises(EgressError) as caught:
                await out.request("POST", f"{url}/hang-up", body=b"once")
            assert (caught.value.kind, caught.value.sent) == ("disconnected", True)
        assert [request.line for request in peer.requests].count("POST /hang-up HTTP/1.1") == 2
        assert peer.connections == 2


@pytest.mark.parametrize(
    "script",
    [
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", close=True),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", close=True),
        says(b"HTTP/1.1 200 OK\r\nX-", close=True),
        says(b"", close=True),
    ],
)
async def test_half_an_answer_is_none(script: Script) -> None:
    async with serve(script) as peer:
        got = await outcome(peer)
    assert isinstance(got, EgressError)
    assert (got.kind, got.sent) == ("disconnected", True)


async def test_the_answer_to_an_unfinished_upload_counts() -> None:
    """A server may refuse a large body before it has read it; the connection then carries nothing more."""
    connections = 0
    done = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"", "413 Content Too Large"))
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(script, "127.0.0.1", 0)
    async with egress() as out:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            assert (await out.request("POST", url, body=bytes(30_000_000))).status == 413
    assert connections == 2
    done.set()
    server.close()
    await server.wait_closed()
