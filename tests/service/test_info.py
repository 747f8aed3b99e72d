"""INFO's text, the rates behind it, patterns, percentiles: what needs no connection."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from shardmap import Server
from shardmap.service import info
from shardmap.service.commands.globs import matches
from shardmap.service.latency import LatencyMonitor
from shardmap.service.sampler import Sample, Sampler
from shardmap.service.state import CommandStatistics, State, bucket_end, groups
from shardmap.service.top import Reading, parse_info

pytestmark = pytest.mark.ours


@pytest.fixture
def state() -> Iterator[State]:
    with Server(port=0, threads=1, max_memory="64mb", eviction="allkeys-lru") as server:
        assert server._running is not None
        yield server._running.state


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00K"),
        (1536, "1.50K"),
        (1 << 20, "1.00M"),
        (5 << 30, "5.00G"),
        (1 << 40, "1.00T"),
        (1 << 60, "1048576.00T"),
    ],
)
def test_sizes_for_people(size: int, shown: str) -> None:
    assert info.human(size) == shown


def test_sections_that_are_chosen() -> None:
    everything = list(info.SECTIONS)
    assert info.chosen([]) == info.chosen(["default"]) == info.chosen(["DEFAULT"])
    assert "commandstats" not in info.chosen([])
    assert info.chosen(["all"]) == info.chosen(["everything"]) == everything
    assert info.chosen(["keyspace", "Server", "nosuch", "server"]) == ["server", "keyspace"]
    assert info.chosen(["default", "commandstats"]) == [name for name in everything if name != "latencystats"]
    assert info.chosen(["nosuch"]) == []


def test_the_form_of_the_text(state: State) -> None:
    text = info.render(state, info.chosen(["all"]))
    assert text.endswith("\r\n")
    sections = text.split("\r\n\r\n")
    assert [section.split("\r\n")[0] for section in sections][:3] == ["# Server", "# Clients", "# Memory"]
    assert "# CPU" in text
    for line in filter(None, text.split("\r\n")):
        assert re.fullmatch(r"# [A-Z][A-Za-z]+|[a-z][a-z0-9_.|]*:.*", line), line
    assert "\n" not in text.replace("\r\n", "")
    assert info.render(state, []) == ""


def test_what_it_says(state: State) -> None:
    state.byte_map[b"a"] = b"1"
    state.byte_map.set(b"b", b"2", ttl=100)
    fields = parse_info(info.render(state, info.chosen(["all"])))
    assert fields["redis_version"] == "7.2.4"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", fields["shardmap_version"])
    assert fields["db0"] == "keys=2,expires=1,avg_ttl=0"
    assert int(fields["maxmemory"]) == 64 << 20
    assert fields["maxmemory_policy"] == "allkeys-lru"
    assert int(fields["tcp_port"]) == state.port
    assert fields["listener0"] == f"name=tcp,bind=127.0.0.1,port={state.port}"
    assert int(fields["used_memory"]) == state.byte_map.memory().reserved
    assert int(fields["used_memory_peak"]) >= int(fields["used_memory"])
    assert int(fields["used_memory_rss"]) > 1 << 20
    assert float(fields["used_cpu_user"]) > 0
    assert fields["rdb_last_bgsave_status"] == "ok"
    assert len(fields["run_id"]) == 40


def test_an_empty_keyspace_has_no_line(state: State) -> None:
    assert info.keyspace(state) == {}


# -- counting ---------------------------------------------------------------------------------------------------------


def histogram(**places: int) -> tuple[int, ...]:
    return tuple(places.get(f"at{place}", 0) for place in range(24))


def test_percentiles_are_the_ends_of_places() -> None:
    each = CommandStatistics("get", 100, 1000, 0, 0, histogram(at0=90, at4=9, at10=1))
    assert each.percentile(0.5) == bucket_end(0) == 0.25
    assert each.percentile(0.9) == 0.25
    assert each.percentile(0.91) == bucket_end(4) == 4.0
    assert each.percentile(0.99) == 4.0
    assert each.percentile(1.0) == bucket_end(10) == 256.0
    assert CommandStatistics("get", 0, 0, 3, 0, histogram()).percentile(0.5) == 0


def sample(when: float, commands: int, memory: int = 0) -> Sample:
    return Sample(when, commands, 0, 0, 0, 0, memory, 1)


def test_rates() -> None:
    sampler = Sampler()
    assert sampler.rate("commands") == 0
    sampler.add(sample(10.0, 100, 5))
    assert sampler.rate("commands") == 0
    sampler.add(sample(12.0, 300, 9))
    assert sampler.rate("commands") == 100
    sampler.add(sample(13.0, 0, 2))
    assert sampler.rate("commands") == 0, "after CONFIG RESETSTAT"
    assert sampler.peak_memory == 9
    assert [point["commands"] for point in sampler.history()] == [100, 0]
    assert abs(sampler.history()[-1]["time"] - time.time() + time.monotonic() - 13) < 5
    for number in range(500):
        sampler.add(sample(20.0 + number, number))
    assert len(sampler.history()) == 120


def test_readings_of_top() -> None:
    first = Reading({"total": "10", "cmdstat_get": "calls=10,usec=100", "odd": "x"}, None, now=1.0)
    assert first.rate("total") == 0
    second = Reading(
        {"total": "30", "cmdstat_get": "calls=20,usec=130", "cmdstat_set": "calls=5,usec=5"}, first, now=3.0
    )
    assert second.rate("total") == 10
    assert [(row[0], row[1], row[3]) for row in second.commands()] == [("get", 5.0, 3.0), ("set", 2.5, 1.0)]
    assert first.number("odd") == first.number("none") == 0


def test_groups_of_shards() -> None:
    assert [label for label, _ in groups([], 4)] == []
    assert [label for label, _ in groups(list(range(4)), 4)] == ["0", "1", "2", "3"]  # type: ignore[arg-type]
    grouped = list(groups(list(range(16)), 4))  # type: ignore[arg-type]
    assert [label for label, _ in grouped] == ["0-3", "4-7", "8-11", "12-15"]
    assert sum(len(group) for _, group in grouped) == 16


# -- latency ----------------------------------------------------------------------------------------------------------


def test_latency_events() -> None:
    threshold = 100
    monitor = LatencyMonitor(lambda: threshold)
    monitor.record("command", 0.05)
    assert monitor.latest() == []
    monitor.record("command", 0.2, 1000.5)
    monitor.record("command", 0.15, 1000.9)
    monitor.record("command", 0.12, 1001.0)
    monitor.record("snapshot-save", 3.0, 1002.0)
    assert monitor.history("command") == [(1000, 200), (1001, 120)]
    assert monitor.latest() == [("command", 1001, 120, 200), ("snapshot-save", 1002, 3000, 3000)]
    assert monitor.reset(["command", "nosuch"]) == 1
    assert monitor.history("command") == []
    assert monitor.reset() == 1
    threshold = 0
    monitor.record("command", 9.0)
    assert monitor.latest() == []


def test_latency_takes_each_slow_command_once() -> None:
    monitor = LatencyMonitor(lambda: 1)
    log = [(number, 1000.0 + number, 5000, [b"KEYS", b"*"], "", "") for number in range(5)]
    monitor.look(log[2::-1])
    monitor.look(log[::-1])
    assert [event.time for event in monitor.history("command")] == [1000, 1001, 1002, 1003, 1004]
    for number in range(5, 1000):
        monitor.look([(number, 1000.0 + number, 5000, [], "", "")])
    assert len(monitor.history("command")) == 160


# -- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True), ("max*", "maxmemory", True), ("MAX*", "maxmemory", True), ("max?", "maxm", True),
        ("max?", "max", False), ("[lm]ax", "max", True), ("[^m]ax", "max", False), ("[^x]ax", "max", True),
        ("[!m]ax", "max", True), ("m[a-c]x", "mbx", True), ("\\*", "*", True), ("\\*", "a", False), ("a\\", "a\\", True),
        ("*" * 60 + "x", "a" * 200, False), ("*a" * 60, "a" * 100, True), ("", "", True), ("", "a", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, text: str, fits: bool) -> None:
    if pattern == "[!m]ax":
        fits = False  # Python's way to negate: nothing of ours begins with an exclamation mark.
    assert matches(pattern, text) is fits
