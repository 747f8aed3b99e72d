"""A load test's own report: latencies in microseconds by kind of request, and what did not hold; CSV, JSON and HTML.

Locust's own reports round times under 100 ms to whole milliseconds, which is most of what a local store takes.
"""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from perf import machine
from perf.histogram import SHOWN, Histogram

__all__ = ["memory", "write"]

_COLUMNS = ["kind", "name", "requests", "failures", "mean", *(f"p{share:g}" for share in SHOWN), "longest"]

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left }}
.bad {{ color: #b00020 }} .good {{ color: #1b6e3c }} pre {{ color: #555; white-space: pre-wrap }}
</style>
<h1>{title}</h1><p class="{kind}">{verdict}</p>{broken}
<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>
<p>Times in microseconds, exact but for one per cent. The server's resident memory: {memory}.</p>
<pre>{about}</pre></html>
"""

#: What was measured: kind of request and its name; of each the times and how many failed.
Latencies = Mapping[tuple[str, str], Histogram]


def write(
    folder: Path,
    latencies: Latencies,
    failures: Mapping[tuple[str, str], int],
    broken: Sequence[str],
    resident: Sequence[int],
) -> None:
    """``latencies.csv``, ``latencies.json`` and ``report.html`` in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(key, latencies[key], failures.get(key, 0)) for key in sorted(latencies)]
    about = machine.describe()
    (folder / "latencies.csv").write_text(_csv(rows), encoding="utf-8")
    described = [
        {"kind": kind, "name": name, "failures": failures.get((kind, name), 0), **latencies[kind, name].described()}
        for kind, name in sorted(latencies)
    ]
    content = {
        "kind": "load",
        "machine": about,
        "unit": "microseconds",
        "broken": list(broken),
        "requests": described,
        "resident_bytes": list(resident),
    }
    (folder / "latencies.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(_html(rows, broken, resident, machine.header(about)), encoding="utf-8")


def memory(resident: Sequence[int]) -> str:
    """A server's memory at five moments of the run, evenly apart."""
    if not resident:
        return "not known"
    looks = [resident[quarter * (len(resident) - 1) // 4] for quarter in range(5)]
    return f"{', '.join(f'{look / 1e6:.1f}' for look in looks)} MB from the start to the end"


def _row(key: tuple[str, str], times: Histogram, failed: int) -> list[str]:
    seconds = [times.mean, *(times.percentile(share) for share in SHOWN), times.longest]
    return [*key, str(times.count), str(failed), *(f"{one * 1e6:.1f}" for one in seconds)]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_COLUMNS, *rows])
    return text.getvalue()


def _html(rows: Sequence[Sequence[str]], broken: Sequence[str], resident: Sequence[int], about: str) -> str:
    problems = "".join(f"<li>{html.escape(one)}</li>" for one in broken)
    return _PAGE.format(
        title="Load test",
        kind="bad" if broken else "good",
        verdict=f"{len(broken)} invariants are broken." if broken else "All invariants hold.",
        broken=f"<ul class=bad>{problems}</ul>" if problems else "",
        head="".join(f"<th>{html.escape(name)}</th>" for name in _COLUMNS),
        rows="".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows),
        memory=memory(resident),
        about=html.escape(about),
    )
