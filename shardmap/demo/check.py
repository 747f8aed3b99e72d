"""The comparison of an index with the reference: every map, every entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shardmap import ShardMap
from shardmap.demo.index import Index
from shardmap.demo.reference import Reference

__all__ = ["differences"]

#: Examples given of each kind of difference.
EXAMPLES = 5
#: Characters of a key or value that are shown.
WIDTH = 60


def differences(index: Index, reference: Reference) -> list[str]:
    """What differs, a line each; empty if nothing does. Both must be sorted and at rest."""
    found: list[str] = []
    expected = reference.maps()
    for name, ours in index.maps().items():
        found += _compare(name, ours, expected[name])
    return found


def _compare(name: str, ours: ShardMap[Any, Any], expected: dict[Any, Any]) -> list[str]:
    diff = ours.diff(expected)
    lines = []
    # Its length is a count that the map keeps by itself, apart from the entries.
    if len(ours) != len(expected):
        lines.append(f"{name}: {len(ours):,} entries, expected {len(expected):,}")
    lines += _examples(f"{name}: missing", diff.added, (_short(key) for key in diff.added))
    lines += _examples(f"{name}: unexpected", diff.removed, (_short(key) for key in diff.removed))
    lines += _examples(
        f"{name}: wrong",
        diff.changed,
        (f"{_short(key)} is {_short(here)}, expected {_short(there)}" for key, (here, there) in diff.changed.items()),
    )
    return lines


def _examples(title: str, all_of_them: dict[Any, Any], texts: Iterable[str]) -> list[str]:
    lines = [f"{title} {text}" for text, _ in zip(texts, range(EXAMPLES), strict=False)]
    if len(all_of_them) > EXAMPLES:
        lines.append(f"{title} ... and {len(all_of_them) - EXAMPLES:,} more")
    return lines


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
