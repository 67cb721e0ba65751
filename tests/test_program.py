"""The end-to-end tests' own tools, tried on a stand-in for the program."""

import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.keeper import gone
from tests.program import Program, ProgramError, Reply, Sink, eventually

STAND_IN = """
import http.server, json, os, pathlib, signal, socket, sys
how, data = os.environ.get("HOW"), pathlib.Path(os.environ["COLUMBA_DATA"])
if sys.argv[1:2] != ["serve"]:
    sys.exit(print(json.dumps([sys.argv[1:], str(data)])) if sys.argv[1] == "keys" else "no such command")
if how == "fails":
    sys.exit("the store can't be opened")
if not data.exists():
    data.mkdir()
    print("A live key:", "ck_live_" + "a1_B" * 3, "\\nA test key: ck_test_0123", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    def do(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        Handler.asked += self.path == "/readyz"
        told = {"key": self.headers.get("authorization"), "method": self.command, "body": body.decode(),
                "args": sys.argv[2:], "from": self.client_address[1], "environment": sorted(os.environ)}
        self.send_response(503 if self.path == "/readyz" and Handler.asked < 3 else 200)
        content = b"plain" if self.path == "/plain" else json.dumps(told).encode()
        self.send_header("Content-Length", str(len(content)))
        if self.path == "/idle":  # closed without a word, as servers do after a while
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self.end_headers()
        self.wfile.write(content)
        if self.path == "/idle":
            self.connection.shutdown(socket.SHUT_WR)
    do_GET = do_POST = do
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "deaf" else lambda *_: sys.exit(3))
http.server.HTTPServer(("127.0.0.1", int(os.environ["COLUMBA_PORT"])), Handler).serve_forever()
"""

Start = Callable[..., Program]


@pytest.fixture
def stand_in(tmp_path: Path) -> Start:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)

    def program(*args: str, **env: str) -> Program:
        return Program(args, env, command=(sys.executable, "-I", "-S", script))

    return program


