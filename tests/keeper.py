"""Keeps one PostgreSQL server for those that use it, and ends it with the last of them.

A process of its own (`python keeper.py JSON`, standard library alone). Its users hold a Unix socket to it, which the
kernel closes however they end, kill -9 too: when the last is gone the server is stopped and its folder removed. If the
keeper itself is killed, the kernel stops the server (Linux) and only the folder is left.
An order is a line on the socket: hello, start, stop, kill, leave. The answer is a line of JSON:
`{"folder", "port", "pid"}`, or `{"error"}` when the order could not be carried out.
"""

import contextlib
import json
import os
import pwd
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds for any one step of a server; recovery after a kill is the longest


class Trouble(Exception):
    """What kept an order from being carried out, for the eyes of whoever gave it."""


@cache
def _setpriv() -> str | None:
    found = shutil.which("setpriv")
    works = found and subprocess.run([found, "--pdeathsig", "KILL", "true"], stderr=subprocess.DEVNULL).returncode == 0
    return found if works else None


def leashed(command: list[str], name: str = "KILL") -> list[str]:
    """The command, ended by this signal when the thread that starts it is gone (where the system can do that)."""
    setpriv = _setpriv()
    return [setpriv, "--pdeathsig", name, "--", *command] if setpriv else command


def free_port() -> int:
    """A loopback port that is free now, below those that the system gives to outgoing connections."""
    while True:
        port = 10240 + secrets.randbelow(32768 - 10240)  # not `random`: tests seed it, the same in every process
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def gone(pid: int) -> bool:
    """Whether the process has ended, reaped by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _open_to_all(path: Path) -> bool:
    return path.exists() and all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _place(memory: bool, for_all: bool) -> Path:
    """Where to put temporary files."""
    with contextlib.suppress(OSError):
        room = os.statvfs("/dev/shm")
        if memory and os.access("/dev/shm", os.W_OK) and room.f_bavail * room.f_frsize > 1 << 30:
            return Path("/dev/shm")
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return next((place for place in places if not for_all or _open_to_all(place)), places[0])


def _moments(what: str) -> Iterator[None]:
    """Short pauses until the time is up."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(0.005)
    raise Trouble(f"{what} took more than {PATIENCE:.0f} s")


