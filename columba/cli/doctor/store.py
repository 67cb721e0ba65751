"""Whether the store can be relied on: there, of this version, really durable, quick enough, with room."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw

from columba.cli import stores
from columba.cli.admin import clock
from columba.cli.doctor.ages import FIRST, ages
from columba.cli.doctor.clock import clock_against_ids, clocks
from columba.cli.doctor.finding import Finding, State
from columba.cli.doctor.secrets import SEALED, secrets
from columba.cli.options import Settings
from columba.cli.show import seconds, size
from columba.store import StoreRefused, migrate
from columba.store.postgres import OLDEST
from columba.store.sqlite import check_version

SLOW_FSYNC_S, VERY_SLOW_FSYNC_S = 0.02, 0.2
LITTLE_SPACE, NO_SPACE = 2 << 30, 100 << 20
LARGE_WAL = 512 << 20
FAST_QUERY_S = 0.02


def store(settings: Settings) -> Iterator[Finding]:
    if settings.database:
        yield from asyncio.run(_collected(settings))
    else:
        yield from sqlite_store(settings)


async def _collected(settings: Settings) -> list[Finding]:
    """As far as it went; what ended it is the last."""
    found: list[Finding] = []
    try:
        async for finding in postgres_store(settings):
            found.append(finding)
    except Exception as error:
        found.append(tripped("store", error))
    return found


def tripped(area: str, error: Exception) -> Finding:
    """A check that could not be made."""
    if isinstance(error, StoreRefused):
        return Finding(area, "reachable", "fail", str(error), "Check --database or --data, and that this user may.")
    return Finding(area, "check", "fail", f"The check itself failed: {type(error).__name__}: {error}")


def sqlite_store(settings: Settings) -> Iterator[Finding]:
    area, file = "store", stores.path(settings)
    try:
        check_version()
        yield Finding(area, "sqlite", "ok", f"SQLite {apsw.sqlite_lib_version()}")
    except StoreRefused as error:
        yield Finding(area, "sqlite", "fail", str(error), "Reinstall the apsw package.")
    yield from disk(file.parent)
    if not file.exists():
        yield Finding(
            area, "database", "warn", f"There is no database at {file} yet.",
            "`columba serve` makes it; or name another folder with --data.",
        )  # fmt: skip
        return
    reader = stores.look(settings)
    try:
        have = stores.wait(stores.applied(settings))
        yield from versions(area, have, f"{file}, {size(file.stat().st_size)}")
        wal = file.with_name(file.name + "-wal")
        length = wal.stat().st_size if wal.exists() else 0
        if length > LARGE_WAL:
            yield Finding(
                area, "wal", "warn", f"The write-ahead log has {size(length)}: something reads for very long.",
                "Look for a program that keeps the database open (a backup, a shell), and end it.",
            )  # fmt: skip
        else:
            yield Finding(area, "wal", "ok", f"write-ahead log {size(length)}")
        if have:
            newest = reader.execute("select max(id) from messages").get
            yield from clock_against_ids(newest)
            if migrate.latest() in have:
                yield from ages(settings, {name: reader.execute(query).get for name, query in FIRST.items()}, clock())
            yield from free_space(reader)
            yield from secrets(settings, lambda query: [str(row[0]) for row in reader.execute(query)])
    finally:
        reader.close()


def free_space(reader: apsw.Connection) -> Iterator[Finding]:
    """Of the file itself: what was let go makes room for what comes."""
    page = reader.execute("pragma page_size").get
    free = reader.execute("pragma freelist_count").get * page
    if free > LITTLE_SPACE:
        yield Finding("store", "file", "ok", f"{size(free)} of the database's file are free: new rows fill them first")


def disk(folder: Path) -> Iterator[Finding]:
    """Room and how long a commit waits, where the data are or will be."""
    area = "store"
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    try:
        took = fsync_time(there)
    except OSError as error:
        yield Finding(
            area, "fsync", "fail", f"{there} can't be written durably ({error.strerror}).",
            "Let this user write there, or choose a folder on a disk that supports fsync, with --data DIR.",
        )  # fmt: skip
    else:
        text = f"an fsync takes {seconds(took)}"
        if took < SLOW_FSYNC_S:
            yield Finding(area, "fsync", "ok", text)
        else:
            state: State = "warn" if took < VERY_SLOW_FSYNC_S else "fail"
            yield Finding(
                area, "fsync", state, f"{text}: each commit waits for it.",
                "Use a local SSD; network and USB disks are slow to be sure.",
            )  # fmt: skip
    system = os.statvfs(there)
    free = system.f_bavail * system.f_frsize
    state = "ok" if free > LITTLE_SPACE else "warn" if free > NO_SPACE else "fail"
    mend = "" if state == "ok" else "Make room: with none, messages are refused (503) until there is some."
    yield Finding(area, "space", state, f"{size(free)} free in {there}", mend)


def fsync_time(folder: Path, times: int = 9) -> float:
    """How long it takes to be sure of a few kilobytes: the median."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".columba-doctor-") as probe:
        for _ in range(times):
            probe.write(b"columba" * 1024)
            probe.flush()
            began = time.perf_counter()
            os.fsync(probe.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def versions(area: str, have: set[int], where: str) -> Iterator[Finding]:
    try:
        missing = [each.number for each in migrate.missing(have)]
    except migrate.NewerDatabase as error:
        yield Finding(area, "version", "fail", str(error), "Use the newer program.")
        return
    if missing:
        text = f"version {max(have, default=0)} of {migrate.latest()}: {where}"
        yield Finding(
            area, "version", "warn", text, "`columba migrate`, or the next start of `columba serve`, mends it."
        )
    else:
        yield Finding(area, "version", "ok", f"version {migrate.latest()}: {where}")


async def postgres_store(settings: Settings) -> AsyncIterator[Finding]:
    area = "store"
    connection = await stores.reach(settings)
    try:
        version = connection.get_server_version()
        if version.major * 10_000 < OLDEST:
            yield Finding(
                area, "postgres", "fail", f"PostgreSQL {version.major} is too old.",
                f"Move the data to PostgreSQL {OLDEST // 10_000} or later.",
            )  # fmt: skip
        else:
            text = f"PostgreSQL {version.major}.{version.minor} at {stores.shown(settings)}"
            yield Finding(area, "postgres", "ok", text)
        if await connection.fetchval("select pg_is_in_recovery()"):
            yield Finding(
                area, "primary", "fail", "This server is a replica: it takes no writes.",
                "Name the primary; several hosts in the URL need target_session_attrs=primary.",
            )  # fmt: skip
            return
        for name, kept, mend in (
            ("fsync", "on", "Set fsync = on: nothing accepted would survive a power cut."),
            ("synchronous_commit", None, "Set synchronous_commit = on: what was accepted could be lost in a crash."),
            ("full_page_writes", "on", "Set full_page_writes = on, unless the file system never tears a page."),
            ("server_encoding", "UTF8", "Make the database with encoding UTF8: it can't hold every text."),
        ):
            value = await connection.fetchval("select current_setting($1)", name)
            bad = value == "off" if kept is None else value != kept
            yield Finding(area, name, "fail" if bad else "ok", str(value), mend if bad else "")
        taken = [await _timed(connection, "select 1") for _ in range(5)]
        took = statistics.median(taken)
        yield Finding(
            area, "latency", "ok" if took < FAST_QUERY_S else "warn", f"a question takes {seconds(took)}",
            "" if took < FAST_QUERY_S else "Run Columba near its database: each commit is several questions.",
        )  # fmt: skip
        emit = "select pg_logical_emit_message(true, 'columba', 'doctor')"  # an empty record, made durable
        commit = statistics.median([await _timed(connection, emit) for _ in range(5)])
        slow = commit >= SLOW_FSYNC_S
        yield Finding(
            area, "commit", "warn" if slow else "ok", f"a commit takes {seconds(commit)}",
            "Put pg_wal on a faster disk, or look at the synchronous replicas." if slow else "",
        )  # fmt: skip
        used, most = await connection.fetchrow(
            "select (select count(*) from pg_stat_activity where backend_type = 'client backend'), "
            "current_setting('max_connections')::bigint"
        )
        crowded = most - used < 10
        yield Finding(
            area, "connections", "warn" if crowded else "ok", f"{used} of {most} connections are used",
            "Raise max_connections: each process of Columba takes up to 9." if crowded else "",
        )  # fmt: skip
        have = await stores.applied(settings)
        for finding in versions(area, have, stores.shown(settings)):
            yield finding
        began = time.time()
        theirs = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
        apart = abs(float(theirs) - (began + time.time()) / 2)
        for finding in clocks(apart):
            yield finding
        if have:
            newest = await connection.fetchval("select max(id) from messages")
            for finding in clock_against_ids(newest):
                yield finding
            if migrate.latest() in have:
                oldest = {name: await connection.fetchval(query) for name, query in FIRST.items()}
                for finding in ages(settings, oldest, clock()):
                    yield finding
            sealed = {query: [str(row[0]) for row in await connection.fetch(query)] for query in SEALED}
            for finding in secrets(settings, sealed.__getitem__):
                yield finding
    finally:
        await connection.close()


async def _timed(connection: Any, query: str) -> float:
    began = time.perf_counter()
    await connection.fetchval(query)
    return time.perf_counter() - began
