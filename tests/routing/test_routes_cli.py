"""`columba routes`, `senders`, `prices` and `spend` against a server: what is done, shown, and the exit code."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from click.testing import CliRunner, Result

from columba.cli import columba
from tests.http.conftest import serving
from tests.routing.house import Routed


class Command:
    def __init__(self, house: Routed, port: int) -> None:
        self.house = house
        self.port = port

    async def __call__(self, *arguments: str, text: str = "") -> Result:
        env = {"COLUMBA_URL": f"http://127.0.0.1:{self.port}", "COLUMBA_KEY": self.house.columba.live_key}
        return await asyncio.to_thread(CliRunner().invoke, columba, arguments, input=text, env=env)

    async def read(self, *arguments: str, text: str = "") -> Any:
        result = await self(*arguments, "--json", text=text)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest_asyncio.fixture
async def command(small: Routed) -> AsyncIterator[Command]:
    async with serving(small.api.app) as port:
        yield Command(small, port)


async def test_routes(command: Command) -> None:
    one, two = [await command.house.make(name=name) for name in "AB"]
    made = await command.read(
        "routes", "create", "--name", "codes", "--class", "otp", "--country", "GB", "--prefix", "+4477", "--carrier",
        f"{one}=3", "--carrier", two, "--strategy", "weight", "--failover", '{"submit": false}',
    )  # fmt: skip
    assert (made["strategy"], made["carriers"][0]["weight"], made["failover"]["submit"]) == ("weight", 3.0, False)
    spans = ("--length", "71-", "--segments", "2-3", "--account", "acc_0000000000000")
    narrow = await command.read("routes", "create", "--name", "long", "--carrier", two, *spans)
    assert narrow["when"]["length"] == {"min": 71}
    assert narrow["when"]["segments"] == {"min": 2, "max": 3}
    assert narrow["when"]["account"] == ["acc_0000000000000"]
    assert (await command("routes", "create", "--name", "no", "--carrier", two, "--length", "long")).exit_code == 2
    assert (await command("routes", "delete", narrow["id"])).exit_code == 0
    rest = (await command("routes", "create", "--name", "rest", "--carrier", two)).stdout.split()[0]
    heads, *lines = (await command("routes")).stdout.splitlines()
    assert heads.split("\t")[:3] == ["N", "ID", "NAME"]
    assert [line.split("\t")[2] for line in lines] == ["codes", "rest"]
    assert (await command("routes", "move", rest, "1")).stdout == f"{rest}  rest  position 1\n"
    assert (await command.read("routes", "change", rest, '{"enabled": false}'))["enabled"] is False
    assert (await command.read("routes", "show", rest))["name"] == "rest"
    explained = await command("routes", "explain", "--to", "+447700900123", "--class", "otp")
    assert explained.exit_code == 0
    assert "by route codes, 1 part(s)" in explained.stdout
    assert "It is not enabled." in explained.stdout
    refused = await command("routes", "explain", "--to", "+33612345678")
    assert refused.exit_code == 1
    assert "(no_route)" in refused.stdout
    assert (await command("routes", "delete", rest)).exit_code == 0
    assert [row["name"] for row in await command.read("routes")] == ["codes"]
    assert (await command("routes", "show", "../x")).exit_code == 2
    assert (await command("routes", "create", "--name", "a", "--carrier", "x=y")).exit_code == 2
    assert (await command("routes", "show", rest)).exit_code == 1


async def test_senders(command: Command) -> None:
    made = await command.read(
        "senders", "create", "+12025550100", "--default-for", "US", "--can", "sms", "--can", "mms", "--registration",
        '{"ten_dlc": {"campaign": {"class": "T"}}}',
    )  # fmt: skip
    assert (made["rate"], made["default_for"], made["capabilities"]) == (1.25, ["US"], ["sms", "mms"])
    assert (await command("senders", "create", "Columba")).stdout.split()[1:] == ["Columba", "name"]
    assert (await command("senders", "create", "Columba")).exit_code == 1
    heads, _, line = (await command("senders")).stdout.splitlines()
    assert heads.split("\t")[:3] == ["ID", "SENDER", "KIND"]
    assert line.split("\t")[1:6] == ["+12025550100", "number", "yes", "US", "1.25"]
    assert (await command.read("senders", "change", made["id"], '{"rate": 2}'))["rate"] == 2
    assert (await command.read("senders", "show", made["id"]))["sender"] == "+12025550100"
    pool = await command.read("senders", "pools", "Support", "--sender", made["id"], "--anywhere")
    assert pool["local"] is False
    assert (await command("senders", "pools")).stdout.splitlines()[1].split("\t")[0] == pool["id"]
    assert (await command.read("senders", "change-pool", pool["id"], '{"sticky": false}'))["sticky"] is False
    assert (await command.read("senders", "delete-pool", pool["id"]))["deleted"] is True
    assert len((await command("senders", "pools")).stdout.splitlines()) == 1
    assert "US\trefused" in (await command("senders", "rules")).stdout
    own = await command.read("senders", "rule", "us", "registered", "--source", "our carrier", "--date", "2026-11-20")
    assert (own["country"], own["names"], own["date"], own["own"]) == ("US", "registered", "2026-11-20", True)
    assert (await command("senders", "rule", "US", "allowed")).exit_code == 2
    assert (await command("senders", "rule", "US", "usual")).exit_code == 0
    assert "US\trefused" in (await command("senders", "rules")).stdout
    assert (await command("senders", "delete", made["id"])).exit_code == 0


async def test_prices_and_spend(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "prices.csv"
    table.write_text("\ufeffcountry,price,currency\nGB,0.04,EUR\nFR,0.1,EUR\n")
    assert (await command("prices", "import", str(table))).stdout == "2 imported; 2 prices now.\n"
    assert (await command.read("prices", "import", "-", text="country,price,currency\nDE,0.07,EUR\n"))["prices"] == 3
    assert (await command("prices", "--country", "GB")).stdout.splitlines()[1].split("\t") == [
        "", "GB", "", "", "0.04", "EUR",
    ]  # fmt: skip
    wrong = await command("prices", "import", "-", text="country,price,currency\nXX,0.07,EUR\n")
    assert (wrong.exit_code, "csv[2]" in wrong.output) == (1, True)
    assert (await command("spend")).stdout == "What is spent isn't bounded.\n"
    assert (await command("spend", "set", "--balance", "10", "--daily-cap", "5")).stdout.splitlines() == [
        "balance      10 EUR", "daily cap    5 EUR", "spent today  0 EUR",
    ]  # fmt: skip
    assert (await command.read("spend", "top-up", "2.5"))["balance"] == "12.5"
    assert (await command.read("spend", "set", "--balance", "none", "--daily-cap", "none"))["bounded"] is False
    assert (await command("spend", "report")).stdout.split("\t")[0] == "CARRIER"
    assert (await command("prices", "delete", "--country", "GB")).exit_code == 2
    assert (await command("prices", "delete", text="n\n")).exit_code == 1
    assert len(await command.read("prices")) == 3
    assert (await command("prices", "delete", "--yes")).exit_code == 0
    assert await command.read("prices") == []
