"""The real program's commands, run as a person or a script runs them."""

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.keeper import leashed
from tests.program import eventually

PROGRAM = Path(sys.executable).with_name("columba")
KEY = "ck_test_0123456789"


def environment(**more: str) -> dict[str, str]:
    """This one without what could colour the outcome."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COLUMBA_") and name not in ("NO_COLOR", "FORCE_COLOR", "TERM")
    }
    return {**mine, "TERM": "xterm", "COLUMNS": "120", "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str, cwd: Path | None = None, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(**env), input=text, capture_output=True, text=True, timeout=60
    )


class Running:
    """A command that goes on: what it has written so far, and its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = self.err = ""
        self._threads = [threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.out + self.err)

    def end(self, signal: int) -> int:
        """Send the signal; its exit code."""
        self.process.send_signal(signal)
        code = self.process.wait(20)
        for thread in self._threads:
            thread.join()
        return code


@contextlib.contextmanager
def running(*arguments: str, cwd: Path | None = None, **env: str) -> Iterator[Running]:
    process = subprocess.Popen(
        leashed([str(PROGRAM), *arguments]),
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = Running(process)
    try:
        yield started
    finally:
        process.kill()
        process.wait()
        for thread in started._threads:
            thread.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def on_terminal(*arguments: str, **env: str) -> tuple[int, str]:
    """Exit code, and all that the command shows on a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(PROGRAM), *arguments], env=environment(**env), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux says so when the other side is closed
            while chunk := os.read(ours, 65_536):
                shown += chunk
        return process.wait(20), shown.decode()
    finally:
        os.close(ours)
