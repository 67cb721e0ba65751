"""`columba carriers` against a server with carriers: what is done, shown, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from columba.carriers import kinds
from columba.cli.carriers import carriers
from tests.http.conftest import serving
from tests.routing import lines
from tests.routing.house import Routed


class Command:
    def __init__(self, house: Routed, port: int) -> None:
        self.house = house
        self.port = port

    async def __call__(self, *arguments: str, text: str = "", key: str = "") -> Result:
        env = {"COLUMBA_URL": f"http://127.0.0.1:{self.port}", "COLUMBA_KEY": key or self.house.columba.live_key}
        return await asyncio.to_thread(CliRunner().invoke, carriers, arguments, input=text, env=env)


@pytest_asyncio.fixture
async def command(small: Routed, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Command]:
    monkeypatch.setitem(kinds(), "line", lines.KIND)
    async with serving(small.api.app) as port:
        yield Command(small, port)


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_a_carrier_from_its_making_to_its_end(command: Command) -> None:
    made = await command(
        "create", "--kind", "sandbox", "--name", "try-out", "--config", '{"latency_ms": 2}', "--rate", "9"
    )
    assert made.exit_code == 0, made.output
    an_id = made.stdout.split()[0]
    await command.house.until(an_id, lambda it: it["state"] == "up")
    shown = read(await command("show", an_id, "--json"))
    assert (shown["name"], shown["rate"], shown["config"]["latency_ms"]) == ("try-out", 9, 2)
    assert [row["id"] for row in read(await command("--json"))] == [an_id]
    heads, line = (await command()).stdout.splitlines()
    assert heads.split("\t") == ["ID", "NAME", "KIND", "STATE", "WAITING", "RATE", "WHY"]
    assert line.split("\t") == [an_id, "try-out", "sandbox", "up", "0", "9.0", ""]
    assert "paused" in (await command("pause", an_id)).stdout
    assert "up" in (await command("resume", an_id)).stdout
    assert (await command("test", an_id)).stdout.startswith("ok  The session was opened.")
    assert read(await command("test", an_id, "--json"))["ok"] is True
    await command("pause", an_id)
    await command.house.send()
    refused = await command("delete", an_id)
    assert (refused.exit_code, "1 messages wait" in refused.stderr) == (1, True)
    assert (await command("delete", an_id, "--force")).exit_code == 0
    assert (await command("list")).stdout.splitlines() == [heads]
    assert (await command("show", an_id)).exit_code == 1


async def test_a_carrier_is_shown_with_its_sessions_and_without_its_secrets(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "mno.json"
    config = json.dumps({"host": "down", "password": "pa55", "binds": 2})
    file.write_text(config)
    for given, text in ((f"@{file}", ""), ("@-", config)):
        made = await command("create", "--kind", "line", "--name", "mno", "--config", given, "--json", text=text)
        an_id = read(made)["id"]
        await command.house.until(an_id, lambda it: it["state"] == "down")
        shown = (await command("show", an_id)).stdout
        for words in ("down", "mno", "https://sms.example.org/callbacks/", "password        ***", "ESME_RBINDFAIL"):
            assert words in shown
        assert len([line for line in shown.splitlines() if "on the wire" in line]) == 2
        assert "pa55" not in made.output + shown
    failed = await command("test", an_id)
    assert (failed.exit_code, failed.stdout.startswith("failed  The network refused")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create", "--kind", "telex", "--name", "a"), 1, "kind: Expected one of"),
        (("create", "--kind", "line", "--name", "a", "--config", '{"port": 0}'), 1, "config.port"),
        (("create", "--kind", "line", "--name", "a", "--config", "{pa55"), 2, "not JSON"),
        (("create", "--kind", "line", "--name", "a", "--config", "[]"), 2, "an object"),
        (("create", "--kind", "line", "--name", "a", "--config", "@/nowhere"), 2, "/nowhere"),
        (("show", "../keys"), 2, "no id"),
        (("show", "car_0000000000000"), 1, "no such"),
        (("pause", "car_0000000000000"), 1, "no such"),
    ],
)
async def test_what_can_not_be_done(command: Command, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = await command(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "pa55" not in result.output


async def test_a_test_key_sees_the_simulated_carrier(command: Command) -> None:
    (row,) = read(await command("list", "--json", key=command.house.columba.test_key))
    assert (row["name"], row["mode"]) == ("sandbox", "test")


async def test_kinds_and_what_they_take(command: Command) -> None:
    lines = (await command("kinds")).stdout.splitlines()
    assert {line.split("\t")[0] for line in lines[1:]} == {*kinds()}
    assert "twilio\taccount_sid auth_token" in lines
    options = {row.split("\t")[0]: row.split("\t")[1] for row in (await command("kinds", "twilio")).stdout.splitlines()}
    assert (options["auth_token"], options["base_url"]) == ("needed", "https://api.twilio.com")
    assert read(await command("kinds", "twilio", "--json"))["kind"] == "twilio"
    unknown = await command("kinds", "pigeon")
    assert (unknown.exit_code, "lists them" in unknown.output) == (2, True)
