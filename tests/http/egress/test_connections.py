"""Which connections are made, kept, shared and ended."""

import asyncio
import re
import socket
from collections.abc import Iterable
from ipaddress import ip_network

import pytest

from columba.http.egress import EgressError, Policy
from tests.http.egress.peer import LOOPBACK, OK, answer, egress, names, never, says, serve
from tests.http.egress.test_addresses import LOOPBACK_URLS


async def test_connections_are_kept_alive() -> None:
    async with serve(OK) as peer, egress() as out:
        for _ in range(5):
            await out.request("POST", f"http://127.0.0.1:{peer.port}/")
        assert (len(peer.requests), peer.connections) == (5, 1)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"", "200 OK", "Connection: close"),
        answer(b"", "200 OK", "Keep-Alive: timeout=1"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        answer(b"") + answer(b"unasked"),
    ],
)
async def test_what_may_not_be_used_again_is_not(reply: bytes) -> None:
    async with serve(says(reply)) as peer, egress() as out:
        for _ in range(3):
            got = await out.request("POST", f"http://127.0.0.1:{peer.port}/")
            assert (got.status, got.body) == (200, b"")
        assert (len(peer.requests), peer.connections) == (3, 3)


async def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """The server hangs up after each answer and doesn't say so."""
    async with serve(says(answer(b"ok"), close=True)) as peer, egress() as out:
        for _ in range(20):
            await out.request("POST", f"http://127.0.0.1:{peer.port}/")
            await peer.gone.wait()
            peer.gone.clear()
        assert (len(peer.requests), peer.connections) == (20, 20)


