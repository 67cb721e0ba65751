"""Media through the real program: what was answered is on the disk, what comes in survives a kill, a full disk is said."""

import base64
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.talk import get, number, refused, send
from tests.e2e.test_full_disk import may_mount
from tests.media.files import JPEG, PNG
from tests.program import Program, Reply, Sink, eventually


@pytest.fixture(scope="module")
def columba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(data=tmp_path_factory.mktemp("media")) as program:
        yield program


def upload(columba: Program, body: bytes, kind: str = "image/png") -> Any:
    return columba.request("POST", "/v1/media", body=body, headers={"Content-Type": kind})


def follow(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_what_was_kept_is_there_after_a_kill(columba: Program) -> None:
    made = upload(columba, PNG)
    assert made.status == 201, made
    sent = send(columba, media=[made.json["id"]], text="Look")
    columba.kill9()
    columba.start()
    assert follow(made.json["url"]) == follow(sent["media"][0]) == (200, PNG)
    assert follow(made.json["url"] + "x")[0] == 404


def test_what_comes_in_is_fetched_however_the_carrier_and_we_fare(columba: Program, sink: Sink) -> None:
    hook = columba.request(
        "POST", "/v1/webhooks", {"url": f"{sink.url}/hook", "events": ["message.received", "media.*"]}
    )
    assert hook.status == 201
    with Sink(Reply(503)) as carrier:
        body = {"from": number(), "to": "+12025550100", "text": "Look", "media": [f"{carrier.url}/cat.jpg"]}
        message = columba.request("POST", "/v1/sandbox/inbound", body).json
        carrier.wait(1)
        assert follow(message["media"][0])[0] == 503
        # Else it would be left alone after the kill for as long as a try may take, 75 s.
        eventually(lambda: get(columba, f"/v1/media?message_id={message['id']}")["data"][0]["error"])
        columba.kill9()
        carrier.reply = Reply(body=JPEG, headers={"Content-Type": "image/jpeg"})
        columba.start()
        eventually(lambda: follow(message["media"][0]) == (200, JPEG))
    told = [request.json for request in sink.wait(2)]
    assert {each["type"] for each in told} == {"message.received", "media.received"}
    assert next(each for each in told if each["type"] == "message.received")["data"]["media"][0].startswith(columba.url)
    columba.request("DELETE", f"/v1/webhooks/{hook.json['id']}")
    (kept,) = get(columba, f"/v1/media?message_id={message['id']}")["data"]
    assert (kept["state"], kept["name"], kept["size"]) == ("ready", "cat.jpg", len(JPEG))
    assert columba.request("POST", f"/v1/messages/{message['id']}/redact").status == 200
    eventually(lambda: follow(message["media"][0])[0] == 404)


def test_a_full_disk_is_said_and_nothing_half_is_left(columba: Program) -> None:
    if not may_mount():
        pytest.skip("mounting a small disk needs root (CAP_SYS_ADMIN)")
    folder: Path = columba.data / "media"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    try:
        big = PNG + base64.b64encode(bytes(100_000))
        answers = [upload(columba, big) for _ in range(4)]
        assert answers[0].status == 201
        problem = refused(answers[-1], 503, "store_unavailable")
        assert "no space" in problem["detail"]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert not list(folder.rglob("*.part"))
        kept = [answer.json["id"] for answer in answers if answer.status == 201]
        assert {each["id"] for each in get(columba, "/v1/media?origin=upload")["data"]} >= set(kept)
        for an_id in kept:
            assert columba.request("DELETE", f"/v1/media/{an_id}").status == 204
        assert upload(columba, big).status == 201
    finally:
        subprocess.run(["umount", str(folder)], check=True)
