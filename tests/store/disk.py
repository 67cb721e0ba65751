"""Disks: one that tells when it was made to keep what it has (a shim under SQLite), and one that can be filled."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw


class _File(apsw.VFSFile):
    def __init__(self, disk: "Disk", name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._wal = str(name.filename() if isinstance(name, apsw.URIFilename) else name).endswith("-wal")

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self._wal:
            self._disk.syncs += 1

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.full:
            raise apsw.FullError("disk full")
        super().xWrite(data, offset)


class Disk(apsw.VFS):
    """What SQLite's connections use while it is there."""

    def __init__(self) -> None:
        self.syncs = 0  # of the write-ahead log
        self.full = False
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


class SmallDisk(NamedTuple):
    """A folder on a disk that a test may fill, and empty again."""

    folder: Path
    fill: Callable[[], object]
    free: Callable[[], object]


@contextlib.contextmanager
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real small filesystem where the tests may mount one, else the shim."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0:
        filler = folder / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

        try:
            yield SmallDisk(folder, fill, filler.unlink)
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    else:
        with disk() as shim:
            yield SmallDisk(folder, lambda: setattr(shim, "full", True), lambda: setattr(shim, "full", False))
