"""The rules in memory, and the changes to them.

Owns the tables rules and rule_versions. The snapshot is a RuleSet for each account in each of its modes; a change makes
anew what it changed and nothing else. Every change is a version: what it left, and which key made it. A rule is changed as
it was read: one that another process changed meanwhile is not, and None says so.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from columba.core.snapshots import Snapshots
from columba.forwarding.rule import Rule, decode_spec, rule_of
from columba.forwarding.rules_index import RuleSet
from columba.forwarding.rules_shapes import Spec
from columba.store import Row, Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("rules.sql"))
MOST_RULES = 10_000  # of an account in one mode
AT_ONCE = 200  # that are read and compiled before others have their turn
CLOSEST = 1e-6  # two places may be so close; closer ones are spread

_encode = msgspec.json.Encoder().encode
Owner = tuple[int, int]


class Rules:
    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self.all: Mapping[int, Rule] = {}
        self._sets: Mapping[Owner, RuleSet] = {}
        self._marks: Mapping[int, Row] = {}  # of those in memory: id, version, place
        self._specs: dict[tuple[int, int], Spec] = {}  # of versions that are no more
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        snapshots.on("rules", self._load)

    def of(self, account_id: int, mode: int) -> RuleSet | None:
        """An account's rules; None where there are none."""
        return self._sets.get((account_id, mode))

    def position(self, rule: Rule) -> int:
        """Its place among its account's, from 1; 0 when it is no more."""
        known = self._sets.get((rule.account_id, rule.mode))
        return next((n for n, each in enumerate(known.rules if known else (), 1) if each.id == rule.id), 0)

    @property
    def owners(self) -> Mapping[Owner, RuleSet]:
        return self._sets

    async def _load(self) -> None:
        marks = {row[0]: row for row in await self._store.read(SQL["rule_marks"])}
        different = [an_id for an_id, mark in marks.items() if self._marks.get(an_id) != mark]
        gone = [self.all[an_id] for an_id in self._marks if an_id not in marks]
        changed: set[Owner] = {(rule.account_id, rule.mode) for rule in gone}
        found = {an_id: rule for an_id, rule in self.all.items() if an_id in marks}
        for first in range(0, len(different), AT_ONCE):
            for row in await self._store.read(
                SQL["rules_by_id"], [(an_id,) for an_id in different[first : first + AT_ONCE]]
            ):
                found[row[0]] = rule_of(row)
                changed.add((row[1], row[2]))
        by_owner: dict[Owner, list[Rule]] = {owner: [] for owner in changed}
        for rule in found.values():
            if (rule.account_id, rule.mode) in by_owner:
                by_owner[rule.account_id, rule.mode].append(rule)
        sets = {owner: known for owner, known in self._sets.items() if owner not in changed}
        sets |= {owner: RuleSet(sorted(rules, key=_order)) for owner, rules in by_owner.items() if rules}
        self.all, self._marks, self._sets = found, {an_id: marks[an_id] for an_id in found}, sets

    async def refresh(self) -> None:
        """See what other processes have changed."""
        await self._snapshots.refresh()

    # Changes

    async def add(
        self, an_id: int, owner: Owner, name: str, spec: Spec, enabled: bool, position: int | None, key_id: int
    ) -> Rule:
        await self._insert(an_id, 1, "created", owner, name, spec, enabled, position, key_id)
        return self.all[an_id]

    async def revive(self, an_id: int, owner: Owner, name: str, spec: Spec, enabled: bool, key_id: int) -> Rule | None:
        """A deleted rule is there again; None when it is there already."""
        rows = await self._store.read(
            SQL["versions_of"], rule_id=an_id, account_id=owner[0], mode=owner[1], before=(1 << 31) - 1, most=1
        )
        version = rows[0][0] + 1
        done = await self._insert(an_id, version, "restored", owner, name, spec, enabled, None, key_id)
        return self.all.get(an_id) if done else None

    async def _insert(
        self, an_id: int, version: int, change: str, owner: Owner, name: str, spec: Spec, enabled: bool,
        position: int | None, key_id: int,
    ) -> bool:  # fmt: skip
        place, spread = self._place(owner, position, None)
        now = self._clock()
        text = _text(spec)
        row = (an_id, version, *owner, change, key_id, now, int(enabled), name, text)
        return an_id in await self._commit(
            Step(SQL["insert_rule"], [(an_id, *owner, version, place, int(enabled), name, text, now)]),
            Step(SQL["insert_version"], [row], given=0),
            Step(SQL["spread_places"], spread),
        )

    async def change(
        self, was: Rule, change: str, key_id: int, *, name: str, spec: Spec, enabled: bool, position: int | None
    ) -> Rule | None:
        """`change` is the word for what is done."""
        owner = (was.account_id, was.mode)
        place, spread = (was.place, []) if position is None else self._place(owner, position, was.id)
        now = max(self._clock(), was.updated_at)
        text = _text(spec)
        row = (was.id, was.version + 1, *owner, change, key_id, now, int(enabled), name, text)
        done = await self._commit(
            Step(SQL["update_rule"], [(was.id, was.version, place, int(enabled), name, text, now)]),
            Step(SQL["insert_version"], [row], given=0),
            Step(SQL["spread_places"], spread),
        )
        return self.all.get(was.id) if was.id in done else None

    async def remove(self, was: Rule, key_id: int) -> bool:
        """What it has set in motion goes on. False when it was changed meanwhile."""
        row = (
            was.id, was.version + 1, was.account_id, was.mode, "deleted", key_id, self._clock(), 0, was.name,
            _text(was.spec),
        )  # fmt: skip
        return was.id in await self._commit(
            Step(SQL["delete_rule"], [(was.id, was.version)]), Step(SQL["insert_version"], [row], given=0)
        )

    async def _commit(self, *steps: Step) -> set[int]:
        results = await self._store.commit(plan(*steps, self._snapshots.bump("rules")))
        await self._snapshots.changed()
        return {row[0] for row in results[0]}

    def _place(self, owner: Owner, position: int | None, moved: int | None) -> tuple[float, list[Row]]:
        """Where a rule goes; when there is no room left there, with other places for all of them."""
        known = self._sets.get(owner)
        others = [rule for rule in known.rules if rule.id != moved] if known is not None else []
        index = len(others) if position is None else min(position - 1, len(others))
        before = others[index - 1].place if index else (others[0].place - 2 if others else 0.0)
        after = others[index].place if index < len(others) else before + 2
        if after - before > CLOSEST:
            return (before + after) / 2, []
        return float(index), [
            (rule.id, float(n if n < index else n + 1)) for n, rule in enumerate(others)
        ]  # fmt: skip

    # What was

    async def specs(self, wanted: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], Spec]:
        """What versions of rules said."""
        found: dict[tuple[int, int], Spec] = {}
        missing: list[tuple[int, int]] = []
        for each in set(wanted):
            rule = self.all.get(each[0])
            spec = rule.spec if rule is not None and rule.version == each[1] else self._specs.get(each)
            if spec is None:
                missing.append(each)
            else:
                found[each] = spec
        if missing:
            if len(self._specs) > MOST_RULES:
                self._specs.clear()
            for row in await self._store.read(SQL["specs"], missing):
                found[row[0], row[1]] = self._specs[row[0], row[1]] = decode_spec(row[2])
        return found


def _order(rule: Rule) -> tuple[float, int]:
    return rule.place, rule.id


def _text(spec: Spec) -> str:
    return _encode(spec).decode()
