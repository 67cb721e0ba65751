"""What runs in the background, in every process: each a bounded step, so many seconds apart."""

from typing import TYPE_CHECKING

from columba.core.housekeeping import Chore

if TYPE_CHECKING:
    from columba.app import App


def chores(app: "App") -> tuple[Chore, ...]:
    return (
        Chore("expire", 5.0, app.sending.expire),
        Chore("overdue", 10.0, app.overdue.step),
        Chore("receipts", 2.0, app.receive.rematch),
        Chore("fragments", 1.0, app.receive.inbox.join_due),
        Chore("webhooks", 60.0, app.endpoints.sweep),
        Chore("carriers", 60.0, app.network.sweep),
        Chore("states", 1.0, app.states.step),
        Chore("health", 0.5, app.watch_carriers),
        Chore("debits", 5.0, app.budgets.step),
        Chore("second_routes", 1.0, app.second.step),
        Chore("healths", 60.0, app.healths.sweep),
        Chore("emptying", 2.0, app.emptying.step),
        Chore("parked", 600.0, app.receive.sweep),
        Chore("idempotency", 600.0, app.repeats.sweep),
        Chore("media", 2.0, app.fetching.step),
        Chore("media_kept", 60.0, app.media.sweep),
        Chore("alerts", 1.0, app.collecting.step),
        Chore("alert_notices", 2.0, app.alert_sending.step),
        Chore("alert_history", 3_600.0, app.alert_sending.sweep),
        Chore("alert_carriers", 2.0, app.watching.carriers),
        Chore("alert_rates", 5.0, app.watching.rates),
        Chore("stopping", 1.0, app.consent.stopping.step),
        Chore("consent_replies", 5.0, app.consent.replies.step),
        Chore("consent_kept", 600.0, app.consent.replies.sweep),
        Chore("content", 2.0, app.content.flush),
        Chore("content_kept", 3600.0, app.content.sweep),
        Chore("smpp_parts", 5.0, app.smpp.step),
        Chore("smpp_kept", 600.0, app.smpp.sweep),
        Chore("privacy", 2.0, app.jobs.step),
        Chore("privacy_kept", 600.0, app.jobs.sweep),
        Chore("retention", 30.0, app.sweeping.step),
        Chore("growing", 30.0, app.growing.step),
        Chore("growing_seldom", 600.0, app.growing.seldom),
        Chore("verifications", 1.0, app.verifying.expire),
        Chore("second_carriers", 1.0, app.second_carriers.step),
        Chore("verify_blocks", 1.0, app.verifying.counting.report),
        Chore("verify_counts", 60.0, app.verifying.counting.sweep),
    )
