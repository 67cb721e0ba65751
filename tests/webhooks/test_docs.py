"""The examples of docs/webhooks.md take a real request for what it is, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from columba.core.model import TYPES
from columba.webhooks.shapes import Delivery, NewWebhook, WebhookWithSecret
from tests.program import Request, Sink
from tests.webhooks.conftest import House

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
# Name of the example, and what asks it: a script that reads secret, headers and body as JSON and says "true" or "false".
ASKED = {
    "verify.py": "from verify import verify\nprint(json.dumps(verify(secret, headers, body.encode())))",
    "package.py": "from package import read\nprint(json.dumps(read(secret, headers, body.encode()) is not None))",
}
ASK_NODE = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
console.log(verify(secret, headers, Buffer.from(body)));
"""
Ask = Callable[[str, Mapping[str, str], str], bool]


def example(name: str) -> str:
    """The code block that begins with a comment of this name."""
    found = re.search(rf"^```\w+\n(?:#|//) {re.escape(name)}\n(.*?)^```$", PAGE, re.M | re.S)
    assert found is not None, name
    return found[1]


def said(command: list[str], folder: Path, given: Mapping[str, Any]) -> bool:
    done = subprocess.run(command, cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: bool = json.loads(done.stdout)
    return answer


@pytest.fixture(params=[*ASKED, "verify.mjs"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Ask:
    """One of the examples, in a program of its own."""
    name: str = request.param
    (tmp_path / name).write_text(example(name))
    command = [sys.executable, "ask.py"]
    if name in ASKED:
        read = "import json, sys\nsecret, headers, body = json.load(sys.stdin).values()\n"
        (tmp_path / "ask.py").write_text(read + ASKED[name])
    else:
        node = shutil.which("node")
        assert node, "Node is missing: it is one of the two things that this project asks for."
        command = [node, "ask.mjs"]
        (tmp_path / "ask.mjs").write_text(ASK_NODE)
    return lambda secret, headers, body: said(
        command, tmp_path, {"secret": secret, "headers": dict(headers), "body": body}
    )


async def two_requests(house: House, sink: Sink) -> tuple[str, str, list[Request]]:
    """The secrets before and after a rotation, and a request signed by the first, one by both."""
    hook = await house.hook(sink.url)
    await house.columba.send(text="Grüße \U0001f600")
    await house.arrived(sink, 1)
    new = (await house.post(f"/v1/webhooks/{hook['id']}/rotate-secret", status=200))["secret"]
    await house.columba.send(text="once more")
    return hook["secret"], new, await house.arrived(sink, 2)


@pytest.mark.parametrize("database", [""], indirect=False)
async def test_the_examples_tell_true_from_forged(house: House, sink: Sink, ask: Ask) -> None:
    old, new, (first, second) = await two_requests(house, sink)
    body = first.body.decode()
    assert ask(old, first.headers, body)
    assert ask(old, second.headers, second.body.decode())
    assert ask(new, second.headers, second.body.decode())
    assert not ask(new, first.headers, body)
    assert not ask(old, first.headers, body.replace("Gr", "gr"))
    assert not ask(old, {**first.headers, "webhook-id": "evt_other"}, body)
    earlier = str(int(first.headers["webhook-timestamp"]) - 301)
    assert not ask(old, {**first.headers, "webhook-timestamp": earlier}, body)


def test_the_example_for_the_node_package_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "package.mjs").write_text(example("package.mjs"))
    node = shutil.which("node")
    assert node
    subprocess.run([node, "--check", "package.mjs"], cwd=tmp_path, check=True)


def test_all_that_can_be_set_and_heard_of_is_on_the_page() -> None:
    shown = json.loads(re.findall(r"^```json\n(.*?)^```$", PAGE, re.M | re.S)[0])
    assert list(shown) == list(WebhookWithSecret.__struct_fields__)
    for name in NewWebhook.__struct_fields__:
        assert f"| `{name}` |" in PAGE
    for name in TYPES.values():
        if name.startswith(("webhook.", "delivery.")) and name != "webhook.test":
            assert f"| `{name}` |" in PAGE
    for status in ("pending", "delivered", "failed"):
        assert status in str(Delivery.__annotations__["status"])
        assert f"`{status}`" in PAGE
