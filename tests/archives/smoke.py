"""Use the installed package once, in an environment that has nothing else: ``python -I -W error smoke.py``.

``-I`` keeps the source tree off the path, so what is imported is what was installed. Ends with an exception or a line.
"""

from __future__ import annotations

import importlib.metadata
import pickle
import sys
import sysconfig
import threading
from pathlib import Path

import shardmap
from shardmap import MISSING, ShardMap

THREADS = 4
ROUNDS = 5_000
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def main() -> None:
    where = Path(shardmap.__file__)
    assert where.is_relative_to(sys.prefix), f"{where} is not in {sys.prefix}"
    assert importlib.metadata.version("shardmap") == shardmap.__version__
    if FREE_THREADED:
        assert not sys._is_gil_enabled(), "the import turned the GIL on"  # type: ignore[attr-defined, unused-ignore]

    m: ShardMap[str, int] = ShardMap({"a": 1})

    def work() -> None:
        for number in range(ROUNDS):
            m.add("hits")
            m.count((str(number % 100), "all"))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert m["hits"] == m["all"] == THREADS * ROUNDS
    assert m["7"] == THREADS * ROUNDS // 100
    assert m.compute("a", lambda old: MISSING) is MISSING
    assert "a" not in m
    assert pickle.loads(pickle.dumps(m)) == m == m.snapshot()
    print(f"shardmap {shardmap.__version__} on Python {sys.version.split()[0]}{'t' * FREE_THREADED}: works")


if __name__ == "__main__":
    main()
