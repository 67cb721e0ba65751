"""What a run costs: CPU and memory of process trees, and what else the machine did meanwhile (Linux: /proc).

    with watch({"columba": program.pid, "smsc": carrier.pid}) as usage:
        ...
    usage.cpu["columba"], usage.memory["columba"], usage.foreign, usage.steal

Processes that are gone count as they were last seen.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


class Usage:
    """Filled in when the watch ends; CPU and memory also before that, a tenth of a second old."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self.seconds = 0.0
        self.cpu = dict.fromkeys(names, 0.0)  # seconds
        self.memory = dict.fromkeys(names, 0.0)  # the highest seen, MB
        self.foreign = 0.0  # share of the machine used by what is neither watched nor started by us
        self.steal = 0.0  # share of the machine that its host gave to others

    def __str__(self) -> str:
        each = (f"{name} {self.cpu[name]:.2f} s CPU, {self.memory[name]:.0f} MB" for name in self.cpu)
        return f"{'; '.join(each)}; foreign CPU {self.foreign:.1%}, steal {self.steal:.1%}"


class _Machine(NamedTuple):
    """Seconds of CPU since the machine's start."""

    busy: float
    idle: float
    steal: float


def _machine() -> _Machine:
    with open("/proc/stat") as stat:
        user, nice, system, idle, iowait, irq, softirq, steal = (
            int(field) / TICK for field in stat.readline().split()[1:9]
        )
    return _Machine(user + nice + system + irq + softirq, idle + iowait, steal)


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for process in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu(pid: int) -> float:
    """Seconds used by a process tree, those of its processes that ended included."""
    ticks = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / TICK


def own_cpu(pid: int) -> float:
    """Seconds used by a process's first thread, where the event loop is: what one core has to carry."""
    return sum(map(int, Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / TICK


def memory(pid: int) -> float:
    """MB that a process tree holds, memory that its processes share counted once."""
    own, shared = 0, 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
            kilobytes = {line[0]: int(line[1]) for line in lines if line and line[0].startswith("Rss")}
            own += kilobytes.get("RssAnon:", 0) + kilobytes.get("RssFile:", 0)
            shared = max(shared, kilobytes.get("RssShmem:", 0))
    return (own + shared) / 1024


def _ours() -> float:
    """Seconds used by this process and by its children that ended: a load generator, say."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextlib.contextmanager
def watch(pids: Mapping[str, int]) -> Iterator[Usage]:
    usage, over = Usage(pids), threading.Event()
    before, machine, ours, start = {name: cpu(pid) for name, pid in pids.items()}, _machine(), _ours(), time.monotonic()

    def look() -> None:
        for name, pid in pids.items():
            usage.cpu[name] = max(usage.cpu[name], cpu(pid) - before[name])
            usage.memory[name] = max(usage.memory[name], memory(pid))

    def keep_looking() -> None:
        while not over.wait(0.1):
            look()

    look()
    eyes = threading.Thread(target=keep_looking, daemon=True)
    eyes.start()
    try:
        yield usage
    finally:
        over.set()
        eyes.join()
        look()
        usage.seconds = time.monotonic() - start
        now = _machine()
        busy, steal = now.busy - machine.busy, now.steal - machine.steal
        whole = busy + steal + now.idle - machine.idle
        if whole > 0:
            usage.foreign = max(0.0, busy - sum(usage.cpu.values()) - (_ours() - ours)) / whole
            usage.steal = steal / whole


def calm(limit: float = 0.08, patience: float = 60.0, look: float = 1.0) -> float:
    """Wait until the machine has little else to do; its busy share at last. The load average is too slow for this."""
    end = time.monotonic() + patience
    while True:
        before = _machine()
        time.sleep(look)
        after = _machine()
        whole = sum(after) - sum(before)
        busy = min(1.0, (after.busy - before.busy) / whole) if whole > 0 else 0.0
        if busy < limit or time.monotonic() > end:
            return busy
