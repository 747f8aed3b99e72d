"""Files of a ByteMap: dump and load of a million entries beside pickle and msgpack, and the first look-up in a file.

``python -m perf.byte_snapshot [--quick] [--entries 1000000] [--directory DIR] [--repeat N]``

The same entries of 16 and 64 bytes, in a ByteMap and in a dict, are written to a new file until they are on the disk
(fsync, for all of them) and read back into a new map, from the page cache. pickle is protocol 5; msgpack is the package
of that name, left out where it is not installed; "dd" copies a file of the dump's size with ``conv=fsync``, so it is
what the disk takes at least. All take turns in random order, round by round. ByteMap's dump besides takes the old
file's place and syncs the directory, and its load verifies checksums.

First look-up: ``open_snapshot(path)[key]``, the opening included, of a random key each time, in files of 10,000 entries
and more; "from the disk" after the kernel was told to forget the file.
"""

from __future__ import annotations

import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from perf import keys, peers, plot, report
from perf.session import Session, verdict

__all__ = ["main"]

ONE_THREAD = f"{peers.BYTEMAP}, 1 thread"
PICKLE, MSGPACK, DD = "pickle", "msgpack", "dd"

#: So many times as fast as each of these is ByteMap to be, and its file at most so many times as large as msgpack's.
RIVALS, SPEED_TARGET, SIZE_TARGET = (PICKLE, MSGPACK), 5.0, 1.1

#: Milliseconds of the first look-up.
LOOKUP_TARGET = 5.0
_LOOKUPS = 21

FILES, LOOKUP = "dump and load", "first look-up"

#: What an entry takes in the maps and files together, roughly.
_BYTES_AN_ENTRY = 1_000


