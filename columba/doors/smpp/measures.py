"""What Prometheus is told of SMPP: a carrier's binds, and the programs that are bound. Of this process alone."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from columba.core import ids
from columba.core.contract import Carrier
from columba.core.sending import Sending
from columba.doors.smpp.api import watches
from columba.doors.smpp.logins import system_id
from columba.doors.smpp.server import SmppDoor
from columba.smpp.status import name_of
from columba.smpp.watch import SECONDS, Counts, Watch


def measures(
    door: SmppDoor, sending: Sending, carriers: Callable[[], Mapping[int, Carrier]]
) -> Callable[[], Iterator[Metric]]:
    def collect() -> Iterator[Metric]:
        binds = [
            ([ids.show("car", carrier.id), name], watch)
            for carrier in carriers().values()
            if carrier.kind == "smpp"
            for name, watch in watches(sending, carrier).items()
        ]
        if binds:
            yield from _binds(binds)
        if door.ports:
            yield from _programs(door)

    return collect


def _binds(binds: list[tuple[list[str], Watch]]) -> Iterator[Metric]:
    labels = ["carrier", "bind"]
    up = GaugeMetricFamily("columba_smpp_bind_up", "Whether a bind to a carrier is up.", labels=labels)
    used = GaugeMetricFamily(
        "columba_smpp_bind_window_used", "Requests of a bind that wait for a response.", labels=labels
    )
    pdus = CounterMetricFamily("columba_smpp_bind_pdus", "PDUs of a bind.", labels=[*labels, "way"])
    errors = CounterMetricFamily(
        "columba_smpp_bind_errors", "Responses of a carrier with an error.", labels=[*labels, "status"]
    )
    took = HistogramMetricFamily(
        "columba_smpp_bind_response_seconds", "Time until a carrier's response.", labels=labels
    )
    for name, watch in binds:
        session, counts = watch.session, watch.counts
        up.add_metric(name, float(session is not None and session.bound))
        used.add_metric(name, session.outstanding if session is not None else 0)
        pdus.add_metric([*name, "in"], counts.received)
        pdus.add_metric([*name, "out"], counts.sent)
        for status, count in counts.refused.items():
            errors.add_metric([*name, _status(status)], count)
        took.add_metric(name, _buckets(counts), counts.seconds)
    yield from (up, used, pdus, errors, took)


def _programs(door: SmppDoor) -> Iterator[Metric]:
    """By login: sessions come and go, counters must not."""
    labels = ["system_id"]
    sessions = GaugeMetricFamily("columba_smpp_sessions", "Sessions of a login.", labels=labels)
    used = GaugeMetricFamily("columba_smpp_session_window_used", "Requests that wait for our response.", labels=labels)
    pdus = CounterMetricFamily("columba_smpp_session_pdus", "PDUs of a login's sessions.", labels=[*labels, "way"])
    errors = CounterMetricFamily(
        "columba_smpp_session_errors", "Our responses with an error.", labels=[*labels, "status"]
    )
    there: dict[int, list[int]] = {}
    for session in door.sessions:
        if session.bound:
            wire = session.watch.session
            there.setdefault(session.login.key_id, []).append(wire.pending if wire is not None else 0)
    for key_id, counts in door.counted().items():
        name = [system_id(key_id)]
        pending = there.get(key_id, [])
        sessions.add_metric(name, len(pending))
        used.add_metric(name, sum(pending))
        pdus.add_metric([*name, "in"], counts.received)
        pdus.add_metric([*name, "out"], counts.sent)
        for status, count in counts.refusals.items():
            errors.add_metric([*name, _status(status)], count)
    yield from (sessions, used, pdus, errors)


def _status(status: int) -> str:
    return "other" if status < 0 else name_of(status)


def _buckets(counts: Counts) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    running = 0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), counts.took, strict=True):
        running += count
        found.append((bound, running))
    return found
