"""A writer of snapshot files: the reader's counterpart, for files that `ByteMap.dump` would never make.

`written` makes a right file of entries. Its parts make wrong ones: every number can be given another value than the
right one, and all checksums are right all the same, unless they are given too.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from snapshot_hashes import hash_of, shard_of, xxh64

__all__ = ["ALL_HASHES", "SIP", "Part", "assembled", "record", "section", "written"]

#: The key of SipHash in these files, and the range of all hashes.
SIP = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
ALL_HASHES = (0, 1 << 32)

#: A key, its value and its deadline in milliseconds since 1970, or None.
Entry = tuple[bytes, bytes, int | None]


def record(
    key: bytes, value: bytes, deadline: int | None = None, *, key_size: int | None = None, value_size: int | None = None
) -> bytes:
    """A record; the sizes can be others than the right ones."""
    flag = 0 if deadline is None else 1 << 31
    made = struct.pack(
        "<2I", (len(key) if key_size is None else key_size) | flag, len(value) if value_size is None else value_size
    )
    made += (b"" if deadline is None else struct.pack("<Q", deadline)) + key + value
    return made + bytes(-len(made) % 8)


@dataclass(frozen=True)
class Part:
    """A section with its descriptor; None: the right number."""

    records: bytes
    index: bytes
    entries: int
    shard: int = 0
    hashes: tuple[int, int] = ALL_HASHES
    slots: int | None = None
    offset: int | None = None
    size: int | None = None
    checksum: int | None = None
    #: What lies in the file in front of it, and is no section's.
    before: bytes = b""

    @property
    def data(self) -> bytes:
        """As it is in the file."""
        return self.records + self.index + bytes(-len(self.index) % 8)

    def descriptor(self, body: bytes, offset: int) -> bytes:
        """For the directory behind this body, if the section is at this place of it. The checksum is right for what the
        numbers say to be the section."""
        offset = offset if self.offset is None else self.offset
        size = len(self.records) if self.size is None else self.size
        slots = len(self.index) // 4 if self.slots is None else self.slots
        checksum = xxh64(body[offset : offset + size + (4 * slots + 7) // 8 * 8])
        return struct.pack(
            "<3Q2I4Q",
            offset,
            size,
            self.entries,
            self.shard,
            slots,
            *self.hashes,
            checksum if self.checksum is None else self.checksum,
            0,
        )


def section(
    entries: Sequence[Entry],
    *,
    shard: int = 0,
    hashes: tuple[int, int] = ALL_HASHES,
    sip: tuple[int, int] = SIP,
    slots: int | None = None,
) -> Part:
    """A right section of these entries, which are put into order; with as many slots as dump() makes, or others."""
    ordered = sorted(entries, key=lambda entry: hash_of(entry[0], sip))
    slots = slots or len(ordered) // 8 + 1
    places = [0]
    for entry in ordered:
        places.append(places[-1] + len(record(*entry)))
    first, end = hashes
    parts = [(hash_of(key, sip) - first) * slots // (end - first) for key, _, _ in ordered]
    index = [places[bisect_left(parts, slot)] // 8 for slot in range(slots)]
    data = b"".join(record(*entry) for entry in ordered)
    return Part(data, struct.pack(f"<{slots}I", *index), len(ordered), shard, hashes)


def assembled(
    parts: Iterable[Part],
    *,
    shards: int = 1,
    sip: tuple[int, int] = SIP,
    created: int = 1_700_000_000_000,
    version: int = 1,
    directory: int | None = None,
    sections: int | None = None,
    entries: int | None = None,
    size: int | None = None,
    behind: bytes = b"",
) -> bytes:
    """A file of these sections, with more behind them; every checksum that is not given is right for what is there."""
    parts = list(parts)
    header = _checked(b"SHARDMAP" + struct.pack("<2I3QI12x", version, 64, *sip, created, shards))
    data = header
    offsets = []
    for part in parts:
        data += part.before
        offsets.append(len(data))
        data += part.data
    data += behind
    descriptors = b"".join(part.descriptor(data, at) for part, at in zip(parts, offsets, strict=True))
    numbers = (
        len(data) if directory is None else directory,
        len(parts) if sections is None else sections,
        sum(part.entries for part in parts) if entries is None else entries,
        len(data) + len(descriptors) + 64 if size is None else size,
        xxh64(descriptors),
    )
    return data + descriptors + _checked(struct.pack("<5Q", *numbers) + b"SHARDEND" + bytes(8))


def written(
    entries: Mapping[bytes, bytes] | Iterable[Entry],
    *,
    shards: int = 1,
    sip: tuple[int, int] = SIP,
    created: int = 1_700_000_000_000,
) -> bytes:
    """The file that a dump of these entries is, while no shard has more than one section."""
    triples = [(key, value, None) for key, value in entries.items()] if isinstance(entries, Mapping) else list(entries)
    by_shard: dict[int, list[Entry]] = {}
    for entry in triples:
        by_shard.setdefault(shard_of(entry[0], shards), []).append(entry)
    parts = [replace(section(by_shard[shard], sip=sip), shard=shard) for shard in sorted(by_shard)]
    return assembled(parts, shards=shards, sip=sip, created=created)


def _checked(data: bytes) -> bytes:
    return data + struct.pack("<Q", xxh64(data))
