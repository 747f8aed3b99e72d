"""Several threads on one map: million operations a second of all threads together, and how far that scales.

``python -m perf.threads [--quick] [--rows TEXT]... [--repeat N] [--threads 1,2]``

Every measurement starts new threads. Each worker makes its own keys, meets the others at a barrier, takes its own start
time after it, runs one generated loop with the map in a local variable, and takes its own end time; the time of a
measurement goes from the first start to the last end, on the wall. Within a round every map and every number of threads
has its turn, in random order; the figures are medians over the rounds. The cost of the loop is *not* subtracted.

"private dicts" is the control: the same loop, each thread on a dict of its own. It shows how far this machine, just
now, lets two busy threads scale at all.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perf import keys, machine, peers, plot, report
from perf.loops import Loop, compile_loop
from perf.probe import ends
from perf.thread_rows import HANDLE, PRIVATE, ThreadRow, table

__all__ = ["main"]

COLUMNS = (peers.DICT, peers.LOCKED, peers.SHARDMAP, peers.CEREGGII, HANDLE, peers.FT_UTILS, PRIVATE)

#: The peers that ShardMap is compared with; a bare dict has no atomic operation but the single ones measured here.
RIVALS = (peers.DICT, peers.LOCKED, peers.CEREGGII, HANDLE, peers.FT_UTILS)

#: Million operations a second by number of threads, one list a round.
Rates = dict[int, list[float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--threads", default="1,2", metavar="N,...", help="numbers of threads (default: 1,2)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each round")
    options = parser.parse_args(arguments)
    threads = [int(number) for number in options.threads.split(",")]
    rounds = options.repeat or (2 if options.quick else 9)
    sizes = (20_000, 40_000, 64_000) if options.quick else (200_000, 400_000, 1_024_000)
    about = machine.describe()
    report.show(machine.header(about))
    report.show(
        f"seeds: keys {keys.SEED}, order {options.seed}; garbage collector off while measuring; medians of {rounds} "
        "rounds; wall time, the loop's own cost included\n"
    )
    candidates = _candidates()
    results: dict[str, dict[str, Rates]] = {}
    for row in table(*sizes):
        if options.rows and not any(text in row.name for text in options.rows):
            continue
        print(row.name, file=sys.stderr, flush=True)
        results[row.name] = _measure(row, candidates, threads, rounds, options.seed)
    if not results:
        parser.error("no row has that in its name")
    shown = _shown(results, candidates, threads)
    report.show(shown.text())
    result = {
        "kind": "threads",
        "machine": about,
        "load_average_after": list(os.getloadavg()),
        "settings": {"rounds": rounds, "threads": threads, "seed": options.seed, "key_seed": keys.SEED, "gc": "off"},
        "rows": [
            {
                "name": name,
                "peers": {
                    peer: {str(n): {"mops": statistics.median(found), "rounds": found} for n, found in rates.items()}
                    for peer, rates in by_peer.items()
                },
            }
            for name, by_peer in results.items()
        ],
    }
    report.write(report.paths(options, "threads"), [shown], result, _plot(results, about, max(threads)))
    return 0


def _candidates() -> dict[str, peers.Peer]:
    found = peers.find()
    found[HANDLE] = peers.Peer(HANDLE, found[peers.CEREGGII].make, found[peers.CEREGGII].absence)
    found[PRIVATE] = peers.Peer(PRIVATE, dict)
    return {name: found[name] for name in COLUMNS}


def _measure(
    row: ThreadRow, candidates: Mapping[str, peers.Peer], threads: Sequence[int], rounds: int, seed: int
) -> dict[str, Rates]:
    names = list(row.arguments(0, 1))
    makes: dict[str, Callable[[], Any]] = {
        name: row.makes.get(name, peer.make)
        for name, peer in candidates.items()
        if peer.make is not None and name in row.statements
    }
    # Cereggii's handle is a thread's own, so it cannot be a global; private dicts as globals would not be private.
    if row.global_map:
        makes = {name: make for name, make in makes.items() if name not in (HANDLE, PRIVATE)}
    rates: dict[str, Rates] = {name: {n: [] for n in threads} for name in makes}
    if peers.CEREGGII in makes and not row.loop and not ends(lambda: _try(row, makes[peers.CEREGGII]())):
        del makes[peers.CEREGGII], rates[peers.CEREGGII]
    turns = [(name, n) for name in makes for n in threads]
    order = random.Random(seed)
    maps: dict[str, Any] = {}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            order.shuffle(turns)
            for name, n in turns:
                shared = maps.get(name)
                if shared is None and name != PRIVATE:
                    shared = peers.fill(makes[name](), row.entries)
                    if not row.consumes:
                        maps[name] = shared
                loop = _compile(row, name, names, shared)
                spent = _run(row, name, loop, shared, n)
                rates[name][n].append(row.per_thread(n) * n / spent * 1e3)
    finally:
        gc.enable()
    return rates


def _try(row: ThreadRow, m: Any) -> None:
    arguments = row.arguments(0, 1)
    compile_loop(row.loop, row.statements[peers.CEREGGII], arguments)(m, None, time.perf_counter_ns, **arguments)


def _compile(row: ThreadRow, name: str, names: Sequence[str], shared: Any) -> Loop:
    statement = row.statements[name]
    if row.global_map:
        return compile_loop(row.loop, statement.replace("m[", "MAP["), names, {"MAP": shared})
    return compile_loop(row.loop, statement, names)


def _run(row: ThreadRow, name: str, loop: Loop, shared: Any, threads: int) -> int:
    """One measurement: nanoseconds from the first worker's start to the last one's end."""
    barrier = threading.Barrier(threads)
    lock = threading.Lock()
    spans: list[tuple[int, int]] = []

    def work(index: int) -> None:
        m = _seen_by_worker(row, name, shared)
        arguments = row.arguments(index, threads)
        barrier.wait()
        spans.append(loop(m, lock, time.perf_counter_ns, **arguments))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(spans) != threads:
        raise RuntimeError(f"{row.name}, {name}: a worker failed")
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def _seen_by_worker(row: ThreadRow, name: str, shared: Any) -> Any:
    if name == PRIVATE:
        return peers.fill({}, row.entries)
    if name == HANDLE:
        return shared.get_handle()
    return shared


def _shown(
    results: Mapping[str, Mapping[str, Rates]], candidates: Mapping[str, peers.Peer], threads: Sequence[int]
) -> report.Table:
    numbers = " / ".join(str(n) for n in threads)
    made = report.Table(
        f"Million operations a second, all threads together, with {numbers} threads",
        ["work", *COLUMNS, "ShardMap ÷ best peer", "scaling: ShardMap", "control"],
    )
    for name, by_peer in results.items():
        cells = [_cell(by_peer.get(peer), candidates[peer], threads) for peer in COLUMNS]
        mine = by_peer.get(peers.SHARDMAP)
        made.add(name, *cells, _advantage(by_peer, threads), _scaling(mine), _scaling(by_peer.get(PRIVATE)))
    made.notes.append(
        "Best peer: the fastest of dict, dict + Lock, cereggii, cereggii through a handle of each thread, ft_utils. "
        f"Scaling: throughput with {max(threads)} threads over that with {min(threads)}. "
        "Control: the same loop on a dict of each thread's own."
    )
    made.notes += [f"{name}: {peer.absence}" for name, peer in candidates.items() if peer.make is None]
    return made


def _cell(rates: Rates | None, peer: peers.Peer, threads: Sequence[int]) -> str:
    if rates is None:
        return peer.absence.partition(":")[0] if peer.make is None else "n/a"
    return " / ".join(f"{statistics.median(rates[n]):.1f}" for n in threads)


def _advantage(by_peer: Mapping[str, Rates], threads: Sequence[int]) -> str:
    mine = by_peer.get(peers.SHARDMAP)
    rivals = [rates for name, rates in by_peer.items() if name in RIVALS]
    if mine is None or not rivals:
        return ""
    best = {n: max(statistics.median(rates[n]) for rates in rivals) for n in threads}
    return " / ".join(f"{statistics.median(mine[n]) / best[n]:.2f}" for n in threads)


def _scaling(rates: Rates | None) -> str:
    if rates is None or len(rates) < 2:
        return ""
    return f"{statistics.median(rates[max(rates)]) / statistics.median(rates[min(rates)]):.2f}"


def _plot(results: Mapping[str, Mapping[str, Rates]], about: dict[str, Any], threads: int) -> bytes | None:
    series = {
        name: [statistics.median(rates[name][threads]) if name in rates else None for rates in results.values()]
        for name in COLUMNS
    }
    return plot.bars(
        f"{threads} threads on one map, {about['interpreter']}",
        "million operations a second, all threads together (higher is better)",
        list(results),
        series,
    )


if __name__ == "__main__":
    sys.exit(main())
