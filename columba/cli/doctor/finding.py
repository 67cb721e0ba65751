"""What a check finds."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

State = Literal["ok", "warn", "fail"]
KINDS: Mapping[State, str] = {"ok": "good", "warn": "doubt", "fail": "bad"}


class Finding(NamedTuple):
    """`mend` says what to do about it."""

    area: str
    name: str
    state: State
    text: str
    mend: str = ""
