"""Instructions an operation, counted by valgrind: exact where a shared machine's clock is not.

``python -m perf.callgrind [--keys 1000] [--functions m[k]]``

Each loop runs twice in a process of its own under callgrind, short and long; the difference over the difference in
rounds is the cost of a round, in which the start of the interpreter has no part, and the empty loop's is subtracted.
Instructions are not time (cache misses and waits cost nothing here); use it to see what a change to the code did.
Hashes are fixed (``PYTHONHASHSEED``, ``SHARDMAP_HASH_SEED``), so that two runs of one code agree to the instruction.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from perf import keys as make_keys
from perf import machine, peers, report
from perf.loops import compile_loop

__all__ = ["main"]

STATEMENTS = ("m[k]", "m[k] = v", "k in m", "m.get(k)", "m.get(k, v)")
MEASURED = (peers.DICT, peers.SHARDMAP)

#: Times through the keys. The start of the interpreter differs by some ten thousand instructions from run to run, so
#: it takes some hundred thousand rounds to make that nothing.
SHORT, LONG = 20, 320

_VALUE = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print a table; 0 if valgrind ran."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, default=1_000, metavar="N", help="entries of the map (default: 1000)")
    parser.add_argument("--functions", metavar="STATEMENT", help="show where ShardMap's instructions of it are spent")
    parser.add_argument("--child", nargs=3, metavar=("PEER", "STATEMENT", "TIMES"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        peer, statement, times = options.child
        _loop(peer, statement, options.keys, int(times))
        return 0
    print(machine.header(machine.describe()), end="\n\n")
    if options.functions:
        print(_functions(options.functions, options.keys))
        return 0
    print(_table(options.keys).text())
    return 0


def _loop(peer: str, statement: str, count: int, times: int) -> None:
    """What runs under callgrind."""
    keys = make_keys.strings(count)
    make = peers.find([peer])[peer].make
    if make is None:
        raise SystemExit(f"{peer} cannot be imported")
    m = peers.fill(make(), ((key, _VALUE) for key in keys))
    # Both lists always, so that making them is no part of the difference.
    looked_up = {number: keys * number for number in (SHORT, LONG)}[times]
    compile_loop("for k in keys", statement, ["keys", "v"])(m, None, int, keys=looked_up, v=_VALUE)


def _table(count: int) -> report.Table:
    loops = [(peers.DICT, "pass"), *((peer, statement) for statement in STATEMENTS for peer in MEASURED)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        costs = dict(zip(loops, pool.map(lambda loop: _cost(loop[0], loop[1], count), loops), strict=True))
    empty = costs[peers.DICT, "pass"]
    made = report.Table(f"Instructions an operation, {count:,} str keys", ["operation", *MEASURED, "ratio"])
    for statement in STATEMENTS:
        net = [costs[peer, statement] - empty for peer in MEASURED]
        made.add(statement, *(f"{one:.1f}" for one in net), f"{net[1] / net[0]:.2f}")
    made.notes.append(f"The empty loop's {empty:.1f} are subtracted.")
    return made


def _cost(peer: str, statement: str, count: int) -> float:
    """Instructions a round, the loop's own included."""
    short, long = (_count(peer, statement, count, times) for times in (SHORT, LONG))
    return (long - short) / ((LONG - SHORT) * count)


def _count(peer: str, statement: str, count: int, times: int, out: str = os.devnull) -> int:
    child = [sys.executable, "-m", "perf.callgrind", "--keys", str(count), "--child", peer, statement, str(times)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "SHARDMAP_HASH_SEED": "1"}
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *child]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected\s*:\s*(\d+)", ran.stderr)
    if ran.returncode or not found:
        raise SystemExit(f"{' '.join(command)}\n{ran.stderr}")
    return int(found[1])


def _functions(statement: str, count: int) -> str:
    """What each function spends in a round: the long run less the short, as callgrind lists them."""
    long, short = (_by_function(statement, count, times) for times in (LONG, SHORT))
    lines = [f"instructions a round of {statement} on a ShardMap, by function, the loop's own included"]
    for name, amount in sorted(long.items(), key=lambda item: -item[1]):
        each = (amount - short.get(name, 0)) / ((LONG - SHORT) * count)
        if each >= 1:
            lines.append(f"{each:8.1f}  {name}")
    return "\n".join(lines)


def _by_function(statement: str, count: int, times: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "callgrind.out")
        _count(peers.SHARDMAP, statement, count, times, out)
        command = ["callgrind_annotate", "--auto=no", "--threshold=99.9", out]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, int] = {}
    for amount, place in re.findall(r"^\s*([\d,]+) \([ \d.]+%\)\s+(\S.*)$", listed, re.MULTILINE):
        name = place.split(" [")[0].rpartition(":")[2]
        found[name] = found.get(name, 0) + int(amount.replace(",", ""))
    return found


if __name__ == "__main__":
    sys.exit(main())
