"""LATENCY: events that took long, and how long each command takes."""

from __future__ import annotations

from shardmap.service.commands.registry import Request, command
from shardmap.service.state import State, bucket_end

__all__ = ["doctor", "histogram", "history", "latest", "reset"]


@command("LATENCY LATEST", most=0)
def latest(state: State, _: Request) -> list[list[object]]:
    """Return the latest latency samples for all events."""
    _look(state)
    return [[kind.encode(), when, last, longest] for kind, when, last, longest in state.latency.latest()]


@command("LATENCY HISTORY", "<event>", least=1, most=1)
def history(state: State, request: Request) -> list[list[int]]:
    """Return time-latency samples for the <event> class."""
    _look(state)
    kind = request.arguments[0].decode("utf-8", "replace").lower()
    return [[event.time, event.milliseconds] for event in state.latency.history(kind)]


@command("LATENCY RESET", "[<event> ...]")
def reset(state: State, request: Request) -> int:
    """Reset latency data of one or more <event> classes (default: reset all)."""
    _look(state)
    return state.latency.reset(argument.decode("utf-8", "replace").lower() for argument in request.arguments)


@command("LATENCY HISTOGRAM", "[<command> ...]")
def histogram(state: State, request: Request) -> dict[bytes, dict[bytes, object]]:
    """Return a cumulative distribution of latencies in microseconds of the specified commands (default: all)."""
    wanted = {argument.decode("utf-8", "replace").lower() for argument in request.arguments}
    made: dict[bytes, dict[bytes, object]] = {}
    for each in state.commands():
        if wanted and each.name not in wanted:
            continue
        buckets: dict[int, int] = {}
        passed = 0
        for place, number in enumerate(each.histogram):
            passed += number
            if number:
                # Redis has whole microseconds; what ends below the first is in it.
                buckets[max(1, int(bucket_end(place)))] = passed
        made[each.name.encode()] = {b"calls": each.calls, b"histogram_usec": buckets}
    return made


@command("LATENCY DOCTOR", most=0)
def doctor(state: State, _: Request) -> bytes:
    """Return a human readable latency analysis report."""
    threshold = state.settings.latency_threshold
    if not threshold:
        return (
            b"The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> switches it on; commands "
            b"are taken from the slow log, so slowlog-log-slower-than (microseconds) should not be above it.\n"
        )
    _look(state)
    events = state.latency.latest()
    if not events:
        return f"No event took {threshold} ms or longer.\n".encode()
    lines = [f"Events of {threshold} ms or longer:"]
    for kind, _when, last, longest in events:
        spikes = state.latency.history(kind)
        mean = sum(event.milliseconds for event in spikes) / len(spikes)
        lines.append(f"{kind}: {len(spikes)} (the last {last} ms, mean {mean:.0f} ms, longest {longest} ms)")
    if any(kind == "command" for kind, *_ in events):
        lines.append("SLOWLOG GET shows which commands. KEYS, and commands with very many keys, take their time.")
    return ("\n".join(lines) + "\n").encode()


def _look(state: State) -> None:
    """Have the commands of this very second, too."""
    if state.settings.latency_threshold:
        state.latency.look(state.core.slow_log())
