"""Disks: what was made durable on one, and one that can be filled."""

import contextlib
import resource
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

from columba.store import Store
from columba.store.sqlite import SqliteStore


class _File(apsw.VFSFile):
    def __init__(self, disk: "Disk", name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._wal = str(name.filename() if isinstance(name, apsw.URIFilename) else name).endswith("-wal")

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._disk.syncs += self._wal


class Disk(apsw.VFS):
    """Under the SQLite of this process: counts how often it made the write-ahead log durable."""

    def __init__(self) -> None:
        self.syncs = 0
        super().__init__("columba-test", "unix", makedefault=True)

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


@contextlib.contextmanager
def disk() -> Iterator[Disk]:
    shim = Disk()
    try:
        yield shim
    finally:
        shim.unregister()


def commits(folder: Path) -> int:
    """How many transactions the write-ahead log holds: a frame that ends one tells the size of the database."""
    data = (folder / "columba.db-wal").read_bytes()
    page_size, _, salts = struct.unpack(">II8s", data[8:24])
    count = 0
    for start in range(32, len(data), 24 + page_size):
        size, its_salts = struct.unpack(">I8s", data[start + 4 : start + 16])
        if its_salts != salts:
            break  # left from before the log began anew
        count += size > 0
    return count


class SmallDisk(NamedTuple):
    """A folder on a disk that a test may fill, and empty again, for an open store."""

    folder: Path
    fill: Callable[[Store], object]
    free: Callable[[Store], object]


@contextlib.contextmanager
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real small filesystem where the tests may mount one; else the writer's files are not let grow."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0:
        filler = folder / "filler"

        def fill(_store: Store) -> None:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

        try:
            yield SmallDisk(folder, fill, lambda _store: filler.unlink())
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    else:
        yield SmallDisk(folder, lambda store: _limit(store, 65_536), lambda store: _limit(store, -1))


def _limit(store: Store, size: int) -> None:
    assert isinstance(store, SqliteStore)
    assert store._process is not None
    _, hard = resource.prlimit(store._process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(store._process.pid, resource.RLIMIT_FSIZE, (size, hard))
