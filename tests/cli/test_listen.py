"""`columba listen`: each event once and in order, through cut connections and restarts; signed and retried."""

import json
import signal
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook

from columba.cli import columba
from columba.cli.api import Api, Problem, Unreachable, where
from columba.cli.listen import PAUSES_S, Desk, Forward, Stream, line
from columba.cli.sse import Heard
from columba.webhooks.signature import decode_secret
from tests.cli.program import KEY, running
from tests.cli.scripted import Act, Again, Cut, Hold, Missed, Refuse, Scripted, event, frame
from tests.keeper import free_port
from tests.program import Reply, Sink, eventually

SECRET = "whsec_" + "c2VjcmV0IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nISE="
FIVE = [event(number) for number in range(1, 6)]
BYTES = len(b"".join(map(frame, FIVE)))


def follow(server: Scripted, count: int, last: str = "evt_0", pause: Callable[[float], None] = lambda _: None) -> Any:
    """So many events of the stream, and the stream."""
    stream = Stream(Api(server.url, KEY), [], last, pause=pause, chance=lambda: 0.0)
    return [heard.id for heard in islice(stream, count)], stream


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in events]


@pytest.mark.parametrize("after", [*range(0, BYTES, 97), BYTES - 1, BYTES])
def test_a_stream_cut_anywhere_loses_and_repeats_nothing(after: int) -> None:
    with Scripted(FIVE, [Cut(after), Hold()]) as server:
        server.add(event(6))
        found, _ = follow(server, 6)
        assert found == ids(server.events)
        assert len(server.asked) == 2
        assert server.asked[1] in ("evt_0", *found)


def test_what_was_missed_is_said_and_what_is_kept_follows(capsys: pytest.CaptureFixture[str]) -> None:
    with Scripted(FIVE, [Missed()]) as server:
        found, _ = follow(server, 5)
        assert found == ids(server.events)
        assert "missed" in capsys.readouterr().err


