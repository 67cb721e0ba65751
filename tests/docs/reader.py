"""A reader who pastes the examples of a page, one after the other, into a shell.

The commands `curl` and `columba` go through `pasted.py`, which puts what earlier commands answered in place of `msg_...`
and the like, and notes each answer. All else is the shell's.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.docs.pages import Block
from tests.keeper import leashed
from tests.program import PATIENCE, PROGRAM, Program

PASTED = Path(__file__).with_name("pasted.py")
SERVER = "http://127.0.0.1:8080"
HOOKS = ("http://127.0.0.1:3000", "http://localhost:3000", "https://example.org")
_EXPORT = re.compile(r"^export .*$", re.M)
_MADE_UP = re.compile(r"(?:[a-z]{3}|ck_live|ck_test|whsec|req)_[0-9A-Za-z+/=]+|ct_v1.*|.*\.\.\..*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Answer(NamedTuple):
    """What a command gave: an HTTP status (0 for a command of ours) and a text."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Reader:
    """In a folder, with a program to ask and a place that takes webhooks."""

    def __init__(self, program: Program, hook: str, folder: Path, tools: Path) -> None:
        self.env: dict[str, str] = {
            "PATH": f"{tools}:{PROGRAM.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "COLUMBA_URL": program.url,
            "COLUMBA_KEY": program.test_key,
        }
        self._program = program
        self._hook = hook
        self._folder = folder
        self._exports: list[str] = []
        self._tools = tools
        self._notes = tools / "notes"
        tools.mkdir()
        self._notes.touch()
        for name in ("curl", "columba"):
            tool = tools / name
            tool.write_text(f"#!{sys.executable} -IS\n{PASTED.read_text()}")
            tool.chmod(0o755)

    def paste(self, block: Block) -> list[Answer]:
        """What the commands of a block answered, in order."""
        script = _EXPORT.sub(self._key, self.moved(block.text))
        before = len(self._notes.read_text().splitlines())
        shell = subprocess.Popen(
            leashed(["/bin/bash", "-euo", "pipefail", "-c", "\n".join([*self._exports, script])]),
            cwd=self._folder,
            env=self.env | {"PASTED_NOTES": str(self._notes), "PASTED_PROGRAM": str(PROGRAM), **self._keys()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = shell.communicate(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what was pasted and goes on
        assert shell.returncode == 0, f"line {block.line}: {said}"
        self._exports += _EXPORT.findall(script)
        return [Answer(*json.loads(line)) for line in self._notes.read_text().splitlines()[before:]]

    def moved(self, text: str) -> str:
        """With the addresses that there are here."""
        for address in HOOKS:
            text = text.replace(address, self._hook)
        return text.replace(SERVER, self._program.url)

    def _keys(self) -> Mapping[str, str]:
        return {"PASTED_LIVE": self._program.live_key, "PASTED_TEST": self._program.test_key}

    def _key(self, found: re.Match[str]) -> str:
        line = found[0].replace("ck_test_...", self._program.test_key)
        return line.replace("ck_live_...", self._program.live_key)


def differences(shown: Any, came: Any, at: str = "") -> list[str]:
    """Where an answer has another shape than is shown, or other words; ids, times and secrets need the same form."""
    if isinstance(shown, dict) and isinstance(came, dict):
        odd = [f"{at}: {name} is not shown" for name in came if name not in shown]
        odd += [f"{at}: {name} did not come" for name in shown if name not in came]
        return odd + [
            line for name in shown if name in came for line in differences(shown[name], came[name], f"{at}.{name}")
        ]
    if isinstance(shown, list) and isinstance(came, list):
        if len(shown) != len(came):
            return [f"{at}: {len(came)} instead of {len(shown)}"]
        return [
            line for n, pair in enumerate(zip(shown, came, strict=True)) for line in differences(*pair, f"{at}[{n}]")
        ]
    if isinstance(shown, str) and isinstance(came, str):
        for form in (_TIME, _MADE_UP):
            if form.fullmatch(shown):
                prefix = shown.partition("_")[0] if "_" in shown and form is _MADE_UP else ""
                same = form.fullmatch(came) is not None and came.startswith(prefix)
                return [] if same or "..." in shown else [f"{at}: {came}"]
    return [] if shown == came and type(shown) is type(came) else [f"{at}: {came!r} instead of {shown!r}"]
