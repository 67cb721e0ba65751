"""The carrier of CONTRIBUTING.md: its file, dropped into a copy of the program, is a kind of carrier that delivers."""

import shutil
import sys
from pathlib import Path

from tests.docs.pages import ROOT, page
from tests.docs.reader import Reader
from tests.docs.test_examples import paste_all
from tests.program import Program

FILE = "columba/carriers/folder.py"


def test_a_file_is_a_carrier(tmp_path: Path) -> None:
    guide = page("CONTRIBUTING.md")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "columba", copy / "columba", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / FILE).write_text(guide.block(f"# {FILE}"))
    env = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    with Program(env=env, command=(sys.executable, "-m", "columba")) as program:
        kinds = program.request("GET", "/v1/carriers/kinds", key=program.live_key).json["data"]
        assert "folder" in [each["kind"] for each in kinds]
        paste_all(guide, Reader(program, "", program.folder, tmp_path / "tools"))
        (sent,) = (program.folder / "sent").iterdir()
        assert sent.read_text() == " -> +447700900123\nHello\n"
