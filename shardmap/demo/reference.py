"""The same job with one thread, ``dict`` and ``collections.Counter``: what the maps of an index must equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shardmap.demo.progress import Progress
from shardmap.demo.sources import Digest, Problem, SourceError, identifiers, read
from shardmap.demo.tally import Tally

__all__ = ["Reference", "reference"]


class Reference:
    """The counterpart of :class:`shardmap.demo.index.Index`, under the same names."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.contents_of: dict[str, list[Digest]] = {}
        self.paths_of: dict[Digest, list[str]] = {}
        self.by_suffix: dict[str, Tally] = {}
        self.problems: dict[str, Problem] = {}

    def add_file(self, path: str) -> None:
        """Index the file at *path*, or note why that is not possible."""
        try:
            source = read(path)
        except SourceError as error:
            self.problems[path] = error.problem
            return
        paths = self.paths_of.setdefault(source.digest, [])
        paths.append(path)
        if len(paths) == 1:
            words = identifiers(source.text)
            self.counts.update(words)
            for word in set(words):
                self.contents_of.setdefault(word, []).append(source.digest)
        tally = Tally(1, source.text.count("\n"), source.size)
        self.by_suffix[source.suffix] = self.by_suffix.get(source.suffix, Tally()).plus(tally)

    def sort(self) -> None:
        """Put the lists in the order that :meth:`shardmap.demo.index.Index.sort` gives them."""
        for contents in self.contents_of.values():
            contents.sort()
        for paths in self.paths_of.values():
            paths.sort()

    def progress(self) -> Tally:
        """What has been read up to now."""
        return Tally.total(self.by_suffix.values()).plus(Tally(files=len(self.problems)))

    def maps(self) -> Mapping[str, dict[Any, Any]]:
        """All mappings by name."""
        return vars(self)


def reference(paths: Iterable[str], progress: Progress) -> Reference:
    """Index the files at *paths*, one after the other."""
    made = Reference()
    for path in paths:
        made.add_file(path)
        if progress.is_due():
            progress.show(made.progress())
    return made
