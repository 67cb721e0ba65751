"""A data folder on a disk that fills up: it is said, nothing accepted is lost, and it works again once there is room."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.talk import Steady, all_told, ended, get, number, refused, send
from tests.program import Program, Sink, eventually

SYS_ADMIN = 1 << 21  # capabilities(7)


class Disk(NamedTuple):
    """A small disk of its own."""

    folder: Path
    fill: Callable[[], None]
    free: Callable[[], None]


def may_mount() -> bool:
    lines = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return bool(int(lines["CapEff"], 16) & SYS_ADMIN)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not may_mount():
        pytest.skip("mounting a small disk needs root (CAP_SYS_ADMIN)")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    filler = folder / "filler"

    def fill() -> None:
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    try:
        yield Disk(folder, fill, filler.unlink)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_work_resumes_when_there_is_room(disk: Disk) -> None:
    with Sink() as sink, Program(data=disk.folder / "data") as columba:
        hook = {"url": sink.url, "events": ["message.delivered"]}
        assert columba.request("POST", "/v1/webhooks", hook).status == 201
        with Steady(columba) as load:
            load.goes_on()
            disk.fill()
            eventually(lambda: load.refusals)
            problem = load.refusals[-1]
            refused(problem, 503, "store_unavailable")
            assert int(problem.headers["retry-after"]) >= 1
            eventually(lambda: columba.request("GET", "/readyz", key="").status == 503)
            for path, body in (
                ("/v1/keys", {"name": "k"}),
                ("/v1/webhooks", hook),
                ("/v1/messages/batch", {"messages": [{"to": number(), "text": "x"}]}),
            ):
                answer = columba.request("POST", path, body, headers={"Idempotency-Key": "once"})
                refused(answer, 503, "store_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            assert columba.request("GET", "/healthz", key="").status == 200
            assert get(columba, "/v1/messages?limit=1")["data"]
            assert columba.request("GET", "/metrics", key="").status == 200
            disk.free()
            load.goes_on()
            assert load.broken == 0
        eventually(lambda: columba.request("GET", "/readyz", key="").status == 200)
        again = {"Idempotency-Key": "once"}
        assert columba.request("POST", "/v1/keys", {"name": "k"}, headers=again).status == 201
        ended(columba, send(columba)["id"], "delivered")
        assert set(all_told(columba, load.accepted).values()) == {"delivered"}
        eventually(lambda: {request.json["data"]["id"] for request in sink.requests} >= set(load.accepted))
        assert columba.stop() == 0


def test_a_disk_that_is_full_at_the_start_is_said(disk: Disk) -> None:
    disk.fill()
    program = Program(data=disk.folder / "data")
    with (
        pytest.raises(AssertionError, match=r"(?s)not running.*(can't be written|can't be opened).*(space|full)"),
        program,
    ):
        pass
