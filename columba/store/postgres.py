"""The shared store: PostgreSQL, for any number of processes.

Owns its connections: `journals` that commit plans in groups (each in order), a pool for reading, one that rings and
hears the bell (LISTEN/NOTIFY; a lost ring costs a poll). A lost connection fails what was on it with StoreUnavailable
and is opened anew with growing pauses; nothing is retried here that might have been committed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

from . import migrate
from .plan import Attempts, Journal, Outcome, Plan, Results, StoreUnavailable, attempts, rows_for
from .sql import Row, Statement, Value
from .sqlite import StoreRefused

_encode = msgspec.json.Encoder().encode
_LOST = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,
)
OLDEST = 140_000
_LOCK = 0x436F6C75  # advisory lock for migrations: "Colu"
# Batches join a few hundred rows to tables of any size by their keys: the planner, which can't know how long a JSON
# array is, must not be tempted into reading a whole table.
_PLANNER = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "application_name": "columba",
}


class PostgresStore:
    engine = "postgres"

    def __init__(self, url: str, observe: Callable[[int, float], None] | None = None) -> None:
        self.url = url
        self._writer: asyncpg.Connection | None = None
        self._pool: asyncpg.Pool | None = None
        self._ear: asyncpg.Connection | None = None
        self._listeners: list[Callable[[str], None]] = []
        self._to_ring: set[str] = set()
        self._ringing: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._work_bell = asyncio.Event()
        self.journal = Journal(self._work_bell.set, observe=observe)
        self._working: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self.url, min_size=1, max_size=4, command_timeout=30, server_settings={"application_name": "columba"}
        )
        await self._connected()
        self._working = asyncio.get_running_loop().create_task(self._work(), name="journal")
        self._hearing = asyncio.get_running_loop().create_task(self._hear(), name="bell")

    # Writing

    def commit(self, plan: Plan) -> Awaitable[Results]:
        return self.journal.commit(plan)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work_bell.wait()
            self._work_bell.clear()
            while groups := self.journal.take():
                began = loop.time()
                outcomes = await self._drive(attempts(groups))
                self.journal.done(groups, outcomes, loop.time() - began)

    async def _drive(self, work: Attempts) -> list[Outcome]:
        plans = next(work)
        while True:
            came: list[Results] | Exception
            try:
                came = await self._execute(plans)
            except Exception as error:
                came = error
            try:
                plans = work.send(came)
            except StopIteration as stop:
                outcomes: list[Outcome] = stop.value
                return outcomes

    async def _connected(self) -> asyncpg.Connection:
        if self._writer is None or self._writer.is_closed():
            self._writer = None
            if self._pause:
                await asyncio.sleep(self._pause)
            try:
                self._writer = await asyncpg.connect(
                    self.url, server_settings=_PLANNER, timeout=5, command_timeout=60, statement_cache_size=500
                )
            except Exception:
                self._pause = min(1.0, self._pause * 2 or 0.05)
                raise
            self._pause = 0.0
        return self._writer

    async def _execute(self, plans: Sequence[Plan]) -> list[Results]:
        try:
            writer = await self._connected()
            async with writer.transaction():
                return [await self._run(writer, plan) for plan in plans]
        except _LOST as error:
            if self._writer is not None:
                self._writer.terminate()
                self._writer = None
            raise StoreUnavailable(str(error) or type(error).__name__) from error

    @staticmethod
    async def _run(writer: asyncpg.Connection, plan: Plan) -> Results:
        results: Results = []
        for step in plan.steps:
            rows = rows_for(step, results)
            if not rows:
                results.append([])
                continue
            found = await writer.fetch(step.statement.postgres, _encode([tuple(row) for row in rows]).decode())
            results.append(found)
        return results

    # Reading

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        """Rows as they are after the last commit."""
        if self._pool is None:
            raise StoreUnavailable("the store is closed")
        arguments: list[Value] = [params[name] for name in statement.params]
        if statement.columns:
            arguments.insert(0, _encode(rows).decode())
        try:
            return [tuple(row) for row in await self._pool.fetch(statement.postgres, *arguments)]
        except _LOST as error:
            raise StoreUnavailable(str(error) or type(error).__name__) from error

    # The bell

    def on_bell(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def ring(self, topic: str) -> None:
        """Tell the other processes that there is work. May be lost."""
        self._to_ring.add(topic)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.get_running_loop().create_task(self._ring(), name="ring")

    async def _ring(self) -> None:
        while self._to_ring and self._ear is not None:
            topics, self._to_ring = self._to_ring, set()
            with contextlib.suppress(*_LOST):
                await self._ear.execute("select pg_notify('columba', t) from unnest($1::text[]) t", sorted(topics))

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for listener in self._listeners:
            listener(str(payload))

    async def _hear(self) -> None:
        while True:
            try:
                ear = await asyncpg.connect(self.url, timeout=5, command_timeout=10)
                lost = asyncio.Event()
                ear.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await ear.add_listener("columba", self._heard)
                self._ear = ear
                self._heard(None, 0, "", "*")  # what was rung while nobody listened
                await lost.wait()
            except _LOST:
                pass
            finally:
                ear_was, self._ear = self._ear, None
                if ear_was is not None:
                    ear_was.terminate()
            await asyncio.sleep(0.5)

    async def close(self) -> None:
        await self.journal.close()
        for task in (self._working, self._hearing, self._ringing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._writer is not None:
            await self._writer.close()
        if self._pool is not None:
            await self._pool.close()


async def open_postgres(url: str, observe: Callable[[int, float], None] | None = None) -> PostgresStore:
    """The store at a URL: checked, migrated, ready."""
    await migrate_postgres(url)
    store = PostgresStore(url, observe)
    await store.open()
    return store


async def migrate_postgres(url: str, upto: int | None = None) -> list[int]:
    """Run the migrations that are missing; processes that start together run them once."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StoreRefused(
            f"PostgreSQL can't be reached ({type(error).__name__}: {error}). Check --database and that it runs."
        ) from error
    try:
        version = connection.get_server_version()
        if version.major * 10_000 < OLDEST:
            raise StoreRefused(f"PostgreSQL {version.major} is too old: Columba needs {OLDEST // 10_000} or later.")
        if await connection.fetchval("show fsync") == "off":
            raise StoreRefused("This PostgreSQL runs with fsync=off: nothing accepted would survive a power cut.")
        done = []
        async with connection.transaction():
            await connection.execute(f"select pg_advisory_xact_lock({_LOCK})")
            await connection.execute("create table if not exists migrations (number int primary key, at bigint)")
            have = {int(row[0]) for row in await connection.fetch("select number from migrations")}
            for step in migrate.missing(have, upto):
                await connection.execute(step.text("postgres"))
                await connection.execute(
                    "insert into migrations values ($1, (extract(epoch from now()) * 1000)::bigint)", step.number
                )
                done.append(step.number)
        return done
    except migrate.NewerDatabase as error:
        raise StoreRefused(str(error)) from error
    finally:
        await connection.close()
