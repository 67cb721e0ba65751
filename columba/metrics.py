"""What an operator watches, for Prometheus: counted by the rooms themselves, collected only when asked.

Owns a few histograms of its own (plain lists: an observation costs a bisect). Nothing here fails.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 20_000.0)


class Histogram:
    """Counts by bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return found


class Metrics(Collector):
    """Everything that /metrics shows. `sources` give counters and gauges when they are asked for."""

    def __init__(self) -> None:
        self.commit_rows = Histogram(ROWS)
        self.commit_seconds = Histogram(SECONDS)
        self.webhook_seconds = {True: Histogram(SECONDS), False: Histogram(SECONDS)}
        self.loop_lag = Histogram(SECONDS)
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        self.counters: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = []
        self.gauges: list[tuple[str, str, tuple[str, ...], Callable[[], Iterable[tuple[tuple[str, ...], float]]]]] = []
        self.others: list[Callable[[], Iterable[Metric]]] = []  # what rooms measure by themselves
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._task: asyncio.Task[None] | None = None

    def commit(self, rows: int, seconds: float) -> None:
        self.commit_rows.observe(rows)
        self.commit_seconds.observe(seconds)

    def webhook(self, seconds: float, ok: bool) -> None:
        self.webhook_seconds[ok].observe(seconds)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        found = self.requests.get((method, path, status))
        if found is None:
            found = self.requests[method, path, status] = Histogram(SECONDS)
        found.observe(seconds)

    def counter(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """A counter with one label ('' for none)."""
        self.counters.append((name, text, label, read))

    def gauge(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
    ) -> None:
        self.gauges.append((name, text, labels, read))

    def collect(self) -> Iterator[Metric]:
        for name, text, label, read in self.counters:
            counter = CounterMetricFamily(f"columba_{name}", text, labels=[label] if label else [])
            for value, count in read().items():
                counter.add_metric([value] if label else [], count)
            yield counter
        for name, text, labels, values in self.gauges:
            gauge = GaugeMetricFamily(f"columba_{name}", text, labels=labels)
            for those, number in values():
                gauge.add_metric(those, number)
            yield gauge
        for name, text, histogram in (
            ("commit_rows", "Rows of one commit.", self.commit_rows),
            ("commit_seconds", "Time of one commit, fsync included.", self.commit_seconds),
            ("event_loop_lag_seconds", "How late the event loop runs what is due.", self.loop_lag),
        ):
            family = HistogramMetricFamily(f"columba_{name}", text)
            family.add_metric([], histogram.buckets(), histogram.total)
            yield family
        webhooks = HistogramMetricFamily("columba_webhook_seconds", "Time of one webhook attempt.", labels=["outcome"])
        for ok, histogram in self.webhook_seconds.items():
            webhooks.add_metric(["ok" if ok else "failed"], histogram.buckets(), histogram.total)
        yield webhooks
        requests = HistogramMetricFamily(
            "columba_http_request_seconds", "Time to answer a request.", labels=["method", "endpoint", "status"]
        )
        for (method, path, status), histogram in self.requests.items():
            requests.add_metric([method, path, str(status)], histogram.buckets(), histogram.total)
        yield requests
        for other in self.others:
            yield from other()

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._lag(), name="loop-lag")

    async def _lag(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.25)
            self.loop_lag.observe(max(0.0, time.perf_counter() - began - 0.25))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
