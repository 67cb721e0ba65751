"""One lane: what waits, in which order, at which rate, and how much of it is out at once.

- Memory holds at most `room` jobs of a class and account; what is beyond stays in the store and is read back when there
  is room (`more`), when it is due (`dues`), when the bell rings, and by a poll in any case.
- Order: by class, then in turn by account, then as accepted. An account's jobs of a class to one person wait behind one
  that is to be tried again.

`Kind` is what a kind of job (sending a part, delivering a webhook, ...) must offer. Fails by stopping: a lane that was
lost, or whose process can't reach the store, sends nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import structlog

from columba.core.rate import Rate
from columba.store import Plan, Results, Row, StoreUnavailable

if TYPE_CHECKING:
    from columba.core.lanes import Lanes

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

    async def refill(self, lane: int, klass: int, account_id: int, most: int, held: Sequence[Row]) -> Sequence[Any]:
        """Jobs that are due, in their order, without those that the lane has (a row of one id each)."""
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
            self._block(job, due_at)
            self._release(job)
        self.wake()

    def _block(self, job: Any, until: int) -> None:
        """It is in the store until then: those to the same person that come after it wait for it to be read back."""
        self._blocked.setdefault(_person(job), {})[job.id] = until
        if len(self._blocked) > BLOCKED:
            self._forget_blocked()

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
            for job in jobs:
                self._block(job, until)
            self._lanes.spawn(self._postpone(jobs, until))

    async def _postpone(self, jobs: list[Any], until: int) -> None:
        try:
            await self.kind.postpone(self, jobs, until)
        except StoreUnavailable:
            for job in reversed(jobs):  # it stays here until the store is back
                self._unblock(job)
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
        most = self._lanes.pace.room
        held: list[Row] = [(job_id,) for job_id in self.held]
        try:
            jobs = await self.kind.refill(self.id, klass, account_id, most, held)
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

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that may be cut short when this process ends: the store knows the rest."""
        self._lanes.spawn(work)

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


def _place(queue: Sequence[Any], job: Job) -> int:
    """Before those to the same person that came after it: they may have stood still meanwhile."""
    for place, other in enumerate(queue):
        if other.to == job.to and other.id > job.id:
            return place
    return len(queue)


def _person(job: Job) -> Person:
    """Whose order is kept: an account's jobs of a class to one number."""
    return (job.to, job.klass, job.account_id)