class Server:
    """A PostgreSQL server in a temporary folder. PostgreSQL refuses to be root, so root runs it as nobody."""

    def __init__(self, binaries: Path, trees: list[Path], settings: dict[str, str], memory: bool) -> None:
        self.binaries, self.settings, self.port = binaries, settings, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self.folders: list[Path] = []
        self.folder = self._new_folder(memory)
        self.data, self.log = self.folder / "data", self.folder / "log"
        if self.owner and not _open_to_all(binaries / "postgres"):
            self._copy(trees)

    def _new_folder(self, memory: bool) -> Path:
        place = _place(memory, for_all=self.owner is not None)
        self.folders.append(Path(tempfile.mkdtemp(prefix="columba-postgres-", dir=place)))
        if self.owner:
            os.chown(self.folders[-1], self.owner.pw_uid, self.owner.pw_gid)
        return self.folders[-1]

    def _copy(self, trees: list[Path]) -> None:
        """Copy the programs to where nobody can run them, side by side as they stand: they find one another so."""
        assert self.owner
        root, copy = Path(os.path.commonpath([tree.parent for tree in trees])), self._new_folder(memory=False)
        for tree in trees:
            ignore = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(tree, copy / tree.relative_to(root), symlinks=True, ignore=ignore)
        for path, folders, files in os.walk(copy):
            for name in (*folders, *files):
                os.chown(os.path.join(path, name), self.owner.pw_uid, self.owner.pw_gid, follow_symlinks=False)
        self.binaries = copy / self.binaries.relative_to(root)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        person: dict[str, Any] = {}
        if self.owner:
            person = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                leashed([str(self.binaries / program), *arguments], "QUIT"),
                **person,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def start(self) -> None:
        if self.running:
            raise Trouble("the server is running")
        first = not self.data.exists()
        if first:
            choices = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
            if self._run("initdb", "-D", str(self.data), *choices, "--no-sync", "--no-instructions").wait(PATIENCE):
                raise Trouble(f"initdb failed:\n{self._log_tail()}")
        for _ in range(5):
            if self._launch():
                return
            if not first:
                break
            self.port = free_port()  # another program may have taken it
        raise Trouble(f"PostgreSQL did not start:\n{self._log_tail()}")

    def _launch(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "port": str(self.port),
        }
        options = [f"--{name}={value}" for name, value in (settings | self.settings).items()]
        self.process = process = self._run("postgres", "-D", str(self.data), *options)
        for _ in _moments("starting"):
            if process.poll() is not None:
                return False
            with contextlib.suppress(FileNotFoundError):
                note = (self.data / "postmaster.pid").read_text().split("\n")
                # After a kill the note of the last run is still there.
                if note[0] == str(process.pid) and len(note) > 7 and note[7].strip() == "ready":
                    return True
        return False

    @property
    def running(self) -> subprocess.Popen[bytes] | None:
        return self.process if self.process and self.process.poll() is None else None

    def stop(self, name: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one."""
        if process := self.running:
            process.send_signal(name)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Trouble(f"the server had to be killed after {name.name}:\n{self._log_tail()}") from None

    def kill(self) -> None:
        """As if the machine stopped: kill -9 for the server and each of its processes."""
        if process := self.running:
            process.send_signal(signal.SIGSTOP)  # or it would start others in place of those that end
            family = _children(process.pid)
            for pid in (*family, process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            for _ in _moments("the end of the server's processes"):
                if all(map(gone, family)):
                    return

    def end(self) -> None:
        with contextlib.suppress(Trouble):
            self.stop(signal.SIGQUIT)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def _obey(server: Server, order: str) -> None:
    match order:
        case "hello" | "leave":
            pass
        case "start":
            server.start()
        case "stop":
            server.stop()
        case "kill":
            server.kill()
        case _:
            raise Trouble(f"no such order: {order!r}")


def _answer(server: Server, error: str | None = None) -> bytes:
    process = server.running
    state = {"folder": str(server.folder), "port": server.port, "pid": process.pid if process else None}
    return json.dumps({"error": error} if error else state).encode() + b"\n"


def _serve(server: Server, first: socket.socket) -> None:
    """Carry out orders until the last user is gone, then end the server and tell the one that took leave."""
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(server.folder / "keeper"))
    door.listen()
    users: dict[socket.socket, bytes] = {first: b""}  # what each has sent of its next line
    ears = selectors.DefaultSelector()
    ears.register(door, selectors.EVENT_READ)
    ears.register(first, selectors.EVENT_READ)
    while users:
        for key, _ in ears.select():
            if key.fileobj is door:
                user, _ = door.accept()
                users[user] = b""
                ears.register(user, selectors.EVENT_READ)
                continue
            user = key.fileobj  # type: ignore[assignment]
            try:
                sent = user.recv(4096)
            except OSError:
                sent = b""
            *orders, users[user] = (users[user] + sent).split(b"\n")
            for order in orders:
                if order == b"leave" and len(users) == 1:
                    door.close()
                    server.end()
                try:
                    _obey(server, order.decode())
                    answer = _answer(server)
                except (Trouble, OSError, subprocess.SubprocessError) as error:
                    answer = _answer(server, str(error))
                with contextlib.suppress(OSError):
                    user.sendall(answer)
            if not sent or b"leave" in orders:
                ears.unregister(user)
                user.close()
                del users[user]


def main() -> None:
    if os.fork():  # nobody waits for the keeper
        os._exit(0)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(1))
    first = socket.socket(fileno=0)
    task = json.loads(sys.argv[1])
    try:
        trees = [Path(tree) for tree in task["trees"]]
        server = Server(Path(task["binaries"]), trees, task["settings"], task["memory"])
    except (OSError, KeyError) as error:
        first.sendall(json.dumps({"error": f"no folder for a server: {error!r}"}).encode() + b"\n")
        return
    try:
        _serve(server, first)
    finally:
        server.end()


if __name__ == "__main__":
    main()
