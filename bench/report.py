"""How figures are shown: the machine that they are of, and tables with ratios. Pure but for `machine`."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
import msgspec

from tests import engines


class Machine(msgspec.Struct, frozen=True):
    """What figures depend on; those of two machines, or of two days, are not to be compared."""

    cpu: str
    cores: int
    memory: int  # GB
    kernel: str
    python: str
    sqlite: str
    postgresql: str

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory} GB; {self.kernel}; Python {self.python}, "
            f"SQLite {self.sqlite}, PostgreSQL {self.postgresql}"
        )


def machine() -> Machine:
    try:
        postgresql = engines.find().version
    except engines.EngineError:
        postgresql = "(none)"
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        postgresql=postgresql,
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def figure(value: float | None) -> str:
    """Three digits that count; thousands whole."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def table(columns: Sequence[str], rows: Mapping[str, Sequence[float | None]], against: str | None = None) -> str:
    """A Markdown table of one row a name; with the ratio to the row `against` after each figure of the others."""
    base = rows[against] if against is not None else ()
    lines = [["", *columns]]
    for name, values in rows.items():
        cells = [figure(value) for value in values]
        if base and name != against:
            for i, (value, other) in enumerate(zip(values, base, strict=True)):
                if value is not None and other:
                    cells[i] += f" ({value / other:.2f}x)"
        lines.append([name, *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(
        f"| {line[0]:<{widths[0]}} | "
        + " | ".join(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))
        + " |"
        for line in lines
    )
