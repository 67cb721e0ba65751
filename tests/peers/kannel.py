"""Debian's kannel, running: a bearerbox that is bound to us, and its smsbox.

It sends what its HTTP interface is asked to, and asks the URLs that it is given about receipts and texts from people. The
connection is the group `smsc` of docs/smpp.md, but for the place and the login.
"""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from tests.keeper import free_port, leashed
from tests.peers import Missing

RECIPE = Path(__file__).parents[2] / "docs" / "smpp.md"
PATIENCE = 30.0
PASSWORD = "kannel"

CORE = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = {password}
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
admin-allow-ip = 127.0.0.1
log-file = "{folder}/bearerbox.log"
log-level = 0
dlr-storage = internal
sms-resend-freq = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = "{folder}/smsbox.log"
log-level = 0

group = sendsms-user
username = {password}
password = {password}
max-messages = 10
concatenation = true

group = sms-service
keyword = default
get-url = "{inbound}"
max-messages = 0

{smsc}
"""


class Answer(NamedTuple):
    status: int
    text: str


class Kannel:
    def __init__(self, folder: Path, sendsms: int, admin: int) -> None:
        self.folder = folder
        self._sendsms, self._admin = sendsms, admin

    async def send(self, **fields: str) -> Answer:
        """Ask it to send a text; what its HTTP interface answers."""
        given = {"username": PASSWORD, "password": PASSWORD} | {name.replace("_", "-"): v for name, v in fields.items()}
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self._sendsms}/cgi-bin/sendsms?{urlencode(given)}")

    async def status(self) -> str:
        """How its connections are, in its own words."""
        return (await asyncio.to_thread(_get, f"http://127.0.0.1:{self._admin}/status.txt?password={PASSWORD}")).text

    @property
    def log(self) -> str:
        return (self.folder / "bearerbox.log").read_text(errors="replace")


def _get(url: str) -> Answer:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return Answer(answer.status, answer.read().decode())
    except HTTPError as error:
        return Answer(error.code, error.read().decode())


def connection(**ours: object) -> str:
    """The group `smsc` as docs/smpp.md has it, with some of its lines changed."""
    found = re.search(r"^group = smsc\n(?:[a-z-]+ = .*\n)+", RECIPE.read_text(), re.MULTILINE)
    assert found, "docs/smpp.md has no group smsc"
    lines = dict(line.split(" = ", 1) for line in found[0].splitlines())
    return "\n".join(f"{name} = {value}" for name, value in (lines | {_name(k): v for k, v in ours.items()}).items())


def _name(keyword: str) -> str:
    return keyword.replace("_", "-")


@contextlib.asynccontextmanager
async def kannel(
    folder: Path, port: int, login: tuple[str, str], inbound: str, **more: object
) -> AsyncIterator[Kannel]:
    """Bound to `port` as `login`; `inbound` is what texts from people are told. Raises Missing where it can't be had."""
    programs = [shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin") for name in ("bearerbox", "smsbox")]
    if not all(programs):
        raise Missing("kannel is not installed: `python3 deploy/peers.py` as root, or `apt-get install kannel`")
    admin, box, sendsms = free_port(), free_port(), free_port()
    smsc = connection(host="127.0.0.1", port=port, smsc_username=f'"{login[0]}"', smsc_password=f'"{login[1]}"', **more)
    conf = folder / "kannel.conf"
    conf.write_text(
        CORE.format(admin=admin, box=box, sendsms=sendsms, password=PASSWORD, folder=folder, inbound=inbound, smsc=smsc)
    )
    running: list[subprocess.Popen[bytes]] = []
    try:
        for program, its in zip(programs, (box, sendsms), strict=True):
            with (folder / "out").open("ab") as out:
                running.append(
                    subprocess.Popen(
                        leashed([str(program), "-v", "4", str(conf)]),
                        stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                    )
                )  # fmt: skip
            await _listening(its, running[-1], folder)
        peer = Kannel(folder, sendsms, admin)
        async with asyncio.timeout(PATIENCE):
            while not re.search(r"\(online \d+s", await peer.status()):
                await asyncio.sleep(0.02)
        yield peer
    finally:
        for process in running[::-1]:
            process.kill()
            process.wait()


async def _listening(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.poll() is None, (folder / "out").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            await asyncio.sleep(0.02)


def url(base: str, fields: Mapping[str, str]) -> str:
    """A URL of Kannel's, its escapes (`%p`) as they are."""
    return f"{base}?{'&'.join(f'{quote(name)}={value}' for name, value in fields.items())}"
