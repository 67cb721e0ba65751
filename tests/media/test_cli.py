"""`columba media` and `columba send --media` against a server: what is done, shown, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from columba.cli.client import send
from columba.cli.media import media
from tests.api import running
from tests.http.conftest import serving
from tests.media.conftest import House
from tests.media.files import PNG


class Command:
    def __init__(self, house: House, port: int) -> None:
        self.house = house
        self.port = port

    async def __call__(self, *arguments: str, command: click.Command = media) -> Result:
        env = {"COLUMBA_URL": f"http://127.0.0.1:{self.port}", "COLUMBA_KEY": self.house.columba.test_key}
        return await asyncio.to_thread(CliRunner().invoke, command, arguments, env=env)


@pytest_asyncio.fixture
async def command(tmp_path: Path) -> AsyncIterator[Command]:
    async with running(tmp_path / "data") as columba:
        house = House(columba, None, tmp_path)  # type: ignore[arg-type]
        async with serving(columba.app.asgi) as port:
            yield Command(house, port)


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_a_file_from_its_upload_to_its_end(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(PNG)
    made = read(await command("upload", "cat.png", "--json"))
    assert (made["name"], made["content_type"]) == ("cat.png", "image/png")
    assert "dog.png" in (await command("upload", "cat.png", "--name", "dog.png")).stdout
    assert {row["name"] for row in read(await command("--json"))} == {"cat.png", "dog.png"}
    assert "cat.png" in (await command("show", made["id"])).stdout
    there = await command("get", made["id"])
    assert there.exit_code == 1  # it is not written over
    assert "--output" in there.output
    got = await command("get", made["id"], "-o", "copy.png")
    assert (got.exit_code, (tmp_path / "copy.png").read_bytes()) == (0, PNG)
    assert (await command("usage")).stdout.startswith("2 files, ")
    assert (await command("delete", made["id"])).exit_code == 0
    assert (await command("show", made["id"])).exit_code == 1


async def test_what_can_not_be_done_is_said(command: Command, tmp_path: Path) -> None:
    assert (await command("upload", str(tmp_path / "none.png"))).exit_code == 2
    odd = tmp_path / "odd.bin"
    odd.write_bytes(b"\0\1\2")
    refused = await command("upload", str(odd))
    assert refused.exit_code == 1
    assert "unsupported_media_type" in refused.output
    assert (await command("fetch", "not an id")).exit_code == 2


async def test_a_text_goes_with_a_file_of_this_machine(command: Command, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(PNG)
    sent = read(await command("--to", "+447700900123", "--media", str(picture), "--json", command=send))
    assert sent["text"] is None
    assert (await command.house.follow(sent["media"][0])).body == PNG
    bare = await command("--to", "+447700900123", command=send)
    assert (bare.exit_code, "--media" in bare.output) == (2, True)
