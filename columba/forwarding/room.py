"""Forwarding put together, for app.py: rules, what they set in motion, and the jobs that carry it out."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.lanes import Lanes
from columba.core.model import Message
from columba.core.snapshots import Snapshots
from columba.forwarding import rules_api, runs_api
from columba.forwarding.destinations import Destination, Destinations
from columba.forwarding.people import People, nobody
from columba.forwarding.performing import Performing
from columba.forwarding.rule import destinations_of
from columba.forwarding.rules import Rules
from columba.forwarding.runs import SQL, Places
from columba.forwarding.runs_acting import Acting, Mail
from columba.forwarding.runs_follower import Following
from columba.forwarding.runs_forwarding import Forwarding, carrying, is_open, shown
from columba.forwarding.runs_history import History
from columba.forwarding.trying import Trying
from columba.http.endpoint import Endpoint
from columba.store import Step, Store

Account = Callable[[int], Mapping[str, Any]]


class Forwards:
    """`following` is a Follower, `forwarding` and `acting` are kinds of jobs."""

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        publisher: events.Publisher,
        destinations: Destinations,
        performing: Performing,
        accounts: Callable[[], Collection[int]],
        account: Account,
        country: Callable[[int], str | None],
        mail: Mail | None = None,
        handled: Callable[[Message], bool] = lambda _message: False,
        people: People = nobody,
    ) -> None:
        """`handled` says of a text that it is a keyword with an answer of its own, such as STOP; `people` who wrote."""
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._destinations = destinations
        self._country = country
        self._mails = mail is not None
        self.rules = Rules(store, snapshots, clock)
        places = Places(destinations.exists, destinations.ordered)
        time = asyncio.get_running_loop().time
        self.following = Following(self.rules, places, account, new_id, clock, time, publisher, people)
        self.forwarding = Forwarding(
            store, new_id, clock, random, destinations, carrying(performing, account, clock, people), publisher
        )
        self.acting = Acting(
            store, new_id, clock, random, self.rules, self.following, publisher, accounts, account, country, mail, shown,
            people,
        )  # fmt: skip
        self.history = History(store, new_id, clock, places, account, handled, self.following, publisher, people)
        self.trying = Trying(store, new_id, clock, self.rules, destinations, performing, account, handled, people)

    def runs_on(self, lanes: Lanes) -> None:
        self.following.lanes_of = self.forwarding.lanes_of = lanes
        self._lanes = lanes

    def endpoints(self) -> list[Endpoint]:
        def is_destination(account_id: int, mode: int, an_id: str) -> bool:
            return self._destinations.exists(account_id, mode, ids.read("dst", an_id) or 0)

        def enabled(an_id: int) -> bool:
            found = self._destinations.all.get(an_id)
            return found is not None and is_open(found)

        return [
            *rules_api.endpoints(
                self.rules,
                self.history,
                self.trying,
                self._store,
                self._ids,
                self._clock,
                is_destination,
                self._country,
                self._mails,
            ),
            *runs_api.endpoints(
                self._store,
                self._clock,
                self.forwarding,
                self._lanes,
                runs_api.IsDestination(self._destinations.exists, enabled),
            ),
        ]

    def naming(self, destination: Destination) -> list[str]:
        """The rules that forward to a destination."""
        an_id = ids.show("dst", destination.id)
        owner = (destination.account_id, destination.mode)
        return [
            rule.name
            for rule in self.rules.all.values()
            if (rule.account_id, rule.mode) == owner and an_id in destinations_of(rule.spec.then)
        ]

    def heard(self, topic: str) -> None:
        """The bell rang: another process canceled something of a text."""
        kind, _, an_id = topic.partition(":")
        if kind == "runs" and an_id.isdecimal():
            self.forwarding.reread(int(an_id))

    @staticmethod
    def steps_without(message_ids: Iterable[int]) -> tuple[Step, Step]:
        """For the plan that redacts texts: what is kept of them beside them."""
        rows = [(an_id,) for an_id in message_ids]
        return Step(SQL["redact_runs"], rows), Step(SQL["redact_attempts"], rows)
