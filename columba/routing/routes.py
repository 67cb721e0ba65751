"""Configured routes: the table, the snapshot of it, and the changes to it.

`all` is replaced whenever something has changed, and never changed itself. Fails with StoreUnavailable, and with Refusal
for what is not to be done.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from columba.core.snapshots import Snapshots
from columba.errors import Refusal
from columba.routing.health import SQL
from columba.routing.rules import Spec
from columba.store import Row, Step, Store, plan

MOST: Final = 2_000  # routes of an account in a mode

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Spec).decode


class Route(msgspec.Struct, frozen=True):
    id: int
    account_id: int
    mode: int
    name: str
    position: int  # as stored: what is shown is the place among the account's
    enabled: bool
    spec: Spec
    version: int
    created_at: int
    updated_at: int


class Routes:
    """The routes in memory, in their order, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self.all: Mapping[int, Route] = {}
        self.seconds = False  # whether any has a second route for what a receipt says
        self._carriers: frozenset[int] = frozenset()  # that some route leads to
        self._lists: Mapping[tuple[int, int], tuple[Route, ...]] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._turn = asyncio.Lock()
        snapshots.on("routes", self._load)

    async def _load(self) -> None:
        known = self.all
        found: dict[int, Route] = {}
        lists: dict[tuple[int, int], list[Route]] = {}
        for row in await self._store.read(SQL["routes"]):
            was = known.get(row[0])
            if was is None or (was.version, was.position) != (row[7], row[4]):
                was = Route(
                    row[0], row[1], row[2], row[3], row[4], bool(row[5]), _decode(row[6]), row[7], row[8], row[9]
                )
            found[row[0]] = was
            lists.setdefault((was.account_id, was.mode), []).append(was)
        self._carriers = frozenset(way.carrier for route in found.values() if route.enabled for way in route.spec.ways)
        self._lists = {who: tuple(those) for who, those in lists.items()}
        self.seconds = any(route.spec.failover.on and route.enabled for route in found.values())
        self.all = found

    def of(self, account_id: int, mode: int) -> Sequence[Route]:
        """An account's routes in their order."""
        return self._lists.get((account_id, mode), ())

    def lead_to(self, carrier_id: int) -> bool:
        return carrier_id in self._carriers

    async def refresh(self) -> None:
        """See what other processes have just changed."""
        await self._snapshots.refresh()

    async def add(
        self, an_id: int, account_id: int, mode: int, name: str, spec: Spec, enabled: bool, place: int | None
    ) -> Route:
        """A new route at a place from 1; the last, without one."""
        async with self._turn:
            await self.refresh()
            those = self.of(account_id, mode)
            if len(those) >= MOST:
                raise Refusal("too_many", f"There are {MOST} routes already.")
            if place is None or place > len(those):
                position = those[-1].position + 1 if those else 1
                room = Step(SQL["make_room"])
            else:
                position = those[place - 1].position
                room = Step(SQL["make_room"], [(account_id, mode, position)])
            row = (an_id, account_id, mode, name, position, int(enabled), _text(spec), self._clock())
            await self._commit(room, Step(SQL["insert_route"], [row]))
        return self.all[an_id]

    async def change(self, was: Route, name: str, spec: Spec, enabled: bool) -> bool:
        """Make it so; False when it was changed since it was read."""
        row = (was.id, was.version, name, int(enabled), _text(spec), self._clock())
        results = await self._commit(Step(SQL["update_route"], [row]))
        return any(found[0] == was.id for found in results)

    async def move(self, route: Route, place: int) -> None:
        """To a place from 1; those behind move up."""
        async with self._turn:
            await self.refresh()
            those = [each.id for each in self.of(route.account_id, route.mode) if each.id != route.id]
            those.insert(place - 1, route.id)
            await self._commit(Step(SQL["place_routes"], [(an_id, n) for n, an_id in enumerate(those, 1)]))

    async def remove(self, an_id: int) -> None:
        await self._commit(Step(SQL["delete_route"], [(an_id,)]))

    async def _commit(self, *steps: Step) -> Sequence[Row]:
        """Commit it, and have it in force here when this returns; what the last step returned."""
        results = await self._store.commit(plan(*steps, self._snapshots.bump("routes")))
        await self._snapshots.changed()
        return results[len(steps) - 1]


def _text(spec: Spec) -> str:
    return _encode(spec).decode()