async def test_an_end_that_the_loop_has_not_seen_is_seen() -> None:
    """The server's FIN is in the kernel, and nothing has run since the answer came."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    loop = asyncio.get_running_loop()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def serve_one() -> socket.socket:
        peer, _ = listener.accept()
        peer.recv(10_000)
        peer.sendall(answer(b"ok"))
        return peer

    async with egress() as out:
        first, peer = await asyncio.gather(out.request("POST", url), loop.run_in_executor(None, serve_one))
        peer.close()  # and straight on, without a turn of the loop
        second, peer = await asyncio.gather(out.request("POST", url), loop.run_in_executor(None, serve_one))
        peer.close()
        assert (first.status, second.status) == (200, 200)
    listener.close()


async def test_an_answer_nobody_asked_for_is_not_the_next_ones() -> None:
    later = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"first" if peer.connections == 1 else b"second"))
        if peer.connections == 1:
            await later.wait()
            writer.write(answer(b"poison"))

    async with serve(script) as peer, egress() as out:
        url = f"http://127.0.0.1:{peer.port}/"
        assert (await out.request("GET", url)).body == b"first"
        later.set()
        await peer.gone.wait()  # it was hung up on
        assert (await out.request("GET", url)).body == b"second"


async def test_a_canceled_request_ends_its_connection_and_frees_its_place() -> None:
    async with serve(never) as peer, egress(per_endpoint=1) as out:
        url = f"http://127.0.0.1:{peer.port}/"
        for _ in range(2):
            task = asyncio.create_task(out.request("POST", url))
            while not peer.requests:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.gone.wait()
            peer.requests.clear()
            peer.gone.clear()
        peer.script = OK
        assert (await out.request("POST", url)).status == 200


async def test_an_endpoint_has_its_bound_and_others_wait_their_turn() -> None:
    release = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await OK(writer)

    async with serve(script) as peer, egress(per_endpoint=2) as out:
        url = f"http://127.0.0.1:{peer.port}/"
        tasks = [asyncio.create_task(out.request("POST", url)) for _ in range(6)]
        while len(peer.requests) < 2:
            await asyncio.sleep(0)
        with pytest.raises(EgressError) as caught:
            await out.request("POST", url, timeout=0.05)
        assert (caught.value.kind, caught.value.sent) == ("busy", False)
        assert peer.most_open == 2
        release.set()
        assert [(await task).status for task in tasks] == [200] * 6
        assert peer.most_open == 2


async def test_who_gives_up_waiting_for_all_leaves_no_place_taken() -> None:
    release = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await OK(writer)

    async with serve(script) as slow, serve(OK) as quick, egress(per_endpoint=1, total=1) as out:
        url = f"http://127.0.0.1:{quick.port}/"
        taken = asyncio.create_task(out.request("POST", f"http://127.0.0.1:{slow.port}/"))
        while not slow.requests:
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(out.request("POST", url, timeout=timeout)) for timeout in (0.05, 5)]
        with pytest.raises(EgressError, match="busy"):
            await waiting[0]
        release.set()
        assert [(await task).status for task in (taken, waiting[1])] == [200, 200]


async def test_an_idle_connection_gives_way_when_all_are_taken() -> None:
    async with serve(OK, "127.0.0.1") as a, serve(OK, "127.0.0.2") as b, serve(OK, "127.0.0.3") as c:
        urls = [f"http://127.0.0.{i}:{peer.port}/" for i, peer in enumerate((a, b, c), 1)]
        async with egress(total=2) as out:
            await out.request("POST", urls[0])
            await out.request("POST", urls[1])
            await out.request("POST", urls[2])
            await a.gone.wait()  # the one idle longest
            assert (a.open, b.open, c.open) == (0, 1, 1)
            await asyncio.gather(*[out.request("POST", url) for url in urls * 3])
            assert (len(a.requests), len(b.requests), len(c.requests)) == (4, 4, 4)


async def test_nothing_is_remembered_of_endpoints_without_connections() -> None:
    async with serve(says(answer(b"", "200 OK", "Connection: close"))) as peer, egress() as out:
        await out.request("POST", f"http://127.0.0.1:{peer.port}/")
        await peer.gone.wait()
        with pytest.raises(EgressError):
            await out.request("POST", "http://10.0.0.1/")
        while out._open:
            await asyncio.sleep(0)
        assert not out._endpoints


async def test_closing_fails_what_is_in_flight_and_all_that_follows() -> None:
    resolving = asyncio.Event()

    async def resolve(host: str) -> Iterable[str]:
        resolving.set()
        await asyncio.Event().wait()
        return ()

    async with serve(never) as peer, egress(resolve=resolve, per_endpoint=1) as out:
        url = f"http://127.0.0.1:{peer.port}/"
        tasks = [asyncio.create_task(out.request("POST", u)) for u in (url, url, "http://name.example/")]
        while not (peer.requests and resolving.is_set()):
            await asyncio.sleep(0)
        await out.close()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [(e.kind, e.sent) for e in errors if isinstance(e, EgressError)] == [
            ("disconnected", True),
            ("disconnected", False),
            ("disconnected", False),
        ]
        with pytest.raises(EgressError, match="disconnected"):
            await out.request("POST", url)


async def test_no_connection_is_not_sent() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    async with egress() as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", f"http://127.0.0.1:{port}/")
    assert (caught.value.kind, caught.value.sent) == ("connect", False)
    assert "refused" in caught.value.detail


@pytest.mark.parametrize("url", LOOPBACK_URLS)
async def test_forbidden_addresses_are_never_connected_to(url: str) -> None:
    async with serve(OK) as peer, egress(Policy()) as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", re.sub(r"http://[^/]+", rf"\g<0>:{peer.port}", url))
        assert caught.value.kind in ("forbidden_address", "invalid_url", "dns")  # some systems don't know *.localhost
        assert not caught.value.sent
        assert peer.connections == 0


ONE = Policy((ip_network("127.0.0.2/32"),))


async def test_a_name_leads_to_what_was_checked_and_nowhere_else() -> None:
    """The name means one thing when it is checked and another a moment later."""
    answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]

    async def rebinding(host: str) -> Iterable[str]:
        return answers.pop(0)

    async with serve(OK, "127.0.0.2") as good, serve(OK, "127.0.0.1") as bad:
        async with egress(ONE, rebinding, resolved_for=0.0) as out:
            got = await out.request("POST", f"http://name.invalid:{good.port}/")
            assert got.status == 200
            assert good.requests[0].headers["Host"] == f"name.invalid:{good.port}"
            with pytest.raises(EgressError) as caught:
                await out.request("POST", f"http://name.invalid:{bad.port}/")
            assert (caught.value.kind, caught.value.sent) == ("forbidden_address", False)
            assert "127" not in caught.value.detail
            # A connection that was checked when it was made stays what it is.
            assert (await out.request("POST", f"http://name.invalid:{good.port}/")).status == 200
        assert (good.connections, bad.connections) == (1, 0)


@pytest.mark.parametrize(
    "forbidden", ["10.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:2", "fe80::1%lo"]
)
async def test_of_several_addresses_only_the_permitted_are_used(forbidden: str) -> None:
    async with serve(OK, "127.0.0.2") as peer:
        for addresses in (["127.0.0.2", forbidden], [forbidden, "127.0.0.2"], [forbidden, "::ffff:127.0.0.2"]):
            async with egress(ONE, names({"a.test": addresses})) as out:
                assert (await out.request("POST", f"http://a.test:{peer.port}/")).status == 200
        assert peer.connections == 3


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    resolve = names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    async with serve(OK, "127.0.0.3") as peer, egress(LOOPBACK, resolve) as out:
        assert (await out.request("POST", f"http://a.test:{peer.port}/")).status == 200


async def test_trusted_requests_reach_any_address_and_lend_no_one_their_connections() -> None:
    async with serve(OK) as peer, egress(Policy()) as out:
        url = f"http://127.0.0.1:{peer.port}/"
        assert (await out.request("POST", url, trusted=True)).status == 200
        with pytest.raises(EgressError, match="forbidden_address"):
            await out.request("POST", url)
        assert len(peer.requests) == 1


async def test_a_name_is_looked_up_once_for_all_and_again_when_its_time_is_over() -> None:
    asked: list[str] = []
    release = asyncio.Event()

    async def resolve(host: str) -> Iterable[str]:
        asked.append(host)
        await release.wait()
        return ["127.0.0.1"]

    async with serve(says(answer(b"", "200 OK", "Connection: close"))) as peer, egress(resolve=resolve) as out:
        url = f"http://a.test:{peer.port}/"
        tasks = [asyncio.create_task(out.request("POST", url)) for _ in range(10)]
        while not asked:
            await asyncio.sleep(0)
        tasks[0].cancel()  # the others don't depend on the one that asked
        release.set()
        assert [(await task).status for task in tasks[1:]] == [200] * 9
        await out.request("POST", url)
        assert asked == ["a.test"]


@pytest.mark.parametrize(
    "failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), TimeoutError(), None]
)
async def test_names_that_lead_nowhere(failure: Exception | None) -> None:
    async def resolve(host: str) -> Iterable[str]:
        if failure:
            raise failure
        return []

    async with egress(resolve=resolve) as out:
        with pytest.raises(EgressError) as caught:
            await out.request("POST", "http://name.invalid/")
    assert (caught.value.kind, caught.value.sent) == ("dns", False)


async def test_a_slow_name_is_within_the_timeout() -> None:
    async def resolve(host: str) -> Iterable[str]:
        await asyncio.Event().wait()
        return ()

    async with egress(resolve=resolve) as out:
        with pytest.raises(EgressError) as caught:
            await asyncio.wait_for(out.request("POST", "http://name.invalid/", timeout=0.05), 30)
    assert (caught.value.kind, caught.value.sent) == ("timeout", False)


async def test_the_systems_names() -> None:
    async with serve(OK) as peer, egress() as out:
        assert (await out.request("POST", f"http://localhost:{peer.port}/")).status == 200
    async with serve(OK) as peer, egress(Policy()) as out:
        with pytest.raises(EgressError, match="forbidden_address"):
            await out.request("POST", f"http://localhost:{peer.port}/")


async def test_ipv6() -> None:
    async with serve(OK, "::1") as peer, egress() as out:
        assert (await out.request("POST", f"http://[::1]:{peer.port}/")).status == 200
        assert peer.requests[0].headers["Host"] == f"[::1]:{peer.port}"
