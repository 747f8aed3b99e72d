"""``shardmap top``: what a service does, live in the terminal, from INFO. The only module that needs rich."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shardmap.service.client import Client
from shardmap.service.info import human

__all__ = ["Reading", "parse_info", "show"]

BARS = "▁▂▃▄▅▆▇█"
#: Seconds of the small graph.
KEPT = 60
#: Commands in the table.
MOST_ROWS = 20


def parse_info(text: str) -> dict[str, str]:
    """INFO's fields."""
    lines = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


class Reading:
    """One INFO, and how it differs from the one before."""

    def __init__(self, fields: Mapping[str, str], before: Reading | None, now: float | None = None) -> None:
        self.time = time.monotonic() if now is None else now
        self.fields = fields
        self.before = before
        if before is not None:
            # A chain of all of them would never end.
            before.before = None

    def number(self, name: str) -> float:
        """A field's value, 0 if there is none."""
        try:
            return float(self.fields.get(name, 0))
        except ValueError:
            return 0.0

    def rate(self, name: str) -> float:
        """How fast a counter grows, a second."""
        before = self.before
        if before is None:
            return 0.0
        return max(0.0, (self.number(name) - before.number(name)) / max(1e-3, self.time - before.time))

    def commands(self) -> list[tuple[str, float, int, float, str, int]]:
        """Name, calls a second, calls, mean microseconds of late, percentiles, failures; the busiest first."""
        made = []
        for field, text in self.fields.items():
            if not field.startswith("cmdstat_"):
                continue
            name = field.removeprefix("cmdstat_")
            here = _pairs(text)
            there = _pairs(self.before.fields.get(field, "")) if self.before is not None else {}
            calls, usec = here.get("calls", 0.0), here.get("usec", 0.0)
            new = calls - there.get("calls", 0.0)
            seconds = self.time - self.before.time if self.before is not None else 0.0
            rate = max(0.0, new / seconds) if seconds > 0 else 0.0
            mean = (usec - there.get("usec", 0.0)) / new if new > 0 else (usec / calls if calls else 0.0)
            percentiles = self.fields.get(f"latency_percentiles_usec_{name}", "")
            made.append((name, rate, int(calls), mean, percentiles, int(here.get("failed_calls", 0))))
        return sorted(made, key=lambda each: (-each[1], -each[2]))


def _pairs(text: str) -> dict[str, float]:
    made = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        try:
            made[name] = float(value)
        except ValueError:
            continue
    return made


def show(connect: Callable[[], Client], interval: float, count: int | None) -> None:
    """Show it until interrupted, or *count* times."""
    console = Console()
    history: deque[float] = deque(maxlen=KEPT)
    reading: Reading | None = None
    shown = 0
    with connect() as client, Live(console=console, screen=console.is_terminal and count is None) as live:
        while count is None or shown < count:
            reading = Reading(parse_info(client.call("INFO", "all").decode("utf-8", "replace")), reading)
            history.append(reading.rate("total_commands_processed"))
            live.update(picture(client.where, reading, history), refresh=True)
            shown += 1
            if count is None or shown < count:
                time.sleep(interval)


def picture(where: str, reading: Reading, history: deque[float]) -> Any:
    """One screen."""
    fields = reading.fields
    version = fields.get("shardmap_version")
    name = f"shardmap {version}" if version else f"redis {fields.get('redis_version', '?')}"
    title = Text.assemble((name, "bold"), f"  {where}  up {_span(reading.number('uptime_in_seconds'))}")
    if fields.get("loading") == "1":
        title.append("  loading", "yellow")
    if fields.get("rdb_last_bgsave_status") == "err":
        title.append("  the last snapshot failed", "red")
    hits, misses = reading.rate("keyspace_hits"), reading.rate("keyspace_misses")
    looked = hits + misses
    keys = _pairs(fields.get("db0", ""))
    bound = reading.number("maxmemory")
    tiles = [
        _tile("operations/s", f"{history[-1] if history else 0:,.0f}", _graph(history)),
        _tile("hit ratio", f"{hits / looked:.1%}" if looked else "-", f"{hits:,.0f} hits/s, {misses:,.0f} misses/s"),
        _tile("entries", f"{keys.get('keys', 0):,.0f}", f"{keys.get('expires', 0):,.0f} with a time to live"),
        _tile(
            "memory",
            human(int(reading.number("used_memory"))),
            f"of {human(int(bound))}" if bound else f"resident {human(int(reading.number('used_memory_rss')))}",
        ),
        _tile(
            "clients",
            f"{reading.number('connected_clients'):,.0f}",
            f"{reading.rate('total_connections_received'):,.0f} new/s",
        ),
        _tile(
            "network",
            f"{human(int(reading.rate('total_net_input_bytes')))}/s in",
            f"{human(int(reading.rate('total_net_output_bytes')))}/s out",
        ),
    ]
    return Group(title, Columns(tiles, equal=True), _table(reading), _footer(reading))


def _table(reading: Reading) -> Table:
    table = Table(expand=True, box=None, pad_edge=False, header_style="dim")
    table.add_column("command")
    for name in ("calls/s", "calls", "mean µs", "p50 µs", "p99 µs", "p99.9 µs", "failed"):
        table.add_column(name, justify="right")
    for name, rate, calls, mean, percentiles, failed in reading.commands()[:MOST_ROWS]:
        of = _pairs(percentiles)
        table.add_row(
            name,
            f"{rate:,.0f}",
            f"{calls:,}",
            f"{mean:.2f}",
            *(f"{of[key]:,.1f}" if key in of else "-" for key in ("p50", "p99", "p99.9")),
            f"{failed:,}",
            style="" if rate else "dim",
        )
    return table


def _footer(reading: Reading) -> Text:
    counts = {
        "expired/s": reading.rate("expired_keys"),
        "evicted/s": reading.rate("evicted_keys"),
        "errors/s": reading.rate("total_error_replies"),
        "lock waits/s": reading.rate("lock_contentions"),
        "refused connections": reading.number("rejected_connections"),
    }
    return Text("  ".join(f"{name} {number:,.0f}" for name, number in counts.items()), "dim")


def _tile(name: str, value: str, note: str) -> Panel:
    return Panel(Text.assemble((value, "bold"), "\n", (note, "dim")), title=name, title_align="left", width=26)


def _graph(history: deque[float]) -> str:
    last = list(history)[-20:]
    most = max(last, default=0.0)
    return "".join(BARS[int(each / most * (len(BARS) - 1))] if most else BARS[0] for each in last)


def _span(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}min" if hours else f"{minutes}min {left}s"
