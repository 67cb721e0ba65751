"""Days that an operator would rather not have: two servers on one folder, a hang-up, files taken away, a clock set back."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.e2e.talk import ended, refused, send
from tests.keeper import free_port
from tests.program import PROGRAM, Program, eventually


@pytest.fixture(scope="module")
def columba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(data=tmp_path_factory.mktemp("bad") / "data") as program:
        yield program


def serve(data: Path) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "serve", "--data", str(data), "--port", str(free_port())]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_two_servers_on_one_folder(columba: Program) -> None:
    second = serve(columba.data)
    assert second.returncode == 1
    assert f"is used by another `columba serve` (process {columba.pid})" in second.stderr
    assert "--database" in second.stderr
    assert columba.run("keys", "list")  # commands may


def test_a_hang_up_without_a_terminal_is_no_end(columba: Program) -> None:
    os.kill(columba.pid, signal.SIGHUP)
    eventually(lambda: "hung_up" in columba.log)
    ended(columba, send(columba)["id"], "delivered")


def test_a_clock_that_was_set_back(columba: Program) -> None:
    """While the server was down, having crashed: what it left behind is from the future."""
    sent = send(columba)["id"]
    ended(columba, sent, "delivered")
    columba.kill9()
    ahead = 3_600_000
    connection = apsw.Connection(str(columba.data / "columba.db"))
    connection.execute(f"update nodes set beat = beat + {ahead} where token <> ''")
    newest = connection.execute("select max(id) from events").get
    connection.execute(f"update events set id = id + {ahead << 22} where id = {newest}")
    connection.close()
    columba.start()
    assert "clock.behind" in columba.log
    before = columba.request("GET", "/v1/events?limit=1").json["data"][0]["id"]
    again = send(columba)["id"]
    ended(columba, again, "delivered")
    newer = columba.request("GET", "/v1/events?limit=1").json["data"][0]
    assert newer["id"] > before
    assert newer["data"]["id"] == again


def test_nothing_is_accepted_into_a_database_that_is_gone(columba: Program) -> None:
    data = columba.data
    aside = data / "aside"
    ended(columba, send(columba)["id"], "delivered")
    (data / "columba.db").rename(aside)
    body = {"to": "+447700900123", "text": "x"}
    refused(columba.request("POST", "/v1/messages", body), 503, "store_unavailable")
    assert "removed or replaced while the server runs" in columba.log
    aside.rename(data / "columba.db")

    def accepted() -> bool:
        return columba.request("POST", "/v1/messages", body).status == 202

    eventually(accepted)


def test_told_to_stop_over_and_over(columba: Program) -> None:
    accepted = [send(columba)["id"] for _ in range(20)]
    pid = columba.pid
    for _ in range(3):
        os.kill(pid, signal.SIGTERM)
    assert columba.stop() == 0
    columba.start()
    for an_id in accepted:
        ended(columba, an_id, "delivered")
