"""The index: five maps that all threads write to at once, without a lock of their own.

Each line of :meth:`Index.add_file` picks the operation that makes its step atomic:

1. ``insert`` decides which of several threads that meet the same content indexes it: exactly one gets ``True``.
2. ``count`` adds a whole list of words, one to each word's count; no increment is lost.
3. ``compute_if_absent`` makes the list of a new word exactly once, so all threads append to the same list. (Appending
   is atomic in Python. ``merge`` with tuples would work too, but copies all that is there for each file more: quadratic
   for a word that every file has.)
4. ``merge`` replaces a tally by its sum with another; a plain ``m[k] = m[k].plus(...)`` would lose some.
5. ``m[k] = v`` is enough where each key is written once.

All may be read meanwhile: :meth:`Index.progress` does, from the main thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shardmap import ShardMap
from shardmap.demo.sources import Digest, Problem, SourceError, identifiers, read
from shardmap.demo.tally import Tally

__all__ = ["Index"]


class Index:
    """What is known about the files added so far. Any number of threads may add files at the same time."""

    def __init__(self) -> None:
        #: How often each identifier occurs; files of the same content count once.
        self.counts: ShardMap[str, int] = ShardMap()
        #: The contents that each identifier occurs in.
        self.contents_of: ShardMap[str, list[Digest]] = ShardMap()
        #: The paths that each content is found at.
        self.paths_of: ShardMap[Digest, list[str]] = ShardMap()
        #: What was read, by suffix.
        self.by_suffix: ShardMap[str, Tally] = ShardMap()
        #: The paths that could not be used.
        self.problems: ShardMap[str, Problem] = ShardMap()

    def add_file(self, path: str) -> None:
        """Index the file at *path*, or note why that is not possible."""
        try:
            source = read(path)
        except SourceError as error:
            self.problems[path] = error.problem
            return
        if self.paths_of.insert(source.digest, [path]):
            self._add_words(source.digest, identifiers(source.text))
        else:
            self.paths_of[source.digest].append(path)
        self.by_suffix.merge(source.suffix, Tally(1, source.text.count("\n"), source.size), Tally.plus)

    def _add_words(self, digest: Digest, words: list[str]) -> None:
        self.counts.count(words)
        contents_of = self.contents_of
        for word in set(words):
            contents_of.compute_if_absent(word, _no_contents).append(digest)

    def sort(self) -> None:
        """Put the lists in order, which until now was the threads' order of arrival. Call it when all are done."""
        for contents in self.contents_of.values():
            contents.sort()
        for paths in self.paths_of.values():
            paths.sort()

    def progress(self) -> Tally:
        """What has been read up to now."""
        return Tally.total(self.by_suffix.values()).plus(Tally(files=len(self.problems)))

    def maps(self) -> Mapping[str, ShardMap[Any, Any]]:
        """All maps by name."""
        return vars(self)


def _no_contents(_word: str) -> list[Digest]:
    return []
