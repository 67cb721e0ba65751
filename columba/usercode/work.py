"""How much user code may do: a budget of work that one run spends, and a clock.

A unit is about a character that is looked at or made. Everything that a template can repeat or enlarge spends some, so
that nothing grows without bound, in time or in memory. One run at a time: rendering never awaits, and no thread but the
event loop's renders. Fails with TooMuch.
"""

from time import thread_time
from typing import Any, Final

from columba.usercode.errors import TooMuch

MOST_WORK: Final = 2_000_000
MOST_TIME: Final = 0.2  # seconds of this thread, looked at where work is repeated: what others do doesn't count
MOST_OUTPUT: Final = 262_144  # characters of a whole rendering
MOST_TEXT: Final = 131_072  # characters of any text on the way
MOST_ITEMS: Final = 5_000  # of any list or mapping on the way, with all that is within them


class _Run:
    __slots__ = ("deadline", "kept", "left")

    def __init__(self) -> None:
        self.left = 0
        self.deadline = 0.0
        self.kept: Any = None  # the value of a template that is one single expression


run: Final = _Run()


def begin(most: int = MOST_WORK) -> None:
    run.left = most
    run.deadline = 0.0


def spend(units: int) -> None:
    run.left -= units
    if run.left < 0:
        raise TooMuch


def still_time() -> None:
    """Time counts from the first question on: most templates never ask."""
    now = thread_time()
    if not run.deadline:
        run.deadline = now + MOST_TIME
    elif now > run.deadline:
        raise TooMuch(f"It takes longer than {MOST_TIME * 1000:.0f} ms: it was stopped.")


def held(text: str) -> str:
    """A text that was made, if it isn't too long."""
    size = len(text)
    run.left -= size
    if size > MOST_TEXT or run.left < 0:
        raise TooMuch(f"A text becomes too long: at most {MOST_TEXT} characters.") if size > MOST_TEXT else TooMuch()
    return text


def count(value: Any, most: int = MOST_ITEMS) -> int:
    """How many values there are in a value, those that are shared counted each time."""
    found, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        found += 1
        if found > most:
            raise TooMuch(f"A list or mapping becomes too large: at most {most} values.")
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
    spend(found * 4)
    if found > 100:
        still_time()
    return found
