"""One thread: nanoseconds an operation, and the ratio to dict in the same run.

``python -m perf.bench [--quick] [--rows TEXT]... [--repeat N] [--clock cpu|wall]``

All peers are measured in this one process, interleaved round by round; see ``perf/measure.py`` for how.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from perf import keys, machine, peers, plot, report
from perf.measure import Measured, Row, Settings, measure
from perf.rows import table

__all__ = ["main"]

#: Free-threaded builds may be this much further from dict: there, reads take a lock.
FREE_THREADED_SLACK = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="time on a processor, or wall time")
    parser.add_argument("--seconds", type=float, metavar="S", help="measure each row for so long at least (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the peers in each round")
    options = parser.parse_args(arguments)
    settings = Settings(
        rounds=options.repeat or (3 if options.quick else 11),
        seconds=(0.05 if options.quick else 1.0) if options.seconds is None else options.seconds,
        seed=options.seed,
        clock=options.clock,
    )
    candidates = peers.find()
    about = machine.describe()
    report.show(machine.header(about))
    report.show(
        f"seeds: keys {keys.SEED}, order of peers {settings.seed}; garbage collector off while measuring; "
        f"{settings.clock} time; medians of at least {settings.rounds} rounds; the loop's own cost is subtracted\n"
    )
    measured = []
    for row in _rows(options.quick):
        if options.rows and not any(text in f"{row.group}: {row.name}" for text in options.rows):
            continue
        print(f"{row.group}: {row.name}", end="", file=sys.stderr, flush=True)
        one = measure(row, candidates, settings)
        print("".join(f" | {name} {_cell(one, name)}" for name in one.figures), file=sys.stderr, flush=True)
        measured.append(one)
    if not measured:
        parser.error("no row has that in its name")
    shown = _shown(measured, candidates)
    report.show(shown.text())
    result = {
        "kind": "bench",
        "machine": about,
        "load_average_after": machine.describe()["load_average"],
        "settings": {**vars(settings), "quick": options.quick, "key_seed": keys.SEED, "gc": "off"},
        "rows": [_as_json(one) for one in measured],
    }
    report.write(report.paths(options, "bench"), [shown], result, _plot(measured, about))
    return 0


def _rows(quick: bool) -> list[Row]:
    slack = FREE_THREADED_SLACK if machine.free_threaded() else 0.0
    if quick:
        return list(table(random_keys=20_000, resident_operations=20_000, counted=50_000, slack=slack))
    return list(table(random_keys=200_000, resident_operations=200_000, counted=1_000_000, slack=slack))


def _shown(measured: Sequence[Measured], candidates: dict[str, peers.Peer]) -> report.Table:
    made = report.Table("One thread: nanoseconds an operation (× the time of the baseline)", _columns())
    group = ""
    for one in measured:
        row = one.row
        if row.group != group:
            group = row.group
            made.add(group)
        verdicts = [_verdict(one, name, bound) for name, bound in row.targets.items()]
        cells = [_cell(one, name) for name in peers.ALL]
        made.add(row.name, f"{one.loop_ns:.1f}" if one.loop_ns else "", *cells, row.baseline, "; ".join(verdicts))
    absences = [f"{name}: {peer.absence}" for name, peer in candidates.items() if peer.make is None]
    made.notes.append(
        "n/a: no such operation; hangs, fails: does not end with these keys, or in an error (perf/probe.py). "
        "For counting, the dict column is collections.Counter.update. "
        "Targets are of ShardMap's time over that of the named map."
    )
    made.notes += absences
    return made


def _columns() -> list[str]:
    return ["operation", "loop", *peers.ALL, "baseline", "target"]


def _cell(one: Measured, name: str) -> str:
    figure = one.figures.get(name)
    if figure is None:
        reason = one.absent[name]
        return "n/a" if reason == "no such operation" else reason.partition(":")[0]
    ratio = one.ratio(name)
    return f"{figure.median:.1f}" + ("" if ratio is None else f" (×{ratio:.2f})")


def _verdict(one: Measured, baseline: str, bound: float) -> str:
    ratio = one.ratio(peers.SHARDMAP, baseline)
    if ratio is None:
        return f"{baseline} ≤ {bound:.2f}: not measured"
    return f"{baseline} ≤ {bound:.2f}: {'yes' if ratio <= bound else 'NO'} {ratio:.2f}"


def _as_json(one: Measured) -> dict[str, Any]:
    row = one.row
    return {
        "group": row.group,
        "name": row.name,
        "operations": row.operations,
        "loop_ns": one.loop_ns,
        "baseline": row.baseline,
        "targets": dict(row.targets),
        "absent": dict(one.absent),
        "peers": {
            name: {
                "ns": figure.median,
                "ratio": one.ratio(name),
                "quartiles": figure.quartiles,
                "rounds": [round(value, 3) for value in figure.rounds],
            }
            for name, figure in one.figures.items()
        },
    }


def _plot(measured: Sequence[Measured], about: dict[str, Any]) -> bytes | None:
    drawn = [one for one in measured if one.row.targets]
    if not drawn:
        return None
    return plot.bars(
        f"Time relative to the baseline, one thread, {about['interpreter']}",
        "times the baseline's time (lower is better; cut at 3)",
        [f"{one.row.name} · {one.row.group} · to {one.row.baseline}" for one in drawn],
        {name: [one.ratio(name) for one in drawn] for name in peers.ALL},
        most=3.0,
    )


if __name__ == "__main__":
    sys.exit(main())
