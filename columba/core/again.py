"""When what has failed is tried again: by a schedule, spread, and not before the other side wants it. Pure."""

from collections.abc import Sequence
from typing import Final

MOST_WAIT_S: Final = 86_400.0  # that another side may ask for


def jittered(wait: float, drawn: float) -> float:
    """Not exactly then, so that not all come back at once; `drawn` is from 0 to 1."""
    return wait * (0.8 + 0.4 * drawn)


def again_in(schedule: Sequence[float], failed: int, drawn: float, least: float = 0.0) -> float | None:
    """Seconds until another try, after so many that had failed before; None when that was the last."""
    if failed >= len(schedule):
        return None
    return max(jittered(schedule[failed], drawn), min(least, MOST_WAIT_S))
