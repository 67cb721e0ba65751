"""Lanes: ordered, rate-limited streams of jobs, each with exactly one owner among all processes.

Owns the leases, the jobs in memory, and the decision what goes next. A kind of job (sending a part, delivering a
webhook, ...) says which lanes there are, reads jobs from the store and carries them out; everything else is here.

- The store is the truth. Memory holds at most `room` jobs of a class and account; what is beyond stays in the store and
  is read back when there is room (`more`), when it is due (`dues`), when the bell rings, and by a poll in any case.
- Order: by class, then in turn by account, then as accepted. An account's jobs of a class to one person wait behind one
  that is to be tried again.
- A lease that was not renewed in time stops its lane before it ends; the epoch keeps a late process from settling.

Fails by stopping (never by sending twice): a process that can't reach the store sends nothing. What came back meanwhile
it settles when the store is back, if nobody has taken the lane.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from columba.core.rate import Rate
from columba.store import Plan, Results, Row, Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("lanes.sql"))
UNSETTLED = 20_000  # jobs whose outcome is not in the store yet, at most
HORIZON_MS = 60_000
STALE_MS = 5_000  # a job that is due for so long and was not read back has ended otherwise
BLOCKED = 20_000  # persons whose order is kept over another try, at most

log = structlog.get_logger()
Person = tuple[str, int, int]


class Pace(NamedTuple):
    """How long a lease holds, how often it is renewed and the store looked at; how much is kept in memory."""

    lease_ms: int = 6_000
    tick_s: float = 1.0
    poll_s: float = 2.0
    room: int = 4_000  # jobs of one class and account of a lane


class Job(Protocol):
    """What a lane needs to know of a job. `to` is the person whose order is kept, or ''."""

    id: int
    account_id: int
    klass: int
    to: str
    attempts: int

    @property
    def cost(self) -> int:
        """How much of rate and window it takes: a text of three parts takes three."""
        ...


class Spec(NamedTuple):
    """How a lane may run. `serial`: the wire doesn't keep the order, so one job a person at a time.

    Another `revision` has the lane closed, once what is on the wire has come back, and opened anew.
    """

    rate: float | None = None
    window: int = 100
    serial: bool = False
    paused: bool = False
    revision: int = 0


class Backlog(NamedTuple):
    lane: int
    klass: int
    account_id: int
    due_at: int


class Kind(Protocol):
    """A kind of job: sends parts, delivers webhooks, ..."""

    name: str

    def lanes(self) -> Mapping[int, Spec]:
        """The lanes that there should be now."""
        ...

    def opened(self, lane: "Lane") -> None:
        """This process owns the lane from now on."""
        ...

    def closed(self, lane: "Lane") -> None:
        """It doesn't any more."""
        ...

    def dispatch(self, lane: "Lane", jobs: list[Any]) -> None:
        """Carry jobs out. Each ends with `lane.landed` (frees the window), then `lane.settled`, `retry` or `lost`."""
        ...

    async def backlog(self, lanes: Sequence[int]) -> list[Backlog]:
        """What the store holds for these lanes: for each class and account, when the earliest is due."""
        ...

    async def refill(self, lane: int, klass: int, account_id: int, most: int) -> Sequence[Any]:
        """Jobs that are due, in their order."""
        ...

    async def postpone(self, lane: "Lane", jobs: Sequence[Any], until: int) -> None:
        """Jobs that must wait behind another go back to the store."""
        ...


