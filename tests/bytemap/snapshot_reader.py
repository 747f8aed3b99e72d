"""A reader of snapshot files, written from docs/snapshot-format.md alone: that another language could do the same.

It checks all that the document says, and every checksum; :class:`WrongFileError` says what does not hold.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from snapshot_hashes import hash_of, shard_of, xxh64

__all__ = ["Section", "Snapshot", "Stored", "WrongFileError", "read"]


class WrongFileError(Exception):
    """What the document says does not hold of the file."""


@dataclass(frozen=True)
class Section:
    """A descriptor of the directory."""

    offset: int
    size: int
    entries: int
    shard: int
    slots: int
    first: int
    end: int
    checksum: int


@dataclass(frozen=True)
class Stored:
    """A record: where it starts, in bytes from the start of its section, and what it says."""

    place: int
    key: bytes
    value: bytes
    deadline: int | None


@dataclass(frozen=True)
class Snapshot:
    """A file that holds what the document says; the records of each section, and its index."""

    sip: tuple[int, int]
    created: int
    shards: int
    sections: list[Section]
    records: list[list[Stored]]
    indexes: list[tuple[int, ...]]

    @property
    def entries(self) -> dict[bytes, tuple[bytes, int | None]]:
        """Value and deadline of every key."""
        return {each.key: (each.value, each.deadline) for records in self.records for each in records}


def read(path: str | os.PathLike[str]) -> Snapshot:
    """The whole file."""
    data = Path(path).read_bytes()
    header, trailer = data[:64], data[-64:]
    _require(len(data) >= 128 and header[:8] == b"SHARDMAP" and trailer[40:48] == b"SHARDEND", "no snapshot")
    _require(xxh64(header[:56]) == _word(header, 56) and xxh64(trailer[:56]) == _word(trailer, 56), "ends' checksums")
    version, size, first, second, created, shards = struct.unpack_from("<IIQQQI", header, 8)
    _require((version, size, header[44:56], trailer[48:56]) == (1, 64, bytes(12), bytes(8)), "a version not known here")
    _require(1 <= shards <= 65536 and shards & (shards - 1) == 0, "shards")
    directory, number, entries, size, checksum = struct.unpack_from("<5Q", trailer)
    _require(size == len(data) and directory + 64 * number + 64 == size and directory % 8 == 0, "the directory's place")
    _require(xxh64(data[directory:-64]) == checksum, "the directory's checksum")
    found = [struct.unpack_from("<3Q2I4Q", data, directory + 64 * i) for i in range(number)]
    sections = [Section(*numbers[:8]) for numbers in found]
    _require(not any(numbers[8] for numbers in found), "the last word of a descriptor")
    _require(sum(each.entries for each in sections) == entries, "the number of entries")
    order = [bound for each in sections for bound in ((each.shard, each.first), (each.shard, each.end))]
    _require(order == sorted(order), "the order of the directory")
    places = sorted((each.offset, each.offset + each.size + _index_size(each)) for each in sections)
    edges = zip([64, *(end for _, end in places)], [*(start for start, _ in places), directory], strict=True)
    _require(all(end <= start for end, start in edges), "sections between header and directory, without overlapping")
    snapshot = Snapshot((first, second), created, shards, sections, [], [])
    for section in sections:
        _read_section(snapshot, section, data[section.offset : section.offset + section.size + _index_size(section)])
    return snapshot


def _read_section(snapshot: Snapshot, section: Section, data: bytes) -> None:
    _require(xxh64(data) == section.checksum, "a section's checksum")
    _require(section.first < section.end <= 1 << 32 and section.shard < snapshot.shards, "a section's range")
    records, at = [], 0
    while at < section.size:
        records.append(_read_record(data[: section.size], at))
        at += _record_size(records[-1])
    _require(at == section.size and len(records) == section.entries >= 1 <= section.slots, "a section's records")
    hashes = [hash_of(each.key, snapshot.sip) for each in records]
    _require(hashes == sorted(hashes) and section.first <= hashes[0] <= hashes[-1] < section.end, "hashes in order")
    _require(all(shard_of(each.key, snapshot.shards) == section.shard for each in records), "records of the shard")
    index = struct.unpack_from(f"<{section.slots}I", data, section.size)
    parts = [(each - section.first) * section.slots // (section.end - section.first) for each in hashes]
    places = [*(each.place // 8 for each in records), section.size // 8]
    right = tuple(places[bisect_left(parts, slot)] for slot in range(section.slots))
    _require(index == right, "a section's index")
    _require(not any(data[section.size + 4 * section.slots :]), "zeros behind the index")
    snapshot.records.append(records)
    snapshot.indexes.append(index)


def _read_record(data: bytes, at: int) -> Stored:
    _require(at + 8 <= len(data), "a record's head")
    key_size, value_size = struct.unpack_from("<2I", data, at)
    deadline, start = (_word(data, at + 8), at + 16) if key_size >> 31 else (None, at + 8)
    key_end = start + (key_size & 0x7FFFFFFF)
    end = key_end + value_size
    _require(value_size < 1 << 31 and end <= len(data) and not any(data[end : end + -end % 8]), "a record's end")
    return Stored(at, data[start:key_end], data[key_end:end], deadline)


def _record_size(record: Stored) -> int:
    size = (8 if record.deadline is None else 16) + len(record.key) + len(record.value)
    return size + -size % 8


def _index_size(section: Section) -> int:
    return (4 * section.slots + 7) // 8 * 8


def _word(data: bytes, at: int) -> int:
    _require(at + 8 <= len(data), "a number beyond the end")
    number: int = struct.unpack_from("<Q", data, at)[0]
    return number


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise WrongFileError(what)
