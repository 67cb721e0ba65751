"""What the operator does on the command line is in the log of who changed what, whoever has the key of its chain."""

import asyncio
import json
import os
import pwd
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from columba.app import App
from columba.cli import columba as program
from columba.privacy import commands
from columba.settings import Settings
from tests.api import Columba, eventually, running
from tests.store import places

SECRET_KEY = "5e" * 32  # of the servers of tests.api on PostgreSQL; on SQLite it is in the folder
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command on the store, as JSON. The secret key is in the folder, or not here at all."""
    monkeypatch.chdir(tmp_path)

    async def invoke(*words: str, code: int = 0) -> Any:
        store = ["--data", str(tmp_path), *(["--database", database] if database else [])]
        result = await asyncio.to_thread(CliRunner().invoke, program, [*words, *store, "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return invoke


async def noted(columba: Columba) -> list[Any]:
    """What was done on the command line, the oldest first."""
    reply = await columba.whole("GET", "/v1/audit?limit=1000")
    assert reply.status == 200, reply.json
    return [each for each in reversed(reply.json["data"]) if each["operator"] is not None]


async def test_every_change_of_a_key_is_noted_with_who_made_it(columba: Columba, run: Run) -> None:
    an_id = (await run("keys", "create", "--mode", "test"))["id"]
    await run("keys", "rotate", an_id)
    await run("keys", "smpp", an_id)
    await run("keys", "revoke", an_id)
    await run("keys", "revoke", an_id)  # changes nothing any more
    await run("keys", "list")
    live = (await run("keys", "create", "--mode", "live"))["id"]

    async def four() -> Any:  # without the key at hand, a server notes it
        return len(found) >= 4 and found if (found := await noted(columba)) else None

    found = await eventually(four)
    assert [each["action"] for each in found] == ["create_key", "rotate_key", "set_smpp_login", "revoke_key"]
    assert {each["about"]["id"] for each in found} == {an_id}
    name, host = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
    for each in found:
        assert (each["operator"], each["address"], each["method"]) == (name, host, "CLI")
        assert (each["key"], each["answered"], each["request_id"]) == (None, None, None)

    assert (await columba.whole("GET", f"/v1/audit?operator={name}")).json["data"] == [*reversed(found)]
    assert (await columba.whole("GET", "/v1/audit?operator=nobody_at_all")).json["data"] == []
    last = found[-1]["created_at"]
    since = (await columba.whole("GET", f"/v1/audit?operator={name}&created_after={last}")).json["data"]
    before = (await columba.whole("GET", f"/v1/audit?operator={name}&created_before={last}")).json["data"]
    assert (len(since) + len(before), since[0]["action"]) == (4, "revoke_key")

    async def live_one() -> Any:
        reply = await columba.whole("GET", f"/v1/audit?about={live}", key=columba.live_key)
        return [each["action"] for each in reply.json["data"]] == ["create_key"]

    await eventually(live_one)
    told = (await columba.whole("GET", "/v1/audit/verify")).json
    assert (told["intact"], told["waiting"], told["why"]) == (True, 0, "")


async def test_what_was_noted_can_not_be_altered_unnoticed(
    columba: Columba, run: Run, tmp_path: Path, database: str
) -> None:
    await run("keys", "create", "--mode", "test")
    (entry,) = await eventually(lambda: noted(columba))
    place = database or tmp_path
    who = entry["operator"]
    await places.execute(place, f"update audit set entry = replace(entry, '{who}', 'mallory') where n = {entry['n']}")
    told = (await columba.whole("GET", "/v1/audit/verify")).json
    assert (told["intact"], told["broken_at"]) == (False, entry["n"])


async def test_commands_and_servers_go_on_with_one_chain(columba: Columba, run: Run) -> None:
    changes = 0

    async def change_until(done: asyncio.Event) -> None:
        nonlocal changes
        while not done.is_set():
            changes += 1
            made = {"name": f"t{changes}", "versions": [{"language": "en", "text": "Hi"}]}
            assert (await columba.whole("POST", "/v1/templates", made)).status == 201

    done = asyncio.Event()
    changing = asyncio.create_task(change_until(done))
    for _ in range(3):
        await run("keys", "create", "--mode", "test")
    done.set()
    await changing

    async def all_three() -> Any:
        return len(await noted(columba)) == 3

    await eventually(all_three)
    told = (await columba.whole("GET", "/v1/audit/verify")).json
    assert (told["intact"], told["waiting"]) == (True, 0)
    assert told["entries"] >= changes + 3


async def test_without_a_server_it_is_noted_at_once_where_the_key_is_and_waits_where_it_is_not(
    tmp_path: Path, database: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, database):
        pass
    monkeypatch.setenv("COLUMBA_SECRET_KEY", SECRET_KEY if database else (tmp_path / "secret.key").read_text().strip())
    (before,) = await run("audit", "verify") or [{"entries": 0}]
    await run("keys", "create", "--mode", "test")
    (there,) = await run("audit", "verify")
    assert (there["entries"], there["waiting"], there["intact"]) == (before["entries"] + 1, 0, True)

    monkeypatch.setenv("COLUMBA_SECRET_KEY", "66" * 32)  # of another installation
    await run("keys", "create", "--mode", "test")
    with pytest.raises(AssertionError, match="set COLUMBA_SECRET_KEY"):
        await run("audit", "verify")  # with another's key it would be altered, each and every entry
    monkeypatch.delenv("COLUMBA_SECRET_KEY")
    if not database:
        shutil.move(tmp_path / "secret.key", tmp_path / "kept")
    await run("keys", "create", "--mode", "test")
    if not database:
        shutil.move(tmp_path / "kept", tmp_path / "secret.key")
    monkeypatch.setenv("COLUMBA_SECRET_KEY", SECRET_KEY if database else (tmp_path / "secret.key").read_text().strip())
    (there,) = await run("audit", "verify")
    assert (there["entries"], there["waiting"], there["intact"]) == (before["entries"] + 1, 2, True)
    monkeypatch.delenv("COLUMBA_SECRET_KEY")

    async with running(tmp_path, database) as columba:  # takes up what waits before it serves
        told = (await columba.whole("GET", "/v1/audit/verify")).json
        assert (told["entries"], told["waiting"], told["intact"]) == (before["entries"] + 3, 0, True)


async def test_the_first_keys_are_noted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(Settings(data=str(tmp_path), stop_timeout=2))
    await app.start()
    try:
        await app.welcome(8080)
        capsys.readouterr()
        (account_id,) = app.keys.accounts
        found = await app.audit.verify(account_id)
        assert (found.entries, found.waiting, found.broken) == (2, 0, None)
    finally:
        await app.stop()


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert commands.operator().name == "uid 987654321"
