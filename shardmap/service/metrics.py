"""/metrics: what the core counts, in Prometheus's format, read when it is asked for.

Each server has a registry of its own, so several in one process, and the application's own metrics, stay apart. This is
the only module that needs prometheus-client.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from shardmap.service.info import REDIS_VERSION
from shardmap.service.state import Shard, State, bucket_end, groups

__all__ = ["Metrics"]

#: Series for single shards; with more shards, each is for several.
MOST_SERIES = 256

#: Counters of the core: name, what they count, where.
_COUNTERS = (
    ("connections", "Connections that were accepted.", "connections_received"),
    ("connections_rejected", "Connections beyond max_clients.", "connections_rejected"),
    ("network_input_bytes", "Bytes read from clients.", "net_input_bytes"),
    ("network_output_bytes", "Bytes sent to clients.", "net_output_bytes"),
    ("protocol_errors", "Connections closed because what they sent was no protocol.", "protocol_errors"),
    ("auth_failures", "Wrong passwords.", "auth_failures"),
    ("output_limit_disconnections", "Clients that did not read their replies.", "output_limit_disconnections"),
    ("query_limit_disconnections", "Clients that sent too much at once.", "query_limit_disconnections"),
    ("timeouts", "Clients that were disconnected by a deadline.", "timeouts"),
    ("slow_commands", "Commands that got into the slow log.", "slow_commands"),
    ("transactions", "Transactions that were executed.", "transactions"),
    ("transactions_aborted", "Transactions that a watched key has stopped.", "transactions_aborted"),
)


class Metrics(Collector):
    """One server's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, accepted: str) -> tuple[bytes, str]:
        """The text and its content type, in the newest format that the monitor accepts."""
        encode, content_type = choose_encoder(accepted)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Every metric; prometheus-client calls this."""
        shards = self._state.shards()
        return itertools.chain(
            self._service(), self._commands(), self._keyspace(shards), self._memory(), self._shards(shards)
        )

    def _service(self) -> Iterator[Metric]:
        from shardmap import __version__  # noqa: PLC0415  # The package imports this when it is whole.

        state, statistics = self._state, self._state.core.statistics()
        info = GaugeMetricFamily("shardmap_info", "Which version runs.", labels=["version", "redis_version"])
        info.add_metric([__version__, REDIS_VERSION], 1)
        yield info
        yield _gauge("uptime_seconds", "Seconds since the start.", state.uptime)
        yield _gauge("loading", "1 while the snapshot is loaded.", int(state.loading))
        yield _gauge("threads", "Event loops.", state.threads)
        yield _gauge("clients", "Connections.", statistics["clients"])
        yield _gauge("clients_max", "The most that are allowed.", state.settings.max_clients)
        yield _gauge("clients_blocked", "Connections that wait for Python's answer.", statistics["blocked"])
        for name, text, key in _COUNTERS:
            yield _counter(name, text, statistics[key])
        errors = CounterMetricFamily("shardmap_errors", "Error replies, by their first word.", labels=["error"])
        for name, number in sorted(state.core.error_statistics().items()):
            errors.add_metric([name], number)
        yield errors
        snapshots = state.snapshots
        yield _gauge("snapshot_last_success_time_seconds", "When the last good one was written.", snapshots.last_save)
        yield _gauge("snapshot_last_duration_seconds", "How long the last one took; -1: none.", snapshots.last_seconds)
        yield _gauge("snapshot_last_failed", "1 if the last one failed.", int(snapshots.last_error is not None))
        yield _gauge("snapshot_in_progress", "1 while one is written.", int(snapshots.in_progress))

    def _commands(self) -> Iterator[Metric]:
        labels = ["command"]
        calls = CounterMetricFamily("shardmap_commands", "Calls.", labels=labels)
        failed = CounterMetricFamily("shardmap_commands_failed", "Calls that ended in an error.", labels=labels)
        rejected = CounterMetricFamily("shardmap_commands_rejected", "Calls that were refused.", labels=labels)
        times = HistogramMetricFamily("shardmap_command_duration_seconds", "Time of a call.", labels=labels)
        for each in self._state.commands():
            calls.add_metric([each.name], each.calls)
            failed.add_metric([each.name], each.failed)
            rejected.add_metric([each.name], each.rejected)
            times.add_metric([each.name], _buckets(each.histogram), each.microseconds / 1e6)
        yield from (calls, failed, rejected, times)

    def _keyspace(self, shards: Sequence[Shard]) -> Iterator[Metric]:
        totals = self._state.totals(shards)
        stats = self._state.byte_map.stats()
        yield _gauge("entries", "Entries.", stats["entries"])
        yield _gauge("entries_with_ttl", "Entries with a time to live.", stats["deadlines"])
        yield _counter("hits", "Look-ups that found their key.", totals.hits)
        yield _counter("misses", "Look-ups that did not.", totals.misses)
        yield _counter("expired", "Entries whose time had come.", totals.expired)
        yield _counter("evicted", "Entries that had to make room.", totals.evicted)
        yield _gauge("reclaim_backlog", "Former entries that a reader or a view still holds.", stats["kept"])

    def _memory(self) -> Iterator[Metric]:
        memory = self._state.byte_map.memory()
        sizes = GaugeMetricFamily("shardmap_memory_bytes", "The map's memory, by what is in it.", labels=["kind"])
        for kind in ("content", "used", "reserved", "tables", "free"):
            sizes.add_metric([kind], getattr(memory, kind))
        yield sizes
        yield _gauge("memory_max_bytes", "The bound; 0: none.", memory.max_memory)
        yield _gauge("memory_fragmentation_ratio", "What is free and too small, over all.", memory.fragmentation)
        yield _gauge("memory_overhead_bytes", "Of an entry, beyond its key and value.", memory.overhead_per_entry)

    def _shards(self, shards: Sequence[Shard]) -> Iterator[Metric]:
        entries = GaugeMetricFamily("shardmap_shard_entries", "Entries of a shard.", labels=["shard"])
        contended = CounterMetricFamily(
            "shardmap_shard_lock_contention", "Times that a thread found a shard's lock taken.", labels=["shard"]
        )
        for label, group in groups(shards, MOST_SERIES):
            entries.add_metric([label], sum(shard.entries for shard in group))
            contended.add_metric([label], sum(shard.contended for shard in group))
        yield from (entries, contended)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily("shardmap_" + name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily("shardmap_" + name, text, value=value)


def _buckets(histogram: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus's: each has the calls of those before."""
    passed = itertools.accumulate(histogram)
    made = [(f"{bucket_end(place) / 1e6:g}", float(number)) for place, number in enumerate(passed)]
    return [*made[:-1], ("+Inf", made[-1][1])] if made else [("+Inf", 0.0)]
