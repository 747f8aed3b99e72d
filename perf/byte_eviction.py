"""How much ByteMap's sampled eviction misses: hit ratios on a Zipf trace, beside exact LRU and random eviction.

``python -m perf.byte_eviction [--quick] [--keys 1000000] [--accesses 2000000] [--exponent 0.99] [--repeat N]``

A cache in front of something slow: each access gets its key, and sets it where it was missing, to 64 bytes. Keys are
chosen by Zipf's law. ByteMap is ``allkeys-lru`` with the ``max_memory`` that makes it hold a tenth, or a hundredth, of
the keys; exact LRU (an ``OrderedDict``) and random eviction have room for as many entries as ByteMap has held on
average since it was full. Each repetition has a trace and a hash seed of its own. Nothing is timed.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from perf import peers, plot, report
from perf.session import Session, verdict

__all__ = ["main"]

LRU, RANDOM = "exact LRU", "random"
POLICIES = (LRU, peers.BYTEMAP, RANDOM)

#: Of the keys: what the caches have room for.
SHARES = (0.1, 0.01)

#: Points of a hundred that ByteMap's hit ratio is below exact LRU's, at most.
TARGET = 3.0

_VALUE = b"v" * 64
#: Bytes for an entry, to begin with.
_FIRST_GUESS = 130
#: How often a cache's size is looked at.
_LOOKS = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--keys", type=int, metavar="N", help="different keys (default: 1000000)")
    parser.add_argument("--accesses", type=int, metavar="N", help="of a trace (default: 2000000)")
    parser.add_argument("--exponent", type=float, default=0.99, metavar="S", help="of Zipf's law (default: 0.99)")
    parser.add_argument("--seed", type=int, default=1, help="of the traces")
    session = Session("byte_eviction", parser, arguments)
    options = session.options
    count = options.keys or session.size(100_000, 1_000_000)
    accesses = options.accesses or session.size(200_000, 2_000_000)
    repetitions = session.rounds(1, 3)
    session.begin(
        f"{count:,} keys, {accesses:,} accesses, Zipf {options.exponent:g}; seed of the traces {options.seed}; medians "
        f"of {repetitions} repetitions"
    )
    weights = list(accumulate((rank + 1) ** -options.exponent for rank in range(count)))
    named = [b"key:%012d" % rank for rank in range(count)]
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(repetitions):
        trace = random.Random(options.seed + number).choices(named, cum_weights=weights, k=accesses)
        for share in session.chosen(SHARES, _called):
            found.setdefault(_called(share), []).append(_measure(trace, round(count * share), options.seed + number))
    settings = {
        "keys": count,
        "accesses": accesses,
        "exponent": options.exponent,
        "seed": options.seed,
        "repetitions": repetitions,
    }
    plotted = plot.bars(
        f"Hit ratio of {accesses:,} accesses to {count:,} keys, Zipf {options.exponent:g}",
        "percent (higher is better)",
        list(found),
        {policy: [_median(runs, policy) for runs in found.values()] for policy in POLICIES},
    )
    return session.finish([_shown(found, accesses)], {"settings": settings, "caches": found}, plotted)


def _called(share: float) -> str:
    return f"room for {share:.0%} of the keys"


def _measure(trace: Sequence[bytes], entries: int, seed: int) -> dict[str, float]:
    """Hit ratios in percent, and how many entries there was room for."""
    limit = _limit(entries)
    ratio, held = _bytemap(trace, limit)
    return {
        "limit": limit,
        "entries": held,
        peers.BYTEMAP: ratio,
        LRU: _exact(trace, held),
        RANDOM: _random(trace, held, random.Random(seed)),
    }


# -- the caches -------------------------------------------------------------------------------------------------------


def _new(limit: int) -> Any:
    from shardmap import ByteMap

    return ByteMap(max_memory=limit, eviction="allkeys-lru")


def _limit(entries: int) -> int:
    """The max_memory with which a map holds about so many entries of this size."""
    limit = entries * _FIRST_GUESS
    for _ in range(3):
        m = _new(limit)
        m.set_many((b"key:%012d" % number, _VALUE) for number in range(2 * entries))
        limit = limit * entries // len(m)
    return limit


def _bytemap(trace: Sequence[bytes], limit: int) -> tuple[float, int]:
    """The hit ratio, and how many entries were there, on average since the first one was evicted."""
    m = _new(limit)
    get, put = m.get, m.set
    hits = 0
    held = []
    step = -(-len(trace) // _LOOKS)
    for begin in range(0, len(trace), step):
        for key in trace[begin : begin + step]:
            if get(key) is None:
                put(key, _VALUE)
            else:
                hits += 1
        if m.stats()["evicted"]:
            held.append(len(m))
    return 100 * hits / len(trace), round(statistics.mean(held or [len(m)]))


def _exact(trace: Sequence[bytes], room: int) -> float:
    cache: OrderedDict[bytes, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in cache:
            cache.move_to_end(key)
            hits += 1
            continue
        if len(cache) == room:
            cache.popitem(last=False)
        cache[key] = None
    return 100 * hits / len(trace)


def _random(trace: Sequence[bytes], room: int, chosen: random.Random) -> float:
    cache: set[bytes] = set()
    slots: list[bytes] = []
    hits = 0
    for key in trace:
        if key in cache:
            hits += 1
            continue
        if len(slots) < room:
            slots.append(key)
        else:
            at = int(chosen.random() * room)
            cache.remove(slots[at])
            slots[at] = key
        cache.add(key)
    return 100 * hits / len(trace)


# -- what it comes to -------------------------------------------------------------------------------------------------


def _median(runs: Sequence[Mapping[str, float]], what: str) -> float:
    return statistics.median(run[what] for run in runs)


def _shown(found: Mapping[str, Sequence[Mapping[str, float]]], accesses: int) -> report.Table:
    made = report.Table(
        f"Hit ratio of {accesses:,} accesses: percent",
        [
            "cache",
            "max_memory",
            "entries",
            *POLICIES,
            "below exact LRU",
            f"≤ {TARGET:g} points",
            "way from random to LRU",
        ],
    )
    for name, runs in found.items():
        below = statistics.median(run[LRU] - run[peers.BYTEMAP] for run in runs)
        made.add(
            name,
            f"{_median(runs, 'limit'):,.0f}",
            f"{_median(runs, 'entries'):,.0f}",
            *(f"{_median(runs, policy):.2f}" for policy in POLICIES),
            f"{below:.2f}",
            verdict(below <= TARGET),
            f"{statistics.median(_way(run) for run in runs):.1%}",
        )
    made.notes.append(
        "The first access to a key misses in every cache; such accesses count, too. Way from random to LRU: the part "
        "of exact LRU's advantage over random eviction that ByteMap has."
    )
    return made


def _way(run: Mapping[str, float]) -> float:
    return (run[peers.BYTEMAP] - run[RANDOM]) / (run[LRU] - run[RANDOM])


if __name__ == "__main__":
    sys.exit(main())
