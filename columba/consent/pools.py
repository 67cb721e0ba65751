"""Which pools a sender is in: a word on a pool is a word on each of its senders, as they are at the moment of asking."""

from collections.abc import Callable, Mapping

from columba.core import ids
from columba.core.submission import is_pool
from columba.numbers import sender as read_sender
from columba.senders.room import POOL, Sender


class Pools:
    def __init__(self, senders: Callable[[], Mapping[int, Sender]] = dict) -> None:
        """`senders` are all there are, replaced as a whole when one changes."""
        self._senders = senders
        self._seen: Mapping[int, Sender] | None = None
        self._of: dict[tuple[int, int, str], tuple[str, ...]] = {}
        self._known: set[tuple[int, int, str]] = set()

    def of(self, account_id: int, mode: int, sender: str) -> tuple[str, ...]:
        if self._senders() is not self._seen:
            self._look()
        return self._of.get((account_id, mode, sender), ()) if self._of else ()

    def exists(self, account_id: int, mode: int, pool: str) -> bool:
        if self._senders() is not self._seen:
            self._look()
        return (account_id, mode, pool) in self._known

    def _look(self) -> None:
        everything = self._senders()
        found: dict[tuple[int, int, str], tuple[str, ...]] = {}
        known = set()
        for pool in everything.values():
            if pool.kind == POOL:
                name = ids.show("pool", pool.id)
                known.add((pool.account_id, pool.mode, name))
                for an_id in pool.spec.members:
                    if an_id in everything:
                        place = (pool.account_id, pool.mode, everything[an_id].value)
                        found[place] = (*found.get(place, ()), name)
        self._seen, self._of, self._known = everything, found, known


def written(sender: str | None) -> str:
    """A sender, or the id of a pool, as it is kept; '' for all. NumberError for what is neither."""
    if not sender:
        return ""
    return sender if is_pool(sender) else read_sender(sender).value
