"""What a capability holds of a person: how it is shown to them, and how it goes.

`parts` gives the steps that erase what hangs on messages, for the plan that erases those; `erase` what is held by number,
a small batch at a time (it gives how many those were, and None when nothing is left); `show` all of it, for an export.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

from columba.core.model import Json
from columba.store import Step


class Person(NamedTuple):
    """A number, as one account knows it in one mode."""

    account_id: int
    mode: int
    number: str


Parts = Callable[[Sequence[int]], Sequence[Step]]
Erase = Callable[[Person], Awaitable[int | None]]
Show = Callable[[Person], AsyncIterator[Json]]


class Holding(NamedTuple):
    name: str
    show: Show | None = None
    erase: Erase | None = None
    parts: Parts | None = None
