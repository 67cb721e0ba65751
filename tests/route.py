"""The simplest route: the only carrier that an account has in a mode. For tests of what stands around routing."""

from collections.abc import Callable, Mapping

from columba.core.accept import Route
from columba.core.contract import Carrier
from columba.core.model import Message
from columba.errors import Refusal


def router(carriers: Callable[[], Mapping[int, Carrier]]) -> Route:
    """Which lane takes a message: one of the only carrier that its account has in this mode."""

    known: dict[tuple[int, int], Carrier | Refusal] = {}
    seen: Mapping[int, Carrier] | None = None

    def choose(mode: int, account_id: int) -> Carrier | Refusal:
        usable = [
            carrier
            for carrier in carriers().values()
            if carrier.mode == mode
            and carrier.sends
            and carrier.state in ("on", "paused")
            and (carrier.account_id is None or carrier.account_id == account_id)
        ]
        if len(usable) == 1:
            return usable[0]
        return Refusal(
            "no_route",
            "Several live carriers are set up and no route chooses between them."
            if usable
            else "No live carrier is set up: add one with POST /v1/carriers, or use a test key for the sandbox.",
        )

    def route(message: Message) -> int | Refusal:
        nonlocal seen
        now = carriers()
        if now is not seen:
            known.clear()
            seen = now
        who = (message.mode, message.account_id)
        chosen = known.get(who)
        if chosen is None:
            chosen = known[who] = choose(*who)
        return chosen if isinstance(chosen, Refusal) else chosen.lane_of(message.to)

    return route
