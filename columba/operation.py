"""What operators ask a process: is it alive, is it ready, how is it doing. /healthz, /readyz and /metrics.

Nothing here fails; /readyz says 503 with the reason while this process should get no traffic.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from columba.alerts.sending import Sending
from columba.core import ids
from columba.core.accept import Accept
from columba.core.events import Publisher
from columba.core.lanes import Lane, Lanes
from columba.core.receive import Receive as ReceivePath
from columba.forwarding.room import Forwards
from columba.http.endpoint import Endpoint, describe
from columba.http.wire import TYPE_JSON, client_address, encode, send_answer
from columba.media.fetching import Fetching
from columba.metrics import Metrics
from columba.privacy.growing import Growing
from columba.privacy.retention import Sweeping
from columba.routing.failover import Failover
from columba.routing.health import Healths
from columba.routing.second import SecondRoutes
from columba.store import Store

TAG: Final = "Operation"
OWNERS: Final = {"send": "car", "webhook": "whk", "forward": "dst", "action": "acc", "smpp": "key"}  # of lanes, by kind
_TEXT: Final = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
Labelled = Iterable[tuple[tuple[str, ...], float]]


class Health(msgspec.Struct, frozen=True):
    """status: `ok` or `ready`, else why not"""

    status: str


class Operation:
    def __init__(
        self,
        metrics: Metrics,
        store: Store,
        lanes: Lanes,
        stopping: asyncio.Event,
        clock: Callable[[], int],
        may_measure: tuple[IPv4Network | IPv6Network, ...],
    ) -> None:
        self.started = False
        self._metrics = metrics
        self._store = store
        self._lanes = lanes
        self._stopping = stopping
        self._clock = clock
        self._may_measure = may_measure

    def routes(self) -> dict[tuple[str, str], ASGIApp]:
        return {("GET", "/healthz"): self.healthz, ("GET", "/readyz"): self.readyz, ("GET", "/metrics"): self.metrics}

    def endpoints(self) -> list[Endpoint]:
        return [
            describe(
                "GET", "/healthz", name="healthz", tag=TAG, summary="The process lives", public=True, answer=Health
            ),
            describe(
                "GET", "/readyz", name="readyz", tag=TAG, summary="The process can take traffic", public=True,
                description="503 with the reason while it starts, stops, or can't write the store.", answer=Health,
                errors={503: Health},
            ),
            describe(
                "GET", "/metrics", name="metrics", tag=TAG, summary="Metrics for Prometheus", public=True,
                description="Only for the networks of the setting `metrics_from`.", answer=str, media="text/plain",
                errors={403: Health},
            ),
        ]  # fmt: skip

    async def healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, 200, b'{"status":"ok"}')

    def trouble(self) -> str:
        """Why this process should get no traffic; '' when it should."""
        if self._stopping.is_set():
            return "stopping"
        if not self.started:
            return "starting"
        if asyncio.get_running_loop().time() >= self._lanes.valid_until:
            return "the store has not been written for some seconds"
        return ""

    async def readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        trouble = self.trouble()
        headers = [TYPE_JSON, (b"retry-after", b"1")] if trouble else [TYPE_JSON]
        await send_answer(send, 503 if trouble else 200, encode(Health(trouble or "ready")), headers)

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For the networks named, and never through a proxy that forwards strangers."""
        client = client_address(scope)
        forwarded = any(name in (b"x-forwarded-for", b"forwarded") for name, _ in scope["headers"])
        if forwarded or not client or not any(ip_address(client) in network for network in self._may_measure):
            await send_answer(send, 403, encode(Health("/metrics is for the networks of --metrics-from")))
            return
        await send_answer(send, 200, self._metrics.text(), _TEXT)

    def measure(self, accept: Accept, receive: ReceivePath, publisher: Publisher) -> None:
        """What the rooms count, under the names that /metrics shows."""
        metrics = self._metrics
        metrics.counter("accepted", "Messages accepted.", "", lambda: {"": accept.accepted})
        metrics.counter("refused", "Messages refused.", "code", lambda: accept.refused)
        metrics.counter("received", "Texts received.", "", lambda: {"": receive.received})
        reached = publisher.reached
        metrics.counter("sent", "Messages that a carrier took.", "", lambda: {"": reached.get("sent", 0)})
        metrics.counter("final", "Messages that ended, by how.", "status", lambda: _without(reached, "sent"))
        labels = ("lane", "kind")
        metrics.gauge("lane_depth", "Jobs of a lane that wait in memory.", labels, lambda: self._each(_depth))
        metrics.gauge("lane_flying", "Jobs of a lane on the wire.", labels, lambda: self._each(_flying))
        metrics.gauge("lane_age_seconds", "Age of the oldest job that waits.", labels, lambda: self._each(self._age))
        metrics.gauge("lanes_owned", "Lanes of this process.", (), lambda: [((), float(len(self._lanes.owned)))])
        metrics.gauge("processes", "Processes that share the store.", (), lambda: [((), float(len(self._lanes.peers)))])
        metrics.gauge("backlog_rows", "Rows that wait for a commit.", (), lambda: [((), float(self._store.backlog))])

    def measure_forwards(self, forwards: Forwards) -> None:
        metrics = self._metrics
        metrics.counter("forwards", "Attempts at forwards.", "outcome", lambda: forwards.forwarding.outcomes)
        metrics.counter("actions", "Other actions of rules, by outcome.", "outcome", lambda: forwards.acting.outcomes)

    def measure_media(self, fetching: Fetching, notices: Sending) -> None:
        metrics = self._metrics
        metrics.counter("media_fetches", "Media of texts, by outcome.", "outcome", lambda: fetching.outcomes)
        metrics.counter("alert_notices", "Notices of alerts, by outcome.", "outcome", lambda: notices.outcomes)

    def measure_retention(self, growing: Growing, sweeping: Sweeping) -> None:
        metrics = self._metrics

        def behind() -> Labelled:
            return [((kind,), late) for kind, late in growing.behind.items()]

        metrics.counter("swept", "Rows let go as too old.", "kind", lambda: {**growing.swept, **sweeping.swept})
        metrics.gauge("sweep_behind_seconds", "By how much the oldest row is too old.", ("kind",), behind)

    def measure_routing(self, failover: Failover, second: SecondRoutes, healths: Healths) -> None:
        metrics = self._metrics

        def moved() -> Mapping[str, int]:
            return {"refused": failover.moved, "receipt": second.sent_again}

        def standings() -> Labelled:
            return [((ids.show("car", an_id),), each.standing) for an_id, each in healths.all.items()]

        metrics.counter("rerouted", "Messages that went on to another carrier.", "why", moved)
        metrics.gauge("carrier_standing", "How carriers do: 1 without a flaw, 0 down.", ("carrier",), standings)

    def _each(self, read: Callable[[Lane], float]) -> Labelled:
        lanes = self._lanes.owned.values()
        return [((ids.show(OWNERS[lane.kind.name], abs(lane.id)), lane.kind.name), read(lane)) for lane in lanes]

    def _age(self, lane: Lane) -> float:
        oldest = lane.oldest()
        return 0.0 if oldest is None else max(0.0, (self._clock() - ids.time_of(oldest)) / 1000)


def _without(counts: Mapping[str, int], name: str) -> Mapping[str, int]:
    return {each: count for each, count in counts.items() if each != name}


def _depth(lane: Lane) -> float:
    return lane.waiting


def _flying(lane: Lane) -> float:
    return lane.flying
