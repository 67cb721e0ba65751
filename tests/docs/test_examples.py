"""The examples do what the pages say: they are pasted, and what comes back is compared with what is shown."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import running
from tests.docs.pages import Page, page, pages
from tests.docs.reader import Reader, differences
from tests.keeper import free_port, leashed
from tests.program import PROGRAM, Program, Sink, eventually

# What these show needs a program of its own (test_carrier.py), a server that goes on or a network: test_pages.py reads it.
NOT_PASTED = {"CONTRIBUTING.md"} | {f"docs/{name}.md" for name in ("carriers", "cli", "settings", "smpp")}
PASTED = [
    each for each in pages() if each.name not in NOT_PASTED and any(block.language == "sh" for block in each.blocks)
]
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Program() as started:
        yield started


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as taking:
        yield taking


@pytest.mark.parametrize("a_page", PASTED, ids=lambda each: each.name)
def test_what_is_shown_is_what_happens(a_page: Page, program: Program, sink: Sink, tmp_path: Path) -> None:
    at_rest(program)
    paste_all(a_page, Reader(program, sink.url, program.folder, tmp_path / "tools"))


def paste_all(a_page: Page, reader: Reader) -> None:
    """Paste a page's blocks; a `json` block right after one is what its last command answered."""
    blocks = a_page.blocks
    for n, block in enumerate(blocks):
        if block.language != "sh":
            continue
        answers = reader.paste(block)
        shown = None
        if (after := blocks[n + 1] if n + 1 < len(blocks) else block).answers and after.language == "json":
            shown = json.loads(reader.moved(after.text))
            assert differences(shown, answers[-1].json) == [], f"line {after.line}"
        refused = [answer for answer in answers if answer.status >= 400]
        wanted = answers[-1:] if isinstance(shown, dict) and "errors" in shown else []
        assert refused == wanted, f"line {block.line}"


def at_rest(program: Program) -> None:
    """Pages share a program: the one before must not be heard in this one."""
    for status in ("queued", "sent"):
        eventually(lambda s=status: not program.request("GET", f"/v1/messages?status={s}").json["data"])  # type: ignore[misc]


@pytest.mark.parametrize("a_page", pages(), ids=lambda each: each.name)
def test_what_is_json_or_python_is_so(a_page: Page) -> None:
    for block in a_page.blocks:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "python":
            compile(block.text, f"{a_page.name}:{block.line}", "exec")


def test_the_quick_start_ends_with_signed_webhooks(program: Program, tmp_path: Path) -> None:
    start = page("docs/quickstart.md")
    assert start.text.count(f"export COLUMBA_WEBHOOK_SECRET={SECRET}") == 2
    assert "columba listen --forward-to http://localhost:3000/hook" in start.text
    port = free_port()
    hook = tmp_path / "hook.py"
    hook.write_text(start.block("# hook.py").replace("3000", str(port)))
    heard = tmp_path / "heard"
    env = {"COLUMBA_WEBHOOK_SECRET": SECRET, "COLUMBA_URL": program.url, "COLUMBA_KEY": program.test_key}
    with heard.open("wb") as out:
        receiver = subprocess.Popen(leashed([sys.executable, str(hook)]), env=env, stdout=out)
    try:
        listen = ("listen", "--forward-to", f"http://localhost:{port}/hook")
        with running(*listen, cwd=None, **env) as listening:
            listening.wait_for("Listening to")
            send = [str(PROGRAM), "send", "--to", "+447700900444", "--text", "Hello", "--wait"]
            subprocess.run(send, env=env, check=True, stdout=subprocess.DEVNULL)
            lines = [f"signed message.{status} +447700900444" for status in ("queued", "sent", "delivered")]
            eventually(lambda: all(line in heard.read_text().splitlines() for line in lines))
    finally:
        receiver.kill()
        receiver.wait()