class Lane:
    """One lane that this process owns."""

    def __init__(self, lane_id: int, kind: Kind, spec: Spec, lanes: "Lanes", epoch: int) -> None:
        self.id = lane_id
        self.kind = kind
        self.spec = spec
        self.epoch = epoch
        self.token = lanes.token
        self.draining = False
        self.gone = False
        self.ready = True  # its session is open
        self.limit: int | None = None  # less than the window, while the other side is on trial
        self.flying = 0
        self.held: set[int] = set()
        self._lanes = lanes
        self._loop = lanes.loop
        self._queues: list[dict[int, deque[Any]]] = [{}, {}, {}]
        self._following: dict[Person, deque[Any]] = {}  # persons with a job out: what waits behind it
        self._ahead: dict[Person, set[int]] = {}  # and which jobs those are
        self._blocked: dict[Person, dict[int, int]] = {}  # persons with jobs that wait for another try, until when
        self._late: list[Any] = []  # taken, but behind a blocked one
        self._more: dict[tuple[int, int], int] = {}
        self._arriving: dict[tuple[int, int], list[Any]] = {}  # what was offered while the store is being read
        self._left: set[int] = set()
        self._refilling: set[tuple[int, int]] = set()
        self._dues: set[int] = set()
        self._waiting = 0
        self._rate = Rate(spec.rate, self._loop.time())
        self._pause_until = 0.0
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def waiting(self) -> int:
        return self._waiting

    def oldest(self) -> int | None:
        """The id of the job that has waited in memory for longest."""
        return min((queue[0].id for queues in self._queues for queue in queues.values() if queue), default=None)

    def adopt(self, spec: Spec) -> None:
        """Run in another way from now on."""
        if spec != self.spec:
            self.spec = spec
            self.wake()

    # Work comes

    def offer(self, jobs: Iterable[Any]) -> None:
        """Take jobs that have just been committed, as far as there is room."""
        if self.gone:
            return
        for job in jobs:
            group = (job.klass, job.account_id)
            if group in self._more:
                arriving = self._arriving.get(group)
                if arriving is not None and len(arriving) < self._lanes.pace.room:
                    arriving.append(job)
                    continue
            elif self._push(job):
                continue
            self._more[group] = self._more.get(group, 0) + 1
        self.wake()

    def _push(self, job: Any) -> bool:
        queues = self._queues[job.klass]
        queue = queues.get(job.account_id)
        if queue is None:
            queue = queues[job.account_id] = deque()
        if job.id in self.held:
            return True
        if len(queue) >= self._lanes.pace.room:
            return False
        if self._blocked and self._unblock(job):
            queue.insert(_place(queue, job), job)
        else:
            queue.append(job)
        self.held.add(job.id)
        self._waiting += 1
        return True

    def due_later(self, at: int) -> None:
        """Something in the store will be due at a moment."""
        if at <= self._lanes.clock() + HORIZON_MS:
            self._dues.add(at + 49 - (at + 49) % 50)

    def poke(self) -> None:
        """Look into the store: another process has put something there."""
        self._lanes.look(self)

    def in_store(self, klass: int, account_id: int, due_at: int) -> None:
        """The store holds jobs of this class and account, the earliest due then."""
        if due_at > self._lanes.clock():
            self.due_later(due_at)
        else:
            group = (klass, account_id)
            self._more[group] = self._more.get(group, 0) + 1
            self._refill_where_room()

    # What goes next

    def wake(self) -> None:
        if not self._pumping and not self.gone:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        now = self._loop.time()
        if self.gone or self.draining or not self.ready or self.spec.paused or now >= self._lanes.valid_until:
            return
        if now < self._pause_until:
            self._again_at(self._pause_until)
            return
        window = self.spec.window if self.limit is None else min(self.limit, self.spec.window)
        room = min(window - self.flying, UNSETTLED - len(self.held) + self._waiting)
        self._rate.asked = self.spec.rate
        allowed = self._rate.room(now)
        if allowed is not None:
            room = min(room, allowed)
        jobs: list[Any] = []
        cost = 0
        while cost < room:
            job = self._take()
            if job is None:
                break
            jobs.append(job)
            cost += job.cost
        if jobs:
            self.flying += cost
            self._rate.spend(cost)
            self.kind.dispatch(self, jobs)
        if self._late:
            self._send_back()
        if allowed is not None and self._waiting and self.flying < window:
            self._again_at(self._rate.next_at(now))
        if self._more:
            self._refill_where_room()

    def _take(self) -> Any:
        """The next job: by class, in turn by account, in order for each person."""
        for queues in self._queues:
            while queues:
                account_id, queue = next(iter(queues.items()))
                if not queue:
                    del queues[account_id]
                    continue
                job = queue.popleft()
                self._waiting -= 1
                if len(queues) > 1 or not queue:  # the next account's turn
                    del queues[account_id]
                    if queue:
                        queues[account_id] = queue
                if job.to and (self._following or self._blocked or self.spec.serial or job.attempts):
                    person = _person(job)
                    followers = self._following.get(person)
                    if followers is not None:
                        followers.append(job)
                        continue
                    if self._blocked and self._is_behind(job):
                        self._late.append(job)
                        continue
                    if self.spec.serial or job.attempts:
                        self.hold(job)
                return job
        return None

    def _again_at(self, when: float) -> None:
        if self._timer is not None:
            if self._loop.time() < self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_later(max(0.001, when - self._loop.time()), self.wake)

    # Work goes

    def landed(self, count: int = 1) -> None:
        """The other side has answered: room in the window."""
        self.flying -= count
        if self._waiting or self._more:
            self.wake()

    def hold(self, job: Any) -> None:
        """What is behind it waits until it is settled, or in the store for another try."""
        if job.to:
            person = _person(job)
            self._following.setdefault(person, deque())
            self._ahead.setdefault(person, set()).add(job.id)

    def settled(self, jobs: Iterable[Any]) -> None:
        """Their outcome is in the store."""
        for job in jobs:
            self.let_go(job.id)
            if self._following and job.to:
                self._release(job)
        if self._more:
            self.wake()

    def retry(self, job: Any, due_at: int) -> None:
        """It is in the store for another try; so is what waits behind it."""
        self.let_go(job.id)
        if due_at <= self._lanes.clock():
            self.in_store(job.klass, job.account_id, due_at)
        else:
            self.due_later(due_at)
        if job.to:
            person = _person(job)
            self._blocked.setdefault(person, {})[job.id] = due_at
            if len(self._blocked) > BLOCKED:
                self._forget_blocked()
            self._release(job)
        self.wake()

    def _is_behind(self, job: Any) -> bool:
        """Is an earlier one to the same person to be tried again?"""
        waiting = self._blocked.get(_person(job))
        return waiting is not None and min(waiting) < job.id and self._blocked_until(job) is not None

    def _blocked_until(self, job: Any) -> int | None:
        """When those before it will have been tried again."""
        now = self._lanes.clock()
        until = max(self._blocked.get(_person(job), {}).values(), default=0)
        if until < now - STALE_MS:
            self._blocked.pop(_person(job), None)
            return None
        return max(until, now + 100) + 1

    def _unblock(self, job: Any) -> bool:
        """It was read back, if it was waited for: from here on its place in the queue keeps the order."""
        waiting = self._blocked.get(_person(job))
        if waiting is None or waiting.pop(job.id, None) is None:
            return False
        if not waiting:
            del self._blocked[_person(job)]
        return True

    def _forget_blocked(self) -> None:
        """Those that are stale, and the oldest of the rest: memory has an end."""
        stale = self._lanes.clock() - STALE_MS
        self._blocked = {person: each for person, each in self._blocked.items() if max(each.values()) > stale}
        for person in list(self._blocked)[: len(self._blocked) - BLOCKED]:
            del self._blocked[person]

    def _release(self, job: Any) -> None:
        person = _person(job)
        ahead = self._ahead.get(person)
        if ahead is None:
            return
        ahead.discard(job.id)
        if ahead:
            return
        del self._ahead[person]
        followers = self._following.pop(person)
        while followers:
            each = followers.pop()
            self._queues[each.klass].setdefault(each.account_id, deque()).appendleft(each)
            self._waiting += 1
        self.wake()

    def _send_back(self) -> None:
        """What must wait goes back to the store, each until the one before it is due."""
        late, self._late = self._late, []
        by_time: dict[int, list[Any]] = {}
        for job in late:
            by_time.setdefault(self._blocked_until(job) or self._lanes.clock(), []).append(job)
        for until, jobs in by_time.items():
            self._lanes.spawn(self._postpone(jobs, until))

    async def _postpone(self, jobs: list[Any], until: int) -> None:
        try:
            await self.kind.postpone(self, jobs, until)
        except StoreUnavailable:
            for job in reversed(jobs):  # it stays here until the store is back
                self._queues[job.klass].setdefault(job.account_id, deque()).appendleft(job)
                self._waiting += 1
            self._again_at(self._loop.time() + 0.5)
            return
        for job in jobs:
            self.let_go(job.id)
        self.due_later(until)

    def fine(self, count: int) -> None:
        """The other side had room for so many."""
        self._rate.taken(count, self._loop.time())

    def slow(self) -> None:
        """The other side has no room: stand still for a moment, then go slower."""
        self._rate.refused(self._loop.time())

    def pause(self, seconds: float) -> None:
        """Nothing goes for a while: the other side is not well."""
        self._pause_until = max(self._pause_until, self._loop.time() + seconds)

    def resume(self) -> None:
        """It is well again, or another one: the pause is over."""
        self._pause_until = 0.0
        self.wake()

    def drop(self, job_ids: Iterable[int]) -> list[int]:
        """Take back jobs that have not left; which those were."""
        wanted = set(job_ids) & self.held
        dropped = []
        if wanted:
            waiting = [queue for queues in self._queues for queue in queues.values()]
            for queue in (*waiting, *self._following.values()):
                gone = [job.id for job in queue if job.id in wanted]
                if gone:
                    dropped += gone
                    kept = [job for job in queue if job.id not in wanted]
                    queue.clear()
                    queue.extend(kept)
            self._waiting = sum(map(len, waiting))
            for job_id in dropped:
                self.let_go(job_id)
        return dropped

    def seize(self, job_ids: Iterable[int]) -> set[int]:
        """Keep jobs from leaving until `let_go`, while their end is being written. Which of them are not out."""
        wanted = set(job_ids)
        seized = wanted - (wanted & self.held) | set(self.drop(wanted))
        self.held |= seized
        return seized

    def let_go(self, job_id: int) -> None:
        """It is not here any more."""
        self.held.discard(job_id)
        if self._refilling:
            self._left.add(job_id)

    # The store and back

    def tick(self, now: int) -> None:
        due = [at for at in self._dues if at <= now]
        if due:
            self._dues.difference_update(due)
            self.poke()

    def _refill_where_room(self) -> None:
        for group in list(self._more):
            queue = self._queues[group[0]].get(group[1])
            if group not in self._refilling and (queue is None or len(queue) <= self._lanes.pace.room // 4):
                self._refilling.add(group)
                self._lanes.spawn(self._refill(group))

    async def _refill(self, group: tuple[int, int]) -> None:
        klass, account_id = group
        mark = self._more.get(group, 0)
        arriving = self._arriving[group] = []
        most = self._lanes.pace.room + len(self.held)
        try:
            jobs = await self.kind.refill(self.id, klass, account_id, most)
        except StoreUnavailable:
            jobs, mark = [], -1
        finally:
            self._refilling.discard(group)
            del self._arriving[group]
        if self.gone:
            return
        # What left while the store was being read is in the answer still.
        left = self._left
        if not self._refilling:
            self._left = set()
        all_read = mark != -1 and len(jobs) < most
        for job in (*jobs, *arriving) if all_read else jobs:
            if job.id not in left and not self._push(job):
                all_read = False
                break
        if all_read and self._more.get(group) == mark:
            del self._more[group]
        if mark == -1:
            self._loop.call_later(0.5, self.wake)
        else:
            self.wake()

    def is_ours(self, fenced: Iterable[Row]) -> bool:
        """Does what `fence` returned, perhaps for others too, have it? If not, it is lost here."""
        if any(row[0] == self.id for row in fenced):
            return True
        self._lanes.lost(self)
        return False

    async def settle(self, a_plan: Plan, again: Callable[[Plan], Plan] = lambda same: same) -> Results | None:
        """Commit, however long the store is away; None once the lane is lost. `again` remakes the plan for another try."""
        while not self.gone:
            try:
                return await self._lanes.store.commit(a_plan)
            except StoreUnavailable:
                await asyncio.sleep(0.2)
            except Exception:
                log.exception("settle.failed", lane=self.id, kind=self.kind.name)
                await asyncio.sleep(1.0)
            a_plan = again(a_plan)
        return None

    def is_idle(self) -> bool:
        """Nothing is out whose outcome is not in the store."""
        return not self.flying and len(self.held) == self._waiting + sum(map(len, self._following.values()))

    def close(self) -> None:
        """Forget everything: the store knows it."""
        if not self.gone:
            self.gone = True
            if self._timer is not None:
                self._timer.cancel()
            self.kind.closed(self)


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
        self._preferred: dict[int, bool] = {}
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
        for kind in self.kinds:
            for lane_id, spec in kind.lanes().items():
                if getattr(kind, "anchored", False) or self._is_preferred(lane_id):
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
            self._preferred.clear()
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

    def _is_preferred(self, lane_id: int) -> bool:
        if len(self.peers) == 1:
            return True
        found = self._preferred.get(lane_id)
        if found is None:
            found = self._preferred[lane_id] = preferred(lane_id, self.peers) == self.token
        return found

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


def _place(queue: Sequence[Any], job: Job) -> int:
    """Before those to the same person that came after it: they may have stood still meanwhile."""
    for place, other in enumerate(queue):
        if other.to == job.to and other.id > job.id:
            return place
    return len(queue)


def _person(job: Job) -> Person:
    """Whose order is kept: an account's jobs of a class to one number."""
    return (job.to, job.klass, job.account_id)


def preferred(lane_id: int, peers: Sequence[str]) -> str:
    """Which of the living processes should own a lane: the same answer everywhere, few moves when one comes or goes."""
    if len(peers) == 1:
        return peers[0]
    return max(peers, key=lambda peer: hashlib.blake2b(f"{lane_id}/{peer}".encode(), digest_size=8).digest())


async def join(store: Store, token: str) -> int:
    """A node number for this process: the one that has not been used for longest."""
    rows = (await store.commit(plan(Step(SQL["join"], [(token,)]))))[0]
    if not rows:
        raise StoreUnavailable("1024 processes share this database: no node number is free")
    return int(rows[0][0])
