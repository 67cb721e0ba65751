"""How the sessions of carriers are: those of this process from memory, the others' from what their processes wrote.

Each process writes what has changed of its own, at most once a step. Fails with StoreUnavailable; what could not be
written then is written by a later step.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from columba.core.contract import Carrier
from columba.core.lanes import Lane
from columba.core.sending import CLOSED, LaneState, Sending
from columba.routing.carriers import LANES, SQL
from columba.store import Row, Step, Store, plan

SessionWord = Literal["up", "connecting", "down"]
State = Literal["up", "connecting", "down", "paused"]
_BEST: tuple[SessionWord, ...] = ("up", "connecting", "down")


class SessionState(NamedTuple):
    lane: int
    up: bool
    why: str
    since: int
    flying: int
    error: str | None
    code: str | None
    error_at: int | None

    @property
    def state(self) -> SessionWord:
        """A session that has not been opened yet says nothing; one that could not be says why."""
        return "up" if self.up else "down" if self.why else "connecting"


class States:
    def __init__(self, store: Store, sending: Sending) -> None:
        self._store = store
        self._sending = sending
        self._written: dict[int, SessionState] = {}

    def _own(self) -> dict[int, SessionState]:
        """The sessions of this process."""
        lanes = self._sending.lanes_of
        owned = [] if lanes is None else [lane for lane in lanes.owned.values() if lane.kind is self._sending]
        states = self._sending.states
        return {lane.id: _state(lane, states.get(lane.id)) for lane in owned if lane.spec.revision != CLOSED}

    async def step(self) -> None:
        """Write what has changed."""
        lanes = self._sending.lanes_of
        own = self._own()
        changed = [state for lane_id, state in own.items() if self._written.get(lane_id) != state]
        if changed and lanes is not None:
            rows: list[Row] = [(each.lane, lanes.token, int(each.up), *each[2:]) for each in changed]
            await self._store.commit(plan(Step(SQL["write_states"], rows)))
        self._written = own

    async def of(self, carriers: Iterable[Carrier]) -> dict[int, list[SessionState]]:
        """The sessions of each carrier, in the order of its lanes. One that no process has yet is connecting."""
        wanted = list(carriers)
        own = self._own()
        written = {}
        lanes = [carrier.id + n for carrier in wanted for n in range(carrier.lanes) if carrier.has_session(n)]
        if not all(lane in own for lane in lanes):
            for row in await self._store.read(SQL["states"], [(carrier.id,) for carrier in wanted]):
                written[row[0]] = SessionState(row[0], bool(row[1]), *row[2:])
        found: dict[int, list[SessionState]] = {carrier.id: [] for carrier in wanted}
        for lane in lanes:
            state = own.get(lane) or written.get(lane) or SessionState(lane, False, "", 0, 0, None, None, None)
            found[lane & ~(LANES - 1)].append(state)
        return found


def state_of(carrier: Carrier, sessions: Iterable[SessionState], problem: str = "") -> tuple[State, str]:
    """A carrier's own state and why: up as soon as one of its sessions is."""
    if problem:
        return "down", problem
    if carrier.state == "paused":
        return "paused", "Paused by request."
    if carrier.state != "on":
        return "down", "It is not enabled."
    best = min(sessions, key=lambda session: _BEST.index(session.state), default=None)
    return ("connecting", "") if best is None else (best.state, best.why)


def _state(lane: Lane, state: LaneState | None) -> SessionState:
    if state is None:
        return SessionState(lane.id, False, "", 0, 0, None, None, None)
    return SessionState(lane.id, state.up, state.why, state.since, lane.flying, state.error, state.code, state.error_at)
