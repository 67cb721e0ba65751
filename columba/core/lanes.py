"""Lanes: ordered, rate-limited streams of jobs, each with exactly one owner among all processes.

Owns the leases: which lanes this process has, since when, and until when it may act on them. What goes on in a lane is
in `lane.py`.

- The store is the truth: memory is only quicker.
- A lease that was not renewed in time stops its lane before it ends; the epoch keeps a late process from settling.

Fails by stopping (never by sending twice): a process that can't reach the store sends nothing. What came back meanwhile
it settles when the store is back, if nobody has taken the lane.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import structlog

from columba.core.lane import Backlog, Job, Kind, Lane, Pace, Spec
from columba.store import Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("lanes.sql"))
__all__ = ["SQL", "Backlog", "Job", "Kind", "Lane", "Lanes", "Pace", "Spec", "join", "share"]

log = structlog.get_logger()


class Lanes:
    """All lanes of this process, and its place among the other processes."""

    def __init__(
        self,
        store: Store,
        kinds: Sequence[Kind],
        node: int,
        token: str,
        clock: Callable[[], int],
        renumber: Callable[[int], None] = lambda _node: None,
        pace: Pace = Pace(),  # noqa: B008
    ) -> None:
        self.store = store
        self.kinds = kinds
        self.node = node
        self.token = token
        self.clock = clock
        self.renumber = renumber
        self.pace = pace
        self.loop = asyncio.get_running_loop()
        self.owned: dict[int, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: set[int] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._changed = False
        self._given_up: set[int] = set()  # lanes that may still be ours in the store
        self._stopping = False
        self.valid_until = 0.0
        self._shared: tuple[tuple[str, ...], set[int]] = ((), set())
        self._share: set[int] = set()
        self._polled = 0.0
        self.peers: tuple[str, ...] = (token,)

    def spawn(self, work: Any) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        await self._tick()
        self._ticking = self.loop.create_task(self._run(), name="lanes")

    def offer(self, lane_id: int, jobs: Sequence[Any]) -> None:
        """Committed jobs: to the lane if it is ours, else the bell for who owns it."""
        lane = self.owned.get(lane_id)
        if lane is not None and not lane.gone:
            lane.offer(jobs)
        else:
            self.store.ring(f"lane:{lane_id}")

    def due_later(self, lane_id: int, at: int) -> None:
        lane = self.owned.get(lane_id)
        if lane is not None:
            lane.due_later(at)
        else:
            self.store.ring(f"lane:{lane_id}")

    def heard(self, topic: str) -> None:
        """The bell rang."""
        if topic == "*":
            for lane in self.owned.values():
                self.look(lane)
        elif topic.startswith("lane:"):
            found = self.owned.get(int(topic[5:]))
            if found is not None:
                self.look(found)
        elif topic == "lanes":
            self._changed = True

    def refresh(self) -> None:
        """The kinds' lanes have changed: look now. A pause or another pace is in force when this returns."""
        self._changed = True
        specs = [kind.lanes() for kind in self.kinds]
        for lane in self.owned.values():
            spec = specs[self.kinds.index(lane.kind)].get(lane.id)
            if spec is not None and spec.revision == lane.spec.revision and not lane.draining:
                lane.adopt(spec)

    def look(self, lane: Lane) -> None:
        """Read the lane's backlog soon; many calls are one reading."""
        if not self._looking:
            self.loop.call_later(0.01, self._look)
        self._looking.add(lane.id)

    def _look(self) -> None:
        wanted, self._looking = self._looking, set()
        if not self._stopping:
            self.spawn(self._poll([lane for lane in self.owned.values() if lane.id in wanted]))

    async def _poll(self, lanes: Sequence[Lane]) -> None:
        for kind in self.kinds:
            mine = {lane.id: lane for lane in lanes if lane.kind is kind and not lane.gone}
            if not mine:
                continue
            with contextlib.suppress(StoreUnavailable):
                for found in await kind.backlog(list(mine)):
                    lane = mine[found.lane]
                    if not lane.gone:
                        lane.in_store(found.klass, found.account_id, found.due_at)

    # Leases

    async def _run(self) -> None:
        next_lease = self.loop.time() + self.pace.tick_s
        while not self._stopping:
            await asyncio.sleep(0.05)
            ms = self.clock()
            for lane in list(self.owned.values()):
                lane.tick(ms)
                self._changed |= lane.draining and lane.is_idle()
            if self._changed or self.loop.time() >= next_lease:
                self._changed = False
                next_lease = self.loop.time() + self.pace.tick_s
                try:
                    await self._tick()
                except StoreUnavailable:
                    self._check_lease()
                except Exception:
                    log.exception("lanes.tick_failed")

    def _check_lease(self) -> bool:
        """A beat that could not be renewed ends before another process may take our lanes: nothing goes out any more.

        Lanes with nothing to settle are given up; the others wait to learn whose they are.
        """
        lapsed = self.loop.time() >= self.valid_until
        if lapsed:
            for lane in [lane for lane in self.owned.values() if lane.is_idle()]:
                log.warning("lane.lease_lapsed", lane=lane.id, kind=lane.kind.name)
                self._lose(lane)
        return lapsed

    async def _tick(self) -> None:
        """Renew the lease; take what should be ours, let go what should not."""
        lapsed = self._check_lease()
        wanted: dict[int, tuple[Kind, Spec]] = {}
        found_by_kind = [(kind, kind.lanes()) for kind in self.kinds]
        free = {n for kind, lanes in found_by_kind if not getattr(kind, "anchored", False) for n in lanes}
        mine = self._mine(free)
        for kind, lanes in found_by_kind:
            for lane_id, spec in lanes.items():
                if lane_id in mine or lane_id not in free:
                    wanted[lane_id] = (kind, spec)
        for lane in list(self.owned.values()):
            found = wanted.get(lane.id)
            lane.draining = found is None or found[1].revision != lane.spec.revision
            if lane.draining and lane.is_idle():
                self._lose(lane)
            elif found is not None and not lane.draining:
                lane.adopt(found[1])
        given_up = self._given_up.difference(wanted, self.owned)
        began = self.loop.time()
        results = await self.store.commit(
            plan(
                Step(SQL["release_lanes"], [(lane_id, self.token) for lane_id in given_up]),
                Step(SQL["beat"], [(self.node, self.token)]),
                Step(
                    SQL["claim_lanes"],
                    [(lane_id, self.token, self.pace.lease_ms) for lane_id in wanted if lane_id not in self.owned],
                ),
                Step(SQL["peers"], [(self.pace.lease_ms,)]),
                Step(SQL["still_ours"], [(lane.id, lane.epoch, self.token) for lane in self.owned.values() if lapsed]),
            )
        )
        self._given_up -= given_up
        if given_up:
            self.store.ring("lanes")
        if lapsed:
            kept = {int(row[0]) for row in results[4]}
            for lane in [lane for lane in self.owned.values() if lane.id not in kept]:
                self.lost(lane)
        if self.node not in {int(row[0]) for row in results[1]}:  # stopped for so long that another process has it
            self.node = await join(self.store, self.token)
            self.renumber(self.node)
        self.valid_until = began + self.pace.lease_ms / 1000 * 11 / 12
        new = [self._open(int(row[0]), int(row[1]), *wanted[int(row[0])]) for row in results[2] if row[2] == self.token]
        peers = tuple(sorted({str(row[0]) for row in results[3]} | {self.token}))
        if peers != self.peers:
            self.peers = peers
            self._changed = True
        if began - self._polled > self.pace.poll_s:
            self._polled = began
            self.spawn(self._poll(list(self.owned.values())))
        elif new:
            self.spawn(self._poll(new))
        for lane in self.owned.values():
            lane.wake()

    def _open(self, lane_id: int, epoch: int, kind: Kind, spec: Spec) -> Lane:
        lane = self.owned[lane_id] = Lane(lane_id, kind, spec, self, epoch)
        self._given_up.discard(lane_id)
        try:
            kind.opened(lane)
        except Exception:  # it is tried again at the next tick
            log.exception("lane.open_failed", lane=lane_id, kind=kind.name)
            self._lose(lane)
        return lane

    def _mine(self, lanes: set[int]) -> set[int]:
        """Those of them that should be ours, for as long as nothing comes or goes."""
        if (self.peers, lanes) != self._shared:
            owners = share(lanes, self.peers)
            self._shared = (self.peers, lanes)
            self._share = {lane for lane, owner in owners.items() if owner == self.token}
        return self._share

    def _lose(self, lane: Lane) -> None:
        self.owned.pop(lane.id, None)
        self._given_up.add(lane.id)
        lane.close()

    def lost(self, lane: Lane) -> None:
        """A settle was fenced off: another process owns it."""
        if self.owned.get(lane.id) is lane:
            log.warning("lane.lost", lane=lane.id, kind=lane.kind.name)
            self._lose(lane)
            self._changed = True

    async def stop(self, patience: float = 20.0) -> None:
        """Finish what is on the wire, settle it, hand the lanes over."""
        self._stopping = True
        if self._ticking is not None:
            await self._ticking
        for lane in self.owned.values():
            lane.draining = True
        deadline = self.loop.time() + patience
        beaten = self.loop.time()
        while self.loop.time() < deadline and not all(lane.is_idle() for lane in self.owned.values()):
            await asyncio.sleep(0.02)
            if self.loop.time() - beaten > self.pace.tick_s:
                beaten = self.loop.time()
                with contextlib.suppress(StoreUnavailable):
                    await self.store.commit(plan(Step(SQL["beat"], [(self.node, self.token)])))
        for lane in list(self.owned.values()):
            self._lose(lane)
        mine = [(lane_id, self.token) for lane_id in self._given_up]
        with contextlib.suppress(StoreUnavailable):
            await self.store.commit(
                plan(Step(SQL["release_lanes"], mine), Step(SQL["leave"], [(self.node, self.token)]))
            )
            self.store.ring("lanes")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def share(lanes: Iterable[int], peers: Sequence[str]) -> dict[int, str]:
    """Which of the living processes should own which lane: the same answer everywhere, as many for each as can be, and
    few moves when a process or a lane comes or goes."""
    if len(peers) == 1:
        return dict.fromkeys(lanes, peers[0])
    in_order = sorted(lanes)
    most = -(-len(in_order) // len(peers))
    owners: dict[int, str] = {}
    room = dict.fromkeys(peers, most)
    for lane in in_order:
        left = (peer for peer in peers if room[peer])
        owner = max(left, key=lambda peer: hashlib.blake2b(f"{lane}/{peer}".encode(), digest_size=8).digest())
        owners[lane] = owner
        room[owner] -= 1
    return owners


async def join(store: Store, token: str) -> int:
    """A node number for this process: the one that has not been used for longest."""
    rows = (await store.commit(plan(Step(SQL["join"], [(token,)]))))[0]
    if not rows:
        raise StoreUnavailable("1024 processes share this database: no node number is free")
    return int(rows[0][0])
