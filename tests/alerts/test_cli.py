"""`columba alerts` against a server: what is done, shown, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from click.testing import CliRunner, Result

from columba.cli.alerts import alerts
from tests.alerts.conftest import OPS
from tests.alerts.postbox import Postbox
from tests.api import Columba, running
from tests.http.conftest import serving


class Command:
    def __init__(self, columba: Columba, port: int) -> None:
        self.columba = columba
        self.port = port

    async def __call__(self, *arguments: str, text: str = "") -> Result:
        env = {"COLUMBA_URL": f"http://127.0.0.1:{self.port}", "COLUMBA_KEY": self.columba.test_key}
        return await asyncio.to_thread(CliRunner().invoke, alerts, arguments, input=text, env=env)


@pytest_asyncio.fixture
async def command(tmp_path: Path, box: Postbox) -> AsyncIterator[Command]:
    smtp = f"smtp://127.0.0.1:{box.port}?tls=off"
    async with running(tmp_path, smtp_url=smtp) as columba, serving(columba.app.asgi) as port:
        yield Command(columba, port)


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_an_alert_from_its_making_to_its_end(command: Command, box: Postbox, tmp_path: Path) -> None:
    made = await command("create", "--name", "Ops", "--on", "message.failed", "--email", OPS, "--rate-below", "0.9")
    an_id = made.stdout.split()[0]
    heads, line = (await command()).stdout.splitlines()
    assert heads.split("\t") == ["ID", "NAME", "STATE", "OPEN", "ON", "CHANNELS", "LAST_NOTICE_AT"]
    assert line.split("\t")[:6] == [an_id, "Ops", "ok", "0", "message.failed, delivery rate below 0.9", "email"]
    assert (await command("test", an_id)).stdout.startswith(f"ok  email {OPS}  It was taken.")
    assert len(box.letters) == 1
    assert "This is a test." in (await command("history", an_id)).stdout
    assert (await command("incidents", an_id)).stdout.split() == ["OPENED_AT", "CLOSED_AT", "COUNT", "TITLE", "LATEST"]
    assert read(await command("incidents", an_id, "--json")) == []
    assert read(await command("change", an_id, '{"every": 3600}', "--json"))["every"] == 3600
    assert "every             3600" in (await command("show", an_id)).stdout
    assert (await command("delete", an_id)).exit_code == 0
    config = tmp_path / "alert.json"
    config.write_text(json.dumps({"name": "Night", "on": ["*"], "channels": [{"kind": "email", "to": [OPS]}]}))
    assert read(await command("create", "--config", f"@{config}", "--json"))["name"] == "Night"
    assert [row["name"] for row in read(await command("--json"))] == ["Night"]


async def test_what_can_not_be_done_is_said(command: Command, box: Postbox) -> None:
    refused = await command("create", "--name", "Ops", "--on", "message.exploded", "--email", OPS)
    assert (refused.exit_code, "on[0]" in refused.output) == (1, True)
    assert (await command("create", "--config", "{")).exit_code == 2
    assert (await command("show", "not an id")).exit_code == 2
    box.refuses = {OPS: "550 5.1.1 No such user"}
    made = read(await command("create", "--name", "Ops", "--on", "*", "--email", OPS, "--json"))
    tried = await command("test", made["id"])
    assert (tried.exit_code, "No such user" in tried.stdout) == (1, True)