def test_it_is_ready_has_its_keys_and_answers(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMBA_URL", "of whoever runs the tests")
    with stand_in("--workers", "2", COLUMBA_MORE="1") as program:
        assert (program.live_key, program.test_key) == ("ck_live_a1_Ba1_Ba1_B", "ck_test_0123")
        status, headers, told = program.request("POST", "/v1/messages", {"to": "+44"})
        assert (status, told["method"], told["body"], headers["content-length"].isdigit()) == (
            200,
            "POST",
            '{"to": "+44"}',
            True,
        )
        assert told["args"] == ["--workers", "2"]
        assert "COLUMBA_MORE" in told["environment"]
        assert "COLUMBA_URL" not in told["environment"]
        keys = [program.request("GET", "/", key=key).json["key"] for key in (None, "", program.live_key)]
        assert keys == ["Bearer ck_test_0123", None, "Bearer ck_live_a1_Ba1_Ba1_B"]
        assert program.request("GET", "/plain").json == "plain"
        assert program.run("keys", "list") == f'[["keys", "list"], "{program.data}"]\n'
        with pytest.raises(ProgramError, match="no such command"):
            program.run("nonsense")


def test_connections_are_kept_and_renewed_when_the_program_closed_them(stand_in: Start) -> None:
    with stand_in() as program:
        first, second = (program.request("GET", "/idle").json["from"] for _ in range(2))
        third, fourth = (program.request("GET", "/").json["from"] for _ in range(2))
        assert len({first, second, third}) == 3
        assert third == fourth


def test_it_is_killed_stopped_and_started_again_with_its_keys_and_data(stand_in: Start) -> None:
    with stand_in() as program:
        keys, url = (program.live_key, program.test_key), program.url
        (program.data / "store").touch()
        program.kill9()
        with pytest.raises(OSError, match="refused"):
            program.request("GET", "/")
        program.start()
        assert (program.live_key, program.test_key, program.url) == (*keys, url)
        assert program.stop() == 3
        program.start()
        assert program.request("GET", "/").status == 200
        assert program.log.count("ck_live_") == 1
        folder, pid = program.folder, program.pid
    assert gone(pid)
    assert not folder.exists()


def test_a_paused_program_answers_when_resumed(stand_in: Start) -> None:
    with stand_in() as program:
        program.pause()
        assert eventually(lambda: Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        program.resume()
        assert program.request("GET", "/").status == 200
        program.pause()  # and is ended all the same


@pytest.mark.parametrize(
    ("how", "patience", "message"),
    [("fails", 20.0, "(?s)not running.*store can't be opened"), ("deaf", 0.2, "did not stop within 0.2 s")],
)
def test_what_it_did_wrong_is_told_with_its_log(
    stand_in: Start, monkeypatch: pytest.MonkeyPatch, how: str, patience: float, message: str
) -> None:
    def start_and_stop() -> None:
        with stand_in(HOW=how) as program:
            monkeypatch.setattr("tests.program.PATIENCE", patience)
            program.stop()

    with pytest.raises(ProgramError, match=message):
        start_and_stop()


def test_a_program_that_never_gets_ready_is_ended_in_time(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.program.PATIENCE", 0.2)
    program = stand_in(COLUMBA_PORT="1")  # a port that nobody asks
    with pytest.raises(ProgramError), program:
        pass
    assert not program.folder.exists()


TESTS = """
import signal, sys
from tests.program import Program
program = Program(command=sys.argv[1:])
program.start()
print(program.pid, program.folder, flush=True)
signal.pause()
"""


def test_no_program_outlives_the_tests(tmp_path: Path, stand_in: Start) -> None:
    command = [sys.executable, "-c", TESTS, sys.executable, str(tmp_path / "stand_in.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as tests:
        assert tests.stdout
        pid, folder = tests.stdout.readline().split()
        assert not gone(int(pid))
        tests.kill()
    eventually(lambda: gone(int(pid)))
    shutil.rmtree(folder)


def post(sink: Sink, body: object = b"{}", path: str = "/hook", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30)
    try:
        connection.request("POST", path, body, headers)  # type: ignore[arg-type]
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_sink_records_what_it_gets() -> None:
    before = time.time()
    with Sink() as sink:
        assert post(sink, b'{"id": "evt_1"}', "/a?b=c", **{"Webhook-Id": "evt_1"}) == 200
        assert post(sink, iter([b'{"id": ', b'"evt_2"}'])) == 200  # chunked
        first, second = sink.wait(2)
    assert (first.method, first.path, first.headers["webhook-id"], first.json) == (
        "POST",
        "/a?b=c",
        "evt_1",
        {"id": "evt_1"},
    )
    assert second.json == {"id": "evt_2"}
    assert before <= first.time <= second.time <= time.time()


def test_a_sink_answers_as_told() -> None:
    gone_away = Reply(close=True)
    with Sink(Reply(204), [Reply(500), Reply(429, b"slow down", {"Retry-After": "7"}), gone_away]) as sink:
        assert post(sink) == 500
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30)
        connection.request("POST", "/hook", b"")
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"], response.read()) == (429, "7", b"slow down")
        connection.request("POST", "/hook", b"")
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
        assert post(sink) == 204
        sink.reply = lambda request: Reply(200 if request.path == "/good" else 404)
        assert [post(sink, path=path) for path in ("/good", "/bad")] == [200, 404]
        assert (len(sink.requests), sink.connections) == (6, 5)


def test_closing_a_sink_ends_what_it_delays_and_what_is_kept_alive() -> None:
    with Sink(replies=[Reply()]) as sink:
        kept, waiting = (http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30) for _ in range(2))
        kept.request("POST", "/")
        kept.getresponse().read()
        sink.reply = Reply(delay=3600)
        waiting.request("POST", "/")
        sink.wait(2)
    for connection in (kept, waiting):
        connection.close()


def test_a_sink_that_waits_in_vain_says_for_how_many() -> None:
    with Sink() as sink, pytest.raises(AssertionError, match="0 requests instead of 1"):
        sink.wait(1, timeout=0.01)


def test_eventually_waits_for_truth_and_tells_what_was_last() -> None:
    rising = iter([0, 0, 7])
    assert eventually(lambda: next(rising)) == 7

    def wrong() -> bool:
        raise AssertionError("still 3 left")

    for predicate, last in ((wrong, "still 3 left"), (list, r"at last: \[\]")):
        with pytest.raises(AssertionError, match=last):
            eventually(predicate, timeout=0.02)
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)
