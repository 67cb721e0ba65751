"""How a text is cut for the carrier that takes it, and so how many parts it has: pure.

What is counted when a message is accepted is what its carrier will be handed; one that goes to another carrier after all
is counted anew when it is sent.
"""

from collections.abc import Callable, Mapping

from columba.core.contract import CUT, Carrier, Cut
from columba.core.model import Message
from columba.errors import Refusal
from columba.text import Plan
from columba.text import plan as plan_text

Route = Callable[[Message], int | Refusal]


def planned(text: str, cut: Cut) -> Plan:
    return plan_text(text, unicode=not _fits(text, cut.alphabet), wide=cut.wide)


def encoding_number(plan: Plan) -> int:
    return 0 if plan.encoding == "gsm7" else 1


def measured(route: Route, carriers: Callable[[], Mapping[int, Carrier]]) -> Route:
    """A route that says of each message how its carrier has it."""

    def measure(message: Message) -> int | Refusal:
        lane = route(message)
        if isinstance(lane, int) and message.text and message.extra.raw is None:
            carrier = carriers().get(lane & ~63)
            if carrier is not None and carrier.cut != CUT:
                plan = planned(message.text, carrier.cut)
                message.encoding, message.segments = encoding_number(plan), plan.segments
        return lane

    return measure


def _fits(text: str, alphabet: str) -> bool:
    """Whether a GSM text can be said in a carrier's own alphabet."""
    if alphabet == "latin1":
        return all(character <= "\xff" for character in text)
    return text.isascii() if alphabet == "ascii" else alphabet == "gsm7"
