"""How the other side of a lane has been doing lately, and how much may be sent to it. Pure.

An open circuit lets one attempt through at a time, after a pause that grows; what comes back from attempts that began
before it opened says nothing new.
"""

OPEN_AT, OPEN_OF = 0.7, 10  # it opens at this share of failures, seen over at least so many attempts
OPEN_FIRST_S, OPEN_MOST_S = 5.0, 60.0
_FADE = 0.95  # each attempt weighs so much of the next


class Circuit:
    __slots__ = ("_failures", "_seen", "open_for")

    def __init__(self, open_for: float = 0.0) -> None:
        self._seen = 0.0
        self._failures = 0.0
        self.open_for = open_for  # seconds; 0 is closed

    def note(self, ok: bool) -> bool:
        """Count an attempt made while it was closed; True when it has to open."""
        self._seen = self._seen * _FADE + 1
        self._failures = self._failures * _FADE + (not ok)
        if ok or self._seen < _ENOUGH or self._failures < self._seen * OPEN_AT:
            return False
        self.open_for = OPEN_FIRST_S
        return True

    def probed(self, ok: bool) -> None:
        """The one attempt made while it was open: it closes, or stays open for longer."""
        if ok:
            self._seen = self._failures = self.open_for = 0.0
        else:
            self.open_for = min(OPEN_MOST_S, self.open_for * 2)


_ENOUGH = sum(_FADE**n for n in range(OPEN_OF)) - 1e-9
