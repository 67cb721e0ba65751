"""smsc.js, running: an SMSC by the npm package smpp, told what to do and telling what happens."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.keeper import leashed
from tests.peers import npm_packages

PATIENCE = 30.0
Event = dict[str, Any]


class NodeSmsc:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._came = asyncio.Event()
        self.events: list[Event] = []
        self.port = 0

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))
            self._came.set()

    async def do(self, what: str, **how: Any) -> None:
        """Returns when it has been done."""
        assert self._process.stdin is not None
        done = len(self.of("did"))
        self._process.stdin.write(json.dumps({"do": what, **how}).encode() + b"\n")
        await self.heard("did", done + 1)

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event["event"] == name]

    async def until(self, look: Callable[[], Any]) -> None:
        """Wait until what it told makes it so."""
        async with asyncio.timeout(PATIENCE):
            while not look():
                self._came.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), 0.05)

    async def heard(self, name: str, count: int = 1) -> list[Event]:
        await self.until(lambda: len(self.of(name)) >= count)
        return self.of(name)


@contextlib.asynccontextmanager
async def node_smsc(*flags: str) -> AsyncIterator[NodeSmsc]:
    """Raises Missing where it can't be had."""
    folder = npm_packages()
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        *leashed([node, "smsc.js", *flags]),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    smsc = NodeSmsc(process)
    listening = asyncio.create_task(smsc.listen())
    try:
        smsc.port = (await smsc.heard("listening"))[0]["port"]
        yield smsc
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