@dataclass(frozen=True)
class Kind:
    """One way to write a map to a file, and to read it back."""

    write: Callable[[Path], object]
    read: Callable[[Path], Any] | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="of the largest file (default: 1000000)")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where the files are (default: the system's)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each round")
    session = Session("byte_snapshot", parser, arguments)
    options = session.options
    entries = options.entries or session.size(20_000, 1_000_000)
    rounds = session.rounds(2, 7)
    directory = options.directory or Path(tempfile.gettempdir())
    session.begin(
        f"files in {directory} ({_file_system(directory)}); msgpack {_version(MSGPACK)}; seeds: keys {keys.SEED}, "
        f"order {options.seed}; medians of {rounds} rounds; wall time",
        needs=entries * _BYTES_AN_ENTRY,
    )
    held = {key: key * 4 for key in keys.byte_strings(entries)}
    shown: list[report.Table] = []
    found: dict[str, Any] = {}
    plotted = None
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        for part in session.chosen((FILES, LOOKUP), str):
            if part == FILES:
                found[part] = _files(held, Path(folder), rounds, options.seed)
                shown.append(_shown_files(found[part], entries))
                plotted = _plot(found[part], entries, session.about)
            else:
                found[part] = _lookups(held, Path(folder))
                shown.append(_shown_lookups(found[part]))
    settings = {"entries": entries, "rounds": rounds, "seed": options.seed, "key_seed": keys.SEED}
    return session.finish(shown, {"settings": settings, **found}, plotted)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _file_system(directory: Path) -> str:
    """Of the mount that the directory is on: its kind."""
    kinds = {}
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        kinds[Path(place)] = kind
    resolved = directory.resolve()
    return next((kinds[place] for place in (resolved, *resolved.parents) if place in kinds), "unknown")


def _filled(entries: Iterable[tuple[bytes, bytes]]) -> Any:
    from shardmap import ByteMap

    made = ByteMap()
    made.set_many(entries)
    return made


# -- dump and load ----------------------------------------------------------------------------------------------------


@dataclass
class Times:
    """Seconds of each round, and bytes of the file."""

    write: list[float]
    read: list[float]
    size: int = 0


def _files(held: Mapping[bytes, bytes], folder: Path, rounds: int, seed: int) -> dict[str, dict[str, Any]]:
    kinds = _kinds(held, folder / "to copy")
    found = {name: Times([], []) for name in kinds}
    turns = list(kinds)
    order = random.Random(seed)
    # The first round warms up, and does not count.
    for number in range(-1, rounds):
        order.shuffle(turns)
        for name in turns:
            print(f"  round {number + 1}: {name}", file=sys.stderr, flush=True)
            times = _once(kinds[name], folder / "file", len(held), found[name])
            if number >= 0:
                found[name].write.append(times[0])
                found[name].read += times[1:]
    return {name: vars(times) for name, times in found.items()}


def _kinds(held: Mapping[bytes, bytes], copied: Path) -> dict[str, Kind]:
    from shardmap import ByteMap

    m = _filled(held.items())
    m.dump(copied)

    def read(threads: int | None) -> Callable[[Path], Any]:
        def load(path: Path) -> Any:
            made = ByteMap()
            made.load(path, threads=threads)
            return made

        return load

    def pickled(path: Path) -> None:
        _synced(path, lambda file: pickle.dump(held, file, protocol=5))

    kinds = {
        peers.BYTEMAP: Kind(m.dump, read(None)),
        ONE_THREAD: Kind(lambda path: m.dump(path, threads=1), read(1)),
        PICKLE: Kind(pickled, lambda path: _opened(path, pickle.load)),
        DD: Kind(lambda path: _copied(copied, path), None),
    }
    try:
        import msgpack  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return kinds

    def pack(path: Path) -> None:
        _synced(path, lambda file: msgpack.pack(held, file))

    return kinds | {MSGPACK: Kind(pack, lambda path: _opened(path, msgpack.unpack))}


def _synced(path: Path, write: Callable[[Any], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _opened(path: Path, read: Callable[[Any], Any]) -> Any:
    with path.open("rb") as file:
        return read(file)


def _copied(source: Path, path: Path) -> None:
    command = ["dd", f"if={source}", f"of={path}", "bs=1M", "conv=fsync"]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)


def _once(kind: Kind, path: Path, entries: int, times: Times) -> list[float]:
    """Seconds to write, and to read, if it can be."""
    path.unlink(missing_ok=True)
    spent = []
    began = time.perf_counter()
    kind.write(path)
    spent.append(time.perf_counter() - began)
    times.size = path.stat().st_size
    if kind.read is not None:
        began = time.perf_counter()
        made = kind.read(path)
        spent.append(time.perf_counter() - began)
        if len(made) != entries:
            raise RuntimeError(f"{len(made)} of {entries} entries came back")
    return spent


def _shown_files(found: Mapping[str, Mapping[str, Any]], entries: int) -> report.Table:
    made = report.Table(
        f"{entries:,} entries of 16 and 64 bytes: milliseconds (× ByteMap's), and MB of the file (× msgpack's)",
        ["", "dump", "MB/s", "load", "MB/s", "file"],
    )
    middle = {
        name: {what: statistics.median(one[what]) for what in ("write", "read") if one[what]} | {"size": one["size"]}
        for name, one in found.items()
    }
    mine = middle[peers.BYTEMAP]
    base = middle.get(MSGPACK, mine)["size"]
    for name, one in middle.items():
        cells = []
        for what in ("write", "read"):
            spent = one.get(what)
            cells += (
                [f"{spent * 1e3:.0f} (×{spent / mine[what]:.2f})", f"{one['size'] / spent / 1e6:.0f}"]
                if spent
                else ["", ""]
            )
        made.add(name, *cells, f"{one['size'] / 1e6:.1f} (×{one['size'] / base:.2f})")
    for rival in RIVALS:
        if rival not in middle:
            made.notes.append(f"{rival}: not installed (pip install {rival})")
            continue
        for what, called in (("write", "dump"), ("read", "load")):
            ratio = middle[rival][what] / mine[what]
            made.notes.append(
                f"{called} ≥ {SPEED_TARGET:g} × as fast as {rival}: {verdict(ratio >= SPEED_TARGET)} {ratio:.2f}"
            )
    if MSGPACK in middle:
        ratio = mine["size"] / base
        made.notes.append(f"file ≤ {SIZE_TARGET:g} × {MSGPACK}'s: {verdict(ratio <= SIZE_TARGET)} {ratio:.3f}")
    made.notes.append("dd: a copy of ByteMap's file with conv=fsync, what writing so much takes at least.")
    return made


def _plot(found: Mapping[str, Mapping[str, Any]], entries: int, about: Mapping[str, Any]) -> bytes | None:
    return plot.bars(
        f"A file of {entries:,} entries, {about['interpreter']}",
        "milliseconds (lower is better)",
        ["dump, with fsync", "load"],
        {
            name: [statistics.median(one[what]) * 1e3 if one[what] else None for what in ("write", "read")]
            for name, one in found.items()
        },
    )


# -- the first look-up ------------------------------------------------------------------------------------------------


def _lookups(held: Mapping[bytes, bytes], folder: Path) -> dict[int, dict[str, Any]]:
    """By the entries of a file: its size, and the milliseconds of first look-ups."""
    pairs = list(held.items())
    found = {}
    for entries in (10_000, 100_000, 1_000_000):
        if entries > len(pairs):
            break
        path = folder / f"{entries}"
        _filled(pairs[:entries]).dump(path)
        chosen = random.Random(keys.SEED).choices(pairs[:entries], k=_LOOKUPS)
        spent = {
            "cached": [_first_lookup(path, *pair) for pair in chosen],
            "disk": [_first_lookup(_forgotten(path), *pair) for pair in chosen],
        }
        found[entries] = {"size": path.stat().st_size, **spent}
    return found


def _first_lookup(path: Path, key: bytes, value: bytes) -> float:
    from shardmap import open_snapshot

    began = time.perf_counter()
    frozen = open_snapshot(path)
    found = frozen[key]
    spent = (time.perf_counter() - began) * 1e3
    frozen.close()
    if found != value:
        raise RuntimeError(f"{key!r} came back with {found!r}")
    return spent


def _forgotten(path: Path) -> Path:
    """The same, out of the page cache."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
    return path


def _shown_lookups(found: Mapping[int, Mapping[str, Any]]) -> report.Table:
    made = report.Table(
        "The first look-up in a file that is not loaded, its opening included: milliseconds",
        [
            "entries",
            "MB",
            "from the page cache",
            "longest",
            "from the disk",
            "longest",
            f"cached ≤ {LOOKUP_TARGET:g} ms",
        ],
    )
    for entries, one in found.items():
        cells = [f"{pick(one[what]):.2f}" for what in ("cached", "disk") for pick in (statistics.median, max)]
        median = statistics.median(one["cached"])
        made.add(f"{entries:,}", f"{one['size'] / 1e6:.1f}", *cells, f"{verdict(median <= LOOKUP_TARGET)} {median:.2f}")
    return made


if __name__ == "__main__":
    sys.exit(main())
