"""What is kept of people and for how long: exported, erased, swept; and the log of who saw or changed it."""

from functools import partial
from typing import TYPE_CHECKING

from columba.forwarding.held import holding as forwards_holding
from columba.privacy import audit, others
from columba.privacy.audit import Audit
from columba.privacy.growing import Growing, Kept
from columba.privacy.holding import Holding as Held
from columba.privacy.jobs import Jobs
from columba.privacy.people import People
from columba.privacy.retention import Sweeping
from columba.privacy.retention import policy as retention_policy
from columba.verify.held import holding as verify_holding

if TYPE_CHECKING:
    from columba.app import App


def keeping(app: "App") -> tuple[People, Jobs, Sweeping, Growing, Audit]:
    """What each room holds of people is listed here, in the order in which it is erased."""

    async def purge(_person: object) -> None:
        await app.media.purge()

    people = People(app.store, app.cancel, app.redact.everywhere, lambda: holdings)
    holdings = (
        Held("messages", people.show, people.erase),
        Held("media", erase=purge, parts=app.media.steps_without),
        Held("alerts", erase=lambda person: app.alerts.erase(person.account_id, person.mode, person.number)),
        forwards_holding(app.store),
        others.consent(app.store, app.consent.ledger.hashes),
        verify_holding(app.store, app.clock),
        app.contacts.holding(),
        Held("events", erase=people.erase_rest),
    )
    jobs = Jobs(app.store, app.ids, app.clock, app.vault, app.publisher, app.token, lambda: holdings)
    app.store.on_bell(people.heard)

    def is_first() -> bool:
        """One of the processes that share the store sweeps for all."""
        return app.lanes.peers[0] == app.token

    sweeping = Sweeping(
        app.store, app.clock, app.policies.room(retention_policy()), lambda: [*app.keys.accounts],
        (app.forwards.steps_without,), (app.media.steps_without,), (app.media.steps_without, others.forwards),
        app.settings.keep_dead_letters, is_first,
    )  # fmt: skip
    chain = Audit(app.store, app.vault.derived("audit")[0])
    app.snapshots.on(audit.LEFT, chain.take_up)
    settings = app.settings
    kept = Kept(
        settings.keep_events, settings.keep_forwards, settings.keep_dead_letters, settings.keep_verifications,
        settings.keep_audit,
    )  # fmt: skip
    growing = Growing(app.store, app.clock, kept, is_first, chain.sweep, partial(app.snapshots.bump, "keys"))
    return people, jobs, sweeping, growing, chain