CONNECTIONS: list[tuple[str, list[Act]]] = [
    ("the stream ends, and the server sends all of it again", [Again(), Again(), Hold()]),
    ("the server is full for a while", [Cut(BYTES // 2), Refuse(503, {"Retry-After": "7"}), Refuse(429), Hold()]),
    ("a proxy says that the server is away", [Cut(BYTES // 2), Refuse(502), Refuse(504), Refuse(500), Hold()]),
    ("cut again and again", [Cut(10), Cut(10), Cut(400), Cut(0), Cut(400), Hold()]),
]


@pytest.mark.parametrize("acts", [acts for _, acts in CONNECTIONS], ids=[name for name, _ in CONNECTIONS])
def test_it_comes_back_and_goes_on(acts: list[Act], capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(acts) - 1:
            server.add(event(6))

    with Scripted(FIVE, acts) as server:
        found, _ = follow(server, 6, pause=pause)
        assert found == ids(server.events)
        assert len(server.asked) == len(acts)
    assert all(0 < pause <= 15 for pause in pauses)
    if Refuse(503, {"Retry-After": "7"}) in acts:
        assert pauses[1] == 7
    assert "Connected again" in capsys.readouterr().err


def test_pauses_grow_while_nobody_answers_and_shrink_afterwards() -> None:
    pauses: list[float] = []
    server = Scripted(FIVE, [Cut(BYTES)])
    restarted: list[Scripted] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            server.close()
        if len(pauses) == 8:
            restarted.append(Scripted([*FIVE, event(6)], [Cut(BYTES), Hold()], port=server.port))

    try:
        stream = Stream(Api(server.url, KEY), [], "evt_0", pause=pause, chance=lambda: 1.0)
        found = [heard.id for heard in islice(stream, 6)]
    finally:
        for each in restarted:
            each.close()
    assert found == ids([*FIVE, event(6)])
    assert restarted[0].asked == [FIVE[-1]["id"]]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.4, 15.0)


def test_what_will_not_get_better_is_told_at_once() -> None:
    with Scripted(FIVE, [Refuse(401)]) as server, pytest.raises(Problem, match="Not now"):
        follow(server, 1)
    with Scripted(FIVE, [Cut(BYTES), Refuse(403)]) as server, pytest.raises(Problem):
        follow(server, 6)
    with pytest.raises(Unreachable, match="nothing answers"):
        next(iter(Stream(Api(f"http://127.0.0.1:{free_port()}", KEY), [], "")))


def test_last_is_what_was_done_with_not_what_was_read() -> None:
    with Scripted(FIVE) as server:
        stream = Stream(Api(server.url, KEY), [], "evt_0")
        events = iter(stream)
        next(events), next(events)
        assert stream.last == FIVE[0]["id"]


HEARD = Heard("evt_1", "message.delivered", b'{"type":"message.delivered","data":{"to":"+44"}}')


def take(sink: Sink, *heard: Heard) -> tuple[Desk, list[float]]:
    pauses: list[float] = []
    forward = Forward(where(f"{sink.url}/hook?a=b"), [decode_secret(SECRET)])
    desk = Desk(forward, False, pauses.append)
    try:
        for each in heard:
            desk.take(each)
    finally:
        forward.close()
    return desk, pauses


def test_a_forward_is_signed_as_a_webhook_is() -> None:
    with Sink() as sink:
        take(sink, HEARD)
        (request,) = sink.wait(1)
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", HEARD.data)
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("evt_1", "application/json")
    Webhook(SECRET).verify(request.body, dict(request.headers))


TRIES = [
    ("at once", [Reply(204)], 1, 0, "→ 204 in"),
    ("the receiver restarts", [Reply(close=True), Reply(503), Reply(200)], 3, 0, "→ 200 in"),
    ("it is too fast for the receiver", [Reply(429), Reply(200)], 2, 0, "→ 200 in"),
    ("it never works", [Reply(500)] * 4, 4, 1, "given up"),
    ("the receiver doesn't want it", [Reply(404)], 1, 1, "→ 404 in"),
    ("the receiver is elsewhere", [Reply(302, headers={"Location": "/"})], 1, 1, "→ 302 in"),
]


@pytest.mark.parametrize(
    ("replies", "requests", "failed", "said"), [case[1:] for case in TRIES], ids=[case[0] for case in TRIES]
)
def test_a_forward_is_tried_a_few_times_and_in_order(
    replies: list[Reply], requests: int, failed: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sink(replies=replies) as sink:
        desk, pauses = take(sink, HEARD, HEARD._replace(id="evt_2"))
        seen = [request.headers["webhook-id"] for request in sink.requests]
    assert seen == ["evt_1"] * requests + ["evt_2"]
    assert (desk.seen, desk.failed) == (2, failed)
    assert pauses == list(PAUSES_S[: requests - 1])
    out = capsys.readouterr().out.splitlines()
    assert said in out[requests - 1]
    assert "evt_2" in out[requests]


def test_a_receiver_that_closes_idle_connections_gets_each_event_once() -> None:
    with Sink(Reply(headers={"Connection": "close"})) as sink:
        take(sink, HEARD, HEARD._replace(id="evt_2"))
        assert [request.headers["webhook-id"] for request in sink.requests] == ["evt_1", "evt_2"]
    with Sink() as sink:
        forward = Forward(where(sink.url), [decode_secret(SECRET)])
        forward.post("evt_1", b"{}")
        sink._server.cut()  # without a word
        assert forward.post("evt_2", b"{}").status == 200
        forward.close()
        assert [request.headers["webhook-id"] for request in sink.requests] == ["evt_1", "evt_2"]


def test_a_line_shows_what_happened_and_can_not_steer_the_terminal() -> None:
    shown = line(Heard("evt_1", "message.delivered", b""), event(1))
    assert shown.split()[1:] == ["message.delivered", "evt_1", "+447700900123", "delivered"]
    inbound = event(2, "message.received", **{"direction": "inbound", "from": "\x1b[2J+1", "to": "+2"})
    assert "\x1b" not in line(Heard("evt_\x1b]0;", "x", b""), inbound)
    assert line(Heard("evt_3", "odd\x1b", b""), None).split() == ["odd", "evt_3"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "evt_1", "--latest"], "two beginnings"),
        (["--since", "evt 1"], "no event's id"),
        (["--secret", "whsec_x", "--forward-to", "3000"], "no secret of a webhook"),
        (["--forward-to", "ftp://localhost"], "is no address"),
        (["--url", "localhost:8080"], "is no address"),
    ],
)
def test_what_is_asked_wrongly_is_said_before_anything_starts(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(columba, ["listen", *arguments], env={"COLUMBA_KEY": KEY})
    assert result.exit_code == 2
    assert said in result.output


def test_ctrl_c_says_how_to_go_on_and_going_on_loses_nothing() -> None:
    hook: list[str] = []
    with Scripted([event(1)]) as server, Sink() as sink:
        arguments = ("listen", "--url", server.url, "--forward-to", f"{sink.url}/hook", "--secret", SECRET)
        with running(*arguments, COLUMBA_KEY=KEY) as listening:
            server.connected(1)
            server.add(event(2), event(3, "message.sent"))
            sink.wait(2)
            eventually(lambda: listening.out.count("→ 200") == 2)
            assert listening.end(signal.SIGINT) == 0
        hook += [request.headers["webhook-id"] for request in sink.requests]
        assert f"columba listen --since {event(3)['id']} --forward-to {sink.url}/hook" in listening.err
        assert "Traceback" not in listening.err
        server.add(event(4), event(5))
        since = ("--since", event(3)["id"], "--events", "message.*, webhook.failing", "--events", "message.sent")
        with running(*arguments, *since, COLUMBA_KEY=KEY) as listening:
            sink.wait(4)
            server.add(event(6))
            sink.wait(5)
            assert listening.end(signal.SIGTERM) == 0
        hook = [request.headers["webhook-id"] for request in sink.requests]
    assert hook == ids([event(number) for number in (2, 3, 4, 5, 6)])
    assert server.targets[-1].partition("?")[2] == "type=message.%2A%2Cwebhook.failing%2Cmessage.sent"
    assert server.asked == [event(1)["id"], event(3)["id"]]


def test_an_installation_without_events_loses_none_when_the_first_connection_is_cut() -> None:
    with Scripted([], [Cut(0), Hold()]) as server, running("listen", "--url", server.url, COLUMBA_KEY=KEY) as listening:
        server.connected(1)
        server.add(event(1))
        listening.wait_for(event(1)["id"])
        assert listening.end(signal.SIGINT) == 0


def test_latest_begins_with_the_newest_event_and_prints_json_for_programs() -> None:
    with Scripted(FIVE) as server:
        with running("listen", "--latest", "--print-json", "--url", server.url, COLUMBA_KEY=KEY) as listening:
            server.connected(1)
            server.add(event(6))
            eventually(lambda: listening.out.count("\n") == 2)
            assert listening.end(signal.SIGINT) == 0
        assert [json.loads(text) for text in listening.out.splitlines()] == [FIVE[-1], event(6)]
