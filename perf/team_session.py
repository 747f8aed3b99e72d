"""What the benchmarks of threads share: options, the head, the measuring of all rows, and what is written of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perf import keys, peers, report
from perf.session import Session
from perf.team import Found, Settings, measure, numbers
from perf.thread_rows import ThreadRow

__all__ = ["TeamSession", "parser"]


def parser(description: str | None, threads: Sequence[int] | None = (1, 2)) -> argparse.ArgumentParser:
    """The options of a benchmark of threads; without ``threads`` the number of processors decides."""
    made = report.parser(description)
    usual = ",".join(map(str, threads)) if threads else "1,2,4 ... cores"
    made.add_argument(
        "--threads", type=numbers, default=threads, metavar="N,...", help=f"numbers of threads (default: {usual})"
    )
    made.add_argument("--seed", type=int, default=1, help="of the order within each round")
    return made


class TeamSession(Session):
    """A run that measures rows, each with several numbers of threads."""

    settings: Settings

    def start(self, rounds: tuple[int, int], what: str = "", threads: Sequence[int] = (), needs: int = 0) -> None:
        """``begin``, with the settings that the options make; so many rounds with ``--quick``, and without."""
        self.settings = Settings(sorted(self.options.threads or threads), self.rounds(*rounds), self.options.seed)
        self.begin(
            f"{what}seeds: keys {keys.SEED}, order {self.settings.seed}; garbage collector off while measuring; "
            f"medians of {self.settings.rounds} rounds; wall time, the loop's own cost included",
            needs,
        )

    def measure(
        self, rows: Iterable[ThreadRow], present: Mapping[str, peers.Peer], maps: dict[str, Any] | None = None
    ) -> dict[str, Found]:
        """What was found of each row that was chosen, by its name."""
        return {row.name: measure(row, present, self.settings, maps) for row in self.chosen(rows, lambda row: row.name)}

    def publish(
        self,
        tables: Sequence[report.Table],
        results: Mapping[str, Found],
        plots: bytes | Mapping[str, bytes | None] | None,
        **settings: Any,
    ) -> int:
        """``finish``, with all rounds of all rows and, besides what every benchmark has, these settings."""
        found = {
            "settings": {**vars(self.settings), **settings, "key_seed": keys.SEED, "gc": "off"},
            "rows": [{"name": name, **one.as_json()} for name, one in results.items()],
        }
        return self.finish(tables, found, plots)
