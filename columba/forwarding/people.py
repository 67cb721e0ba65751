"""Who a text comes from: the contact behind a number, as rules and templates see it.

Forwarding doesn't know where contacts are kept: it is given a way to look them up, many at once.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from columba.core.model import Message

Who = tuple[int, int, str]  # account, mode, number
Contact = Mapping[str, Any]
People = Callable[[Collection[Who]], Awaitable[Mapping[Who, Contact]]]
"""The contacts among some numbers. Raises StoreUnavailable."""


def who(text: Message) -> Who:
    """Who wrote it."""
    return text.account_id, text.mode, text.sender


def seen_by(people: People, scopes: Collection[str]) -> People:
    """Those whom a key may be shown when it tries things out."""
    return people if "contacts:read" in scopes else nobody


async def nobody(people: Collection[Who]) -> Mapping[Who, Contact]:
    """Where no contacts are kept."""
    return {}
