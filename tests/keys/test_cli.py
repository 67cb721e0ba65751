"""`columba keys` on a store in a folder: what scripts read, what people read, and how it fails."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from columba.cli.keys import Opened, group
from columba.cli.options import Settings
from columba.http.times import rfc3339
from columba.store import StoreRefused, StoreUnavailable
from tests.keys.house import DAY, HOUR, START, Clock, House, house


class Program:
    """`columba keys --data FOLDER ...`"""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.keys = group(self._open)

    @contextlib.asynccontextmanager
    async def _open(self, settings: Settings) -> AsyncIterator[Opened]:
        async with house(Path(settings.data), self.clock) as home:
            yield Opened(home.keys, home.ids, self.clock, await home.account())

    def __call__(self, *arguments: str) -> Result:
        command, *rest = arguments
        return CliRunner().invoke(self.keys, [command, "--data", str(self.folder), *rest])

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Program:
    return Program(tmp_path, clock)


async def test_a_running_server_takes_and_refuses_the_key_within_a_second(
    keys: Program, tmp_path: Path, clock: Clock
) -> None:
    """The command is run in a thread of its own, as it has a loop of its own."""
    async with house(tmp_path, clock, node=2) as server:
        changed = asyncio.Event()

        async def loaded() -> None:
            changed.set()

        server.snapshots.on("keys", loaded)
        made = await asyncio.to_thread(keys.json, "create", "--mode", "test")
        await asyncio.wait_for(changed.wait(), 1.0)
        assert await _status(server, made["secret"]) == 200
        changed.clear()
        await asyncio.to_thread(keys, "revoke", made["id"])
        await asyncio.wait_for(changed.wait(), 1.0)
        assert await _status(server, made["secret"]) == 401


async def _status(server: House, secret: str) -> int:
    return (await server.ask("GET", "/v1/keys", key=secret)).status


def test_create_and_list(keys: Program) -> None:
    made = keys.json("create", "--mode", "live", "--name", "shop", "--scope", "messages:write", "--scope", "keys:*",
                     "--expires-in", "30d", "--rate-limit", "7")  # fmt: skip
    secret = made.pop("secret")
    assert secret.startswith("ck_live_")
    assert made == {
        "id": made["id"],
        "name": "shop",
        "mode": "live",
        "scopes": ["messages:write", "keys:*"],
        "hint": f"ck_live_...{secret[-4:]}",
        "status": "active",
        "rate_limit": 7,
        "created_at": rfc3339(START),
        "expires_at": rfc3339(START + 30 * DAY),
        "revoked_at": None,
        "previous_until": None,
    }
    assert keys.json("list") == [made]


def test_the_secret_goes_alone_to_standard_output(keys: Program) -> None:
    made = keys("create", "--mode", "test")
    assert made.exit_code == 0
    assert made.stdout.startswith("ck_test_")
    assert len(made.stdout.split()) == 1
    (key,) = keys.json("list")
    assert key["id"] in made.stderr
    rotated = keys("rotate", key["id"])
    assert rotated.stdout.startswith("ck_test_")
    assert rotated.stdout != made.stdout
    assert rfc3339(START + DAY) in rotated.stderr


def test_without_a_terminal_a_list_has_a_line_a_key(keys: Program) -> None:
    keys("create", "--mode", "test", "--name", "tab\there")
    head, line = keys("list").stdout.splitlines()
    assert head.split("\t")[:4] == ["ID", "NAME", "MODE", "STATUS"]
    assert line.split("\t")[1:5] == ["tab here", "test", "active", "*"]


@pytest.mark.parametrize(
    ("overlap", "until"),
    [([], START + DAY), (["--overlap", "90m"], START + HOUR + HOUR // 2), (["--overlap", "0"], None)],
)
def test_rotate(keys: Program, overlap: list[str], until: int | None) -> None:
    made = keys.json("create", "--mode", "test")
    rotated = keys.json("rotate", made["id"], *overlap)
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_until"] == (until and rfc3339(until))


def test_revoke(keys: Program) -> None:
    made = keys.json("create", "--mode", "test")
    assert keys("revoke", made["id"]).exit_code == 0
    assert keys.json("list")[0]["status"] == "revoked"
    again = keys("revoke", made["id"])
    assert (again.exit_code, "before" in again.stderr) == (0, True)
    refused = keys("rotate", made["id"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "columba keys create" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["create"], 2, "--mode"),
        (["create", "--mode", "prod"], 2, "prod"),
        (["create", "--mode", "test", "--scope", "sms:write"], 2, "sms:write"),
        (["create", "--mode", "test", "--expires-in", "soon"], 2, "30d"),
        (["create", "--mode", "test", "--expires-in", "0"], 2, "1s"),
        (["create", "--mode", "test", "--rate-limit", "0"], 2, "rate-limit"),
        (["create", "--mode", "test", "--name", "x" * 101], 2, "100"),
        (["rotate", "key_0000000000000", "--overlap", "31d"], 2, "30d"),
        (["rotate"], 2, "ID"),
        (["revoke", "key_0000000000000"], 1, "columba keys list"),
        (["revoke", "nonsense"], 1, "columba keys list"),
        (["rotate", "nonsense"], 1, "columba keys list"),
    ],
)
def test_what_goes_wrong_says_what_to_do(keys: Program, arguments: list[str], status: int, said: str) -> None:
    result = keys(*arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [StoreRefused("/data is full"), StoreUnavailable("/data is full")])
def test_a_store_that_can_not_be_used_is_one_line(error: Exception) -> None:
    @contextlib.asynccontextmanager
    async def broken(settings: Settings) -> AsyncIterator[Opened]:
        raise error
        yield

    command: click.Group = group(broken)
    result = CliRunner().invoke(command, ["list"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "/data is full" in result.stderr
