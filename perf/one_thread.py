"""What the benchmarks of one thread share: their options, the measuring of all rows, the table, the plot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perf import keys, peers, plot, report
from perf.measure import Measured, Row, Settings, measure
from perf.session import Session, verdict

__all__ = ["Comparison", "parser", "run"]


@dataclass(frozen=True)
class Comparison:
    """Who is compared, and how the result is called."""

    title: str
    #: The map whose targets the rows have.
    subject: str
    #: The columns.
    names: Sequence[str]
    #: What a reader of the table has to know.
    note: str


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark of one thread."""
    made = report.parser(description)
    made.add_argument("--clock", choices=("cpu", "wall"), default="cpu", help="time on a processor, or wall time")
    made.add_argument("--seconds", type=float, metavar="S", help="measure each row for so long at least (default: 1)")
    made.add_argument("--seed", type=int, default=1, help="of the order of the peers in each round")
    return made


def run(session: Session, compared: Comparison, rows: Iterable[Row]) -> int:
    """Measure the rows, show and write what was found; 0."""
    options = session.options
    settings = Settings(
        rounds=session.rounds(3, 11),
        seconds=(0.05 if session.quick else 1.0) if options.seconds is None else options.seconds,
        seed=options.seed,
        clock=options.clock,
    )
    session.begin(
        f"seeds: keys {keys.SEED}, order of peers {settings.seed}; garbage collector off while measuring; "
        f"{settings.clock} time; medians of at least {settings.rounds} rounds; the loop's own cost is subtracted"
    )
    candidates = peers.find(compared.names)
    measured = []
    for row in session.chosen(rows, lambda row: f"{row.group}: {row.name}"):
        one = measure(row, candidates, settings)
        print("".join(f" | {name} {_cell(one, name)}" for name in one.figures), file=sys.stderr, flush=True)
        measured.append(one)
    result = {
        "settings": {**vars(settings), "quick": session.quick, "key_seed": keys.SEED, "gc": "off"},
        "rows": [_as_json(one) for one in measured],
    }
    return session.finish(
        [_shown(measured, candidates, compared)], result, _plot(measured, compared, session.about["interpreter"])
    )


def _shown(measured: Sequence[Measured], candidates: Mapping[str, peers.Peer], compared: Comparison) -> report.Table:
    made = report.Table(compared.title, ["operation", "loop", *compared.names, "baseline", "target"])
    group = ""
    for one in measured:
        row = one.row
        if row.group != group:
            group = row.group
            made.add(group)
        verdicts = [_verdict(one, compared.subject, name, bound) for name, bound in row.targets.items()]
        cells = [_cell(one, name) for name in compared.names]
        made.add(row.name, f"{one.loop_ns:.1f}" if one.loop_ns else "", *cells, row.baseline, "; ".join(verdicts))
    made.notes.append(compared.note)
    made.notes += [f"{name}: {peer.absence}" for name, peer in candidates.items() if peer.make is None]
    return made


def _cell(one: Measured, name: str) -> str:
    figure = one.figures.get(name)
    if figure is None:
        reason = one.absent[name]
        return "n/a" if reason == "no such operation" else reason.partition(":")[0]
    ratio = one.ratio(name)
    return f"{figure.median:.1f}" + ("" if ratio is None else f" (×{ratio:.2f})")


def _verdict(one: Measured, subject: str, baseline: str, bound: float) -> str:
    ratio = one.ratio(subject, baseline)
    if ratio is None:
        return f"{baseline} ≤ {bound:.2f}: not measured"
    return f"{baseline} ≤ {bound:.2f}: {verdict(ratio <= bound)} {ratio:.2f}"


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


def _plot(measured: Sequence[Measured], compared: Comparison, interpreter: str) -> bytes | None:
    drawn = [one for one in measured if one.row.targets]
    if not drawn:
        return None
    return plot.bars(
        f"Time relative to the baseline, one thread, {interpreter}",
        "times the baseline's time (lower is better; cut at 3)",
        [f"{one.row.name} · {one.row.group} · to {one.row.baseline}" for one in drawn],
        {name: [one.ratio(name) for one in drawn] for name in compared.names},
        most=3.0,
    )
