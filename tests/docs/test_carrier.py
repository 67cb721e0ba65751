"""Carriers as the pages have them: files dropped into a copy of the program are kinds, and a text goes through each kind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from columba.carriers import kinds
from tests.docs.pages import ROOT, Block, page
from tests.docs.reader import Answer, Reader
from tests.docs.test_examples import paste_all
from tests.keeper import free_port, leashed
from tests.program import Program, eventually

FILE = "columba/carriers/folder.py"
KIND = "columba/carriers/pigeon.py"
EXCHANGES = "tests/carriers/exchanges/pigeon.json"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program, and the tests of its carriers."""
    copy = tmp_path / "copy"
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for folder in ("columba", "tests/carriers"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=left_out)
    for name in ("__init__.py", "program.py", "keeper.py"):
        shutil.copy(ROOT / "tests" / name, copy / "tests" / name)
    return copy


def test_a_file_is_a_carrier(tmp_path: Path, copy: Path) -> None:
    guide = page("CONTRIBUTING.md")
    (copy / FILE).write_text(guide.block(f"# {FILE}"))
    env = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    with Program(env=env, command=(sys.executable, "-m", "columba")) as program:
        kinds = program.request("GET", "/v1/carriers/kinds", key=program.live_key).json["data"]
        assert "folder" in [each["kind"] for each in kinds]
        paste_all(guide, Reader(program, "", program.folder, tmp_path / "tools"))
        (sent,) = (program.folder / "sent").iterdir()
        assert sent.read_text() == " -> +447700900123\nHello\n"


def test_a_file_and_its_exchanges_are_a_provider(copy: Path) -> None:
    """The kind of CONTRIBUTING.md, with the exchanges beside it: nothing else is touched, and the tests there are run it."""
    guide = page("CONTRIBUTING.md")
    (copy / KIND).write_text(guide.block(f"# {KIND}"))
    before = guide.text.index(f"`{EXCHANGES}`")
    (exchanges,) = [each for each in guide.blocks if each.language == "json" and guide.text.index(each.text) > before]
    (copy / EXCHANGES).write_text(exchanges.text)
    tests = "tests/carriers/test_exchanges.py"
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:randomly", "-k", "pigeon", tests]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COLUMBA_", "PYTEST_"))}
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(copy), "-o", "asyncio_mode=auto", "--import-mode=importlib"],
        cwd=copy, env=env | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


class OnAnotherPort(Reader):
    """Whose stand-in has a port of its own."""

    port = 0

    def moved(self, text: str) -> str:
        return super().moved(text).replace("127.0.0.1:9000", f"127.0.0.1:{self.port}")

    def paste(self, block: Block) -> list[Answer]:
        return super().paste(block)


def test_a_text_through_each_kind(tmp_path: Path) -> None:
    guide = page("docs/carriers.md")
    port = free_port()
    script = tmp_path / "standin.py"
    script.write_text(guide.block("# standin.py").replace("9000", str(port)))
    heard = tmp_path / "heard"
    with heard.open("wb") as out, Program() as program:
        standin = subprocess.Popen(leashed([sys.executable, str(script)]), stdout=out)
        try:
            eventually(lambda: _listens(port))
            reader = OnAnotherPort(program, "", program.folder, tmp_path / "tools")
            reader.port = port
            paste_all(guide, reader)
            eventually(lambda: len(heard.read_text().splitlines()) >= 7)
            lines = heard.read_text().splitlines()
        finally:
            standin.kill()
            standin.wait()
        assert [line.split()[0] for line in lines if line] == [
            "/2010-04-01/Accounts/AC1/Messages.json", "/v1/messages", "/v1/Account/MA1/Message/", "/v2/messages",
            "/sms/3/messages", "/messages", "/send",
        ]  # fmt: skip
        texts = program.request("GET", "/v1/messages?limit=100", key=program.live_key).json["data"]
        assert [each["status"] for each in texts if each["text"] == "Hello"].count("delivered") == 1
    for name, kind in kinds().items():
        if kind.parse is not None:
            assert f"--kind {name}" in guide.text


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
