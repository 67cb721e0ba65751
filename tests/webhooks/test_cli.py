"""`columba webhooks` against a server: what is done, shown, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from click.testing import CliRunner, Result

from columba.cli import columba
from tests.api import running
from tests.http.conftest import serving
from tests.program import Sink

Command = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture
async def command(tmp_path: Path) -> AsyncIterator[Command]:
    async with running(tmp_path, allow_network=["127.0.0.0/8"]) as house, serving(house.app.asgi) as port:

        async def run(*arguments: str) -> Result:
            env = {"COLUMBA_URL": f"http://127.0.0.1:{port}", "COLUMBA_KEY": house.test_key}
            return await asyncio.to_thread(CliRunner().invoke, columba, arguments, env=env)

        yield run


async def test_a_webhook_from_its_making_to_its_end(command: Command) -> None:
    with Sink() as sink:
        made = await command("webhooks", "create", sink.url, "--event", "message.delivered")
        assert made.exit_code == 0, made.output
        an_id, secret = made.stdout.split()
        assert secret.startswith("whsec_")
        heads, line = (await command("webhooks")).stdout.splitlines()
        assert heads.split("\t") == ["ID", "STATE", "URL", "EVENTS", "DESCRIPTION"]
        assert line.split("\t") == [an_id, "on", sink.url, "message.delivered", ""]
        assert (await command("webhooks", "test", an_id)).stdout.startswith("ok  it answered 20")
        assert (await command("webhooks", "rotate", an_id)).stdout.split()[1] != secret
        assert (await command("send", "--to", "+447700900123", "--text", "Hello", "--wait")).exit_code == 0
        for _ in range(100):
            rows = json.loads((await command("webhooks", "deliveries", "--webhook", an_id, "--json")).stdout)
            if rows and rows[0]["status"] == "delivered":
                break
        assert (rows[0]["event_type"], rows[0]["attempt_count"]) == ("message.delivered", 1)
        assert (await command("webhooks", "replay", rows[0]["id"])).stdout.split()[0] == rows[0]["id"]
        assert "are on their way" in (await command("webhooks", "recover", an_id, "--since", "1h")).stdout
    assert (await command("webhooks", "test", an_id)).exit_code == 1
    assert (await command("webhooks", "change", an_id, '{"enabled": false}')).stdout.split() == [an_id, "disabled"]
    assert "description" not in (await command("webhooks", "show", an_id)).stdout
    assert (await command("webhooks", "delete", an_id)).exit_code == 0
    gone = await command("webhooks", "show", an_id)
    assert gone.exit_code == 1
    assert "There is no such webhook." in gone.output


async def test_a_message_is_canceled_and_redacted(command: Command) -> None:
    sent = await command("send", "--to", "+447700900123", "--text", "Later", "--send-at", "2h", "--json")
    an_id = json.loads(sent.stdout)["id"]
    assert (await command("messages", "redact", an_id)).exit_code == 1
    assert (await command("messages", "cancel", an_id)).stdout.split()[:2] == [an_id, "canceled"]
    assert (await command("messages", "cancel", an_id)).exit_code == 1
    assert json.loads((await command("messages", "redact", an_id, "--json")).stdout)["redacted"] is True
