"""Wrong files whose checksums are right: made by somebody who wants to crash a reader, or by a wrong program.

`REFUSED` are files that `load` refuses, and that are refused when they are opened or verified too. `DOUBLE` have a key
twice, which is found where keys are compared: by a load into an empty map and by iteration. `MISLEADING` are files
whose records are all right for `load`, but which would lead a look-up astray: :meth:`FrozenByteMap.verify` finds them.
Look-ups in any of them never crash, and never take long.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from snapshot_hashes import hash_of, shard_of, xxh64
from snapshot_writer import SIP, Part, assembled, record, section

__all__ = ["DOUBLE", "KEYS", "MISLEADING", "REFUSED", "many_times"]

#: The keys of the entries in most of these files, in the order of their hashes.
KEYS = sorted((b"key %d" % n for n in range(20)), key=lambda key: hash_of(key, SIP))
_ENTRIES = [(key, b"value", None) for key in KEYS]
_RIGHT = section(_ENTRIES)
#: An offset in the file of one section: where its directory starts.
_DIRECTORY = 64 + len(_RIGHT.data)
_MIDDLE = hash_of(KEYS[10], SIP)
_LOW, _HIGH = section(_ENTRIES[:10], hashes=(0, _MIDDLE)), section(_ENTRIES[10:], hashes=(_MIDDLE, 1 << 32))
_SLOTS = len(_LOW.index) // 4
_HUGE = {
    "2**31": 1 << 31,
    "2**32-1": (1 << 32) - 1,
    "2**63": 1 << 63,
    "2**64-64": (1 << 64) - 64,
    "2**64-8": (1 << 64) - 8,
}


def _records(*records: bytes, entries: int | None = None) -> bytes:
    """A file of one section of these."""
    data = b"".join(records)
    return assembled([Part(data, struct.pack("<I", 0), len(records) if entries is None else entries)])


def _numbers() -> dict[str, bytes]:
    """Header, trailer and descriptors with one number that is wrong."""
    made = {}
    for shards in (0, 3, 1 << 17, 1 << 31, (1 << 32) - 1):
        made[f"{shards} shards"] = assembled([_RIGHT], shards=shards)
        made[f"{shards} shards without entries"] = assembled([], shards=shards)
    for version in (0, 2, 1 << 31):
        made[f"version {version}"] = assembled([_RIGHT], version=version)
    for name, number in {"0": 0, "56": 56, "65": 65, "72": 72, "the trailer's": _DIRECTORY + 64, **_HUGE}.items():
        made[f"directory at {name}"] = assembled([_RIGHT], directory=number)
    for name, number in {"0": 0, "2": 2, "2**58": 1 << 58, "2**58+1": (1 << 58) + 1, **_HUGE}.items():
        made[f"{name} sections"] = assembled([_RIGHT], sections=number)
    for name, number in {"0": 0, "19": 19, "21": 21, **_HUGE}.items():
        made[f"{name} entries in all"] = assembled([_RIGHT], entries=number)
    for name, number in {"0": 0, "128": 128, **_HUGE}.items():
        made[f"file of {name}"] = assembled([_RIGHT], size=number)
    offsets = {"0": 0, "56": 56, "65": 65, "72": 72, "the directory": _DIRECTORY, "the trailer": _DIRECTORY + 64}
    for name, number in {**offsets, **_HUGE}.items():
        made[f"section at {name}"] = assembled([replace(_RIGHT, offset=number)])
    sizes = {"0": 0, "8": 8, "one off": len(_RIGHT.records) + 1, "longer": len(_RIGHT.records) + 64}
    for name, number in {**sizes, **_HUGE}.items():
        made[f"section of {name}"] = assembled([replace(_RIGHT, size=number)])
    for number in (0, 5, 1 << 20, (1 << 32) - 1):
        made[f"{number} slots"] = assembled([replace(_RIGHT, slots=number)])
    for name, number in {"0": 0, "19": 19, "21": 21, "as many as fit": len(_RIGHT.records) // 8, **_HUGE}.items():
        made[f"section of {name} entries"] = assembled([replace(_RIGHT, entries=number)])
    for shard in (1, 2, (1 << 32) - 1):
        made[f"a section of shard {shard}"] = assembled([replace(_RIGHT, shard=shard)])
    ranges = {"none": (5, 5), "reversed": (1 << 32, 0), "too far": (0, (1 << 32) + 1), "huge": (1 << 63, (1 << 64) - 1)}
    for name, hashes in ranges.items():
        made[f"range of hashes {name}"] = assembled([replace(_RIGHT, hashes=hashes)])
    made["a wrong checksum"] = assembled([replace(_RIGHT, checksum=xxh64(_RIGHT.data) ^ 1)])
    return made


def _sections() -> dict[str, bytes]:
    """Sections that are right, but not together."""
    shards = [replace(section([entry]), shard=shard_of(entry[0], 2)) for entry in _ENTRIES[:8]]
    shards.sort(key=lambda part: part.shard, reverse=True)
    again = replace(_LOW, records=b"", index=b"", hashes=_HIGH.hashes, slots=_SLOTS, offset=64, size=len(_LOW.records))
    return {
        "shards not in order": assembled(shards[:1] + shards[-1:], shards=2),
        "hashes not in order": assembled([_HIGH, _LOW]),
        "ranges that overlap": assembled([_LOW, replace(_HIGH, hashes=(_MIDDLE - 1, 1 << 32))]),
        "the same range twice": assembled([_RIGHT, _RIGHT]),
        "the same bytes twice": assembled([_LOW, again]),
        "the same bytes many times": many_times(50, 50),
        "a section in the directory": _in_directory(),
        "an index beyond the file": _index_beyond(),
        "a section at no word": assembled([replace(_LOW, before=b"\0"), replace(_HIGH, before=bytes(7))]),
        "a directory at no word": assembled([_RIGHT], behind=bytes(3)),
        "a section of the header": assembled([Part(b"", b"", 2, slots=1, offset=40, size=16, before=bytes(8))]),
    }


def many_times(records: int, times: int) -> bytes:
    """A file in which as many sections as times share these records: what they claim is the product."""
    data = b"".join(record(b"%d" % n, b"") for n in range(records))
    first = Part(data, bytes(4), records, hashes=(0, 1))
    again = Part(b"", b"", records, slots=1, offset=64, size=len(data))
    return assembled([first, *(replace(again, hashes=(n, n + 1)) for n in range(1, times))])


def _in_directory() -> bytes:
    """Its descriptor would have to have its own checksum in it, but for that it could be."""
    offset = 64 + len(_LOW.data)
    return assembled([_LOW, Part(b"", b"", 1, hashes=_HIGH.hashes, slots=1, offset=offset, size=56)])


def _index_beyond() -> bytes:
    """No longer than a section may be, but too far behind in the file; some pages long, so as to leave the mapping."""
    filler = section([(b"key", bytes(20_000), None)])
    room = len(filler.data)
    return assembled([replace(filler, offset=64 + room - 8, size=8, slots=room // 4 - 2)])


def _bad_records() -> dict[str, bytes]:
    """Records that do not fit where they are."""
    good = record(b"key", b"value")
    return {
        "a key longer than its section": _records(record(b"key", b"value", key_size=17)),
        "a value longer than its section": _records(record(b"key", b"value", value_size=14)),
        "a second record longer than its section": _records(good, record(b"other", b"", value_size=100)),
        "a key that takes the index too": _records(record(b"key", b"", key_size=16)),
        "a deadline beyond its section": _records(struct.pack("<2I", 1 << 31, 0)),
        "a deadline that leaves no room for the key": _records(record(b"", b"", 5, key_size=1)),
        "a value of 2**31": _records(record(b"key", b"", value_size=1 << 31)),
        "a value of 2**32-1": _records(record(b"key", b"", value_size=(1 << 32) - 1)),
        "a key of 2**31-1": _records(record(b"", b"value", key_size=(1 << 31) - 1)),
        "all ones": _records(b"\xff" * 64),
        "zeros behind the last record": _records(good, bytes(8), entries=1),
        "fewer records than entries": _records(good, good, entries=4),
        "a record in the wrong shard": assembled([replace(_RIGHT, shard=0), replace(_RIGHT, shard=1)], shards=2),
        "one record in the wrong shard": assembled([section(_ENTRIES)], shards=4),
    }


REFUSED: dict[str, bytes] = {**_numbers(), **_sections(), **_bad_records()}

DOUBLE: dict[str, bytes] = {
    "one behind the other": assembled([section([(b"a", b"1", None), (b"a", b"2", None)])]),
    "in two sections": assembled([
        section([(b"a", b"1", None)], hashes=(0, _MIDDLE)), section([(b"a", b"2", None)], hashes=(_MIDDLE, 1 << 32)),
    ]),
    "no bytes but heads": _records(*[bytes(8)] * 50),
}  # fmt: skip


def _indexes() -> dict[str, bytes]:
    """Indexes that lead elsewhere."""
    size = len(_RIGHT.records) // 8
    wrong = {
        "to the end": [size] * 3, "beyond the section": [size + 1] * 3, "as far as it goes": [(1 << 32) - 1] * 3,
        "to the start": [0] * 3, "into a record": [1] * 3, "one record too far": [3] * 3,
    }  # fmt: skip
    return {
        f"an index {name}": assembled([replace(_RIGHT, index=struct.pack("<3I", *places))])
        for name, places in wrong.items()
    }


def _orders() -> dict[str, bytes]:
    """Records that are not where their hashes belong."""
    backwards = b"".join(record(*entry) for entry in reversed(_ENTRIES))
    low, high = _LOW.hashes, _HIGH.hashes
    return {
        "records backwards": assembled([replace(_RIGHT, records=backwards)]),
        "records of other hashes than the section's": assembled(
            [replace(_HIGH, hashes=low), replace(_LOW, hashes=high)]
        ),
        "a range that ends too early": assembled([replace(_RIGHT, hashes=(0, hash_of(KEYS[-1], SIP)))]),
        "another key of the hash": assembled([_RIGHT], sip=(1, 2)),
    }


#: A record within the value of another: an index that leads there would find it.
_BEFORE = bytes(-len(KEYS[0]) % 8)
_FORGED = replace(
    section([(KEYS[0], _BEFORE + record(KEYS[0], b"forged"), None)]),
    index=struct.pack("<I", (8 + len(KEYS[0]) + len(_BEFORE)) // 8),
)

MISLEADING: dict[str, bytes] = {
    **_indexes(),
    **_orders(),
    "an index to a forged record": assembled([_FORGED]),
}
