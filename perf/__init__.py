"""Benchmarks of shardmap against its peers. How they measure, and what to make of the figures: ``perf/README.md``.

Those to run are, for ShardMap, ``python -m perf.bench``, ``.threads``, ``.scaling``, ``.bulk``, ``.pause``,
``.pause_threads``, ``.memory`` and ``.callgrind``; for ByteMap ``.byte_bench``, ``.byte_threads``, ``.byte_memory``,
``.byte_snapshot`` and ``.byte_eviction``; each with its own ``--help``. ``python -m perf`` runs all but
``.callgrind``, which needs valgrind.
"""
